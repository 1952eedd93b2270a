#pragma once

#include <string>
#include <utility>
#include <vector>

#include "postgres/pool.h"

namespace mt::postgres {

/// What libpq is told to connect with: names and values.
using Target = std::vector<std::pair<std::string, std::string>>;

/// One target for each host of the url, in its order, so that a host that does not answer at all cannot use up the time
/// of the others. `settings`: send statement_timeout and such at the start, which not every pooler takes. Errors:
/// config (the url is malformed; its text is not repeated).
Result<std::vector<Target>> targets_of(const PoolOptions& options, bool settings);

}  // namespace mt::postgres
