#include "http/bridge.h"

#include <fmt/core.h>
#include <httplib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace mt::http {
namespace {

/// What httplib reads from and writes to: one message in memory. It has no descriptor, because httplib refuses those
/// above FD_SETSIZE.
class MemoryStream final : public httplib::Stream {
  public:
    MemoryStream(std::string_view head, std::string_view body) : m_head(head), m_body(body) {}

    [[nodiscard]] bool is_readable() const override { return true; }
    [[nodiscard]] bool is_writable() const override { return true; }
    ssize_t read(char* out, std::size_t size) override {
        std::string_view& part = m_head.empty() ? m_body : m_head;
        const std::size_t taken = part.copy(out, size);
        part.remove_prefix(taken);
        return static_cast<ssize_t>(taken);
    }
    ssize_t write(const char* bytes, std::size_t size) override {
        m_written.append(bytes, size);
        return static_cast<ssize_t>(size);
    }
    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    [[nodiscard]] socket_t socket() const override { return INVALID_SOCKET; }

    [[nodiscard]] const std::string& written() const { return m_written; }

  private:
    std::string_view m_head;
    std::string_view m_body;
    std::string m_written{};
};

/// Opens the protected entry of httplib's server.
class Engine final : public httplib::Server {
  public:
    void run(httplib::Stream& stream) {
        bool closed = false;
        // "close": httplib then spends no time on a Keep-Alive field; Connection is set by us afterwards.
        process_request(stream, true, closed, nullptr);
    }
};

// httplib answers 400 to methods that it does not know, before any handler could say 405.
std::string_view method_for_httplib(std::string_view method) {
    constexpr std::array<std::string_view, 7> k_known{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    return std::find(k_known.begin(), k_known.end(), method) == k_known.end() ? "POST" : method;
}

// Routing and fields are the handler's, who gets the real ones: here stands only what changes how httplib frames. A
// target or field of the client would be decoded, limited and perhaps acted on (Range, Expect, Accept-Encoding,
// REMOTE_ADDR, ...) a second time.
std::string canonical_head(const Request& request) {
    return fmt::format("{} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                       method_for_httplib(request.method), request.body.size());
}

}  // namespace

struct Bridge::State {
    State(const Handler& request_handler, const FaultEncoder& fault_encoder, Log& operator_log)
        : handler(request_handler), encode(fault_encoder), log(operator_log) {}

    [[nodiscard]] std::string call_handler() const;
    [[nodiscard]] std::string name_of_request() const;
    Response answer_of_handler();
    void fill(httplib::Response& out);
    void finish_fields(httplib::Response& out) const;

    const Handler& handler;
    const FaultEncoder& encode;
    Log& log;
    Engine engine{};
    DateField date{};
    Exchange* exchange = nullptr;  ///< during answer()
    bool filled = false;           ///< httplib asked for the reply
};

// Exceptions end here, with nothing of their text on the wire. Returns what was wrong, or "".
std::string Bridge::State::call_handler() const {
    try {
        handler(exchange->request(), *exchange);
    } catch (const std::exception& thrown) {
        return fmt::format("threw {}", quote(thrown.what()));
    } catch (...) {
        return "threw something that is no std::exception";
    }
    const std::optional<Response>& reply = exchange->reply();
    if (exchange->answered_twice()) {
        log.error(fmt::format("the handler of {} answered twice: only the first answer was sent", name_of_request()));
    }
    if (reply && (reply->status < 200 || reply->status > 599)) {
        return fmt::format("answered with status {}", reply->status);
    }
    return reply || exchange->streamed() ? "" : "gave no answer";
}

std::string Bridge::State::name_of_request() const {
    return fmt::format("{} {}", exchange->request().method, quote(exchange->request().path));
}

Response Bridge::State::answer_of_handler() {
    const std::string fault = call_handler();
    if (!fault.empty()) {
        log.error(fmt::format("the handler of {} {}", name_of_request(), fault));
        return encode_fault(encode, Error{Code::internal, "the request could not be handled"});
    }
    // What httplib writes beside a stream is thrown away.
    return exchange->streamed() ? Response{} : std::move(*exchange->reply());
}

void Bridge::State::fill(httplib::Response& out) {
    filled = true;
    Response reply = answer_of_handler();
    out.status = reply.status;
    for (auto& [name, value] : wire_fields(reply)) {
        out.headers.emplace(name, value);
    }
    if (!is_bodiless(reply.status)) {
        out.body = std::move(reply.body);
    }
}

// Runs after httplib added its own fields: what it says of the connection is not ours.
void Bridge::State::finish_fields(httplib::Response& out) const {
    out.headers.erase("Connection");
    out.headers.erase("Keep-Alive");
    out.headers.erase("Accept-Ranges");
    if (is_bodiless(out.status)) {
        out.headers.erase("Content-Length");
    }
    if (const std::string_view value = connection_value(exchange->persistence()); !value.empty()) {
        out.headers.emplace("Connection", value);
    }
}

Bridge::Bridge(const Handler& handler, const FaultEncoder& encode, Log& log)
    : m_state(std::make_unique<State>(handler, encode, log)) {
    State& state = *m_state;
    state.engine.set_pre_routing_handler([&state](const httplib::Request&, httplib::Response& out) {
        state.fill(out);
        return httplib::Server::HandlerResponse::Handled;
    });
    state.engine.set_post_routing_handler([&state](const httplib::Request&, httplib::Response& out) {
        if (state.filled) {
            state.finish_fields(out);
            out.headers.emplace("Date", state.date.now());
        }
    });
}

Bridge::~Bridge() = default;

DateField& Bridge::date() {
    return m_state->date;
}

Ending Bridge::answer(const Exchange::Parts& parts) {
    Exchange exchange(parts);
    m_state->exchange = &exchange;
    m_state->filled = false;
    const std::string head = canonical_head(parts.message.request);
    MemoryStream stream(head, parts.message.request.body);
    m_state->engine.run(stream);
    m_state->exchange = nullptr;
    if (exchange.streamed()) {
        return exchange.stream_ending();
    }
    if (!parts.wire.send_all(stream.written())) {
        return Ending::cut;
    }
    const bool keep = m_state->filled && exchange.persistence() != Persistence::close;
    return keep ? Ending::keep : Ending::close;
}

}  // namespace mt::http
