#include "http/framing.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::string_literals;
using mt::Code;
using mt::http::Framer;
using mt::http::Message;
using mt::http::ServerLimits;

ServerLimits small_limits() {
    ServerLimits limits;
    limits.max_head = 400;
    limits.max_fields = 6;
    limits.max_uri = 40;
    limits.max_body = 64;
    return limits;
}

std::string describe_message(const Message& message) {
    const mt::http::Request& r = message.request;
    return fmt::format("[{} {} path={} query={} host={} body={} {} {}]", r.method, r.target, r.path, r.query,
                       r.field("host").value_or("-"), r.body, message.http11 ? "1.1" : "1.0",
                       message.keep_alive ? "keep" : "close");
}

// Everything a framer says about a stream that arrives in these pieces.
std::string outcome(const std::vector<std::string_view>& pieces) {
    const ServerLimits limits = small_limits();
    Framer framer(limits);
    std::string text;
    for (std::string_view piece : pieces) {
        while (!piece.empty()) {
            const mt::Result<bool> complete = framer.feed(piece);
            if (!complete) {
                return text + fmt::format("!{}", mt::describe(complete.error().code).name);
            }
            text += *complete ? describe_message(framer.take()) : "";
        }
    }
    return text + (framer.progress() == Framer::Progress::empty ? "" : "...");
}

// The outcome in one piece, checked to be the same for every cut in two and byte by byte.
std::string frame(std::string_view stream) {
    std::string whole = outcome({stream});
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < stream.size(); ++i) {
        bytes.push_back(stream.substr(i, 1));
        const std::string cut = outcome({stream.substr(0, i), stream.substr(i)});
        CHECK_MESSAGE(cut == whole, "cut at ", i, " of ", stream);
    }
    CHECK_MESSAGE(outcome(bytes) == whole, "byte by byte: ", stream);
    return whole;
}

std::string with_fields(std::string_view fields, std::string_view rest = "") {
    return fmt::format("POST /a HTTP/1.1\r\nHost: h\r\n{}\r\n{}", fields, rest);
}

std::string with_chunks(std::string_view chunks) {
    return with_fields("Transfer-Encoding: chunked\r\n", chunks);
}

constexpr std::string_view k_next = "GET /next HTTP/1.1\r\nHost: n\r\n\r\n";
constexpr std::string_view k_next_seen = "[GET /next path=/next query= host=n body= 1.1 keep]";

}  // namespace

TEST_CASE("a good request is taken apart") {
    CHECK(frame("GET /p%20q?a=1&b=?2 HTTP/1.1\r\nHost: example.org:81\r\nX:  \t padded \t\r\n\r\n") ==
          "[GET /p%20q?a=1&b=?2 path=/p%20q query=a=1&b=?2 host=example.org:81 body= 1.1 keep]");
    CHECK(frame("GET / HTTP/1.0\r\n\r\n") == "[GET / path=/ query= host=- body= 1.0 close]");
    CHECK(frame("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n") == "[GET / path=/ query= host=- body= 1.0 keep]");
    CHECK(frame("GET / HTTP/1.1\r\nhOsT: [::1]:80\r\nConnection: x, CLOSE\r\n\r\n") ==
          "[GET / path=/ query= host=[::1]:80 body= 1.1 close]");
    CHECK(frame("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n") == "[OPTIONS * path=* query= host=h body= 1.1 keep]");
}

TEST_CASE("field values lose the blanks around them and keep everything else") {
    const ServerLimits limits;
    Framer framer(limits);
    std::string_view bytes = "GET / HTTP/1.1\r\nHost: h\r\nX: \t a\tb \xC3\xA9 \r\nEmpty:\r\n\r\n";
    REQUIRE(*framer.feed(bytes));
    const Message message = framer.take();
    CHECK(message.request.field("x") == "a\tb \xC3\xA9");
    CHECK(message.request.field("EMPTY") == "");
    CHECK_FALSE(message.request.field("absent"));
}

