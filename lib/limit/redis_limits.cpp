#include "limit/redis_limits.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "limit/redis_hub.h"
#include "limit/redis_scripts.h"
#include "limit/redis_tenant.h"

namespace mt {
namespace {

constexpr const char* k_replicas_key = "mtagent:replicas";
constexpr int k_most_attended = 500;  // in a row, before decisions get their turn in Redis
constexpr std::chrono::milliseconds k_between_turns{50};

std::string words_of(LimiterOutage mode) {
    return mode == LimiterOutage::local_share ? "by this replica's share of them"
           : mode == LimiterOutage::open      ? "not at all: every call is admitted"
                                              : "not at all: every call is refused";
}

}  // namespace

struct SharedLimiter::State {
    State(redis::Link& link, SharedLimiterOptions chosen, const Clock& clock, Log& diary)
        : options(std::move(chosen)), hub(link, options, clock), log(diary) {}

    void beat_on(const std::stop_token& stop);
    bool beat(const char* intent);
    void count_replicas(std::int64_t living);
    void attend_all(const std::stop_token& stop, bool lost);
    bool pause(const std::stop_token& stop, std::chrono::milliseconds time);
    void tell_change();

    const SharedLimiterOptions options;
    RedisHub hub;
    Log& log;
    std::mutex mutex;
    std::condition_variable_any changed;
    std::int64_t more_replicas_until_ns = 0;
    bool beaten = false;  // at least one heartbeat arrived
    bool away = false;    // as told to the operator
    bool lost = false;    // Redis did not know this replica any more
    std::jthread thread;  // last: ends first
};

bool SharedLimiter::State::pause(const std::stop_token& stop, std::chrono::milliseconds time) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, stop, time, [] { return false; });
    return !stop.stop_requested();
}

void SharedLimiter::State::beat_on(const std::stop_token& stop) {
    do {
        if (beat("stay")) {
            attend_all(stop, std::exchange(lost, false));
        }
        tell_change();
    } while (pause(stop, options.beat));
    beat("leave");
}

// True: Redis is there.
bool SharedLimiter::State::beat(const char* intent) {
    const Result<redis::Reply> reply =
        hub.run({&limit_scripts::heartbeat(),
                 {k_replicas_key},
                 {options.replica, fmt::format("{}", std::chrono::microseconds{options.silence}.count()), intent}});
    if (!reply || reply->list.size() != 3) {
        return false;
    }
    hub.clock().learn(reply->list[0].integer);
    count_replicas(reply->list[1].integer);
    lost = lost || (beaten && reply->list[2].integer == 0);
    beaten = true;
    return true;
}

// A Redis that has forgotten everything hears from the others within a beat: fewer replicas count only when they have
// been fewer for as long as a replica may be silent.
void SharedLimiter::State::count_replicas(std::int64_t living) {
    const std::int64_t now = hub.clock().boot_ns();
    living = std::max<std::int64_t>(1, living);
    if (living >= hub.counts().replicas || now >= more_replicas_until_ns) {
        more_replicas_until_ns = now + std::chrono::nanoseconds{options.silence}.count();
        hub.set_replicas(living);
    }
}

void SharedLimiter::State::attend_all(const std::stop_token& stop, bool all_lost) {
    int in_a_row = 0;
    for (Attended* who : hub.attended()) {
        hub.attend(who, all_lost);
        if (++in_a_row % k_most_attended == 0 && !pause(stop, k_between_turns)) {
            return;
        }
    }
}

void SharedLimiter::State::tell_change() {
    const bool now_away = hub.counts().outage;
    if (now_away != std::exchange(away, now_away)) {
        if (now_away) {
            log.warning(fmt::format("limits are decided without Redis: {}", words_of(options.outage)));
        } else {
            log.info("limits are decided by Redis again");
        }
    }
}

SharedLimiter::SharedLimiter(redis::Link& link, SharedLimiterOptions options, const Clock& clock, Log& log)
    : m_state(std::make_unique<State>(link, std::move(options), clock, log)) {}

SharedLimiter::~SharedLimiter() {
    stop();
}

void SharedLimiter::start() {
    if (!m_state->thread.joinable()) {
        m_state->thread = std::jthread([state = m_state.get()](const std::stop_token& stop) { state->beat_on(stop); });
    }
}

void SharedLimiter::stop() {
    if (m_state->thread.joinable()) {
        m_state->thread.request_stop();
        m_state->thread.join();
    }
}

std::unique_ptr<Limits> SharedLimiter::make(std::string_view tenant, std::string_view uid,
                                            const LimitSettings& settings, LimiterState state) {
    return std::make_unique<RedisLimits>(m_state->hub, limit_keys(tenant, uid), settings, state);
}

SharedLimiterCounts SharedLimiter::counts() const {
    return m_state->hub.counts();
}

}  // namespace mt
