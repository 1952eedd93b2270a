#pragma once

#include <string>
#include <string_view>

#include "postgres/pool.h"

namespace mt::postgres {

/// What makes two statements the same for the server: the text and the types of the parameters.
std::string statement_key(std::string_view sql, const Parameters& parameters);

/// A name for a prepared statement that no statement with another key has: 128 bits of its hash (FNV-1a).
std::string statement_name(std::string_view key);

}  // namespace mt::postgres
