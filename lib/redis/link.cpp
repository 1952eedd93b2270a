#include "redis/link.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <optional>
#include <thread>
#include <utility>

#include "base/blocking.h"
#include "redis/connection.h"
#include "redis/link_queue.h"

namespace mt::redis {
namespace {

constexpr std::chrono::milliseconds k_between_attempts{250};
constexpr std::chrono::milliseconds k_doze{1};           // a post waits at most so long without waking anybody
constexpr std::chrono::microseconds k_gather{200};       // commands come together so long while answers are awaited
constexpr std::chrono::nanoseconds k_expiry{1'000'000};  // between looks for guests whose time is over
constexpr std::chrono::milliseconds k_confirm{50};       // between looks at a Backend that is to be told of the return

}  // namespace

// The thread owns the connection; callers reach it through the queue alone. A caller that finds reason to close the
// connection asks for it.
struct Link::State {
    State(LinkOptions chosen, const Clock& time, Log& log)
        : options(std::move(chosen)),
          clock(time),
          backend(options.name, "redis", time, log),
          queue(options.most_posted),
          m_wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        m_thread = std::jthread([this](const std::stop_token& stop) { serve(stop); });
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
        m_thread.request_stop();
        wake();
        m_thread.join();
        close(m_wake);
    }

    // What came of a run that has ended.
    Result<Reply> outcome(const CircuitBreaker::Pass& pass, LinkWaiter& waiter);
    Result<Reply> judge(const CircuitBreaker::Pass& pass, Answer& answer);
    // A reply that is late.
    Error missed(const CircuitBreaker::Pass& pass, const std::string& fault);
    void wake() const;

    const LinkOptions options;
    const Clock& clock;
    Backend backend;
    LinkQueue queue;
    std::atomic<bool> connected{false};
    std::atomic<std::int64_t> failed_posts{0};

  private:
    void serve(const std::stop_token& stop);
    void connect(const std::stop_token& stop);
    void turn();
    Result<void> exchange();
    Result<void> read();
    [[nodiscard]] Result<void> wait();
    void drop(const std::string& fault, bool outage);
    void pause(std::int64_t until_ns, const std::stop_token& stop) const;
    void request_close(bool primary);
    void judge_post(const std::string& error);

    std::atomic<int> m_missed{0};  // in a row
    std::atomic<bool> m_close{false};
    std::atomic<bool> m_primary{false};  // the last server refused writes: ask the next one for its role
    const int m_wake;
    // The thread's own:
    std::unique_ptr<Connection> m_connection;
    std::string m_out;       // taken from the queue
    std::size_t m_sent = 0;  // bytes of it
    std::int64_t m_next_attempt_ns = 0;
    bool m_awaited = false;  // answers are
    std::int64_t m_heard_ns = 0;
    std::int64_t m_next_expiry_ns = 0;
    bool m_dozed = false;
    std::vector<Answer> m_answers;
    std::jthread m_thread;  // last: ends first
};

class Link::Guest final : public LinkGuest {
  public:
    Guest(Link::State& state, const CircuitBreaker::Pass& pass, Call call, std::int64_t until_ns, Done done)
        : LinkGuest(std::move(call), until_ns), m_state(state), m_pass(pass), m_done(std::move(done)) {}

    void ended() override { m_done(m_state.outcome(m_pass, *this)); }

  private:
    Link::State& m_state;
    const CircuitBreaker::Pass m_pass;
    const Done m_done;
};

void Link::State::wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = write(m_wake, &one, sizeof one);  // full: it will wake up anyway
}

void Link::State::request_close(bool primary) {
    if (primary) {
        m_primary = true;
    }
    m_close = true;
    wake();
}

Error Link::State::missed(const CircuitBreaker::Pass& pass, const std::string& fault) {
    if (m_missed.fetch_add(1) + 1 < options.failures && !pass.probe) {
        backend.unknown(pass);
        return away(options.name, fault);
    }
    request_close(false);
    return backend.failed(pass, fault);
}

