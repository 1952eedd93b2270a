#include "http/response_head.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/reply_body.h"

namespace {

using namespace std::string_literals;
using mt::Result;
using mt::http::HeadEnd;
using mt::http::InputBuffer;
using mt::http::parse_response_head;
using mt::http::ReplyBody;
using mt::http::ResponseHead;

constexpr std::size_t k_max_head = 400;

void put(InputBuffer& input, std::string_view bytes) {
    while (!bytes.empty()) {
        const std::span<char> room = input.room();
        const std::size_t taken = bytes.copy(room.data(), room.size());
        input.added(taken);
        bytes.remove_prefix(taken);
    }
}

std::string describe_head(const ResponseHead& head) {
    constexpr std::array k_kinds{"none", "length", "chunked", "close"};
    return fmt::format("{} {}{}{}", head.status, k_kinds.at(static_cast<std::size_t>(head.body)),
                       head.body == ResponseHead::Body::length ? fmt::format(":{}", head.content_length) : "",
                       head.keep_alive ? " keep" : "");
}

// What is understood of a reply that arrives in these pieces and then ends: its head, its body, what is left over.
std::string outcome(const std::vector<std::string_view>& pieces, bool to_head_request) {
    InputBuffer input;
    HeadEnd end(k_max_head);
    std::string text;
    std::string head_text;
    std::optional<ReplyBody> body;
    for (const std::string_view piece : pieces) {
        put(input, piece);
        if (!body && !piece.empty()) {
            const auto size = end.find(input.text());
            if (!size) {
                return "!" + size.error().message;
            }
            if (!*size) {
                continue;
            }
            head_text = input.text().substr(0, **size);
            input.consume(**size);
            const Result<ResponseHead> head = parse_response_head(head_text, to_head_request);
            if (!head) {
                CHECK(head.error().code == mt::Code::upstream);
                return "!" + head.error().message;
            }
            text = describe_head(*head) + " [";
            body.emplace(head->body, head->content_length);
        }
        for (bool more = body.has_value(); more;) {
            const Result<std::string_view> content = body->take(input);
            if (!content) {
                CHECK(content.error().code == mt::Code::upstream);
                return text + "!";
            }
            text += *content;
            more = !content->empty();
        }
    }
    if (!body) {
        return "...";
    }
    const std::string rest(input.text());
    return text + (body->end(true) ? "]" : "...") + rest;
}

std::string understand(std::string_view reply, bool to_head_request = false) {
    std::string whole = outcome({reply}, to_head_request);
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < reply.size(); ++i) {
        bytes.push_back(reply.substr(i, 1));
        CHECK_MESSAGE(outcome({reply.substr(0, i), reply.substr(i)}, to_head_request) == whole, "cut at ", i, " of ",
                      reply);
    }
    CHECK(outcome(bytes, to_head_request) == whole);
    return whole;
}

std::string reply_of(const std::string& fields, const std::string& body = "") {
    return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body;
}

const std::string k_chunked = "Transfer-Encoding: chunked\r\n";

}  // namespace

TEST_CASE("heads and bodies are understood, however they are cut") {
    CHECK(understand(reply_of("Content-Length: 5\r\n", "hello")) == "200 length:5 keep [hello]");
    CHECK(understand(reply_of("content-length:5\r\n", "helloworld")) == "200 length:5 keep [hello]world");
    CHECK(understand(reply_of("Content-Length: 5\r\n", "hell")) == "200 length:5 keep [hell...");
    CHECK(understand(reply_of("Content-Length: 0\r\n")) == "200 length:0 keep []");
    CHECK(understand(reply_of("Content-Length: 5, 5\r\nContent-Length: 5\r\n", "hello")) ==
          "200 length:5 keep [hello]");
    CHECK(understand(reply_of("", "until the end")) == "200 close [until the end]");
    CHECK(understand(reply_of("Content-Length: 1\r\nConnection: x, Close\r\n", "a")) == "200 length:1 [a]");
    CHECK(understand("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na") == "200 length:1 [a]");
    CHECK(understand("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n") == "404 length:0 keep []");
    CHECK(understand("HTTP/1.1 599 \xC3\xA4\r\nContent-Length: 0\r\n\r\n") == "599 length:0 keep []");
    CHECK(understand("HTTP/1.1 204 No Content\r\n\r\n") == "204 none keep []");
    CHECK(understand("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n") == "304 none keep []");
    CHECK(understand("HTTP/1.1 103 Early Hints\r\n\r\n") == "103 none keep []");
    CHECK(understand(reply_of("Content-Length: 9\r\n"), true) == "200 none keep []");
    CHECK(understand("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n") == "...");
}

TEST_CASE("chunk boundaries, extensions and trailers are invisible") {
    CHECK(understand(reply_of(k_chunked, "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n")) ==
          "200 chunked keep [hello world]");
    CHECK(understand(reply_of(k_chunked, "00a ; x=\"y\"\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\nrest")) ==
          "200 chunked keep [0123456789]rest");
    CHECK(understand(reply_of(k_chunked, "0\r\n\r\n")) == "200 chunked keep []");
    CHECK(understand(reply_of(k_chunked, "5\r\nhello\r\n")) == "200 chunked keep [hello...");
    CHECK(understand(reply_of(k_chunked, "5\r\nhel")) == "200 chunked keep [hel...");
    for (const char* body : {"x\r\n", "\r\n", "-1\r\n", "+5\r\nhello\r\n", "0x5\r\nhello\r\n", "5\nhello\r\n",
                             "5\r\nhelloX\r\n", "5\r\nhello\n", "fffffffffffffffff\r\n", "5 5\r\n"}) {
        CAPTURE(body);
        CHECK(understand(reply_of(k_chunked, body)).back() == '!');
    }
    CHECK(outcome({reply_of(k_chunked, "1;" + std::string(9000, 'x') + "\r\na\r\n0\r\n\r\n")}, false).back() == '!');
    CHECK(outcome({reply_of(k_chunked, "0\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n")}, false).back() == '!');
}

