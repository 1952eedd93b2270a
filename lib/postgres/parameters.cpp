#include <array>
#include <cstddef>
#include <string>

#include "postgres/pool.h"

namespace mt::postgres {
namespace {

// pg_type.dat of PostgreSQL; these numbers never change.
constexpr unsigned k_bool = 16;
constexpr unsigned k_bytea = 17;
constexpr unsigned k_int8 = 20;
constexpr unsigned k_text_array = 1009;
constexpr unsigned k_int8_array = 1016;

// An element of an array's text form: in quotes, in which only quotes and backslashes mean something.
void append_element(std::string& list, std::string_view element) {
    list += '"';
    for (const char byte : element) {
        if (byte == '"' || byte == '\\') {
            list += '\\';
        }
        list += byte;
    }
    list += '"';
}

}  // namespace

Parameters& Parameters::text(std::string_view value) {
    m_values.push_back({.bytes = std::string(value)});
    return *this;
}

Parameters& Parameters::integer(std::int64_t value) {
    m_values.push_back({.bytes = std::to_string(value), .type = k_int8});
    return *this;
}

Parameters& Parameters::bytes(std::string_view value) {
    m_values.push_back({.bytes = std::string(value), .is_binary = true, .type = k_bytea});
    return *this;
}

Parameters& Parameters::boolean(bool value) {
    m_values.push_back({.bytes = value ? "t" : "f", .type = k_bool});
    return *this;
}

Parameters& Parameters::null() {
    m_values.push_back({.bytes = {}, .is_null = true});
    return *this;
}

Parameters& Parameters::texts(std::span<const std::string> values) {
    std::string list = "{";
    for (const std::string& value : values) {
        list += list.size() > 1 ? "," : "";
        append_element(list, value);
    }
    m_values.push_back({.bytes = list + "}", .type = k_text_array});
    return *this;
}

Parameters& Parameters::integers(std::span<const std::int64_t> values) {
    std::string list = "{";
    for (const std::int64_t value : values) {
        list += (list.size() > 1 ? "," : "") + std::to_string(value);
    }
    m_values.push_back({.bytes = list + "}", .type = k_int8_array});
    return *this;
}

std::string quote_name(std::string_view name) {
    std::string quoted = "\"";
    for (const char byte : name) {
        quoted += byte;
        if (byte == '"') {
            quoted += '"';
        }
    }
    return quoted + '"';
}

}  // namespace mt::postgres
