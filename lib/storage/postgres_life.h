#pragma once

#include <string>

#include "base/result.h"
#include "postgres/pool.h"

namespace mt {

/// The schema of one tenant and the life that it belongs to. Which of two lives is the newer one cannot be told from
/// their uids, so nobody takes a schema over: it is dropped for the life that it belongs to, and the next one makes it
/// anew. A life that was erased is noted in `mtagent.store_erased` for a month, so that a replica that has not heard
/// of it yet makes nothing in its name. Making, claiming and dropping exclude each other (postgres/schema_lock.h).
/// Thread-safe; `pool` must outlive it.
class PostgresLife {
  public:
    PostgresLife(postgres::Pool& pool, const std::string& tenant, std::string uid);

    /// The schema's name, in quotes.
    [[nodiscard]] const std::string& schema() const { return m_quoted; }
    [[nodiscard]] const std::string& uid() const { return m_uid; }

    /// Makes the schema, or brings it to the newest version. Errors: not_found (our life is over), version_mismatch, as
    /// postgres::Session.
    Result<void> prepare();
    /// Writes our uid into a schema that belongs to nobody; where there is none, does nothing. Errors: not_found (our
    /// life is over: nothing is left behind), as postgres::Session.
    Result<void> claim();
    /// Drops the schema unless it belongs to another life, and notes that ours is over. Errors: as postgres::Session.
    Result<void> erase();

  private:
    Result<bool> is_over(postgres::Session& session);
    Result<void> drop_unless_foreign(postgres::Session& session);

    postgres::Pool& m_pool;
    const std::string m_schema;
    const std::string m_quoted;
    const std::string m_uid;
};

/// Of writes in the name of a life that is over, or to the schema of another one.
Error life_is_over();

}  // namespace mt
