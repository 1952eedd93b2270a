#include "postgres/pool.h"

#include <fmt/core.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/blocking.h"
#include "postgres/connection.h"
#include "postgres/session.h"

namespace mt::postgres {
namespace {

using RealTime = std::chrono::steady_clock;

constexpr std::string_view k_no_more_connections = "53300";
// After the server has refused one more connection, how long those that are there must do.
constexpr std::chrono::seconds k_make_do{1};

}  // namespace

// A connection is idle in m_idle, or lent, or being opened; the latter two are counted as `away`. Waiters wait for one
// to come back, for room to open one, and for the server's going down, which makes waiting pointless.
struct Pool::State {
    State(PoolOptions given, const Clock& clock, Log& given_log)
        : options(std::move(given)), log(given_log), backend(options.name, "postgres", clock, given_log) {}

    using Lent = std::unique_ptr<Connection>;

    Result<Lent> borrow(CircuitBreaker::Pass& pass);
    Result<Lent> take(RealTime::time_point until);
    Result<Lent> open(const CircuitBreaker::Pass& pass, bool& again);
    void give_back(Lent connection, const CircuitBreaker::Pass& pass);
    void tell_customs();

    const PoolOptions options;
    Log& log;
    Backend backend;
    Customs customs;
    std::atomic<bool> told_unnamed{false};
    std::atomic<bool> told_settings{false};
    std::mutex mutex;  // guards the rest
    std::condition_variable changed;
    std::vector<Lent> idle;
    int away = 0;
    RealTime::time_point make_do_until{};
};

// Null: there is room, and the caller opens one. Counts the connection as away.
Result<Pool::State::Lent> Pool::State::take(RealTime::time_point until) {
    std::unique_lock lock(mutex);
    while (true) {
        const bool may_open = away + std::ssize(idle) < options.connections && RealTime::now() >= make_do_until;
        if (!idle.empty() || may_open) {
            ++away;
            Lent connection;
            if (!idle.empty()) {
                connection = std::move(idle.back());
                idle.pop_back();
            }
            return connection;
        }
        if (!backend.is_up()) {
            return unavailable_error(fmt::format("{}: it is away, and others try it", options.name));
        }
        const RealTime::time_point turn = make_do_until > RealTime::now() ? std::min(until, make_do_until) : until;
        if (changed.wait_until(lock, turn) == std::cv_status::timeout && RealTime::now() >= until) {
            return Error{.code = Code::busy,
                         .message = "too much is asked of the database: try again",
                         .retry_after = std::chrono::seconds{1},
                         .detail = fmt::format("{}: all {} connections are in use", options.name, options.connections)};
        }
    }
}

// Opens a connection for a place that is counted as away. `again`: others may come free.
Result<Pool::State::Lent> Pool::State::open(const CircuitBreaker::Pass& pass, bool& again) {
    Connection::Opening opening = Connection::open(options, customs);
    tell_customs();
    if (opening.connection) {
        return std::move(opening.connection);
    }
    const std::lock_guard lock(mutex);
    --away;
    if (opening.refusal.sqlstate == k_no_more_connections && away + std::ssize(idle) > 0) {
        make_do_until = RealTime::now() + k_make_do;
        again = true;
        backend.unknown(pass);
        return std::move(opening.refusal.error);
    }
    changed.notify_all();
    if (opening.refusal.error.code == Code::config) {
        backend.unknown(pass);
        return std::move(opening.refusal.error);
    }
    idle.clear();
    return backend.failed(pass, opening.refusal.fault);
}

Result<Pool::State::Lent> Pool::State::borrow(CircuitBreaker::Pass& pass) {
    const RealTime::time_point until = RealTime::now() + options.wait_timeout;
    while (true) {
        Result<Lent> taken = take(until);
        if (!taken) {
            return taken;
        }
        Result<CircuitBreaker::Pass> admitted = backend.try_use();
        if (!admitted) {
            give_back(*std::move(taken), {.wait_ns = 1});
            return std::move(admitted).error();
        }
        pass = *admitted;
        if (*taken != nullptr && (*taken)->is_sound()) {
            return taken;
        }
        taken->reset();  // the server had closed it: nothing was lost
        bool again = false;
        Result<Lent> opened = open(pass, again);
        if (opened || !again) {
            return opened;
        }
        if (RealTime::now() >= until) {
            return opened;
        }
    }
}

void Pool::State::give_back(Lent connection, const CircuitBreaker::Pass& pass) {
    const bool was_used = pass.wait_ns == 0;
    const Verdict verdict = connection ? connection->verdict() : Verdict::statement;
    if (was_used && verdict == Verdict::statement) {
        backend.succeeded(pass);
    } else if (was_used && verdict == Verdict::ended) {
        backend.unknown(pass);
    } else if (was_used) {
        backend.failed(pass, connection->fault());
    }
    Lent over;  // closed outside of the lock
    std::vector<Lent> stale;
    const std::lock_guard lock(mutex);
    --away;
    if (verdict == Verdict::unable) {
        stale.swap(idle);
    }
    if (connection && connection->is_reusable()) {
        idle.push_back(std::move(connection));
    } else {
        over = std::move(connection);
    }
    if (backend.is_up()) {
        changed.notify_one();
    } else {
        changed.notify_all();
    }
}

void Pool::State::tell_customs() {
    if (customs.unnamed && !told_unnamed.exchange(true)) {
        log.warning(fmt::format("postgres '{}' is behind a pooler that mixes up prepared statements: going on without",
                                options.name));
    }
    if (customs.without_settings && !told_settings.exchange(true)) {
        log.warning(fmt::format("postgres '{}' is behind a pooler that takes no settings: set statement_timeout there",
                                options.name));
    }
}

Pool::Pool(PoolOptions options, const Clock& clock, Log& log)
    : m_state(std::make_unique<State>(std::move(options), clock, log)) {}

Pool::~Pool() = default;

Result<void> Pool::with(const std::function<Result<void>(Session&)>& work) {
    const Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region) {
        return region.error();
    }
    CircuitBreaker::Pass pass;
    Result<State::Lent> connection = m_state->borrow(pass);
    if (!connection) {
        return std::move(connection).error();
    }
    ConnectionSession session(**connection);
    Result<void> done = work(session);
    m_state->give_back(*std::move(connection), pass);
    m_state->tell_customs();
    return done;
}

Result<Rows> Pool::query(std::string_view sql, const Parameters& parameters) {
    Rows rows;
    Result<void> done = with([&](Session& session) -> Result<void> {
        Result<Rows> found = session.query(sql, parameters);
        if (!found) {
            return std::move(found).error();
        }
        rows = *std::move(found);
        return {};
    });
    if (!done) {
        return std::move(done).error();
    }
    return rows;
}

Result<void> Pool::ping() {
    return with([](Session& session) { return session.script("SELECT 1"); });
}

const PoolOptions& Pool::options() const {
    return m_state->options;
}

BackendStatus Pool::status() const {
    return m_state->backend.status();
}

}  // namespace mt::postgres