TEST_CASE("bodies end where they say and the next request follows") {
    CHECK(frame(with_fields("Content-Length: 5\r\n", "hello") + std::string(k_next)) ==
          "[POST /a path=/a query= host=h body=hello 1.1 keep]" + std::string(k_next_seen));
    CHECK(frame(with_fields("Content-Length: 0\r\n") + std::string(k_next)) ==
          "[POST /a path=/a query= host=h body= 1.1 keep]" + std::string(k_next_seen));
    CHECK(frame(with_fields("Content-Length: 00005\r\n", "GET /") + std::string(k_next)) ==
          "[POST /a path=/a query= host=h body=GET / 1.1 keep]" + std::string(k_next_seen));
    CHECK(frame(with_chunks("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") + std::string(k_next)) ==
          "[POST /a path=/a query= host=h body=hello world 1.1 keep]" + std::string(k_next_seen));
    CHECK(frame(with_fields("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n")) ==
          "[POST /a path=/a query= host=h body= 1.1 keep]");
    CHECK(frame(with_chunks("a;name=\"v\";x\r\n0123456789\r\n00 \t; y\r\nTrailer-Field: ignored\r\n\r\n") +
                std::string(k_next)) ==
          "[POST /a path=/a query= host=h body=0123456789 1.1 keep]" + std::string(k_next_seen));
}

TEST_CASE("trailers do not become fields") {
    const ServerLimits limits;
    Framer framer(limits);
    const std::string stream = with_chunks("0\r\nX-Late: 1\r\nContent-Length: 7\r\n\r\n");
    std::string_view bytes = stream;
    REQUIRE(*framer.feed(bytes));
    const Message message = framer.take();
    CHECK_FALSE(message.request.field("x-late"));
    CHECK_FALSE(message.request.field("content-length"));
}

TEST_CASE("one empty line before a request is forgiven, two are not") {
    CHECK(frame("\r\n" + std::string(k_next) + "\r\n" + std::string(k_next)) ==
          std::string(k_next_seen) + std::string(k_next_seen));
    CHECK(frame("\r\n\r\n" + std::string(k_next)) == "!invalid");
}

TEST_CASE("a target in absolute form is reduced and its authority replaces Host") {
    CHECK(frame("GET http://real.example:8/x?y HTTP/1.1\r\nHost: lie\r\n\r\n") ==
          "[GET /x?y path=/x query=y host=real.example:8 body= 1.1 keep]");
    CHECK(frame("GET HTTP://h?q HTTP/1.0\r\n\r\n") == "[GET /?q path=/ query=q host=h body= 1.0 close]");
    for (const char* target : {"http://", "http:///x", "http://u@h/", "ftp://h/", "http:/h", "http://h:x/", "h:80"}) {
        CHECK(frame(fmt::format("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", target)) == "!invalid");
    }
    CHECK(frame("GET http://h/ HTTP/1.1\r\n\r\n") == "!invalid");  // Host is needed all the same
}

