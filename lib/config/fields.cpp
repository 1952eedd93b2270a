#include "config/fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "base/units.h"

namespace mt {
namespace {

Error wrong(const FieldRule& rule, std::string_view got) {
    return {Code::invalid, fmt::format("{}: {} is not right, expected {}", rule.name, got, expectation(rule))};
}

Result<std::int64_t> parse_number(const FieldRule& rule, std::string_view text) {
    if (rule.kind == FieldKind::duration) {
        const Result<std::chrono::milliseconds> duration = parse_duration(text);
        return duration ? Result<std::int64_t>(duration->count()) : Result<std::int64_t>(duration.error());
    }
    return rule.kind == FieldKind::size ? parse_size(text) : parse_integer(text);
}

bool is_number(FieldKind kind) {
    return kind == FieldKind::integer || kind == FieldKind::duration || kind == FieldKind::size;
}

Result<Value> check_number(const FieldRule& rule, const Value& value) {
    std::int64_t number = 0;
    if (const auto* text = std::get_if<std::string>(&value); text != nullptr && rule.kind != FieldKind::integer) {
        const Result<std::int64_t> parsed = parse_number(rule, *text);
        if (!parsed) {
            return wrong(rule, quote(*text));
        }
        number = *parsed;
    } else if (const auto* given = std::get_if<std::int64_t>(&value)) {
        const std::int64_t unit = rule.kind == FieldKind::duration ? 1000 : 1;
        if (*given < 0 || *given > rule.max / unit) {
            return wrong(rule, fmt::format("{}", *given));
        }
        number = *given * unit;
    } else {
        return wrong(rule, "this type");
    }
    if (number < rule.min || number > rule.max) {
        return wrong(rule, fmt::format("{}", format_value(rule, number)));
    }
    return Value(number);
}

Result<void> check_text(const FieldRule& rule, const std::string& text) {
    const auto& choices = rule.choices;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
        return Error{Code::invalid, fmt::format("{}: {} is not known{}, expected {}", rule.name, quote(text),
                                                suggestion(text, choices), expectation(rule))};
    }
    if (!is_utf8(text) || text.find('\0') != std::string::npos) {
        return Error{Code::invalid, fmt::format("{}: the text is not UTF-8", rule.name)};
    }
    if (rule.check != nullptr) {
        if (Result<void> checked = rule.check(text); !checked) {
            return Error{Code::invalid, fmt::format("{}: {}", rule.name, checked.error().message)};
        }
    }
    return {};
}

bool in_bounds(const FieldRule& rule, std::size_t size) {
    return static_cast<std::int64_t>(size) >= rule.min && static_cast<std::int64_t>(size) <= rule.max;
}

Result<Value> check_single_text(const FieldRule& rule, const Value& value) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr || !in_bounds(rule, text->size())) {
        return wrong(rule, text == nullptr ? "this type" : quote(*text));
    }
    if (Result<void> checked = check_text(rule, *text); !checked) {
        return std::move(checked).error();
    }
    return value;
}

Result<Value> check_list(const FieldRule& rule, const Value& value) {
    const auto* list = std::get_if<std::vector<std::string>>(&value);
    if (list == nullptr || !in_bounds(rule, list->size())) {
        return wrong(rule, list == nullptr ? "this type" : fmt::format("a list of {}", list->size()));
    }
    for (auto entry = list->begin(); entry != list->end(); ++entry) {
        if (Result<void> checked = check_text(rule, *entry); !checked) {
            return std::move(checked).error();
        }
        if (std::find(list->begin(), entry, *entry) != entry) {
            return Error{Code::invalid, fmt::format("{}: {} stands there twice", rule.name, quote(*entry))};
        }
    }
    return value;
}

}  // namespace

Result<Value> check_value(const FieldRule& rule, const Value& value) {
    if (is_number(rule.kind)) {
        return check_number(rule, value);
    }
    if (rule.kind == FieldKind::boolean) {
        return std::holds_alternative<bool>(value) ? Result<Value>(value) : Result<Value>(wrong(rule, "this type"));
    }
    return rule.kind == FieldKind::list ? check_list(rule, value) : check_single_text(rule, value);
}

Result<Value> parse_value(const FieldRule& rule, std::string_view text) {
    if (is_number(rule.kind)) {
        Result<std::int64_t> number = parse_number(rule, text);
        if (!number || *number < rule.min || *number > rule.max) {
            return wrong(rule, quote(text));
        }
        return Value(*number);
    }
    if (rule.kind == FieldKind::boolean) {
        if (text == "true" || text == "false") {
            return Value(text == "true");
        }
        return wrong(rule, quote(text));
    }
    return check_value(rule, rule.kind == FieldKind::list ? Value(split_list(text)) : Value(std::string(text)));
}

std::string format_value(const FieldRule& rule, const Value& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
        return rule.kind == FieldKind::duration ? format_duration(std::chrono::milliseconds{*number})
                                                : fmt::format("{}", *number);
    }
    if (const auto* truth = std::get_if<bool>(&value)) {
        return *truth ? "true" : "false";
    }
    if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
        return join(*list, ",");
    }
    return std::get<std::string>(value);
}

std::string expectation(const FieldRule& rule) {
    std::vector<std::string> words(rule.choices.begin(), rule.choices.end());
    switch (rule.kind) {
        case FieldKind::integer:
            return fmt::format("a whole number from {} to {}", rule.min, rule.max);
        case FieldKind::duration:
            return fmt::format("a duration from {} to {}, such as \"30s\" or \"5m\"", format_value(rule, rule.min),
                               format_value(rule, rule.max));
        case FieldKind::size:
            return fmt::format("a size from {} to {} bytes, such as 1000 or \"64MB\"", rule.min, rule.max);
        case FieldKind::boolean:
            return "true or false";
        case FieldKind::list:
            return words.empty() ? "a list of texts" : fmt::format("a list of {}", join(words, ", "));
        case FieldKind::text:
            break;
    }
    return words.empty() ? fmt::format("a text of {} to {} bytes", rule.min, rule.max)
                         : fmt::format("one of {}", join(words, ", "));
}

}  // namespace mt
