#include "http/worker.h"

#include <fmt/core.h>

#include <exception>
#include <optional>
#include <utility>

#include "base/text.h"
#include "http/wire.h"

namespace mt::http {
namespace {

std::string name_of(const Request& request) {
    return fmt::format("{} {}", request.method, quote(request.path));
}

}  // namespace

void Worker::answer(Connection& connection, const Signals& signals) {
    Wire wire(connection, m_limits, signals.abandon);
    connection.parking.begin_run();
    Exchange exchange(
        {connection.message, wire, m_date, connection.stop.get_token(), signals.draining, connection.parking});
    connection.ending = respond(exchange, wire);
    if (connection.parking.parked()) {
        return;
    }
    std::string().swap(connection.message.request.body);  // an idle connection keeps little
    connection.message.request = {};
}

Ending Worker::respond(Exchange& exchange, Wire& wire) {
    const std::string fault = call_handler(exchange);
    if (!fault.empty()) {
        m_log.error(fmt::format("the handler of {} {}", name_of(exchange.request()), fault));
    }
    if (exchange.parked()) {
        return Ending::keep;
    }
    if (exchange.streamed()) {
        return exchange.stream_ending();
    }
    const Response reply =
        fault.empty() ? *std::move(exchange.reply())
                      : encode_fault(m_hooks.encode_fault, {Code::internal, "the request could not be handled"});
    const Persistence persistence = exchange.persistence();
    if (!wire.send_reply(format(reply, persistence, exchange.request().method == "HEAD"))) {
        return Ending::cut;
    }
    return persistence == Persistence::close ? Ending::close : Ending::keep;
}

// Exceptions end here, with nothing of their text on the wire. Returns what was wrong, or "".
std::string Worker::call_handler(Exchange& exchange) const {
    try {
        m_hooks.handler(exchange.request(), exchange);
    } catch (const std::exception& thrown) {
        return fmt::format("threw {}", quote(thrown.what()));
    } catch (...) {
        return "threw something that is no std::exception";
    }
    const std::optional<Response>& reply = exchange.reply();
    if (exchange.answered_twice()) {
        m_log.error(fmt::format("the handler of {} answered twice: only the first answer was sent",
                                name_of(exchange.request())));
    }
    if (reply && (reply->status < 200 || reply->status > 599)) {
        return fmt::format("answered with status {}", reply->status);
    }
    return reply || exchange.streamed() || exchange.parked() ? "" : "gave no answer";
}

std::string Worker::format(const Response& reply, Persistence persistence, bool head_only) {
    const HeadWriter::Head& head = m_heads.write(reply.status, clean_value(type_of(reply)), reply.body.size());
    constexpr std::size_t k_usual_fields = 600;  // bytes
    std::string bytes;
    bytes.reserve(head.status_line.size() + head.fields.size() + k_usual_fields + reply.body.size());
    bytes += head.status_line;
    append_fields(bytes, reply, m_date);
    bytes += head.fields;
    if (const std::string_view value = connection_value(persistence); !value.empty()) {
        bytes.append("Connection: ").append(value).append("\r\n");
    }
    bytes += "\r\n";
    if (!head_only && !is_bodiless(reply.status)) {
        bytes += reply.body;
    }
    return bytes;
}

}  // namespace mt::http
