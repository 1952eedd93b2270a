#include "agent/url_template.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

// Servers take such segments, also encoded ones, as steps to another place. Backslashes are slashes to some.
bool has_dot_segment(std::string_view path) {
    constexpr std::string_view k_slashes = "/\\";
    while (true) {
        const std::size_t end = std::min(path.find_first_of(k_slashes), path.size());
        const std::string_view segment = path.substr(0, end);
        if (segment == "." || segment == "..") {
            return true;
        }
        if (end == path.size()) {
            return false;
        }
        path.remove_prefix(end + 1);
    }
}

const std::string* find_text(const TextArguments& arguments, std::string_view name) {
    const auto found =
        std::find_if(arguments.begin(), arguments.end(), [&](const auto& argument) { return argument.first == name; });
    return found == arguments.end() ? nullptr : &found->second;
}

}  // namespace

Result<UrlTemplate::Pieces> UrlTemplate::cut(std::string_view text) {
    Pieces pieces;
    while (!text.empty()) {
        const std::size_t open = std::min(text.find('{'), text.size());
        const std::size_t close = std::min(text.find('}'), text.size());
        Piece piece{std::string(text.substr(0, open)), ""};
        if (open < text.size() && close < text.size() && open + 1 < close) {
            piece.name = text.substr(open + 1, close - open - 1);
        }
        const bool is_plain = open == text.size() && close == text.size();
        if (!is_plain && (piece.name.empty() || piece.name.find('{') != std::string::npos)) {
            return Error{Code::invalid,
                         fmt::format("{} has a brace alone: an argument is written {{name}}", quote(text))};
        }
        text.remove_prefix(is_plain ? text.size() : close + 1);
        pieces.push_back(std::move(piece));
    }
    return pieces;
}

Result<UrlTemplate> UrlTemplate::parse(std::string_view text) {
    const std::size_t mark = std::min(text.find('?'), text.size());
    Result<Pieces> path = cut(text.substr(0, mark));
    Result<Pieces> query = cut(text.substr(mark));
    if (!path || !query) {
        return path ? query.error() : path.error();
    }
    UrlTemplate parsed;
    parsed.m_path = std::move(*path);
    parsed.m_query = std::move(*query);
    parsed.m_has_query = mark < text.size();
    TextArguments samples;
    for (std::string& name : parsed.names()) {
        samples.emplace_back(std::move(name), "x");
    }
    if (const Result<std::string> filled = parsed.fill(samples); !filled) {
        return filled.error();
    }
    return parsed;
}

std::vector<std::string> UrlTemplate::names() const {
    std::vector<std::string> names;
    for (const Pieces* pieces : {&m_path, &m_query}) {
        for (const Piece& piece : *pieces) {
            if (!piece.name.empty()) {
                names.push_back(piece.name);
            }
        }
    }
    return names;
}

Result<std::string> UrlTemplate::fill(const TextArguments& arguments) const {
    std::string filled;
    std::string plain_path;  // as a server may read it
    for (const Pieces* pieces : {&m_path, &m_query}) {
        const bool in_path = pieces == &m_path;
        for (const Piece& piece : *pieces) {
            const std::string* text = find_text(arguments, piece.name);
            if (!piece.name.empty() && (text == nullptr || (in_path && text->empty()))) {
                return Error{Code::invalid, fmt::format("field {} is {}: the address needs it", quote(piece.name),
                                                        text == nullptr ? "missing" : "empty")};
            }
            const std::string_view value = piece.name.empty() ? std::string_view{} : std::string_view(*text);
            filled += piece.literal + percent_encode(value);
            if (in_path) {
                plain_path.append(piece.literal).append(value);
            }
        }
    }
    if (has_dot_segment(plain_path)) {
        return Error{Code::invalid, "'.' and '..' are no parts of an address here"};
    }
    return filled;
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view k_unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    std::string encoded;
    for (const char c : text) {
        if (k_unreserved.find(c) != std::string_view::npos) {
            encoded += c;
        } else {
            encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return encoded;
}

}  // namespace mt
