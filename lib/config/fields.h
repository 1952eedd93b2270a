#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace mt {

/// How a setting is written. Durations and sizes are kept as numbers: milliseconds and bytes.
enum class FieldKind { integer, duration, size, boolean, text, list };

/// A setting's value as it is kept: a number, a truth, a text or texts.
using Value = std::variant<std::int64_t, bool, std::string, std::vector<std::string>>;

/// The rules of one setting: the same name serves in tenants.toml, on the command line and in JSON.
struct FieldRule {
    std::string_view name;
    FieldKind kind = FieldKind::text;
    std::int64_t min = 0;  ///< numbers: smallest; texts and lists: least number of characters or entries
    std::int64_t max = 0;  ///< numbers: largest; texts and lists: most characters or entries
    std::span<const std::string_view> choices{};               ///< not empty: the only words allowed
    Result<void> (*check)(const std::string& text) = nullptr;  ///< further rule for a text or each entry of a list
    std::string_view help;
};

/// Settings that were written down, by name. What is absent comes from the plan or the default.
using Settings = std::map<std::string, Value, std::less<>>;

/// Checks a value against the rule and brings it into the kept form: a duration or size may come as text ("5m", "1GB")
/// or as a number (seconds, bytes). Errors: invalid, with the field's name and what would be right.
Result<Value> check_value(const FieldRule& rule, const Value& value);

/// Reads a value as written on the command line; lists are separated by commas. Errors: invalid.
Result<Value> parse_value(const FieldRule& rule, std::string_view text);

/// The canonical text of a value; parse_value reads it back.
std::string format_value(const FieldRule& rule, const Value& value);

/// A short word for messages: "a whole number from 1 to 1000000", "one of key, open".
std::string expectation(const FieldRule& rule);

}  // namespace mt
