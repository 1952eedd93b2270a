#include "base/json_text.h"

#include <algorithm>

namespace mt {
namespace {

constexpr std::string_view k_replacement = "\xEF\xBF\xBD";  // U+FFFD

bool is_plain(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20U && byte < 0x80U && c != '"' && c != '\\';
}

void append_escape(std::string& out, char c) {
    constexpr std::string_view k_digits = "0123456789abcdef";
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            out += "\\u00";
            out += k_digits[static_cast<unsigned char>(c) >> 4U];
            out += k_digits[static_cast<unsigned char>(c) & 0xFU];
    }
}

// How a character of more than one byte begins (RFC 3629 section 4): its length, and what its second byte may be.
struct Lead {
    std::size_t length = 0;  // 0: no character begins so
    unsigned char least = 0x80;
    unsigned char most = 0xBF;
};

Lead lead_of(unsigned char byte) {
    if (byte >= 0xC2 && byte <= 0xDF) {
        return {2};
    }
    if (byte >= 0xE0 && byte <= 0xEF) {
        return byte == 0xE0 ? Lead{3, 0xA0} : byte == 0xED ? Lead{3, 0x80, 0x9F} : Lead{3};
    }
    if (byte >= 0xF0 && byte <= 0xF4) {
        return byte == 0xF0 ? Lead{4, 0x90} : byte == 0xF4 ? Lead{4, 0x80, 0x8F} : Lead{4};
    }
    return {};
}

struct Character {
    enum class State { whole, cut, broken };
    State state;
    std::size_t size;  // bytes that belong together; of a broken one, those up to the fault, at least one
};

// The character of more than one byte at the front of `text`.
Character character_at(std::string_view text) {
    using State = Character::State;
    const Lead lead = lead_of(static_cast<unsigned char>(text.front()));
    if (lead.length == 0) {
        return {State::broken, 1};
    }
    std::size_t size = 1;
    for (; size < lead.length && size < text.size(); ++size) {
        const auto byte = static_cast<unsigned char>(text[size]);
        const unsigned char least = size == 1 ? lead.least : 0x80;
        const unsigned char most = size == 1 ? lead.most : 0xBF;
        if (byte < least || byte > most) {
            return {State::broken, size};
        }
    }
    return {size == lead.length ? State::whole : State::cut, size};
}

// Appends all of `text` but a character that is cut at its end, which is returned.
std::string_view append_whole(std::string& out, std::string_view text) {
    while (!text.empty()) {
        const auto* stop = std::find_if_not(text.begin(), text.end(), is_plain);
        const auto run = static_cast<std::size_t>(stop - text.begin());
        out += text.substr(0, run);
        text.remove_prefix(run);
        if (text.empty()) {
            break;
        }
        if (static_cast<unsigned char>(text.front()) < 0x80U) {
            append_escape(out, text.front());
            text.remove_prefix(1);
            continue;
        }
        const Character next = character_at(text);
        if (next.state == Character::State::cut) {
            break;
        }
        out += next.state == Character::State::whole ? text.substr(0, next.size) : k_replacement;
        text.remove_prefix(next.size);
    }
    return text;
}

}  // namespace

void CutCharacter::keep(std::string_view bytes) {
    m_size = std::min(bytes.size(), m_bytes.size());
    std::copy_n(bytes.begin(), m_size, m_bytes.begin());
}

void append_json_text(std::string& out, std::string_view text) {
    if (!append_whole(out, text).empty()) {
        out += k_replacement;
    }
}

void append_json_text(std::string& out, std::string_view piece, CutCharacter& cut) {
    if (cut.empty()) {
        cut.keep(append_whole(out, piece));
        return;
    }
    std::string joined(cut.bytes());
    joined += piece;
    cut.keep(append_whole(out, joined));
}

std::string json_string(std::string_view text) {
    std::string out = "\"";
    append_json_text(out, text);
    return out += '"';
}

}  // namespace mt
