#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "agent/rule_table.h"
#include "agent/utc_offset.h"
#include "agent/words.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::array<std::string_view, 10> k_leads{"what is", "what's",   "what’s",      "tell me",     "give me",
                                                   "show me", "what are", "do you know", "do you have", "whats"};
constexpr std::array<std::string_view, 6> k_questions{"what time is it",   "what day is it", "what date is it",
                                                      "what day is today", "what is today",  "which day is it"};
// Clear by themselves.
constexpr std::array<std::string_view, 8> k_topics{
    "current date and time", "current time and date", "current time",  "current date",
    "today's date",          "today’s date",          "date of today", "current day"};
// Clear only after a question's beginning.
constexpr std::array<std::string_view, 5> k_short_topics{"date and time", "time and date", "time", "date", "day"};
constexpr std::array<std::string_view, 8> k_now{"right now", "now",   "today",         "currently",
                                                "please",    "there", "at the moment", ","};
constexpr std::array<std::string_view, 4> k_at{"in", "at", "for", "("};

bool eat_topic(std::string_view& text) {
    if (eat_one(text, k_questions)) {
        return true;
    }
    const bool asked = eat_one(text, k_leads);
    eat(text, "the");
    return eat_one(text, k_topics) || (asked && eat_one(text, k_short_topics));
}

}  // namespace

std::optional<PlannedCall> time_rule(std::string_view clause) {
    constexpr std::size_t k_longest = 100;
    std::string_view text = strip_end(clause);
    if (text.size() > k_longest || !eat_topic(text)) {
        return std::nullopt;
    }
    eat_all(text, k_now);
    PlannedCall call{"current_time", {}};
    if (eat_one(text, k_at)) {
        // The distance is what stands before a last "now" or ")".
        const std::size_t end = text.find_first_of(" )", text.find_first_of("+-zZcCtT"));
        std::string_view offset = trim(text.substr(0, end));
        const std::optional<std::chrono::minutes> minutes = parse_utc_offset(offset);
        if (!minutes) {
            return std::nullopt;
        }
        call.arguments.push_back({"utc_offset", format_utc_offset(*minutes)});
        text = end == std::string_view::npos ? "" : text.substr(end);
        eat(text, ")");
        text = trim(text);
        eat_all(text, k_now);
    }
    return text.empty() ? std::optional(call) : std::nullopt;
}

}  // namespace mt
