#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/server.h"

namespace mt::test {

/// What must be with a connection after a stream and its replies.
enum class End {
    serves,  ///< a correct request that follows is answered
    closes,  ///< the server ends it by itself
    waits,   ///< the stream stops inside a request: when the client ends its side the server does so, without a reply
};

/// One reply that must come. 100 is the exception: it may come, as long as the body is not there yet.
struct Reply {
    int status = 0;
    std::string echo{};  ///< with 200: what the handler saw, METHOD TARGET BODY

    bool operator==(const Reply&) const = default;
};

/// Small, so that short streams reach every bound.
inline http::ServerLimits hostile_limits() {
    http::ServerLimits limits;
    limits.max_head = 512;
    limits.max_fields = 8;
    limits.max_uri = 64;
    limits.max_body = 128;
    return limits;
}

namespace hostile {

using Variants = std::vector<std::string>;

/// Streams that differ in one place: before + variant + after. A '@' in an echo stands for the variant.
struct Row {
    std::string name;
    std::vector<Reply> replies;
    End end;
    std::string before;
    Variants variants;
    std::string after;
};

/// Literals, NUL bytes in them included.
template <std::size_t... sizes>
Variants each(const char (&... texts)[sizes]) {
    return {std::string(texts, sizes - 1)...};
}

inline const std::string k_post = "POST /a HTTP/1.1\r\nHost: h\r\n";
inline const std::string k_chunked = k_post + "Transfer-Encoding: chunked\r\n\r\n";
inline const std::string k_next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
inline const Reply k_next_reply{200, "GET /next "};
/// Follows whatever must be refused: its path must never reach a handler.
inline const std::string k_smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
inline const std::string k_end = "\r\n\r\n" + k_smuggled;

/// Refused, whatever comes behind it.
inline Row bad(const std::string& name, int status, const std::string& before, Variants variants,
               const std::string& after = k_end) {
    return {name, {{status}}, End::closes, before, std::move(variants), after};
}

/// Answered with what the handler saw, as is the request behind it.
inline Row good(const std::string& name, const std::string& echo, const std::string& before, Variants variants,
                const std::string& after = "\r\n\r\n" + k_next) {
    return {name, {{200, echo}, k_next_reply}, End::serves, before, std::move(variants), after};
}

/// Transfer-Encoding: nothing but one "chunked" (RFC 9112 section 6.1), and never with Content-Length (section 6.3).
inline std::vector<Row> coding_rows() {
    const std::string none = "\r\n\r\n0\r\n\r\n" + k_smuggled;
    return {
        bad("CL.TE", 400, k_post,
            each("Content-Length: 6\r\nTransfer-Encoding: chunked", "Content-Length: 0\r\nTransfer-Encoding: chunked",
                 "content-length:6\r\nTRANSFER-ENCODING:CHUNKED", "Content-Length: 6\r\nTransfer-Encoding: xchunked",
                 "Content-Length: 6\r\nTransfer-Encoding:\tchunked", "Content-Length: 6\r\nTransfer-Encoding: identity",
                 "Content-Length: 6\r\nTransfer-Encoding:", "Content-Length: x\r\nTransfer-Encoding: chunked"),
            "\r\n\r\n0\r\n\r\nG" + k_smuggled),
        bad("TE.CL", 400, k_post,
            each("Transfer-Encoding: chunked\r\nContent-Length: 4", "Transfer-Encoding: chunked\r\nContent-Length: 0",
                 "Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 4", "Transfer-Encoding:\r\nContent-Length: 4",
                 "Transfer-Encoding: identity\r\nContent-Length: 4", "Transfer-Encoding: chunked\r\nContent-Length:"),
            "\r\n\r\n27\r\n" + k_smuggled + "\r\n0\r\n\r\n"),
        bad("TE unknown", 501, k_post + "Transfer-Encoding: ",
            each("xchunked", "x-chunked", "identity", "gzip", "gzip, chunked", "identity, chunked", "deflate,chunked",
                 "chunk", "cow", "'chunked'", "compress;q=1"),
            none),
        bad("TE malformed", 400, k_post + "Transfer-Encoding: ",
            each("", ",", "chunked,", ",chunked", "chunked, chunked", "chunked, identity", "chunked, gzip", "chunked;x",
                 "chunked;q=1", "chunked chunked", "chunkedx", "\"chunked\"", "{chunked}", "=chunked", "\vchunked",
                 "chunked\f", "\0chunked", "chunked\0", "chunked\xA0", "\xA0 chunked", "chunked\r", "\nchunked",
                 "\r\n chunked", "chunked\r\n , identity", "chunked\r\nTransfer-Encoding: chunked",
                 "identity\r\nTransfer-Encoding: chunked", "chunked\r\ntransfer-encoding: identity",
                 "chunked\r\nTransfer-Encoding:"),
            none),
        bad("TE field malformed", 400, k_post,
            each("Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked",
                 "\tTransfer-Encoding: chunked", "\vTransfer-Encoding: chunked", "Transfer-Encoding\r\n : chunked",
                 "Transfer-Encoding\v: chunked", "Transfer-Encoding\0: chunked", "Transfer-Encoding;: chunked",
                 "Transfer-Encoding chunked", "Transfer Encoding: chunked", "\"Transfer-Encoding\": chunked",
                 "X: y\rTransfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked",
                 "X: y\n\rTransfer-Encoding: chunked", "Transfer-Encoding\xC2\xA0: chunked"),
            none),
        bad("TE in HTTP/1.0", 400, "POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: ", each("chunked", "identity"),
            none),
        {"TE by another name",
         {{200, "POST /a "}, {400}},
         End::closes,
         k_post,
         each("Transfer_Encoding: chunked", "Transfer-Encodings: chunked", "X-Transfer-Encoding: chunked"),
         none},
        good("TE", "POST /a GET /", k_post,
             each("Transfer-Encoding: chunked", "Transfer-Encoding:chunked", "TRANSFER-ENCODING: CHUNKED",
                  "transfer-encoding:\t Chunked \t"),
             "\r\n\r\n5\r\nGET /\r\n0\r\n\r\n" + k_next),
    };
}

/// Content-Length: digits, once (RFC 9110 section 8.6).
inline std::vector<Row> length_rows() {
    const std::string body = "\r\n\r\nGET /s";
    return {
        bad("CL malformed", 400, k_post + "Content-Length: ",
            each("", ",", "+6", "-6", "-0", "6 6", "6,6", "6, 6", "6,", ",6", "6;", "6;x", "0x6", "6h", "1_0", "_6",
                 "6_", "6.0", "6e0", "\"6\"", "'6'", "six", "NaN", "0b110", "6\t6", "\v6", "6\f", "6\0", "\0006",
                 "\xEF\xBC\x96", "\2406", "6\r", "6\n", "\r\n 6", "6\r\n 0", "18446744073709551616",
                 "18446744073709551622", "99999999999999999999999999", "-9223372036854775808"),
            body + k_smuggled),
        bad("CL twice", 400, k_post,
            each("Content-Length: 6\r\nContent-Length: 6", "Content-Length: 6\r\nContent-Length: 0",
                 "Content-Length: 0\r\ncontent-length: 6", "Content-Length: 6\r\nX: y\r\nCONTENT-LENGTH: 06",
                 "Content-Length:\r\nContent-Length: 6", "Content-Length: 6\r\nContent-Length: 129"),
            body + k_smuggled),
        bad("CL field malformed", 400, k_post,
            each("Content-Length : 6", "Content-Length\t: 6", " Content-Length: 6", "\tContent-Length: 6",
                 "Content-Length\r\n : 6", "Content-Length 6", "Content Length: 6", "Content-Length\0: 6",
                 "X: y\nContent-Length: 6", "X: y\rContent-Length: 6", "Content-Length\v: 6"),
            body + k_smuggled),
        bad("CL too large", 413, k_post + "Content-Length: ",
            each("129", "0129", "00000000000000000000000000129", "4294967302", "9223372036854775807",
                 "9223372036854775808", "18446744073709551615", "129\r\nExpect: 100-continue"),
            body + k_smuggled),
        {"CL by another name",
         {{200, "POST /a "}, {400}},
         End::closes,
         k_post,
         each("Content_Length: 6", "Content-Lengths: 6", "X-Content-Length: 6"),
         body + k_smuggled},
        good("CL", "POST /a GET /s", k_post,
             each("Content-Length: 6", "Content-Length:6", "content-LENGTH:\t 6 \t", "Content-Length: 06",
                  "Content-Length: 00000000000000000000000000006"),
             body + k_next),
        good("CL of a body that is a request", "POST /a " + k_smuggled,
             k_post + "Content-Length: ", {std::to_string(k_smuggled.size())}, "\r\n\r\n" + k_smuggled + k_next),
        good("CL with a method that needs no body", "@ /a GET /s", "", each("GET", "DELETE", "OPTIONS", "BREW"),
             " /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6" + body + k_next),
    };
}

/// Chunk sizes, extensions, line ends and trailers (RFC 9112 section 7.1).
inline std::vector<Row> chunk_rows() {
    const std::string hello = "\r\nhello\r\n0\r\n\r\n" + k_smuggled;
    const std::string trailers = k_chunked + "5\r\nhello\r\n0\r\n";
    return {
        bad("chunk size malformed", 400, k_chunked,
            each("", " ", "-5", "+5", "0x5", "5h", "g", " 5", "\t5", "5 ", "5\t", "5 5", "5,5", "5.0", "5_0", "\"5\"",
                 "-0", "x", "00000000000000005", "10000000000000005", "ffffffffffffffff5", ";x", " ;x", "5 x;y", "5:x",
                 "5=x", "5\xA0"),
            hello),
        bad("chunk size too large", 413, k_chunked,
            each("81", "0000000000000081", "100", "80000000", "100000005", "7fffffffffffffff", "8000000000000000",
                 "FFFFFFFFFFFFFFFF", "fffffffffffffffb", "5\r\nhello\r\n7c", "5\r\nhello\r\nfffffffffffffffb;x"),
            hello),
        bad("chunk data ends wrongly", 400, k_chunked,
            each("5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhello\r\r\n0\r\n\r\n",
                 "5\r\nhello\n\r0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n", "5\r\nhell\r\n0\r\n\r\n",
                 "5\r\nhello \r\n0\r\n\r\n", "5\r\nhello\r\n\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n",
                 "5\r\nhello\r\n0\n\n", "5\r\nhello\r\n0\r\n\n", "5;\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n"),
            k_smuggled),
        bad("chunk extensions too long", 400, k_chunked + "1;", {std::string(8'300, 'x')}, "\r\nx\r\n0\r\n\r\n"),
        bad("trailer malformed", 400, trailers,
            each(" X: y", "\tX: y", "X : y", "X", ": y", "X Y: z", "X: y\r\n folded", "X\0: y", "X: \x01", "X: y\n",
                 "X: y\r", "GET /smuggled HTTP/1.1")),
        bad("too many trailers", 431, trailers, each("A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\nI:")),
        bad("trailers too long", 431, trailers + "X: ", {std::string(520, 'x')}),
        good("trailers", "POST /a hello", trailers,
             each("", "X: y\r\n", "X:\r\nY: a: b\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
                  "Host: other\r\n", "Content-Encoding: gzip\r\n", "Expect: nothing\r\n", "Connection: close\r\n"),
             "\r\n" + k_next),
        good("chunk extensions", "POST /a hello world", k_chunked + "5",
             each("", ";", ";x", ";x=y", ";x=\"a b;c\"", " ; x = y", "\t;x", ";x;y;z=1", ";\xC3\xA9", ";;;"),
             "\r\nhello\r\n0000000000000006;last\r\n world\r\n000\r\n\r\n" + k_next),
        good("chunk data of line ends", "POST /a \r\n0\r\n\r\n\n", k_chunked,
             each("8\r\n\r\n0\r\n\r\n\n\r\n", "1\r\n\r\r\n7\r\n\n0\r\n\r\n\n\r\n"), "0\r\n\r\n" + k_next),
        good("chunks up to the limit", "POST /a " + std::string(128, 'x'), k_chunked,
             {"80\r\n" + std::string(128, 'x'), "7f\r\n" + std::string(127, 'x') + "\r\n1\r\nx"},
             "\r\n0\r\n\r\n" + k_next),
    };
}

}  // namespace hostile
}  // namespace mt::test
