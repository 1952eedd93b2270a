#pragma once

#include <string_view>

#include "postgres/pool.h"

namespace mt::postgres {

/// Waits, inside a transaction and until its end, for everybody else who makes, migrates or drops this schema. Errors:
/// as Session.
Result<void> lock_schema(Session& session, std::string_view schema);

}  // namespace mt::postgres
