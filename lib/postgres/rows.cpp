#include <libpq-fe.h>

#include <charconv>
#include <utility>

#include "postgres/rows_state.h"

namespace mt::postgres {
namespace {

std::int64_t number_in(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    return fault == std::errc{} && end == text.data() + text.size() ? value : 0;
}

unsigned nibble(char digit) {
    return static_cast<unsigned>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

bool holds(const Rows::State* state, std::size_t row, int column) {
    return state != nullptr && std::cmp_less(row, PQntuples(state->result.get())) && column >= 0 &&
           column < PQnfields(state->result.get());
}

std::string_view value_of(const Rows::State* state, std::size_t row, int column) {
    if (!holds(state, row, column)) {
        return {};
    }
    const int at = static_cast<int>(row);
    return {PQgetvalue(state->result.get(), at, column),
            static_cast<std::size_t>(PQgetlength(state->result.get(), at, column))};
}

}  // namespace

void ResultDeleter::operator()(pg_result* result) const noexcept {
    PQclear(result);
}

Rows::Rows() = default;
Rows::Rows(std::unique_ptr<State> state) : m_state(std::move(state)) {}
Rows::Rows(Rows&&) noexcept = default;
Rows& Rows::operator=(Rows&&) noexcept = default;
Rows::~Rows() = default;

std::size_t Rows::size() const {
    return m_state ? static_cast<std::size_t>(PQntuples(m_state->result.get())) : 0;
}

std::int64_t Rows::affected() const {
    return m_state ? number_in(PQcmdTuples(m_state->result.get())) : 0;
}

bool Rows::is_null(std::size_t row, int column) const {
    return !holds(m_state.get(), row, column) || PQgetisnull(m_state->result.get(), static_cast<int>(row), column) != 0;
}

std::string Rows::text(std::size_t row, int column) const {
    return std::string(value_of(m_state.get(), row, column));
}

std::int64_t Rows::integer(std::size_t row, int column) const {
    return number_in(value_of(m_state.get(), row, column));
}

bool Rows::boolean(std::size_t row, int column) const {
    return value_of(m_state.get(), row, column) == "t";
}

// bytea_output is 'hex' (set at connecting): "\x" and two digits for each byte.
std::string Rows::bytes(std::size_t row, int column) const {
    const std::string_view hex = value_of(m_state.get(), row, column);
    if (!hex.starts_with("\\x")) {
        return {};
    }
    std::string bytes((hex.size() - 2) / 2, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<char>(nibble(hex[2 + 2 * i]) << 4U | nibble(hex[3 + 2 * i]));
    }
    return bytes;
}

}  // namespace mt::postgres
