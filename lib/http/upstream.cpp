#include "http/upstream.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "base/text.h"
#include "http/connector.h"
#include "http/grammar.h"
#include "http/request_head.h"
#include "http/upstream_exchange.h"
#include "http/upstream_pool.h"
#include "http/upstream_reply.h"
#include "http/upstream_wait.h"

namespace mt::http {
namespace {

// What steers the framing is written by this room; a tunnel has no reply in the sense of this interface.
Result<void> check(const UpstreamRequest& request) {
    constexpr std::array<std::string_view, 3> k_own{"host", "content-length", "transfer-encoding"};
    if (request.method == "CONNECT") {
        return Error{Code::invalid, "CONNECT is no request to an upstream"};
    }
    for (const auto& field : request.fields) {
        const auto same = [&](std::string_view own) { return equal_ignoring_case(field.first, own); };
        if (std::any_of(k_own.begin(), k_own.end(), same)) {
            return Error{Code::invalid, fmt::format("header field {} is not to be given", quote(field.first))};
        }
    }
    return check_request(request.method, request.target, request.fields);
}

bool asks_to_close(const Fields& fields) {
    return std::any_of(fields.begin(), fields.end(), [](const auto& field) {
        return equal_ignoring_case(field.first, "connection") && list_has(field.second, "close");
    });
}

// Head and body in one piece, for one system call.
std::string write_request(const UpstreamRequest& request, const std::string& host) {
    constexpr std::size_t k_usual_head = 512;
    std::string text;
    text.reserve(k_usual_head + request.body.size());
    text.append(request.method).append(" ").append(request.target).append(" HTTP/1.1\r\nHost: ").append(host);
    for (const auto& [name, value] : request.fields) {
        text.append("\r\n").append(name).append(": ").append(value);
    }
    // RFC 9110 section 8.6: a method that could have content says when there is none.
    const bool silent = request.body.empty() && (request.method == "GET" || request.method == "HEAD");
    if (!silent) {
        text.append("\r\nContent-Length: ").append(std::to_string(request.body.size()));
    }
    return text.append("\r\n\r\n").append(request.body);
}

}  // namespace

struct Upstream::State {
    State(const Url& url, const UpstreamOptions& options)
        : name(server_name(url)),
          host(host_field(url)),
          max_head(options.max_head),
          connector(url, options),
          pool(std::make_shared<UpstreamPool>(options.max_idle, options.idle_time)) {}

    std::string name;
    std::string host;
    std::size_t max_head;
    Connector connector;
    std::shared_ptr<UpstreamPool> pool;  ///< replies that outlive this give their connections to it all the same
};

Upstream::Upstream(const Url& url, const UpstreamOptions& options) : m_state(std::make_shared<State>(url, options)) {}

Upstream::~Upstream() = default;

Result<UpstreamReply> Upstream::send(const UpstreamRequest& request, const Context& context, std::int64_t deadline_ns) {
    if (Result<void> checked = check(request); !checked) {
        return std::move(checked).error();
    }
    Patience patience(context, deadline_ns);
    if (Result<void> there = patience.check(); !there) {
        return std::move(there).error();
    }
    if (patience.late()) {
        return Error{Code::timeout, fmt::format("no connection to {} in time", m_state->name), "connect"};
    }
    const std::string text = write_request(request, m_state->host);
    const UpstreamExchange::Settings settings{m_state->name, m_state->max_head, request.method == "HEAD"};
    std::unique_ptr<UpstreamConnection> connection = m_state->pool->take();
    for (;;) {
        const bool reused = connection != nullptr;
        if (!reused) {
            Result<std::unique_ptr<UpstreamConnection>> fresh = m_state->connector.connect(patience);
            if (!fresh) {
                return std::move(fresh).error();
            }
            connection = std::move(*fresh);
        }
        UpstreamExchange exchange(*connection, text, settings);
        Result<std::unique_ptr<UpstreamReply::State>> reply = exchange.run(patience);
        if (!exchange.sent()) {
            connection->reset_when_closed();
        }
        if (reply) {
            UpstreamReply::State& state = **reply;
            state.reusable = state.head.keep_alive && exchange.sent() && !asks_to_close(request.fields);
            state.pool = m_state->pool;
            state.connection = std::move(connection);
            return UpstreamReply(std::move(*reply));
        }
        // The server has closed the kept connection meanwhile, and seen nothing of the request.
        if (!reused || !exchange.unheard() || reply.error().code != Code::upstream) {
            return std::move(reply).error();
        }
        connection.reset();
    }
}

std::size_t Upstream::idle_connections() const {
    return m_state->pool->size();
}

const std::string& Upstream::name() const {
    return m_state->name;
}

}  // namespace mt::http
