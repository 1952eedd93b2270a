#include "http/bridge.h"

#include <fmt/core.h>
#include <httplib.h>

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace mt::http {
namespace {

/// What httplib reads from and writes to: one message in memory. It has no descriptor, because httplib refuses those
/// above FD_SETSIZE. The fields that httplib would only copy join the reply here, after its first line: its own way for
/// them costs a node of a multimap, some case-insensitive comparisons and a printf each.
class MemoryStream final : public httplib::Stream {
  public:
    MemoryStream(std::string_view head, std::string_view body, const std::string& fields)
        : m_head(head), m_body(body), m_fields(fields) {}

    [[nodiscard]] bool is_readable() const override { return true; }
    [[nodiscard]] bool is_writable() const override { return true; }
    ssize_t read(char* out, std::size_t size) override {
        std::string_view& part = m_head.empty() ? m_body : m_head;
        const std::size_t taken = part.copy(out, size);
        part.remove_prefix(taken);
        return static_cast<ssize_t>(taken);
    }
    ssize_t write(const char* bytes, std::size_t size) override {
        std::string_view piece(bytes, size);
        if (m_written.empty()) {
            constexpr std::string_view k_line_end = "\r\n";
            const std::size_t end = piece.find(k_line_end);
            m_spliced = end != std::string_view::npos;
            const std::size_t line = m_spliced ? end + k_line_end.size() : 0;
            m_written.append(piece.substr(0, line)).append(m_fields);
            piece.remove_prefix(line);
        }
        m_written.append(piece);
        return static_cast<ssize_t>(size);
    }
    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    [[nodiscard]] socket_t socket() const override { return INVALID_SOCKET; }

    /// httplib's first piece held a whole status line, so that the fields stand where they belong.
    [[nodiscard]] bool spliced() const { return m_spliced; }
    [[nodiscard]] std::string take_written() { return std::move(m_written); }

  private:
    std::string_view m_head;
    std::string_view m_body;
    const std::string& m_fields;  ///< filled while httplib asks for the reply
    std::string m_written{};
    bool m_spliced = false;
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

// Routing and fields are the handler's, who gets the real ones, and so is the body: here stands only what changes how
// httplib writes. A target or field of the client would be decoded, limited and perhaps acted on (Range, Expect,
// Accept-Encoding, REMOTE_ADDR, ...) a second time, and methods that it does not know be answered 400.
constexpr std::string_view k_head_like_get = "GET / HTTP/1.1\r\n\r\n";
constexpr std::string_view k_head_like_head = "HEAD / HTTP/1.1\r\n\r\n";

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
    std::string fields{};          ///< of the reply, ready for the wire, but those that httplib writes
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
    append_fields(fields, reply, date);
    if (const std::string_view value = connection_value(exchange->persistence()); !value.empty()) {
        fields.append("Connection: ").append(value).append("\r\n");
    }
    if (const std::string_view type = type_of(reply); !type.empty()) {
        out.headers.emplace("Content-Type", clean_value(type));
    }
    if (!is_bodiless(reply.status)) {
        out.body = std::move(reply.body);
    }
}

// Runs after httplib added its own fields: what it says of the connection is not ours.
void Bridge::State::finish_fields(httplib::Response& out) const {
    out.headers.erase("Connection");
    if (exchange->request().method == "HEAD") {
        out.headers.erase("Accept-Ranges");
    }
    if (is_bodiless(out.status)) {
        out.headers.erase("Content-Length");
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
    m_state->fields.clear();
    const bool like_head = parts.message.request.method == "HEAD";
    MemoryStream stream(like_head ? k_head_like_head : k_head_like_get, {}, m_state->fields);
    m_state->engine.run(stream);
    m_state->exchange = nullptr;
    if (exchange.streamed()) {
        return exchange.stream_ending();
    }
    if (!m_state->filled || !stream.spliced() || !parts.wire.send_reply(stream.take_written())) {
        return Ending::cut;
    }
    return exchange.persistence() == Persistence::close ? Ending::close : Ending::keep;
}

}  // namespace mt::http