TEST_CASE("many chunks come as one piece, large ones without being held back") {
    InputBuffer input;
    ReplyBody body(ResponseHead::Body::chunked, 0);
    std::string wire;
    std::string content;
    for (int i = 0; i < 5'000; ++i) {
        const std::string piece(static_cast<std::size_t>(1 + i % 40), static_cast<char>('a' + i % 26));
        wire += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
        content += piece;
    }
    put(input, wire + "0\r\n\r\n");
    std::string taken;
    int pieces = 0;
    for (auto piece = body.take(input); piece && !piece->empty(); piece = body.take(input)) {
        CHECK(piece->size() <= ReplyBody::k_most);
        taken += *piece;
        ++pieces;
    }
    CHECK(taken == content);
    CHECK(body.complete());
    CHECK(static_cast<std::size_t>(pieces) == content.size() / ReplyBody::k_most + 1);
}

TEST_CASE("what two readers could understand differently is refused") {
    for (const std::string& reply : {"SSH-2.0-OpenSSH_9.2\r\n"s,
                                     "\r\nHTTP/1.1 200 OK\r\n\r\n"s,
                                     "HTTP/2 200\r\n\r\n"s,
                                     "HTTP/1.2 200 OK\r\n\r\n"s,
                                     "HTTP/1.1200 OK\r\n\r\n"s,
                                     "HTTP/1.1 20 OK\r\n\r\n"s,
                                     "HTTP/1.1 2000 OK\r\n\r\n"s,
                                     "HTTP/1.1 099 OK\r\n\r\n"s,
                                     "HTTP/1.1 600 OK\r\n\r\n"s,
                                     "HTTP/1.1 -20 OK\r\n\r\n"s,
                                     "HTTP/1.1 200 OK\n\n"s,
                                     "HTTP/1.1 200 O\0K\r\n\r\n"s,
                                     "HTTP/1.1  200 OK\r\n\r\n"s,
                                     "http/1.1 200 OK\r\n\r\n"s,
                                     reply_of("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
                                     reply_of("Content-Length: 5, 6\r\n"),
                                     reply_of("Content-Length: 5,\r\n") + "!",
                                     reply_of("Content-Length:\r\n"),
                                     reply_of("Content-Length: -5\r\n"),
                                     reply_of("Content-Length: +5\r\n"),
                                     reply_of("Content-Length: 5x\r\n"),
                                     reply_of("Content-Length: 99999999999999999999\r\n"),
                                     reply_of("Content-Length: 5\r\n" + k_chunked, "0\r\n\r\n"),
                                     reply_of(k_chunked + "Content-Length: 5\r\n", "0\r\n\r\n"),
                                     reply_of(k_chunked + k_chunked, "0\r\n\r\n"),
                                     reply_of("Transfer-Encoding: gzip, chunked\r\n"),
                                     reply_of("Transfer-Encoding: gzip\r\n"),
                                     reply_of("Transfer-Encoding: xchunked\r\n"),
                                     reply_of("Transfer-Encoding:\r\n"),
                                     "HTTP/1.0 200 OK\r\n" + k_chunked + "\r\n",
                                     reply_of("X : y\r\n"),
                                     reply_of("X\r\n"),
                                     reply_of(": y\r\n"),
                                     reply_of("X: a\r\n b\r\n"),
                                     reply_of("X: a\rb\r\n"),
                                     reply_of("X: a\nY: b\r\n")}) {
        CAPTURE(reply);
        const std::string said = understand(reply);
        CHECK((said.front() == '!' || said == "200 length:5 keep [!..."));
    }
}

TEST_CASE("a head is bounded in bytes and fields, and faults never tell a field's value") {
    const std::string fitting = reply_of("X: " + std::string(k_max_head - 24, 'x') + "\r\n");
    REQUIRE(fitting.size() == k_max_head);
    CHECK(understand(fitting) == "200 close []");
    CHECK(understand(reply_of("X: " + std::string(k_max_head - 23, 'x') + "\r\n")) ==
          "!its head has more than 400 bytes");
    CHECK(outcome({"HTTP/1.1 200 OK\r\nX: " + std::string(k_max_head, 'x')}, false) ==
          "!its head has more than 400 bytes");
    std::string fields;
    for (int i = 0; i < 200; ++i) {
        fields += "X: y\r\n";
    }
    CHECK(parse_response_head(reply_of(fields), false));
    CHECK_FALSE(parse_response_head(reply_of(fields + "X: y\r\n"), false));
    CHECK(understand(reply_of("Set-Cookie: secret\x01\r\n")).find("secret") == std::string::npos);
    const auto malformed = parse_response_head(reply_of("Set Cookie: secret\r\n"), false);
    REQUIRE_FALSE(malformed);
    CHECK(malformed.error().message == "its field 'Set Cookie' is malformed");
}

TEST_CASE("the fields of a reply are found whatever their case") {
    const std::string text = reply_of("Retry-After:  7 \r\nX: 1\r\nx: 2\r\n");
    const Result<ResponseHead> head = parse_response_head(text, false);
    REQUIRE(head);
    CHECK(head->field("retry-after") == "7");
    CHECK(head->field("X") == "1");
    CHECK_FALSE(head->field("Y"));
}
