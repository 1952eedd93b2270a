#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/parking.h"
#include "base/result.h"

namespace mt::http {

using Fields = std::vector<std::pair<std::string, std::string>>;

/// One complete request. Owned by the transport, valid during handle().
struct Request {
    std::string method;  ///< as sent: "GET"
    std::string target;  ///< as sent: path and query
    std::string path;    ///< path as sent, still percent-encoded, without the query
    std::string query;   ///< query as sent, without '?'
    Fields fields;       ///< header fields, names as sent
    std::string body;
    std::string peer;       ///< address of the other end, "unix" for a unix socket
    bool loopback = false;  ///< the connection came over loopback or a unix socket

    /// First field of that name (case-insensitive).
    [[nodiscard]] std::optional<std::string_view> field(std::string_view name) const;
    /// Value of a query parameter, decoded as application/x-www-form-urlencoded ('+' is a blank). Errors: not_found
    /// (absent), invalid (bad percent-encoding, NUL, not UTF-8, given twice).
    [[nodiscard]] Result<std::string> parameter(std::string_view name) const;
};

/// One complete reply.
struct Response {
    int status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    Fields fields{};
    std::string body{};
};

/// Writes a streamed body piece by piece.
class StreamWriter {
  public:
    StreamWriter() = default;
    StreamWriter(const StreamWriter&) = delete;
    StreamWriter& operator=(const StreamWriter&) = delete;
    virtual ~StreamWriter() = default;

    /// Sends one piece and flushes it. False: the client is gone, stop.
    virtual bool write(std::string_view piece) = 0;
    /// Ends the body. Without it the connection is cut, so that the client sees an incomplete reply.
    virtual void finish() = 0;
};

/// The way back of one request: exactly one send() or start_stream(). Used by the handler's thread alone.
class Responder {
  public:
    Responder() = default;
    Responder(const Responder&) = delete;
    Responder& operator=(const Responder&) = delete;
    virtual ~Responder() = default;

    virtual void send(Response response) = 0;
    /// The writer lives as long as the Responder.
    virtual StreamWriter& start_stream(Response head) = 0;
    /// Stops when the client left or the server's drain has run out of time.
    [[nodiscard]] virtual std::stop_token stop_token() const = 0;
    /// Where the request can be put aside, before anything was sent: the handler then returns without an answer, and is
    /// called again for it. Null: it cannot.
    [[nodiscard]] virtual Parking* parking() { return nullptr; }
};

/// Answers one request before it returns, or parks it. Must not throw. Called from many threads at once.
using Handler = std::function<void(const Request&, Responder&)>;

/// Decodes %XX; plus_is_blank also '+'. Errors: invalid (bad escape, NUL, not UTF-8).
Result<std::string> percent_decode(std::string_view text, bool plus_is_blank);

/// Encodes for a query parameter: everything but unreserved characters (RFC 3986 section 2.3) as %XX.
std::string percent_encode(std::string_view text);

}  // namespace mt::http
