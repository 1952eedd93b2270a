// What a script says on one connection.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "support/scripted_line.h"

namespace mt::test {
namespace {

constexpr std::chrono::minutes k_longest{5};  // no wait of a script is longer

bool same_name(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::string reason_of(int status) {
    return status == 200 ? "OK" : status == 429 ? "Too Many Requests" : "Scripted";
}

std::string head_of(int status, const ScriptFields& fields, const ScriptFields& defaults) {
    std::string head = "HTTP/1.1 " + std::to_string(status) + " " + reason_of(status) + "\r\n";
    for (const auto& [name, value] : fields) {
        head += name + ": " + value + "\r\n";
    }
    for (const auto& [name, value] : defaults) {
        const bool given = std::any_of(fields.begin(), fields.end(),
                                       [&, &key = name](const auto& field) { return same_name(field.first, key); });
        head += given ? "" : name + ": " + value + "\r\n";
    }
    return head + "\r\n";
}

std::string chunk_of(std::string_view bytes) {
    std::array<char, 20> size{};
    const int digits = std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
    std::string chunk(size.data(), static_cast<std::size_t>(digits));
    return chunk.append(bytes).append("\r\n");
}

int milliseconds(std::chrono::steady_clock::duration time) {
    const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(time).count();
    return static_cast<int>(std::clamp<std::int64_t>(rounded, 0, 1'000'000));
}

// Splits a head into a record. Tests send heads that are in order.
Recorded parse(std::string_view head) {
    Recorded record;
    std::size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const std::size_t blank = line.find(' ');
    record.method = line.substr(0, blank);
    record.target = line.substr(blank + 1, line.rfind(' ') - blank - 1);
    for (head.remove_prefix(end + 2); !head.empty(); head.remove_prefix(end + 2)) {
        end = head.find("\r\n");
        const std::string_view field = head.substr(0, end);
        const std::size_t colon = field.find(':');
        if (colon != std::string_view::npos) {
            const std::size_t start = std::min(field.find_first_not_of(' ', colon + 1), field.size());
            record.fields.emplace_back(field.substr(0, colon), field.substr(start));
        }
    }
    return record;
}

}  // namespace

Latch::Latch() : m_fd(eventfd(0, EFD_CLOEXEC)) {}

Latch::~Latch() {
    close(m_fd);
}

void Latch::open() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(m_fd, &one, sizeof(one));
}

bool Latch::wait(std::chrono::milliseconds patience) const {
    pollfd waiting{m_fd, POLLIN, 0};
    return poll(&waiting, 1, milliseconds(patience)) > 0;
}

std::string Recorded::field(std::string_view name) const {
    for (const auto& [key, value] : fields) {
        if (same_name(key, name)) {
            return value;
        }
    }
    return "";
}

bool ScriptedReply::State::send_all(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            left_at = left_at ? left_at : std::chrono::steady_clock::now();
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    }
    return true;
}

bool ScriptedReply::State::wait(int other, std::chrono::steady_clock::duration patience) {
    std::array<pollfd, 3> waiting{{{other, POLLIN, 0}, {fd, POLLRDHUP, 0}, {stopping.fd(), POLLIN, 0}}};
    poll(waiting.data(), waiting.size(), milliseconds(patience));
    if (waiting[0].revents != 0) {
        return true;
    }
    if (waiting[1].revents != 0 && !left_at) {
        left_at = std::chrono::steady_clock::now();
    }
    return false;
}

bool ScriptedReply::State::receive() {
    std::array<char, 65536> bytes{};
    const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
    buffer.append(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return got > 0;
}

bool ScriptedReply::State::read_request(Recorded& record) {
    std::size_t end = 0;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
        if (!receive()) {
            return false;
        }
    }
    record = parse(std::string_view(buffer).substr(0, end + 2));
    const std::string length = record.field("Content-Length");
    const std::size_t size = length.empty() ? 0 : std::stoul(length);
    while (buffer.size() < end + 4 + size) {
        if (!receive()) {
            return false;
        }
    }
    record.body = buffer.substr(end + 4, size);
    buffer.erase(0, end + 4 + size);
    ending = Ending::open;
    left_at.reset();
    return true;
}

void ScriptedReply::State::finish() {
    if (ending == Ending::reset) {
        const linger at_once{1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    } else {
        shutdown(fd, SHUT_WR);
    }
}

bool ScriptedReply::send(int status, std::string_view body, const ScriptFields& fields) {
    std::string reply = head_of(
        status, fields, {{"Content-Type", "application/json"}, {"Content-Length", std::to_string(body.size())}});
    return m_state.send_all(reply.append(body));
}

bool ScriptedReply::start_stream(int status, const ScriptFields& fields) {
    m_state.ending = State::Ending::unfinished;
    return m_state.send_all(
        head_of(status, fields, {{"Content-Type", "text/event-stream"}, {"Transfer-Encoding", "chunked"}}));
}

bool ScriptedReply::event(std::string_view data) {
    return chunk(std::string("data: ").append(data).append("\n\n"));
}

bool ScriptedReply::chunk(std::string_view bytes) {
    return bytes.empty() || m_state.send_all(chunk_of(bytes));
}

bool ScriptedReply::finish() {
    m_state.ending = State::Ending::open;
    return m_state.send_all("0\r\n\r\n");
}

bool ScriptedReply::raw(std::string_view bytes) {
    return m_state.send_all(bytes);
}

bool ScriptedReply::wait_for(const Latch& latch) {
    return m_state.wait(latch.fd(), k_longest);
}

bool ScriptedReply::wait_until_gone(std::chrono::milliseconds patience) {
    m_state.wait(-1, patience);
    return m_state.left_at.has_value();
}

void ScriptedReply::keep_silent() {
    m_state.wait(-1, k_longest);
    cut();
}

void ScriptedReply::cut() {
    m_state.ending = State::Ending::close;
}

void ScriptedReply::reset() {
    m_state.ending = State::Ending::reset;
}

}  // namespace mt::test
