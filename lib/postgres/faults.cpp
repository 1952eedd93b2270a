#include "postgres/faults.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace mt::postgres {
namespace {

constexpr std::string_view k_away = "a server that this needs is away for now: try again";
constexpr std::string_view k_slow = "the database took too long: try again";
constexpr std::string_view k_again = "somebody else is changing the same: try again";
constexpr std::string_view k_failed = "the database refused a statement";
constexpr std::chrono::seconds k_retry_after{1};

struct Row {
    std::string_view prefix;  // of the SQLSTATE
    Meaning meaning;
};

// The first row that fits decides.
constexpr std::array k_meanings{
    Row{"08", {Code::unavailable, Verdict::ended, k_away}},         // connection exception
    Row{"25006", {Code::unavailable, Verdict::unable, k_away}},     // read_only_sql_transaction: failed over
    Row{"25P03", {Code::unavailable, Verdict::ended, k_away}},      // idle_in_transaction_session_timeout
    Row{"53", {Code::unavailable, Verdict::unable, k_away}},        // out of connections, memory, disk
    Row{"57014", {Code::unavailable, Verdict::statement, k_slow}},  // query_canceled: statement_timeout
    Row{"57P", {Code::unavailable, Verdict::ended, k_away}},        // shutting down, starting, database dropped
    Row{"58", {Code::unavailable, Verdict::unable, k_away}},        // system error: input or output
    Row{"XX", {Code::unavailable, Verdict::statement, k_away}},     // met while others drop what is being read
    Row{"40", {Code::busy, Verdict::statement, k_again}},           // serialization failure, deadlock
    Row{"55P03", {Code::busy, Verdict::statement, k_again}},        // lock_not_available
    Row{"23505", {Code::already_exists, Verdict::statement, "there is such a thing already"}},
    Row{"23", {Code::conflict, Verdict::statement, "this does not go together with what is stored"}},
    Row{"42P01", {Code::not_found, Verdict::statement, "there is no such table"}},
    Row{"3F000", {Code::not_found, Verdict::statement, "there is no such schema"}},
    Row{"42501", {Code::failed, Verdict::statement, "the database role may not do this"}},
};

}  // namespace

Meaning meaning_of(std::string_view sqlstate) {
    const auto* row = std::find_if(k_meanings.begin(), k_meanings.end(),
                                   [&](const Row& candidate) { return sqlstate.starts_with(candidate.prefix); });
    return row == k_meanings.end() ? Meaning{Code::failed, Verdict::statement, k_failed} : row->meaning;
}

Error make_error(const Meaning& meaning, std::string_view sqlstate, std::string_view words) {
    Error error{.code = meaning.code,
                .message = std::string(meaning.message),
                .detail = fmt::format("SQLSTATE {}: {}", sqlstate, words)};
    if (meaning.code == Code::unavailable || meaning.code == Code::busy) {
        error.retry_after = k_retry_after;
    }
    return error;
}

Error unavailable_error(std::string_view fault) {
    return Error{.code = Code::unavailable,
                 .message = std::string(k_away),
                 .retry_after = k_retry_after,
                 .detail = std::string(fault)};
}

std::string sqlstate_in(std::string_view words) {
    constexpr std::size_t k_length = 5;
    constexpr std::string_view k_before = ":  ";
    for (std::size_t at = words.find(k_before); at != std::string_view::npos; at = words.find(k_before, at + 1)) {
        const std::string_view state = words.substr(at + k_before.size(), k_length);
        const bool is_state = state.size() == k_length && std::all_of(state.begin(), state.end(), [](char byte) {
                                  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z');
                              });
        if (is_state && words.substr(at + k_before.size() + k_length).starts_with(':')) {
            return std::string(state);
        }
    }
    return {};
}

std::string first_line(std::string_view words) {
    return std::string(words.substr(0, words.find('\n')));
}

}  // namespace mt::postgres
