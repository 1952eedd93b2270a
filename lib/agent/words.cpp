#include "agent/words.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_nowhere = std::string_view::npos;

constexpr std::array<std::string_view, 26> k_polite{"please",
                                                    "kindly",
                                                    "can you",
                                                    "could you",
                                                    "would you",
                                                    "will you",
                                                    "i want you to",
                                                    "i'd like you to",
                                                    "i would like you to",
                                                    "now",
                                                    "then",
                                                    "also",
                                                    "so",
                                                    "and",
                                                    "hello",
                                                    "hi",
                                                    "hey",
                                                    "ok",
                                                    "okay",
                                                    "thanks",
                                                    "thank you",
                                                    "just",
                                                    "let's",
                                                    ",",
                                                    "!",
                                                    ":"};

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::string_view trim_front(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) {
        text.remove_prefix(1);
    }
    return text;
}

bool ends_with_words(std::string_view text, std::string_view phrase) {
    return text.size() > phrase.size() && is_blank(text[text.size() - phrase.size() - 1]) &&
           match(text.substr(text.size() - phrase.size()), phrase) == phrase.size();
}

bool is_sign_off(std::string_view text) {
    const char last = text.back();
    if (last == '!') {
        const char before = text.size() > 1 ? text[text.size() - 2] : ' ';
        return !is_digit(before) && before != ')';
    }
    return std::string_view(".?,;:=").find(last) != k_nowhere;
}

}  // namespace

bool is_word_character(char c) {
    const char small = lower(c);
    return (small >= 'a' && small <= 'z') || is_digit(c) || c == '_' || c == '\'';
}

std::size_t match(std::string_view text, std::string_view phrase) {
    std::size_t at = 0;
    for (const char c : phrase) {
        if (at >= text.size()) {
            return 0;
        }
        if (c != ' ') {
            if (lower(text[at]) != c) {
                return 0;
            }
            ++at;
            continue;
        }
        if (!is_blank(text[at])) {
            return 0;
        }
        while (at < text.size() && is_blank(text[at])) {
            ++at;
        }
    }
    const bool cut_word = at < text.size() && is_word_character(phrase.back()) && is_word_character(text[at]);
    return cut_word ? 0 : at;
}

bool eat(std::string_view& text, std::string_view phrase) {
    const std::size_t length = match(text, phrase);
    if (length == 0) {
        return false;
    }
    text = trim_front(text.substr(length));
    return true;
}

bool eat_one(std::string_view& text, std::span<const std::string_view> phrases) {
    return std::any_of(phrases.begin(), phrases.end(),
                       [&text](std::string_view phrase) { return may_match(text, phrase) && eat(text, phrase); });
}

void eat_all(std::string_view& text, std::span<const std::string_view> phrases) {
    while (eat_one(text, phrases)) {
    }
}

std::size_t find_words(std::string_view text, std::string_view phrase, std::size_t from) {
    for (std::size_t at = from; at < text.size(); ++at) {
        const bool inside = at > 0 && is_word_character(phrase.front()) && is_word_character(text[at - 1]);
        if (!inside && match(text.substr(at), phrase) > 0) {
            return at;
        }
    }
    return k_nowhere;
}

std::size_t find_last_words(std::string_view text, std::string_view phrase) {
    std::size_t last = k_nowhere;
    for (std::size_t at = find_words(text, phrase); at != k_nowhere; at = find_words(text, phrase, at + 1)) {
        last = at;
    }
    return last;
}

std::string_view strip_politeness(std::string_view text) {
    constexpr int k_most = 8;
    text = trim(text);
    for (int i = 0; i < k_most && eat_one(text, k_polite); ++i) {
    }
    return text;
}

std::string_view strip_end(std::string_view text) {
    for (std::size_t before = text.size() + 1; text.size() < before;) {
        before = text.size();
        text = trim(text);
        for (const std::string_view phrase : {"please", "for me", "thanks"}) {
            if (ends_with_words(text, phrase)) {
                text.remove_suffix(phrase.size());
            }
        }
        if (!text.empty() && is_sign_off(text)) {
            text.remove_suffix(1);
        }
    }
    return text;
}

}  // namespace mt
