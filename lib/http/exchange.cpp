#include "http/exchange.h"

#include <fmt/core.h>

#include <iterator>
#include <utility>

namespace mt::http {
namespace {

constexpr std::size_t k_most_read_twice = 16UL * 1024;  // bytes of a body

}  // namespace

void BodyStream::open(std::string_view head, Coding coding) {
    m_coding = coding;
    m_broken = !m_wire->begin_stream(head);
}

bool BodyStream::write(std::string_view piece) {
    m_broken = m_broken || m_wire->client_gone();
    // A chunk of no bytes would end the body.
    if (m_broken || m_finished || m_coding == Coding::none || piece.empty()) {
        return !m_broken && !m_finished;
    }
    if (m_coding == Coding::plain) {
        m_broken = !m_wire->send_all(piece);
        return !m_broken;
    }
    m_buffer.clear();
    fmt::format_to(std::back_inserter(m_buffer), "{:x}\r\n", piece.size());
    m_buffer.append(piece).append("\r\n");
    m_broken = !m_wire->send_all(m_buffer);
    return !m_broken;
}

void BodyStream::finish() {
    if (!m_finished && !m_broken && m_coding == Coding::chunked) {
        m_broken = !m_wire->send_all("0\r\n\r\n");
    }
    m_finished = true;
}

void Exchange::send(Response response) {
    if (m_streamed || m_reply) {
        m_answered_twice = true;
        return;
    }
    m_reply = std::move(response);
}

StreamWriter& Exchange::start_stream(Response head) {
    if (m_streamed || m_reply) {
        m_answered_twice = true;
        return m_stream;
    }
    m_streamed = true;
    head.status = head.status < 200 || head.status > 599 ? 500 : head.status;
    using Coding = BodyStream::Coding;
    const bool bodiless = m_parts.message.request.method == "HEAD" || is_bodiless(head.status);
    const Coding wanted = m_parts.message.http11 ? Coding::chunked : Coding::plain;
    if (wanted == Coding::plain && !bodiless) {
        m_persistence = Persistence::close;
    }
    const bool announce = wanted == Coding::chunked && !is_bodiless(head.status);
    m_stream.open(format_head(head, persistence(), announce ? "Transfer-Encoding: chunked\r\n" : "", m_parts.date),
                  bodiless ? Coding::none : wanted);
    return m_stream;
}

// To read a large body again costs more than a change of threads.
Parking* Exchange::parking() {
    const bool small = m_parts.message.request.body.size() <= k_most_read_twice;
    return small && !m_streamed && !m_reply ? &m_parts.parking : nullptr;
}

Persistence Exchange::persistence() {
    if (!m_persistence) {
        const bool keep = m_parts.message.keep_alive && !m_parts.draining.load();
        const Persistence kept = m_parts.message.http11 ? Persistence::keep : Persistence::keep_http10;
        m_persistence = keep ? kept : Persistence::close;
    }
    return *m_persistence;
}

Ending Exchange::stream_ending() {
    if (!m_stream.complete()) {
        return Ending::cut;
    }
    return persistence() == Persistence::close ? Ending::close : Ending::keep;
}

}  // namespace mt::http
