#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace mt::postgres {

/// What an error of the server means for the connection and for the server itself.
enum class Verdict {
    statement,  ///< the server is well: this statement did not work
    ended,      ///< the connection is over; whoever opens the next one finds out how the server is
    unable,     ///< the server cannot serve now, and says so; the connection is not used again
};

/// What one SQLSTATE comes to (PostgreSQL's manual, appendix A).
struct Meaning {
    Code code;
    Verdict verdict;
    std::string_view message;  ///< for clients
};
Meaning meaning_of(std::string_view sqlstate);

/// The error that callers get. `words`: the server's, for the operator.
Error make_error(const Meaning& meaning, std::string_view sqlstate, std::string_view words);

/// unavailable with retry_after. `fault` is for the operator.
Error unavailable_error(std::string_view fault);

/// The SQLSTATE in what libpq says after a verbose refusal to connect ("FATAL:  53300: sorry, ..."), or "".
std::string sqlstate_in(std::string_view words);

/// The first line, without what only a person at a terminal can use.
std::string first_line(std::string_view words);

}  // namespace mt::postgres