TEST_CASE("two lengths that could be understood differently are refused") {
    const std::string cl_te = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    const std::string te_cl = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
    CHECK(frame(with_fields(cl_te, "0\r\n\r\n")) == "!invalid");
    CHECK(frame(with_fields(te_cl, "0\r\n\r\n")) == "!invalid");
    CHECK(frame(with_fields("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")) == "!invalid");
    CHECK(frame(with_fields("Content-Length: 5\r\ncontent-length: 6\r\n", "hello")) == "!invalid");
    CHECK(frame(with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")) ==
          "!invalid");
    CHECK(frame("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == "!invalid");
}

TEST_CASE("a malformed Content-Length is refused") {
    for (const char* value : {"", "+5", "-1", "5 5", "5,5", "5, 5", "0x5", "5a", "5.0", "1e1", "\"5\"",
                              "18446744073709551616", "99999999999999999999999999"}) {
        CAPTURE(value);
        CHECK(frame(with_fields(fmt::format("Content-Length: {}\r\n", value), "hello")) == "!invalid");
    }
}

TEST_CASE("Transfer-Encoding is exactly chunked") {
    for (const char* value : {"", ",", "chunked, chunked", "chunked;x=1", "chunkedx", "chunked,", "\"chunked\""}) {
        CAPTURE(value);
        CHECK(frame(with_fields(fmt::format("Transfer-Encoding: {}\r\n", value), "0\r\n\r\n")) == "!invalid");
    }
    for (const char* value : {"gzip", "gzip, chunked", "identity", "xchunked", "x-gzip"}) {
        CAPTURE(value);
        CHECK(frame(with_fields(fmt::format("Transfer-Encoding: {}\r\n", value), "0\r\n\r\n")) == "!unsupported");
    }
    CHECK(frame(with_fields("Transfer-Encoding: \x0b"
                            "chunked\r\n",
                            "0\r\n\r\n")) == "!invalid");
}

TEST_CASE("lines that lenient readers would see differently are refused") {
    const std::vector<std::string> streams{
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",  // obs-fold
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\t: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX(y): z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"s,
        "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"s,
        "GET / HTTP/1.1\r\nHost: h\r\nX: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: \x7f\r\n\r\n",
    };
    for (const std::string& stream : streams) {
        CHECK(frame(stream) == "!invalid");
    }
}

TEST_CASE("a malformed request line is refused") {
    for (const char* line :
         {"GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET /a b HTTP/1.1", " GET / HTTP/1.1", "GET\t/ HTTP/1.1",
          "G@T / HTTP/1.1", "GET / HTTP/1.2", "GET / HTTP/2.0", "GET / http/1.1", "GET / HTTP/1.10", "GET a HTTP/1.1",
          "GET /#f HTTP/1.1", "GET /\xC3\xA9 HTTP/1.1", "GET * HTTP/1.1", "CONNECT h:80 HTTP/1.1", "CONNECT / HTTP/1.1",
          "PRI * HTTP/2.0", "AVERYVERYVERYVERYVERYLONGMETHODNAME / HTTP/1.1"}) {
        CAPTURE(line);
        CHECK(frame(fmt::format("{}\r\nHost: h\r\n\r\n", line)) == "!invalid");
    }
}

TEST_CASE("Host is there once and names a host") {
    CHECK(frame("GET / HTTP/1.1\r\n\r\n") == "!invalid");
    CHECK(frame("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n") == "!invalid");
    CHECK(frame("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n") == "!invalid");
    for (const char* host : {"", "a b", "a/b", "u@h", "a:b", "a:99999", "[::1", "::1", "[x]", "a,b?", "%zz", "a:80:90",
                             "[::1]x", "\"h\"", "a\\b"}) {
        CAPTURE(host);
        CHECK(frame(fmt::format("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host)) == "!invalid");
    }
}

TEST_CASE("malformed chunks are refused") {
    for (const char* chunks : {"\r\n",
                               "g\r\n",
                               "-1\r\nx\r\n",
                               "+1\r\nx\r\n",
                               "0x1\r\nx\r\n",
                               " 1\r\nx\r\n",
                               "1 \r\nx\r\n",
                               "1 1\r\nx\r\n",
                               "1\nx\r\n0\r\n\r\n",
                               "1\r\nxx\r\n0\r\n\r\n",
                               "1\r\nx0\r\n\r\n",
                               "1\r\nx\n0\r\n\r\n",
                               "1\r\nx\r0\r\n\r\n",
                               "1;a\rb\r\nx\r\n",
                               "1;a\nb\r\nx\r\n",
                               "00000000000000001\r\nx\r\n",
                               "10000000000000000\r\nx\r\n",
                               "1,1\r\nx\r\n",
                               "0\r\nbad trailer\r\n\r\n",
                               "0\r\n folded: x\r\n\r\n",
                               "0\r\nX : y\r\n\r\n",
                               "0\r\nX: y\n\r\n",
                               "0\r\nX: \x01\r\n\r\n",
                               "1;\x01\r\nx\r\n"}) {
        CAPTURE(chunks);
        CHECK(frame(with_chunks(chunks)) == "!invalid");
    }
    for (const char* chunks : {"ffffffffffffffff\r\nx", "8000000000000000\r\nx", "41\r\n",
                               "40\r\n"
                               "0123456789012345678901234567890123456"
                               "789012345678901234567890123\r\n1\r\n"}) {
        CAPTURE(chunks);
        CHECK(frame(with_chunks(chunks)) == "!too_large");
    }
}

TEST_CASE("sizes are bounded") {
    const std::string long_text(500, 'x');
    CHECK(frame(with_fields("Content-Length: 65\r\n")) == "!too_large");  // before any body byte
    CHECK(frame(with_fields("Content-Length: 64\r\n")) == "...");
    CHECK(frame(fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long_text)) == "!uri_too_long");
    CHECK(frame(fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long_text.substr(0, 40))) == "!uri_too_long");
    CHECK(frame(fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long_text.substr(0, 39))).substr(0, 5) == "[GET ");
    CHECK(frame(long_text) == "!uri_too_long");  // never an end in sight
    CHECK(frame(fmt::format("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", long_text)) == "!head_too_large");
    CHECK(frame(with_fields("A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n")).substr(0, 6) == "[POST ");
    CHECK(frame(with_fields("A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\nF: 1\r\n")) == "!head_too_large");
    CHECK(frame(with_chunks("0\r\nX: " + long_text)) == "!head_too_large");
    CHECK(frame(with_chunks("0\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\n\r\n")) == "!head_too_large");
}

TEST_CASE("chunk extensions are bounded over the whole message") {
    const ServerLimits limits;
    const std::string chunk = "1;" + std::string(100, 'e') + "\r\nx\r\n";
    std::string stream = with_chunks("");
    for (int i = 0; i < 200; ++i) {
        stream += chunk;
    }
    Framer framer(limits);
    std::string_view bytes = stream;
    const mt::Result<bool> complete = framer.feed(bytes);
    REQUIRE_FALSE(complete);
    CHECK(complete.error().code == Code::invalid);
    CHECK(stream.size() - bytes.size() < 10'000);
}

TEST_CASE("a coded body is refused") {
    CHECK(frame(with_fields("Content-Encoding: gzip\r\nContent-Length: 3\r\n", "abc")) == "!unsupported_media");
    CHECK(frame(with_fields("Content-Encoding: identity\r\nContent-Length: 3\r\n", "abc")) ==
          "[POST /a path=/a query= host=h body=abc 1.1 keep]");
}

TEST_CASE("a cut stream is never a message") {
    const std::string stream = with_chunks("3\r\nabc\r\n0\r\nT: x\r\n\r\n");
    for (std::size_t i = 1; i < stream.size(); ++i) {
        CHECK(outcome({std::string_view(stream).substr(0, i)}) == "...");
    }
}

TEST_CASE("100-continue is asked for once, after a good head, and not when the body is there") {
    const ServerLimits limits = small_limits();
    Framer framer(limits);
    const std::string head = with_fields("Expect: 100-Continue\r\nContent-Length: 3\r\n");
    std::string_view bytes = head;
    CHECK_FALSE(*framer.feed(bytes));
    CHECK(framer.wants_continue());
    CHECK_FALSE(framer.wants_continue());
    bytes = "abc";
    CHECK(*framer.feed(bytes));
    CHECK(framer.take().request.body == "abc");

    const std::string with_body = head + "a";
    bytes = with_body;
    CHECK_FALSE(*framer.feed(bytes));
    CHECK_FALSE(framer.wants_continue());

    CHECK(frame(with_fields("Expect: 200-maybe\r\nContent-Length: 3\r\n", "abc")) == "!expectation_failed");
    CHECK(frame(with_fields("Expect: 100-continue\r\nContent-Length: 65\r\n")) == "!too_large");
    CHECK(frame("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx") ==
          "[POST / path=/ query= host=- body=x 1.0 close]");
}
