#include "http/upstream_exchange.h"

#include <fmt/core.h>

#include <utility>

namespace mt::http {

using Moved = IoResult::State;

void UpstreamExchange::write() {
    while (!m_unsent.empty()) {
        const IoResult result = m_connection.write(m_unsent);
        if (result.state != Moved::moved) {
            if (result.state != Moved::again) {  // perhaps it has said why
                m_unsent = {};
                m_deaf = true;
            }
            return;
        }
        m_unsent.remove_prefix(result.bytes);
    }
}

Result<std::unique_ptr<UpstreamReply::State>> UpstreamExchange::run(Patience& patience) {
    for (;;) {
        write();
        const IoResult result = m_connection.read();
        if (result.state == Moved::moved) {
            m_heard = true;
            Result<std::unique_ptr<UpstreamReply::State>> reply = look();
            if (!reply || *reply) {
                return reply;
            }
            continue;
        }
        if (result.state != Moved::again) {
            return useless_reply(m_settings.name, m_heard ? "it is cut" : "the connection ended before it");
        }
        const Result<bool> ready = m_connection.wait(patience, !m_unsent.empty());
        if (!ready) {
            return ready.error();
        }
        if (!*ready) {
            return Error{Code::timeout, fmt::format("{} did not answer in time", m_settings.name)};
        }
    }
}

// Null: the head is not whole yet.
Result<std::unique_ptr<UpstreamReply::State>> UpstreamExchange::look() {
    constexpr int k_switching = 101;
    constexpr int k_most_interim = 32;
    InputBuffer& input = m_connection.input();
    for (;;) {
        const Result<std::optional<std::size_t>> size = m_end.find(input.text());
        if (!size) {
            return useless_reply(m_settings.name, size.error().message);
        }
        if (!*size) {
            return std::unique_ptr<UpstreamReply::State>();
        }
        std::string text(input.text().substr(0, **size));
        input.consume(**size);
        Result<std::unique_ptr<UpstreamReply::State>> reply =
            UpstreamReply::State::parse(std::move(text), m_settings.to_head_request, m_settings.name);
        if (!reply || !(*reply)->head.interim()) {
            return reply;
        }
        if ((*reply)->head.status == k_switching || ++m_interim > k_most_interim) {
            return useless_reply(m_settings.name, "it never comes to a final status");
        }
        m_end = HeadEnd(m_settings.max_head);
    }
}

}  // namespace mt::http
