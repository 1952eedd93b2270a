// Feeds the framer any bytes, cut in any way. An input is a count, that many sizes of pieces, and the stream.

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "http/framing.h"
#include "http/grammar.h"
#include "http/hostile_streams.h"

namespace {

using mt::http::Fields;
using mt::http::Framer;
using mt::http::Message;
using mt::http::Request;
using mt::http::ServerLimits;

void require(bool holds, const char* what) {
    if (!holds) {
        fmt::print(stderr, "broken: {}\n", what);
        std::abort();
    }
}

struct Outcome {
    std::vector<Message> messages;
    std::string error;  ///< empty: none
    Framer::Progress progress = Framer::Progress::empty;
};

// Fields that say where the body ends; a canonical request has its own.
bool is_framing(std::string_view name) {
    return mt::http::equal_ignoring_case(name, "content-length") ||
           mt::http::equal_ignoring_case(name, "transfer-encoding");
}

Fields without_framing(Fields fields) {
    std::erase_if(fields, [](const auto& field) { return is_framing(field.first); });
    return fields;
}

bool same(const Message& a, const Message& b) {
    const Request& x = a.request;
    const Request& y = b.request;
    return x.method == y.method && x.target == y.target && x.path == y.path && x.query == y.query && x.body == y.body &&
           a.http11 == b.http11 && a.keep_alive == b.keep_alive &&
           without_framing(x.fields) == without_framing(y.fields);
}

bool same(const Outcome& a, const Outcome& b) {
    return a.error == b.error && a.progress == b.progress &&
           std::equal(
               a.messages.begin(), a.messages.end(), b.messages.begin(), b.messages.end(),
               [](const Message& x, const Message& y) { return same(x, y) && x.request.fields == y.request.fields; });
}

// Feeds one piece to its end, or to the first error, which is returned.
std::string feed(Framer& framer, std::string_view piece, std::vector<Message>& messages) {
    while (!piece.empty()) {
        const std::string_view before = piece;
        const mt::Result<bool> complete = framer.feed(piece);
        require(piece.empty() || piece.data() + piece.size() == before.data() + before.size(),
                "what is left is the end of what was given");
        if (!complete) {
            return fmt::format("{}: {}", mt::describe(complete.error().code).name, complete.error().message);
        }
        require(piece.size() < before.size(), "every call takes something");
        require(*complete || piece.empty(), "a framer that wants more has taken everything");
        if (*complete) {
            messages.push_back(framer.take());
            require(framer.progress() == Framer::Progress::empty, "a framer is empty after a message");
        }
    }
    return {};
}

// `sizes` of the pieces are used again and again; none: the stream comes whole.
Outcome frame(std::string_view stream, const std::vector<std::size_t>& sizes, const ServerLimits& limits) {
    Framer framer(limits);
    Outcome outcome;
    for (std::size_t i = 0; !stream.empty() && outcome.error.empty(); ++i) {
        const std::string_view piece = stream.substr(0, sizes.empty() ? stream.size() : sizes[i % sizes.size()]);
        stream.remove_prefix(piece.size());
        outcome.error = feed(framer, piece, outcome.messages);
    }
    outcome.progress = outcome.error.empty() ? framer.progress() : Framer::Progress::empty;
    return outcome;
}

void check_bounds(const Message& message, const ServerLimits& limits) {
    const Request& request = message.request;
    require(mt::http::is_token(request.method), "a method is a token");
    require(mt::http::is_visible(request.target), "a target has neither blanks nor control bytes");
    require(request.target.size() <= limits.max_uri, "a target keeps its bound");
    require(request.path == "*" ? request.method == "OPTIONS" : request.path.starts_with('/'), "a path is a path");
    require(request.target == request.path || request.target == fmt::format("{}?{}", request.path, request.query),
            "a target is path and query");
    require(request.body.size() <= limits.max_body, "a body keeps its bound");
    // A target in absolute form is a Host by itself where none is needed.
    require(request.fields.size() <= limits.max_fields + (message.http11 ? 0 : 1), "the fields keep their bound");
    std::size_t hosts = 0;
    for (const auto& [name, value] : request.fields) {
        require(mt::http::is_token(name), "a field name is a token");
        require(mt::http::is_field_value(value) && value == mt::http::trim_blanks(value), "a field value is trimmed");
        hosts += mt::http::equal_ignoring_case(name, "host") ? 1 : 0;
    }
    require(hosts == 1 || (hosts == 0 && !message.http11), "there is one host");
}

// Written in the one plain way, a message is framed as the same message again.
void check_round_trip(const Message& message, ServerLimits limits) {
    const Request& request = message.request;
    std::string text = fmt::format("{} {} HTTP/1.{}\r\n", request.method, request.target, message.http11 ? 1 : 0);
    for (const auto& [name, value] : without_framing(request.fields)) {
        text += fmt::format("{}: {}\r\n", name, value);
    }
    text += fmt::format("Content-Length: {}\r\n\r\n{}", request.body.size(), request.body);
    limits.max_head *= 2;  // the plain way is a little longer
    limits.max_fields += 2;
    const Outcome outcome = frame(text, {}, limits);
    require(outcome.error.empty() && outcome.progress == Framer::Progress::empty, "a canonical message is good");
    require(outcome.messages.size() == 1 && same(outcome.messages.front(), message), "a message survives rewriting");
}

int write_seeds(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    std::size_t number = 0;
    for (const mt::test::HostileStream& stream : mt::test::hostile_streams()) {
        std::ofstream file(folder / fmt::format("{:04}", number++), std::ios::binary);
        file << "\x02\x01\x07" << stream.bytes;  // pieces of 1 and of 7 bytes
        file.close();
        if (!file) {
            fmt::print(stderr, "cannot write seeds to {}\n", folder.string());
            return 1;
        }
    }
    return 0;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    if (*argc == 3 && std::string_view((*argv)[1]) == "--write-seeds") {
        std::exit(write_seeds((*argv)[2]));
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string input(data, data + size);
    const std::size_t count = size == 0 ? 0 : std::min<std::size_t>(data[0] % 8U, size - 1);
    std::vector<std::size_t> sizes;
    for (std::size_t i = 1; i <= count; ++i) {
        sizes.push_back(std::max<std::size_t>(data[i], 1));
    }
    const std::string_view stream = std::string_view(input).substr(std::min(count + 1, size));
    const ServerLimits limits = mt::test::hostile_limits();
    const Outcome whole = frame(stream, {}, limits);
    require(same(whole, frame(stream, sizes, limits)), "the outcome does not depend on the cuts");
    for (const Message& message : whole.messages) {
        check_bounds(message, limits);
        check_round_trip(message, limits);
    }
    return 0;
}
