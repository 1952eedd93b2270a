#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include "agent/arithmetic_words.h"
#include "agent/numbers.h"
#include "agent/rule_table.h"
#include "agent/words.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_nowhere = std::string_view::npos;
constexpr std::size_t k_longest_key = 100;

constexpr std::array<std::string_view, 12> k_remember{"remember that",      "remember",          "memorize that",
                                                      "memorize",           "note that",         "keep in mind that",
                                                      "make a note that",   "don't forget that", "don't forget",
                                                      "do not forget that", "do not forget",     "make a note"};
// Everyday words: only results and numbers are kept by these.
constexpr std::array<std::string_view, 3> k_keep{"store", "save", "keep"};
constexpr std::array<std::string_view, 8> k_questions{"when", "how", "what", "who", "where", "why", "which", "me"};
constexpr std::array<std::string_view, 7> k_owners{"my", "the", "our", "a", "an", "value of", "key"};
constexpr std::array<std::string_view, 6> k_ask{"what is", "what's", "what’s", "what was", "what are", "tell me"};
constexpr std::array<std::string_view, 8> k_ask_mine{"who is",  "who's",     "where is",    "when is",
                                                     "who are", "where are", "do you know", "do you remember"};
constexpr std::array<std::string_view, 3> k_recall{"recall", "look up", "do you recall"};
constexpr std::array<std::string_view, 9> k_list{"what do you remember",
                                                 "what have you remembered",
                                                 "what do you know about me",
                                                 "list your memories",
                                                 "list my memories",
                                                 "show your memories",
                                                 "show my memories",
                                                 "list memories",
                                                 "list everything you remember"};
constexpr std::array<std::string_view, 5> k_everything{"everything", "all", "it all", "all keys", "all memories"};

std::string key_of(std::string_view text) {
    text = strip_end(text);
    std::string_view bare = text;
    eat_all(bare, k_owners);
    return to_lower((bare.empty() ? text : bare).substr(0, k_longest_key));
}

std::string_view without_dot(std::string_view value) {
    value = trim(value);
    return value.ends_with('.') || value.ends_with('!') || value.ends_with('?') ? value.substr(0, value.size() - 1)
                                                                                : value;
}

std::optional<PlannedCall> remember_call(std::string key, PlannedArgument value) {
    if (key.empty() || value.text.empty()) {
        return std::nullopt;
    }
    return PlannedCall{"remember", {{"key", std::move(key)}, std::move(value)}};
}

// A value is the result it refers to, or else stands for itself.
PlannedArgument value_of(std::string_view text) {
    const std::optional<std::string> reference = text.empty() ? "it" : whole_reference(text);
    return reference ? PlannedArgument{"value", "{" + *reference + "}", true}
                     : PlannedArgument{"value", std::string(text)};
}

struct Assignment {
    std::size_t at = k_nowhere;
    std::size_t length = 0;
};

// The first of "=", ": ", "is" and the like.
Assignment find_assignment(std::string_view text) {
    Assignment first;
    for (const std::string_view sign : {"=", ": ", "is", "are", "was"}) {
        const std::size_t at = find_words(text.substr(0, 2 * k_longest_key), sign);
        if (at != 0 && at < first.at) {
            first = {at, sign.size()};
        }
    }
    return first;
}

// "VALUE as KEY"
std::optional<PlannedCall> remember_as(std::string_view text) {
    const std::size_t at = find_last_words(text, "as");
    if (at == k_nowhere) {
        return std::nullopt;
    }
    return remember_call(key_of(text.substr(at + 2)), value_of(trim(text.substr(0, at))));
}

std::optional<PlannedCall> recall_call(std::string key, bool tentative = false) {
    PlannedCall call{"recall", {}, tentative};
    if (!key.empty()) {
        call.arguments.push_back({"key", std::move(key)});
    }
    return call;
}

bool is_short_name(std::string_view text) {
    constexpr std::size_t k_longest = 40;
    const auto blanks = std::count(text.begin(), text.end(), ' ');
    return !text.empty() && text.size() <= k_longest && blanks <= 2 && text.find('\n') == k_nowhere;
}

// "what is my name", "what is the code"
std::optional<PlannedCall> question_about(std::string_view text) {
    const bool mine_only = eat_one(text, k_ask_mine);
    if (!mine_only && !eat_one(text, k_ask)) {
        return std::nullopt;
    }
    text = strip_end(text);
    std::string_view rest = text;
    const bool mine = eat(rest, "my") || eat(rest, "our");
    if (!mine && (mine_only || !eat(rest, "the"))) {
        return std::nullopt;
    }
    return is_short_name(rest) ? recall_call(key_of(rest), !mine) : std::nullopt;
}

}  // namespace

std::optional<PlannedCall> remember_rule(std::string_view clause) {
    std::string_view text = clause;
    if (eat_one(text, k_keep)) {
        std::optional<PlannedCall> call = remember_as(text);
        const bool plain = call && !call->arguments[1].refers && !parse_number(call->arguments[1].text);
        return plain ? std::nullopt : call;
    }
    if (!eat_one(text, k_remember)) {
        return std::nullopt;
    }
    std::string_view start = text;
    if (eat_one(start, k_questions)) {
        return std::nullopt;
    }
    eat(text, ":");
    if (strip_end(text).empty()) {
        const bool refers = strip_end(clause).ends_with("that");
        return refers ? remember_call("result", value_of("")) : std::nullopt;
    }
    const Assignment assignment = find_assignment(text);
    if (assignment.at != k_nowhere) {
        const std::string_view value = without_dot(text.substr(assignment.at + assignment.length));
        return remember_call(key_of(text.substr(0, assignment.at)), {"value", std::string(value)});
    }
    if (std::optional<PlannedCall> call = remember_as(text)) {
        return call;
    }
    const std::string_view whole = without_dot(text);
    if (whole_reference(whole)) {
        return remember_call("result", value_of(whole));
    }
    std::string_view key = whole;
    eat(key, "to");
    return remember_call(key_of(key), {"value", std::string(whole)});
}

std::optional<PlannedCall> recall_rule(std::string_view clause) {
    std::string_view text = strip_end(clause);
    if (eat_one(text, k_list)) {
        const bool about = eat(text, "about") || eat(text, "of") || eat(text, "as");
        return about && match(text, "me") == 0 ? recall_call(key_of(text)) : recall_call("");
    }
    if (eat_one(text, k_recall)) {
        const bool all = text.empty() || eat_one(text, k_everything);
        return recall_call(all ? "" : key_of(text));
    }
    return question_about(text);
}

}  // namespace mt
