#include "http/upstream_reply.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/units.h"

namespace mt::http {

using Moved = IoResult::State;

Error useless_reply(const std::string& name, const std::string& why) {
    return Error{Code::upstream, fmt::format("the reply of {} is no use: {}", name, why)};
}

Result<std::unique_ptr<UpstreamReply::State>> UpstreamReply::State::parse(std::string head_text, bool to_head_request,
                                                                          std::string name) {
    auto state = std::make_unique<State>();
    state->head_text = std::move(head_text);
    state->name = std::move(name);
    Result<ResponseHead> head = parse_response_head(state->head_text, to_head_request);
    if (!head) {
        return useless_reply(state->name, head.error().message);
    }
    state->head = std::move(*head);
    state->body = ReplyBody(state->head.body, state->head.content_length);
    return state;
}

// Where the body has been read to its end the connection goes back, elsewhere it is closed.
void UpstreamReply::State::release() {
    if (connection && body.complete() && reusable && connection->input().empty()) {
        pool->put(std::move(connection));
    }
    connection.reset();
}

// From now on every read says the same.
Error UpstreamReply::State::fail(const Error& why) {
    fault = useless_reply(name, why.message);
    connection.reset();
    return *fault;
}

Result<std::string_view> UpstreamReply::State::read(const Context& context, std::int64_t deadline_ns) {
    if (fault) {
        return *fault;
    }
    Patience patience(context, deadline_ns);
    if (Result<void> there = patience.check(); !there) {
        return std::move(there).error();
    }
    while (connection) {
        Result<std::string_view> piece = body.take(connection->input());
        if (!piece) {
            return fail(piece.error());
        }
        if (!piece->empty()) {
            return piece;
        }
        if (body.complete()) {
            release();
        } else if (Result<void> received = receive(patience); !received) {
            return std::move(received).error();
        }
    }
    return std::string_view{};
}

// Returns when more bytes, or the end, have come. A server that never pauses is stopped by the deadline, too.
Result<void> UpstreamReply::State::receive(Patience& patience) {
    bool late = patience.late();
    while (!late) {
        const IoResult result = connection->read();
        if (result.state == Moved::moved) {
            return {};
        }
        if (result.state != Moved::again) {
            const Result<void> ended = body.end(result.state == Moved::ended);
            return ended ? ended : fail(ended.error());
        }
        const Result<bool> ready = connection->wait(patience, false);
        if (!ready) {
            return ready.error();
        }
        late = !*ready;
    }
    return Error{Code::timeout, fmt::format("{} did not go on with its reply in time", name)};
}

UpstreamReply::UpstreamReply(std::unique_ptr<State> state) : m_state(std::move(state)) {}

UpstreamReply::UpstreamReply(UpstreamReply&& other) noexcept = default;

UpstreamReply& UpstreamReply::operator=(UpstreamReply&& other) noexcept {
    std::swap(m_state, other.m_state);
    return *this;
}

UpstreamReply::~UpstreamReply() {
    if (m_state) {
        m_state->release();
    }
}

int UpstreamReply::status() const {
    return m_state->head.status;
}

std::optional<std::string_view> UpstreamReply::field(std::string_view name) const {
    return m_state->head.field(name);
}

Result<std::string_view> UpstreamReply::read(const Context& context, std::int64_t deadline_ns) {
    return m_state->read(context, deadline_ns);
}

Result<std::string> UpstreamReply::read_all(const Context& context, std::int64_t deadline_ns, std::size_t max_bytes) {
    const Error too_large{Code::upstream, fmt::format("the reply of {} is larger than {}", m_state->name,
                                                      format_size(static_cast<std::int64_t>(max_bytes)))};
    std::string all;
    if (m_state->head.body == ResponseHead::Body::length) {
        all.reserve(std::min(m_state->head.content_length, max_bytes));
    }
    for (;;) {
        Result<std::string_view> piece = read(context, deadline_ns);
        if (!piece) {
            return std::move(piece).error();
        }
        if (piece->size() > max_bytes - all.size()) {
            return too_large;
        }
        if (piece->empty()) {
            return all;
        }
        all.append(*piece);
    }
}

}  // namespace mt::http
