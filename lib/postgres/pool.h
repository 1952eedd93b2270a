#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"

namespace mt::postgres {

/// The values of a statement's parameters $1, $2, ... in their order. Text is UTF-8, bytes are BYTEA.
class Parameters {
  public:
    Parameters& text(std::string_view value);
    Parameters& integer(std::int64_t value);
    Parameters& bytes(std::string_view value);
    Parameters& boolean(bool value);
    Parameters& null();
    /// Arrays, for statements about many rows at once: = ANY($1), unnest($1).
    Parameters& texts(std::span<const std::string> values);
    Parameters& integers(std::span<const std::int64_t> values);

    struct Value {
        std::string bytes;
        bool is_null = false;
        bool is_binary = false;
        unsigned type = 0;  ///< OID; 0: the server infers it
    };
    [[nodiscard]] const std::vector<Value>& values() const { return m_values; }

  private:
    std::vector<Value> m_values;
};

/// The rows that a statement returned. Owns them; reading outside of them, or a column that is no number, is a bug of
/// the caller and returns an empty value or 0.
class Rows {
  public:
    struct State;
    Rows();
    explicit Rows(std::unique_ptr<State> state);
    Rows(Rows&&) noexcept;
    Rows& operator=(Rows&&) noexcept;
    ~Rows();

    [[nodiscard]] std::size_t size() const;
    [[nodiscard]] bool empty() const { return size() == 0; }
    /// Rows that the statement inserted, changed or deleted.
    [[nodiscard]] std::int64_t affected() const;
    [[nodiscard]] bool is_null(std::size_t row, int column) const;
    [[nodiscard]] std::string text(std::size_t row, int column) const;
    [[nodiscard]] std::int64_t integer(std::size_t row, int column) const;
    [[nodiscard]] bool boolean(std::size_t row, int column) const;
    /// Of a BYTEA column.
    [[nodiscard]] std::string bytes(std::size_t row, int column) const;

  private:
    std::unique_ptr<State> m_state;
};

/// One connection while it is lent. Used by one thread.
///
/// Every statement: unavailable with retry_after (away, starting, stopping, read-only, out of connections, memory or
/// disk, too slow), busy (lock or deadlock: try again), already_exists (unique_violation), conflict (any other
/// integrity violation), not_found (undefined schema or table), failed for the rest. Messages name no address and
/// repeat no parameter; Error::detail has SQLSTATE and the server's words.
class Session {
  public:
    Session() = default;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    virtual ~Session() = default;

    /// Runs one statement. It is prepared by its text when it comes a second time over a connection, which keeps at
    /// most 256; behind a pooler that mixes them up, none is. Errors: invalid, too (a text with a NUL byte).
    virtual Result<Rows> query(std::string_view sql, const Parameters& parameters = {}) = 0;
    /// Runs statements without parameters or results, several separated by ';': schemas.
    virtual Result<void> script(std::string_view sql) = 0;
    /// Runs `work` in a transaction (READ COMMITTED), rolled back when it returns an error. Not nested. When the answer
    /// to COMMIT is lost (unavailable) it may have been done. Errors: failed, too (`work` returned no error although a
    /// statement had failed: nothing was changed).
    virtual Result<void> transaction(const std::function<Result<void>()>& work) = 0;
};

struct PoolOptions {
    std::string name = "postgres";  ///< in logs, metrics and /readyz
    std::string url;                ///< of libpq: postgres://user@host:5432/database, or key=value pairs
    std::string password;           ///< beside the url; empty: what the url or PGPASSWORD says
    int connections = 8;            ///< at most
    std::chrono::milliseconds connect_timeout{1000};
    std::chrono::milliseconds statement_timeout{2000};  ///< in the server, and a little longer here
    std::chrono::milliseconds wait_timeout{1000};       ///< for a free connection
};

/// A bounded number of connections to one PostgreSQL. Made without touching the network; connections open when they are
/// needed, and are let go when they fail. While the server is away (Backend) calls are refused at once; one that takes
/// no writes counts as away. Thread-safe; waits in a BlockingRegion; never without bound, also on a half-open
/// connection. Only the resolver's own time-out bounds looking up a host's name, which libpq does: give an address or a
/// name that is known at once. Sockets go by real time, `clock` is for the Backend.
class Pool {
  public:
    /// `clock` and `log` must outlive the pool.
    Pool(PoolOptions options, const Clock& clock, Log& log);
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool();

    /// Lends a connection for `work` and returns what it returns. `work` runs once; but where the connection turned out
    /// to have been closed before anything was sent over it, it runs on another one. Errors: as Session, and those of
    /// getting a connection: unavailable, busy (none was free within wait_timeout), config (the url is malformed).
    Result<void> with(const std::function<Result<void>(Session&)>& work);

    /// One statement.
    Result<Rows> query(std::string_view sql, const Parameters& parameters = {});

    /// Asks whether the server is there, so that an outage and its end are seen without traffic.
    Result<void> ping();

    [[nodiscard]] const PoolOptions& options() const;
    [[nodiscard]] BackendStatus status() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

/// Waits for NOTIFY on one channel over a connection of its own. After a lost connection it connects again; what was
/// notified meanwhile counts as one notification, since nobody knows. Used by one thread.
class Listener {
  public:
    /// `clock` must outlive it. Nothing is connected yet.
    Listener(PoolOptions options, std::string channel, const Clock& clock);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    /// Returns after `at_most`, or as soon as something was notified, the connection came back or was lost, or wake().
    void wait(std::chrono::milliseconds at_most);
    /// Ends a wait() in progress, or the next one. From any thread.
    void wake();
    /// False while nothing can be heard (no connection, or a pooler that takes no LISTEN): then polling must do.
    [[nodiscard]] bool hears() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

/// A part of the database with steps of its own, as SchemaPart of the SQLite room: the n-th step takes it from version
/// n to n + 1.
struct SchemaSteps {
    std::string_view schema;             ///< made when it is missing; quoted here
    std::string_view part;               ///< its name in `<schema>.schema_parts`
    std::span<const std::string> steps;  ///< each may hold several statements; unquoted names are of `schema`
};

/// Brings a part to its newest version in ONE transaction under an advisory lock, so that racing first starts converge.
/// Quick when it is there already. Errors: version_mismatch (written by a newer version), and as Session.
Result<void> migrate(Pool& pool, const SchemaSteps& steps);

/// A name in double quotes, as SQL takes it.
std::string quote_name(std::string_view name);

}  // namespace mt::postgres