Result<Reply> Link::State::judge(const CircuitBreaker::Pass& pass, Answer& answer) {
    if (m_missed.load(std::memory_order_relaxed) != 0) {
        m_missed = 0;
    }
    const Meaning meaning = answer.error ? meaning_of(*answer.error) : Meaning::refused;
    if (meaning == Meaning::elsewhere || meaning == Meaning::away) {
        if (meaning == Meaning::elsewhere) {
            request_close(word_of(*answer.error) == "READONLY");
        }
        return backend.failed(pass, "the server answers " + word_of(*answer.error));
    }
    backend.succeeded(pass);
    if (!answer.error) {
        return std::move(answer.reply);
    }
    return meaning == Meaning::full ? out_of_memory(options.name) : refused(*answer.error);
}

Result<Reply> Link::State::outcome(const CircuitBreaker::Pass& pass, LinkWaiter& waiter) {
    if (waiter.state() == LinkWaiter::answered) {
        return judge(pass, waiter.answer());
    }
    if (waiter.state() == LinkWaiter::late) {
        return missed(pass, "replies come too late");
    }
    backend.unknown(pass);
    return away(options.name, "the connection was lost");
}

void Link::State::judge_post(const std::string& error) {
    failed_posts.fetch_add(1, std::memory_order_relaxed);
    const Meaning meaning = meaning_of(error);
    if (meaning != Meaning::elsewhere && meaning != Meaning::away) {
        return;
    }
    if (meaning == Meaning::elsewhere) {
        request_close(word_of(error) == "READONLY");
    }
    if (const Result<CircuitBreaker::Pass> pass = backend.try_use(); pass) {
        [[maybe_unused]] const Error told = backend.failed(*pass, "the server answers " + word_of(error));
    }
}

void Link::State::serve(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        if (m_connection == nullptr) {
            connect(stop);
        } else {
            turn();
        }
    }
    connected = false;
    queue.lose_all();
}

void Link::State::connect(const std::stop_token& stop) {
    pause(m_next_attempt_ns, stop);
    m_next_attempt_ns = Deadline::in(k_between_attempts, clock).until_ns;
    Result<std::unique_ptr<Connection>> opened =
        Connection::open({options.address, m_primary.load()}, Deadline::in(options.connect_timeout, clock));
    if (!opened) {
        drop(opened.error().message, true);
        return;
    }
    m_close = false;
    m_primary = false;
    m_missed = 0;
    m_connection = std::move(*opened);
    queue.open();
    connected = true;
}

void Link::State::pause(std::int64_t until_ns, const std::stop_token& stop) const {
    const Deadline deadline{clock, until_ns};
    for (int left = deadline.left_ms(); left > 0 && !stop.stop_requested(); left = deadline.left_ms()) {
        pollfd watched{.fd = m_wake, .events = POLLIN, .revents = 0};
        if (poll(&watched, 1, left) == 0) {
            return;
        }
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t ignored = ::read(m_wake, &count, sizeof count);
    }
}

// `outage`: not only this connection is gone.
void Link::State::drop(const std::string& fault, bool outage) {
    connected = false;
    m_connection.reset();
    m_out.clear();
    m_sent = 0;
    m_awaited = false;
    if (outage && backend.is_up()) {
        if (const Result<CircuitBreaker::Pass> pass = backend.try_use(); pass) {
            [[maybe_unused]] const Error told = backend.failed(*pass, fault);
        }
    }
    queue.lose_all();
}

void Link::State::turn() {
    if (!backend.is_up()) {
        if (const Result<CircuitBreaker::Pass> pass = backend.try_use(); pass) {
            backend.succeeded(*pass);
        }
    }
    if (m_close.exchange(false)) {
        drop("closed after a fault", false);
        return;
    }
    if (m_awaited && clock.boot_ns() >= m_next_expiry_ns) {
        m_next_expiry_ns = clock.boot_ns() + k_expiry.count();
        queue.expire(clock.boot_ns());
    }
    if (Result<void> done = exchange(); !done) {
        drop(done.error().message, done.error().code == Code::timeout);
    }
}

