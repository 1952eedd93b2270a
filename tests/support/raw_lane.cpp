#include "support/raw_lane.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>

namespace mt::test {
namespace {

constexpr std::size_t k_compact_at = 256UL * 1024;
constexpr timeval k_patience{30, 0};

http::UniqueFd connect_to(int port) {
    http::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &k_patience, sizeof(k_patience));
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &k_patience, sizeof(k_patience));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
        fd.reset();
    }
    return fd;
}

// The number that a text begins with, 0 when it begins with none.
template <class Number>
Number number_at(std::string_view text) {
    Number number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

}  // namespace

std::string_view LaneReply::field(std::string_view name) const {
    std::string_view rest = head;
    for (std::size_t line = rest.find("\r\n"); line != std::string_view::npos; line = rest.find("\r\n")) {
        rest.remove_prefix(line + 2);
        if (rest.starts_with(name) && rest.substr(name.size()).starts_with(": ")) {
            rest.remove_prefix(name.size() + 2);
            return rest.substr(0, rest.find("\r\n"));
        }
    }
    return {};
}

RawLane::RawLane(int port) : m_fd(connect_to(port)), m_cut(!m_fd) {}

void RawLane::send(std::string_view request, std::size_t mark) {
    m_out += request;
    m_marks.push_back(mark);
}

// Where nothing can be sent any more there may still be replies to be read.
void RawLane::flush() {
    std::string_view rest = m_out;
    while (!rest.empty()) {
        const ssize_t sent = ::send(m_fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent <= 0) {
            break;
        }
        rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    m_out.clear();
}

std::optional<LaneReply> RawLane::reply() {
    std::optional<LaneReply> next = take();
    if (!next) {
        flush();
    }
    while (!next && receive(0)) {
        next = take();
    }
    return next;
}

std::optional<LaneReply> RawLane::reply_at_hand() {
    std::optional<LaneReply> next = take();
    while (!next && receive(MSG_DONTWAIT)) {
        next = take();
    }
    return next;
}

bool RawLane::receive(int flags) {
    if (m_cut) {
        return false;
    }
    std::array<char, 32768> bytes{};
    const ssize_t got = recv(m_fd.get(), bytes.data(), bytes.size(), flags);
    if (got > 0) {
        m_in.append(bytes.data(), static_cast<std::size_t>(got));
        return true;
    }
    const bool nothing_yet = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    m_timed_out = nothing_yet && flags == 0;
    m_cut = !nothing_yet || m_timed_out;
    return false;
}

std::optional<LaneReply> RawLane::take() {
    if (m_taken > k_compact_at) {
        m_in.erase(0, m_taken);
        m_taken = 0;
    }
    constexpr std::size_t k_status_at = 9;  // "HTTP/1.1 200"
    const std::string_view all = std::string_view(m_in).substr(m_taken);
    const std::size_t head_size = all.find("\r\n\r\n");
    if (head_size == std::string_view::npos || m_marks.empty()) {
        return std::nullopt;
    }
    LaneReply reply;
    reply.head = all.substr(0, head_size + 4);
    reply.status = number_at<int>(reply.head.substr(k_status_at));
    const auto length = number_at<std::size_t>(reply.field("Content-Length"));
    if (all.size() - reply.head.size() < length) {
        return std::nullopt;
    }
    reply.body = all.substr(reply.head.size(), length);
    reply.mark = m_marks.front();
    m_marks.pop_front();
    m_taken += reply.head.size() + length;
    return reply;
}

}  // namespace mt::test
