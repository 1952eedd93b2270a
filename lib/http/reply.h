#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/message.h"
#include "http/server.h"

namespace mt::http {

/// The Date field (RFC 9110 section 6.6.1), formatted once a second. Not thread-safe: one per thread.
class DateField {
  public:
    /// "Sun, 06 Nov 1994 08:49:37 GMT".
    const std::string& now();

  private:
    SystemClock m_clock;
    std::int64_t m_second = -1;
    std::string m_text;
};

/// What the value of Connection must say.
enum class Persistence {
    keep,         ///< HTTP/1.1: nothing to say
    keep_http10,  ///< "keep-alive", which HTTP/1.0 needs to hear
    close,
};

/// The value of Connection; empty: no such field.
std::string_view connection_value(Persistence persistence);

/// Appends the fields of a reply that may go onto the wire, each with its line end: Date, then those of the response.
/// Those that belong to the transport (Connection, Content-Length, Content-Type, Date, ...) and those whose name is no
/// token are left out.
void append_fields(std::string& head, const Response& response, DateField& date);

/// Its Content-Type, also when that stands among its fields; empty: none.
std::string_view type_of(const Response& response);

/// A field value fit for the wire: bytes that may not stand there, CR and LF above all, become blanks (RFC 9110
/// section 5.5).
std::string clean_value(std::string_view value);

/// True for statuses whose reply never has a body (RFC 9110 section 6.4.1).
bool is_bodiless(int status);

/// The head of a reply, empty line included. `framing` is a whole field line with its line end, or empty.
std::string format_head(const Response& response, Persistence persistence, std::string_view framing, DateField& date);

/// Head and body of a reply that the transport gives by itself.
std::string format_reply(const Response& response, Persistence persistence, DateField& date);

/// The same as an answer to HEAD.
std::string format_head_only(const Response& response, Persistence persistence, DateField& date);

/// The reply for a fault: what `encode` makes of it, or plain text when it has nothing to say or throws.
Response encode_fault(const FaultEncoder& encode, const Error& error);

}  // namespace mt::http
