#pragma once

#include <doctest/doctest.h>

#include "support/private_postgres.h"
#include "support/private_redis.h"

namespace mt::test {

/// Behind a case's name, TEST_CASE("..." * k_needs_redis): it is left out where the machine has no redis-server. A case
/// of its own must then say SKIPPED, once in each entry of ctest, which looks for that word:
/// TEST_CASE("..." * doctest::skip(PrivateRedis::is_installed())) { MESSAGE("SKIPPED: ..."); }
inline const doctest::skip k_needs_redis(!PrivateRedis::is_installed());

/// The same for PostgreSQL.
inline const doctest::skip k_needs_postgres(!PrivatePostgres::is_installed());

}  // namespace mt::test