Result<void> Link::State::exchange() {
    if (m_out.empty()) {
        const LinkQueue::Thread idle = m_dozed ? LinkQueue::Thread::asleep : LinkQueue::Thread::dozing;
        const bool before = std::exchange(m_awaited, queue.take(m_out, idle));
        m_heard_ns = m_awaited && !before ? clock.boot_ns() : m_heard_ns;
    }
    if (!m_out.empty()) {
        Result<std::size_t> sent = m_connection->send_some(std::string_view(m_out).substr(m_sent));
        if (!sent) {
            return std::move(sent).error();
        }
        m_sent += *sent;
        if (m_sent == m_out.size()) {
            m_out.clear();
            m_sent = 0;
        }
    }
    return wait();
}

Result<void> Link::State::wait() {
    std::optional<std::chrono::nanoseconds> time;
    if (m_awaited) {
        time = k_gather;
    } else if (!m_dozed) {
        time = k_doze;
    } else if (!backend.is_up()) {
        time = k_confirm;
    }
    const short events = m_out.empty() ? POLLIN : POLLIN | POLLOUT;
    std::array<pollfd, 2> watched{{{m_connection->fd(), events, 0}, {m_wake, POLLIN, 0}}};
    const timespec limit{.tv_sec = 0, .tv_nsec = static_cast<long>(time.value_or(k_doze).count())};
    const int ready = ppoll(watched.data(), watched.size(), time ? &limit : nullptr, nullptr);
    m_dozed = ready == 0 && !m_awaited;
    if (watched[1].revents != 0) {
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t ignored = ::read(m_wake, &count, sizeof count);
    }
    if ((watched[0].revents & ~POLLOUT) != 0) {
        return read();
    }
    if (ready == 0 && m_awaited && clock.boot_ns() - m_heard_ns > std::chrono::nanoseconds{options.silence}.count()) {
        return Error{Code::timeout, "no reply in time"};
    }
    return {};
}

Result<void> Link::State::read() {
    m_answers.clear();
    if (Result<void> read = m_connection->receive_some(m_answers); !read) {
        return read;
    }
    m_heard_ns = clock.boot_ns();
    std::vector<std::string> errors;
    if (!queue.deliver(m_answers, errors)) {
        return Error{Code::unavailable, "the server answers unasked"};
    }
    for (const std::string& error : errors) {
        judge_post(error);
    }
    return {};
}

Link::Link(LinkOptions options, const Clock& clock, Log& log)
    : m_state(std::make_unique<State>(std::move(options), clock, log)) {}

Link::~Link() = default;

Result<Reply> Link::run(const Call& call, std::chrono::milliseconds budget) {
    State& state = *m_state;
    const Result<CircuitBreaker::Pass> pass = state.backend.try_use();
    if (!pass) {
        return pass.error();
    }
    if (pass->probe && !state.connected) {
        return state.backend.failed(*pass, "no connection yet");
    }
    const Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region) {
        state.backend.unknown(*pass);
        return region.error();
    }
    LinkWaiter waiter(call);
    if (state.queue.push(waiter)) {
        state.wake();
    }
    if (!waiter.wait_for(budget, state.clock)) {
        state.queue.withdraw(waiter);
    }
    return state.outcome(*pass, waiter);
}

bool Link::begin(Call call, std::chrono::milliseconds budget, Done done) {
    State& state = *m_state;
    if (!state.connected || !state.backend.is_up()) {
        return false;
    }
    const Result<CircuitBreaker::Pass> pass = state.backend.try_use();
    if (!pass) {
        return false;
    }
    const std::int64_t until_ns = Deadline::in(budget, state.clock).until_ns;
    const std::optional<bool> idle =
        state.queue.push(std::make_unique<Guest>(state, *pass, std::move(call), until_ns, std::move(done)));
    if (!idle) {
        state.backend.unknown(*pass);
        return false;
    }
    if (*idle) {
        state.wake();
    }
    return true;
}

void Link::post(Call call) {
    if (!m_state->backend.is_up()) {
        m_state->queue.count_dropped();
        return;
    }
    if (m_state->queue.post(std::move(call))) {
        m_state->wake();
    }
}

BackendStatus Link::status() const {
    BackendStatus status = m_state->backend.status();
    status.failures += m_state->failed_posts.load(std::memory_order_relaxed);
    return status;
}

Link::Counts Link::counts() const {
    const LinkQueue::Counts counts = m_state->queue.counts();
    return {counts.runs, counts.posts, counts.batches, counts.late, counts.dropped};
}

}  // namespace mt::redis
