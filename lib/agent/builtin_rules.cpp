#include "agent/builtin_rules.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "agent/rule_table.h"
#include "agent/words.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_nowhere = std::string_view::npos;
constexpr std::size_t k_max_clauses = 16;
constexpr std::size_t k_max_calls = 6;  ///< below the steps that an agent grants by default

// The first that fits decides.
constexpr std::array<Rule, 5> k_rules{time_rule, remember_rule, analyze_rule, calculator_rule, recall_rule};

// What a clause after the first can begin with.
constexpr std::array<std::string_view, 36> k_starts{
    "multiply",    "add",       "subtract", "divide",         "raise",   "increase", "decrease",    "reduce",
    "square",      "cube",      "double",   "triple",         "halve",   "negate",   "round",       "take",
    "remember",    "memorize",  "store",    "save",           "keep",    "recall",   "calculate",   "compute",
    "evaluate",    "analyze",   "analyse",  "summarize",      "what is", "what's",   "how much is", "what time is",
    "what day is", "note that", "tell me",  "do you remember"};

constexpr std::array<std::string_view, 14> k_repeat{"what did i say",      "what did i just say",    "what did i ask",
                                                    "what did i just ask", "repeat my last",         "repeat what i",
                                                    "what was my last",    "what was my previous",   "what is my last",
                                                    "what is my previous", "repeat my previous",     "what have i said",
                                                    "what had i said",     "repeat the last message"};

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool asks_to_repeat(std::string_view message) {
    std::string_view text = strip_end(strip_politeness(message));
    constexpr std::size_t k_longest = 60;
    return text.size() <= k_longest && eat_one(text, k_repeat);
}

// True when a word that joins clauses, or a sentence's or line's end, stands right before `at`.
bool is_joint(std::string_view text, std::size_t at) {
    const std::string_view before = text.substr(0, at);
    const std::size_t last = before.find_last_not_of(" \t\r");
    if (last == k_nowhere || last + 1 == at) {
        return last != k_nowhere && before[last] == '\n';
    }
    if (std::string_view(".,;?!\n").find(before[last]) != k_nowhere) {
        return true;
    }
    const std::size_t start = before.find_last_of(" \t\r\n,;.", last);
    const std::string word = to_lower(before.substr(start == k_nowhere ? 0 : start + 1, last - start));
    return word == "and" || word == "then" || word == "also";
}

bool starts_command(std::string_view text) {
    constexpr std::size_t k_far_enough = 120;
    text = strip_politeness(text.substr(0, k_far_enough));
    return eat_one(text, k_starts);
}

// Where clauses may begin: 0 and every joint with a command after it.
std::vector<std::size_t> clause_starts(std::string_view text) {
    std::vector<std::size_t> starts{0};
    for (std::size_t at = 1; at < text.size() && starts.size() < k_max_clauses; ++at) {
        if (is_letter(text[at]) && !is_word_character(text[at - 1]) && is_joint(text, at) &&
            starts_command(text.substr(at))) {
            starts.push_back(at);
        }
    }
    return starts;
}

// The clause without the joint that leads to the next one.
std::string_view without_joint(std::string_view clause) {
    for (bool found = true; found;) {
        found = false;
        clause = trim(clause);
        for (const std::string_view joint : {"and", "then", "also"}) {
            const std::size_t at = clause.size() - std::min(clause.size(), joint.size());
            const bool whole = at == 0 || !is_word_character(clause[at - 1]);
            if (whole && match(clause.substr(at), joint) > 0) {
                clause = clause.substr(0, at);
                found = true;
            }
        }
        if (!clause.empty() && std::string_view(",;").find(clause.back()) != k_nowhere) {
            clause.remove_suffix(1);
            found = true;
        }
    }
    return clause;
}

std::optional<PlannedCall> read_clause(std::string_view clause) {
    clause = strip_politeness(clause);
    for (const Rule rule : k_rules) {
        std::optional<PlannedCall> call = rule(clause);
        if (call) {
            return call;
        }
    }
    return std::nullopt;
}

// A clause that says nothing by itself belongs to the one before ("remember to buy milk and add sugar").
std::vector<PlannedCall> read_clauses(std::string_view message) {
    const std::vector<std::size_t> starts = clause_starts(message);
    std::vector<PlannedCall> calls;
    std::size_t first = 0;  // where the clause of calls.back() begins
    for (std::size_t i = 0; i < starts.size() && calls.size() < k_max_calls; ++i) {
        const std::size_t end = i + 1 < starts.size() ? starts[i + 1] : message.size();
        std::optional<PlannedCall> call = read_clause(without_joint(message.substr(starts[i], end - starts[i])));
        if (call) {
            calls.push_back(std::move(*call));
            first = starts[i];
        } else if (!calls.empty()) {
            std::optional<PlannedCall> longer = read_clause(without_joint(message.substr(first, end - first)));
            calls.back() = longer ? std::move(*longer) : std::move(calls.back());
        }
    }
    return calls;
}

}  // namespace

Plan make_plan(std::string_view message) {
    Plan plan;
    plan.repeat = asks_to_repeat(message);
    if (plan.repeat) {
        return plan;
    }
    std::optional<PlannedCall> csv = starts_command(message) ? std::nullopt : bare_csv_rule(message);
    if (csv) {
        plan.calls.push_back(std::move(*csv));
    } else {
        plan.calls = read_clauses(message);
    }
    return plan;
}

}  // namespace mt
