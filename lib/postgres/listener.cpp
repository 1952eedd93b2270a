#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/blocking.h"
#include "postgres/connection.h"

namespace mt::postgres {
namespace {

using RealTime = std::chrono::steady_clock;

constexpr std::chrono::milliseconds k_retry_pause{500};
// Silence after which the server is asked whether it is still there: a half-open connection looks like a quiet one.
constexpr std::chrono::seconds k_silence{5};

}  // namespace

struct Listener::State {
    State(PoolOptions given, std::string given_channel)
        : options(std::move(given)),
          channel(std::move(given_channel)),
          wake_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { close(wake_fd); }

    bool connect();
    void lose();
    bool wait_once(RealTime::time_point until);
    bool take_wake() const;
    bool read_connection();

    const PoolOptions options;
    const std::string channel;
    const int wake_fd;
    std::atomic<bool> hears{false};
    Customs customs;
    std::unique_ptr<Connection> connection;
    RealTime::time_point next_try{};
    RealTime::time_point last_sign{};  // of the server's life
};

// True when it can hear now.
bool Listener::State::connect() {
    next_try = RealTime::now() + k_retry_pause;
    Connection::Opening opening = Connection::open(options, customs, wake_fd);
    if (!opening.connection) {
        return false;
    }
    const Result<bool> direct = opening.connection->is_direct();
    if (!direct || !*direct || !opening.connection->script("LISTEN " + quote_name(channel))) {
        return false;
    }
    connection = std::move(opening.connection);
    last_sign = RealTime::now();
    hears = true;
    return true;
}

void Listener::State::lose() {
    connection.reset();
    hears = false;
}

bool Listener::State::take_wake() const {
    std::uint64_t count = 0;
    return read(wake_fd, &count, sizeof(count)) > 0;
}

// True when the caller is to know something.
bool Listener::State::read_connection() {
    const Result<int> taken = connection->take_notifications();
    if (!taken) {
        lose();
        return true;
    }
    last_sign = RealTime::now();
    return *taken > 0;
}

// One turn of waiting. True when the caller is to know something.
bool Listener::State::wait_once(RealTime::time_point until) {
    const RealTime::time_point turn = std::min(until, connection ? last_sign + k_silence : next_try);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(turn - RealTime::now()).count();
    std::array<pollfd, 2> fds{{{wake_fd, POLLIN, 0}, {connection ? connection->socket() : -1, POLLIN, 0}}};
    const int ready = poll(fds.data(), fds.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (take_wake()) {
        return true;
    }
    if (ready > 0 && fds[1].revents != 0) {
        return read_connection();
    }
    if (connection && RealTime::now() >= last_sign + k_silence) {
        if (!connection->script("SELECT 1")) {
            lose();
            return true;
        }
        return read_connection();  // notifications come with an answer, too
    }
    return false;
}

Listener::Listener(PoolOptions options, std::string channel, const Clock& /*clock*/)
    : m_state(std::make_unique<State>(std::move(options), std::move(channel))) {}

Listener::~Listener() = default;

void Listener::wait(std::chrono::milliseconds at_most) {
    const Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region) {
        return;
    }
    const RealTime::time_point until = RealTime::now() + at_most;
    do {
        if (m_state->take_wake()) {
            return;
        }
        if (!m_state->connection && RealTime::now() >= m_state->next_try && m_state->connect()) {
            return;
        }
        if (m_state->wait_once(until)) {
            return;
        }
    } while (RealTime::now() < until);
}

void Listener::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(m_state->wake_fd, &one, sizeof(one));
}

bool Listener::hears() const {
    return m_state->hears;
}

}  // namespace mt::postgres
