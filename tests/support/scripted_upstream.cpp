#include "support/scripted_upstream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{10};
constexpr std::chrono::minutes k_longest{5};  // no wait of a script is longer

bool same_name(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

int listen_on_loopback(int& port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(name);
    auto* address = static_cast<sockaddr*>(static_cast<void*>(&name));
    constexpr int k_backlog = 4096;
    if (fd < 0 || bind(fd, address, size) != 0 || listen(fd, k_backlog) != 0 || getsockname(fd, address, &size) != 0) {
        throw std::runtime_error("cannot listen on 127.0.0.1");
    }
    port = ntohs(name.sin_port);
    return fd;
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

/// One connection and what the script did to it.
struct ScriptedReply::State {
    enum class Ending { open, unfinished, close, reset };

    explicit State(int connected, const Latch& end) : fd(connected), stopping(end) {}

    bool send_all(std::string_view bytes);
    bool wait(int other, std::chrono::steady_clock::duration patience);
    bool read_request(Recorded& record);
    bool receive();
    void finish();

    int fd;
    const Latch& stopping;
    std::string buffer{};  ///< read but not yet used
    Ending ending = Ending::open;
    std::optional<std::chrono::steady_clock::time_point> left_at{};
};

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

// True when `other` became readable; false after a leave, the end of the server or the time.
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

// False: the client has closed.
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

struct ScriptedUpstream::State {
    struct Connection {
        int fd = -1;
        bool idle = false;     ///< has answered and waits for another request
        bool closing = false;  ///< when it is idle again
        bool done = false;
        std::thread thread{};
    };

    explicit State(Script answers) : script(std::move(answers)), listener(listen_on_loopback(port)) {
        acceptor = std::thread([this] { accept_all(); });
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { stop(); }

    void accept_all();
    void serve(Connection& connection, int index);
    bool answer(ScriptedReply::State& line, Connection& connection, Recorded& record, int index);
    void reap();
    void stop();
    template <class Condition>
    bool wait(const Condition& condition) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, k_patience, condition);
    }

    mutable std::mutex mutex{};
    std::condition_variable changed{};
    Script script;
    std::vector<Recorded> records{};
    std::list<Connection> lines{};
    std::size_t accepted = 0;
    Latch stopping{};
    int port = 0;
    int listener;
    std::thread acceptor{};
};

void ScriptedUpstream::State::accept_all() {
    for (;;) {
        std::array<pollfd, 2> waiting{{{listener, POLLIN, 0}, {stopping.fd(), POLLIN, 0}}};
        poll(waiting.data(), waiting.size(), -1);
        if (waiting[1].revents != 0) {
            return;
        }
        const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        const std::lock_guard lock(mutex);
        reap();
        Connection& connection = lines.emplace_back();
        connection.fd = fd;
        const int index = static_cast<int>(accepted++);
        connection.thread = std::thread([this, &connection, index] { serve(connection, index); });
        changed.notify_all();
    }
}

// Frees what ended connections have left.
void ScriptedUpstream::State::reap() {
    lines.remove_if([](Connection& connection) {
        if (connection.done) {
            connection.thread.join();
        }
        return connection.done;
    });
}

void ScriptedUpstream::State::serve(Connection& connection, int index) {
    ScriptedReply::State line(connection.fd, stopping);
    Recorded record;
    while (line.read_request(record) && answer(line, connection, record, index)) {
    }
    line.finish();
    const std::lock_guard lock(mutex);
    close(connection.fd);
    connection.fd = -1;
    connection.done = true;
    changed.notify_all();
}

// True when the connection is fit for another request.
bool ScriptedUpstream::State::answer(ScriptedReply::State& line, Connection& connection, Recorded& record, int index) {
    Script answers;
    {
        const std::lock_guard lock(mutex);
        record.number = static_cast<int>(records.size());
        record.connection = index;
        records.push_back(record);
        connection.idle = false;
        answers = script;
        changed.notify_all();
    }
    ScriptedReply reply(line);
    answers(record, reply);
    const std::lock_guard lock(mutex);
    records[static_cast<std::size_t>(record.number)].left_at = line.left_at;
    connection.idle = true;
    changed.notify_all();
    return line.ending == ScriptedReply::State::Ending::open && !line.left_at && !connection.closing &&
           !stopping.wait({});
}

void ScriptedUpstream::State::stop() {
    stopping.open();
    acceptor.join();
    close(listener);
    {
        const std::lock_guard lock(mutex);
        for (const Connection& connection : lines) {
            if (connection.fd >= 0) {
                shutdown(connection.fd, SHUT_RDWR);
            }
        }
    }
    for (Connection& connection : lines) {
        connection.thread.join();
    }
}

ScriptedUpstream::ScriptedUpstream(Script script) : m_state(std::make_unique<State>(std::move(script))) {}

ScriptedUpstream::~ScriptedUpstream() = default;

int ScriptedUpstream::port() const {
    return m_state->port;
}

std::string ScriptedUpstream::url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(m_state->port) + path;
}

void ScriptedUpstream::set_script(Script script) {
    const std::lock_guard lock(m_state->mutex);
    m_state->script = std::move(script);
}

void ScriptedUpstream::close_idle() {
    const std::lock_guard lock(m_state->mutex);
    for (State::Connection& connection : m_state->lines) {
        connection.closing = true;
        if (connection.fd >= 0 && connection.idle) {
            shutdown(connection.fd, SHUT_RDWR);
        }
    }
}

std::vector<Recorded> ScriptedUpstream::requests() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->records;
}

std::size_t ScriptedUpstream::request_count() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->records.size();
}

std::size_t ScriptedUpstream::connections() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->accepted;
}

std::size_t ScriptedUpstream::open_connections() const {
    const std::lock_guard lock(m_state->mutex);
    return static_cast<std::size_t>(std::count_if(m_state->lines.begin(), m_state->lines.end(),
                                                  [](const State::Connection& line) { return !line.done; }));
}

bool ScriptedUpstream::wait_for_requests(std::size_t count) const {
    return m_state->wait([&] { return m_state->records.size() >= count; });
}

bool ScriptedUpstream::wait_for_departures(std::size_t count) const {
    return m_state->wait([&] {
        const auto gone = std::count_if(m_state->records.begin(), m_state->records.end(),
                                        [](const Recorded& record) { return record.left_at.has_value(); });
        return static_cast<std::size_t>(gone) >= count;
    });
}

bool ScriptedUpstream::wait_for_open(std::size_t at_most) const {
    return m_state->wait([&] {
        return static_cast<std::size_t>(std::count_if(m_state->lines.begin(), m_state->lines.end(),
                                                      [](const State::Connection& line) { return !line.done; })) <=
               at_most;
    });
}

}  // namespace mt::test
