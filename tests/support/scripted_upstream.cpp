#include "support/scripted_upstream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "support/scripted_line.h"

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{10};

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

}  // namespace

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
