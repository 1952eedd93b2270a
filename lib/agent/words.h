#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace mt {

/// Matching of English phrases in a user's text: ASCII case is ignored, a blank in a phrase stands for one or more
/// blanks or line ends, and a phrase that ends in a letter or digit matches whole words only. Views point into the
/// text.

/// Length of what `phrase` matches at the start of `text`, 0 when it does not match.
std::size_t match(std::string_view text, std::string_view phrase);

/// Takes `phrase` and the blanks after it from the front of `text`. False, with `text` unchanged, when it is not there.
bool eat(std::string_view& text, std::string_view phrase);

/// False when the first character already tells that `phrase` does not match: most phrases end here.
inline bool may_match(std::string_view text, std::string_view phrase) {
    const char first = text.empty() ? '\0' : text.front();
    return (first >= 'A' && first <= 'Z' ? first - 'A' + 'a' : first) == phrase.front();
}

/// Takes the first of `phrases` that matches: put longer ones first.
bool eat_one(std::string_view& text, std::span<const std::string_view> phrases);

/// Takes the first of `phrases` that matches and goes on until none does.
void eat_all(std::string_view& text, std::span<const std::string_view> phrases);

/// Position of `phrase` as whole words in `text` from `from` on, npos when there is none.
std::size_t find_words(std::string_view text, std::string_view phrase, std::size_t from = 0);

/// The same for the last occurrence.
std::size_t find_last_words(std::string_view text, std::string_view phrase);

/// Without "please", "can you", "now" and the like in front, up to 8 of them.
std::string_view strip_politeness(std::string_view text);

/// Without blanks, final . ? ! , ; : = and "please" or "for me" at the end. A '!' right after a digit or ')' stays.
std::string_view strip_end(std::string_view text);

/// Letter, digit, underscore or apostrophe.
bool is_word_character(char c);

}  // namespace mt
