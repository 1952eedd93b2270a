#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "http/hostile_bodies.h"

namespace mt::test {

/// What a client sends on a fresh connection of a server with hostile_limits(), and what must happen then.
struct HostileStream {
    std::string name;
    std::string bytes;
    std::vector<Reply> replies;
    End end = End::closes;
};

namespace hostile {

/// A control byte, or half of a line end, at every kind of place (RFC 9112 section 2.2, RFC 9110 section 5.5).
inline std::vector<Row> control_rows() {
    struct Place {
        const char* name;
        std::string before;
        std::string after;
    };
    const std::string rest = " /a HTTP/1.1\r\nHost: h" + k_end;
    const Place places[]{
        {"before the method", "", "POST" + rest},
        {"in the method", "PO", "ST" + rest},
        {"after the method", "POST", rest},
        {"in the target", "POST /", "a HTTP/1.1\r\nHost: h" + k_end},
        {"after the target", "POST /a", " HTTP/1.1\r\nHost: h" + k_end},
        {"in the version", "POST /a HTTP/1", ".1\r\nHost: h" + k_end},
        {"after the version", "POST /a HTTP/1.1", "\r\nHost: h" + k_end},
        {"before a name", k_post, "X: y" + k_end},
        {"in a name", k_post + "X", "Y: z" + k_end},
        {"before a colon", k_post + "X", ": y" + k_end},
        {"before a value", k_post + "X:", "y" + k_end},
        {"in a value", k_post + "X: y", "z" + k_end},
        {"after a value", k_post + "X: y", k_end},
        {"before the empty line", k_post, "\r\n" + k_smuggled},
        {"before a chunk size", k_chunked, "0" + k_end},
        {"after a chunk size", k_chunked + "0", k_end},
        {"in an extension", k_chunked + "0;x", "y" + k_end},
        {"after chunk data", k_chunked + "1\r\nx", "\r\n0" + k_end},
        {"before a trailer", k_chunked + "0\r\n", "X: y" + k_end},
        {"in a trailer's name", k_chunked + "0\r\nX", "Y: z" + k_end},
        {"in a trailer", k_chunked + "0\r\nX: y", "z" + k_end},
        {"before the last empty line", k_chunked + "0\r\n", "\r\n" + k_smuggled},
    };
    std::vector<Row> rows;
    for (const Place& place : places) {
        rows.push_back(bad(std::string("control ") + place.name, 400, place.before,
                           each("\0", "\x01", "\b", "\v", "\f", "\x1B", "\x1F", "\x7F", "\r", "\n"), place.after));
    }
    return rows;
}

/// Method, target and version (RFC 9112 section 3), Host (section 3.2).
inline std::vector<Row> request_rows() {
    const std::string host = " HTTP/1.1\r\nHost: h";
    return {
        bad("request line malformed", 400, "",
            each("GET", "GET ", "GET /", "/ HTTP/1.1", "GET HTTP/1.1", "GET  HTTP/1.1", "GET  / HTTP/1.1",
                 "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET\t/ HTTP/1.1", "GET /\tHTTP/1.1",
                 "GET / HTTP/1.1 HTTP/1.1", "G@T / HTTP/1.1", "G=T / HTTP/1.1", "\"GET\" / HTTP/1.1",
                 "G\xC3\x89T / HTTP/1.1", "AVERYVERYVERYVERYVERYLONGMETHODNAME / HTTP/1.1", "HTTP/1.1 200 OK",
                 "\r\n\r\nGET / HTTP/1.1", "\nGET / HTTP/1.1"),
            "\r\nHost: h" + k_end),
        bad("version", 400, "GET / ",
            each("HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/2", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/01.1", "HTTP/1.01",
                 "HTTP/1.10", "HTTP/1.1x", "http/1.1", "Http/1.1", "HTTPS/1.1", "HTTP/ 1.1", "HTTP /1.1", "HTTP\\1.1",
                 "HTTP/1,1", "1.1", "ICY", "HTTP/-1.1", "HTTP/1.1\xA0"),
            "\r\nHost: h" + k_end),
        bad("HTTP/2 preface", 400, "PRI * HTTP/2.0\r\n\r\nSM", each("")),
        bad("target", 400, "GET ",
            each("*", "a", "?q", "h:80", "h", "/a b", "/\tb", "/#f", "/a#", "#", "/\xC3\xA9", "/\xFF", "http://",
                 "http:///a", "http://?a", "http:/h", "http:h", "http//h/", "://h/", "ftp://h/", "file:///a", "ws://h/",
                 "http://u@h/", "http://u:p@h/", "http://h:x/", "http://h:99999/", "http://[::1/", "http://h a/",
                 "http://h/#f", "http://h\\a/", "\\a", "http://h/\xC3\xA9"),
            host + k_end),
        bad("authority form and CONNECT", 400, "CONNECT ", each("h:80", "h", "/", "/a", "*", "http://h/"),
            host + k_end),
        bad("asterisk", 400, "OPTIONS ", each("**", "*a", "*?a", "?"), host + k_end),
        bad("absolute form without Host", 400, "GET http://h/ HTTP/1.1", each("")),
        good("target", "GET @ ", "GET ",
             each("/", "//", "/%00", "/%zz?%", "/?", "/a?b?c", "/?http://h/", "/../a/./b", "/a;b=c,d:e@f!$&'()*+~"),
             host + "\r\n\r\n" + k_next),
        good("asterisk", "OPTIONS * ", "OPTIONS * HTTP/1.1\r\nHost: h", each("")),
        good("absolute form", "GET /a?b ", "GET ",
             each("http://h/a?b", "HTTP://other:81/a?b", "https://[::1]/a?b", "http://127.0.0.1:/a?b"),
             host + "\r\n\r\n" + k_next),
        good("absolute form without a path", "GET /?b ", "GET http://h?b HTTP/1.1\r\nHost: h", each("")),
        good("method", "@ /a ", "", each("get", "BREW", "M-SEARCH", "!#$%&'*+-.^_`|~09", "CONNECTED", "X"),
             " /a HTTP/1.1\r\nHost: h\r\n\r\n" + k_next),
        good("one empty line before it", "GET /a ", "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\n", each(""), k_next),
        bad("Host malformed", 400, "GET /a HTTP/1.1\r\nHost: ",
            each("", "a b", "a, b", "a/b", "a?b", "a#b", "u@h", "u:p@h", "h:x", "h:99999", "h:80:80", "h:-1", "[::1",
                 "::1", "[x]", "[]", "[::1]x", "%zz", "%", "\"h\"", "a\\b", "<h>", "a^b", "{h}", "h\xC3\xA9",
                 "http://h", ":80")),
        bad("Host missing or double", 400, "GET /a HTTP/1.1\r\n",
            each("X: y", "Host : h", "Hosts: h", "Host: h\r\nHost: h", "Host: h\r\nHost: other",
                 "Host: h\r\nHOST:", "host: h\r\nX: y\r\nHost: h", "Host")),
        bad("Host twice in HTTP/1.0", 400, "GET /a HTTP/1.0\r\nHost: h\r\nHost: h", each("")),
        good("Host", "GET /a ", "GET /a HTTP/1.1\r\n",
             each("Host: h", "hOsT:h", "HOST:\th ", "Host: h:", "Host: h:65535", "Host: [::1]:80", "Host: a.b-c_d",
                  "Host: %41", "Host: 127.0.0.1")),
    };
}

/// Field lines, Expect (RFC 9110 section 10.1.1) and Content-Encoding.
inline std::vector<Row> field_rows() {
    const std::string hello = "\r\nContent-Length: 5\r\n\r\nhello";
    return {
        bad("obs-fold", 400, k_post,
            each("X: y\r\n z", "X: y\r\n\tz", "X:\r\n y", "X: y\r\n ", "X: y\r\n \r\n z", " folded", "X: y\r\n Z: a")),
        bad("field malformed", 400, k_post,
            each("X", ": y", "X Y: z", "X : y", "X(y): z", "X[]: y", "X/Y: z", "X\xC3\xA9: y", "@: x", "\"X\": y",
                 "=: y", "{X}: y", "X,Y: z", "X\\: y")),
        good("fields", "POST /a ", k_post,
             each("X:", "X: \t ", "X: a\tb", "X: \xC3\xA9\xFF", "!#$%&'*+-.^_`|~0: y", "X: a: b", "X: Host: x",
                  "Upgrade: h2c\r\nConnection: Upgrade", "Content-Type: a\r\nContent-Type: b")),
        bad("Expect unknown", 417, k_post + "Expect: ",
            each("", "100", "200-ok", "100-continue, x", "x, 100-continue", "100-continue;q=1", "\"100-continue\"",
                 "100-continue\r\nExpect: 100-continue", "100 continue", "100-continued"),
            hello + k_smuggled),
        {"Expect",
         {{100}, {200, "POST /a hello"}, k_next_reply},
         End::serves,
         k_post + "Expect: ",
         each("100-continue\r\nContent-Length: 5\r\n\r\nhello", "100-CONTINUE\r\nContent-Length: 5\r\n\r\nhello",
              "100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
         k_next},
        {"Expect and a bad body",
         {{100}, {400}},
         End::closes,
         k_post + "Expect: 100-continue\r\nTransfer-Encoding: chunked",
         each(""),
         k_end},
        good("Expect without a body", "POST /a ", k_post + "Expect: 100-continue", each("", "\r\nContent-Length: 0")),
        bad("Content-Encoding", 415, k_post + "Content-Encoding: ",
            each("gzip", "GZIP", "x-gzip", "br", "deflate", "zstd", "gzip, identity", "identity, gzip",
                 "identity, identity", "", "identity\r\nContent-Encoding: gzip",
                 "identity\r\nContent-Encoding: identity"),
            hello + k_smuggled),
        good("Content-Encoding", "POST /a hello", k_post + "Content-Encoding: ", each("identity", "IDENTITY"),
             hello + k_next),
    };
}

/// Each bound of the head, met and passed.
inline std::vector<Row> limit_rows() {
    const std::string x(600, 'x');
    const std::string seven = "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:";
    const std::string head = "GET /a HTTP/1.1\r\nHost: h\r\nX: ";
    const std::string filler = x.substr(0, 512 - head.size() - 4);
    return {
        good("8 fields", "POST /a ", k_post, {seven}),
        bad("9 fields", 431, k_post, {seven + "\r\nH:", seven + "\r\nContent-Length: 129", seven + "\r\nA:"}),
        good("head of 512 bytes", "GET /a ", head, {filler}),
        bad("head of more bytes", 431, head, {filler + "x", x}),
        bad("head without an end", 431, head, {x}, ""),
        good("target of 64 bytes", "GET @ ", "GET ", {"/" + x.substr(1, 63)}, " HTTP/1.1\r\nHost: h\r\n\r\n" + k_next),
        bad("target of more bytes", 414, "GET /", {x.substr(0, 64), x.substr(0, 110), x},
            " HTTP/1.1\r\nHost: h" + k_end),
        bad("request line without an end", 414, "", {x, "GET " + x}, ""),
    };
}

/// Several requests on one connection, and what ends it.
inline std::vector<Row> sequence_rows() {
    const std::string hello = "\r\nContent-Length: 5\r\n\r\nhello";
    const std::string chunks = k_chunked + "5\r\nhello\r\n0\r\n\r\n";
    const Reply a{200, "POST /a hello"};
    return {
        {"pipelined", {a, a, k_next_reply, a}, End::serves, k_post, each("X: y"), hello + chunks + k_next + chunks},
        {"pipelined with an empty line between",
         {a, a, k_next_reply},
         End::serves,
         k_post,
         each("X: y"),
         hello + "\r\n" + chunks + "\r\n" + k_next},
        {"two empty lines between", {a, {400}}, End::closes, k_post, each("X: y"), hello + "\r\n\r\n" + k_smuggled},
        {"good, then refused",
         {a, {400}},
         End::closes,
         chunks,
         each("GET /\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\r"),
         k_smuggled},
        {"good, then too large", {a, {413}}, End::closes, chunks + k_post, each("Content-Length: 129"), k_end},
        {"longer than its Content-Length",
         {a, {400}},
         End::closes,
         k_post,
         each("X: y"),
         hello + " world\r\n" + k_smuggled},
        {"closed by the client",
         {a},
         End::closes,
         k_post,
         each("Connection: close", "Connection: x,CLOSE ,y", "Connection: keep-alive\r\nConnection: close",
              "connection:\tClose"),
         hello + k_smuggled},
        {"HTTP/1.0",
         {a},
         End::closes,
         "POST /a HTTP/1.0\r\n",
         each("X: y", "Host: h", "Connection: close, keep-alive", "Expect: 100-continue"),
         hello + k_smuggled},
        {"HTTP/1.0 kept",
         {a, k_next_reply},
         End::serves,
         "POST /a HTTP/1.0\r\n",
         each("Connection: Keep-Alive"),
         hello + k_next},
        {"absolute form in HTTP/1.0", {{200, "GET /a "}}, End::closes, "GET http://h/a HTTP/1.0", each(""), k_end},
        {"100 without the body",
         {{100}},
         End::waits,
         k_post + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
         each("", "hell"),
         ""},
        {"good, then half of one", {a}, End::waits, chunks, each("G", "GET /half HTTP/1.1\r\nHost: h\r\n"), ""},
    };
}

/// Every part of a good request that has its first letter and lacks its end.
inline std::vector<Row> truncated_rows() {
    const std::string whole[]{
        "GET /cut?x=y HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n",
        "\r\nGET http://h/cut HTTP/1.0\r\nHost: h\r\n\r\n",
        "POST /cut HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST /cut HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n",
    };
    std::vector<Row> rows;
    for (const std::string& request : whole) {
        for (std::size_t size = request.find_first_not_of("\r\n") + 1; size < request.size(); ++size) {
            rows.push_back({"cut", {}, End::waits, "", {request.substr(0, size)}, ""});
        }
    }
    return rows;
}

inline void add(std::vector<HostileStream>& streams, const Row& row) {
    for (const std::string& variant : row.variants) {
        std::vector<Reply> replies = row.replies;
        for (Reply& reply : replies) {
            if (const std::size_t at = reply.echo.find('@'); at != std::string::npos) {
                reply.echo.replace(at, 1, variant);
            }
        }
        streams.push_back({row.name + ": " + variant, row.before + variant + row.after, std::move(replies), row.end});
    }
}

}  // namespace hostile

/// All of them.
inline std::vector<HostileStream> hostile_streams() {
    using namespace hostile;
    std::vector<HostileStream> streams;
    for (const auto& rows : {coding_rows(), length_rows(), chunk_rows(), control_rows(), request_rows(), field_rows(),
                             limit_rows(), sequence_rows(), truncated_rows()}) {
        for (const Row& row : rows) {
            add(streams, row);
        }
    }
    return streams;
}

}  // namespace mt::test
