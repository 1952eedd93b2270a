#pragma once

#include <atomic>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "http/connection.h"
#include "http/framing.h"
#include "http/message.h"
#include "http/reply.h"
#include "http/wire.h"

namespace mt::http {

/// A body on its way in pieces: chunked in HTTP/1.1 (RFC 9112 section 7.1), delimited by the end of the connection in
/// HTTP/1.0. Not thread-safe.
class BodyStream final : public StreamWriter {
  public:
    enum class Coding { chunked, plain, none };  ///< none: this reply has no body (HEAD, 204, 304)

    explicit BodyStream(Wire& wire) : m_wire(&wire) {}

    void open(std::string_view head, Coding coding);
    bool write(std::string_view piece) override;
    void finish() override;

    [[nodiscard]] bool complete() const { return m_finished && !m_broken; }

  private:
    Wire* m_wire;
    Coding m_coding = Coding::none;
    bool m_broken = true;  ///< nothing can be written: not open yet, or the client is gone
    bool m_finished = false;
    std::string m_buffer{};
};

/// One request being answered: keeps a complete reply for its worker, streams the others itself. Lives on the worker's
/// stack for the time of the handler.
class Exchange final : public Responder {
  public:
    struct Parts {
        Message& message;
        Wire& wire;
        DateField& date;
        std::stop_token stop;
        const std::atomic<bool>& draining;  ///< the server stops: no further request on this connection
        Parking& parking;
    };

    explicit Exchange(const Parts& parts) : m_parts(parts), m_stream(parts.wire) {}

    void send(Response response) override;
    StreamWriter& start_stream(Response head) override;
    [[nodiscard]] std::stop_token stop_token() const override { return m_parts.stop; }
    [[nodiscard]] Parking* parking() override;

    [[nodiscard]] const Request& request() const { return m_parts.message.request; }
    [[nodiscard]] bool streamed() const { return m_streamed; }
    /// The handler is to be run again: whatever it sent does not count.
    [[nodiscard]] bool parked() const { return m_parts.parking.parked(); }
    [[nodiscard]] bool answered_twice() const { return m_answered_twice; }
    /// Whether the connection stays; decided when first asked, which is when the head of the reply is written.
    [[nodiscard]] Persistence persistence();
    /// The reply given to send(), if any.
    [[nodiscard]] std::optional<Response>& reply() { return m_reply; }
    /// How the connection goes on after a stream.
    [[nodiscard]] Ending stream_ending();

  private:
    Parts m_parts;
    std::optional<Persistence> m_persistence{};
    std::optional<Response> m_reply{};
    BodyStream m_stream;
    bool m_streamed = false;
    bool m_answered_twice = false;
};

}  // namespace mt::http
