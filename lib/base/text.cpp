#include "base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace mt {
namespace {

// Length of the UTF-8 sequence that starts with `lead`, and the smallest code point it may hold; 0 for no lead byte.
struct Sequence {
    std::size_t length;
    std::uint32_t smallest;
    std::uint32_t bits;
};

Sequence sequence_of(std::uint8_t lead) {
    if (lead < 0x80U) {
        return {1, 0, lead};
    }
    if ((lead & 0xE0U) == 0xC0U) {
        return {2, 0x80, lead & 0x1FU};
    }
    if ((lead & 0xF0U) == 0xE0U) {
        return {3, 0x800, lead & 0x0FU};
    }
    if ((lead & 0xF8U) == 0xF0U) {
        return {4, 0x10000, lead & 0x07U};
    }
    return {0, 0, 0};
}

bool is_scalar_value(std::uint32_t point) {
    return point <= 0x10FFFFU && (point < 0xD800U || point > 0xDFFFU);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

}  // namespace

bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        Sequence sequence = sequence_of(static_cast<std::uint8_t>(text[i]));
        if (sequence.length == 0 || i + sequence.length > text.size()) {
            return false;
        }
        for (std::size_t k = 1; k < sequence.length; ++k) {
            const auto byte = static_cast<std::uint8_t>(text[i + k]);
            if ((byte & 0xC0U) != 0x80U) {
                return false;
            }
            sequence.bits = (sequence.bits << 6U) | (byte & 0x3FU);
        }
        if (sequence.bits < sequence.smallest || !is_scalar_value(sequence.bits)) {
            return false;
        }
        i += sequence.length;
    }
    return true;
}

std::string quote(std::string_view text) {
    constexpr std::size_t k_longest = 80;
    std::string quoted = "'";
    for (const char c : text.substr(0, k_longest)) {
        const bool printable = c >= 0x20 && c < 0x7F;
        quoted += printable ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
    }
    quoted += text.size() > k_longest ? "...'" : "'";
    return quoted;
}

std::string nearest(std::string_view word, std::span<const std::string_view> candidates) {
    std::string_view best;
    std::size_t best_distance = word.size() / 3 + 2;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) {
            best = candidate;
            best_distance = distance;
        }
    }
    return std::string(best);
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
    const std::string best = nearest(word.substr(0, 64), candidates);
    return best.empty() ? "" : fmt::format(" (did you mean '{}'?)", best);
}

std::vector<std::string> split_list(std::string_view text, char separator) {
    std::vector<std::string> pieces;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        const std::string_view piece = trim(text.substr(0, end));
        if (!piece.empty()) {
            pieces.emplace_back(piece);
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return pieces;
}

std::string join(std::span<const std::string> pieces, std::string_view separator) {
    std::string joined;
    for (const std::string& piece : pieces) {
        if (!joined.empty()) {
            joined += separator;
        }
        joined += piece;
    }
    return joined;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view k_blank = " \t\r\n";
    const std::size_t first = text.find_first_not_of(k_blank);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(k_blank) - first + 1);
}

std::string to_lower(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return lower;
}

}  // namespace mt
