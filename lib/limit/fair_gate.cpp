#include "limit/fair_gate.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "base/blocking.h"
#include "limit/fair_queue.h"

namespace mt {
namespace {

constexpr std::chrono::seconds k_retry_after{1};

Error overload(std::string message) {
    return Error{Code::busy, std::move(message), "overload", k_retry_after};
}

Error lane_full(const FairLane& lane) {
    if (lane.waiting() == 0) {
        return overload("all slots are taken, and calls of this tenant do not wait for one");
    }
    return overload(fmt::format("the queue of this tenant is full: {} calls wait for a slot", lane.waiting()));
}

// Does not say how many: that is about other tenants.
Error all_full() {
    return overload("too many calls wait for a slot");
}

Error client_gone() {
    return Error{Code::client_gone, "the client left before there was a slot for the call"};
}

Error timed_out() {
    return Error{Code::timeout, "the time for this request is over"};
}

std::int64_t later(std::int64_t now_ns, std::chrono::nanoseconds by) {
    const std::int64_t most = std::numeric_limits<std::int64_t>::max() - now_ns;
    return now_ns + std::clamp<std::int64_t>(by.count(), 0, most);
}

// A condition for each caller, so that a slot wakes the one that got it. Notified under the gate's lock, without which
// the caller cannot leave its wait and destroy it.
class Waiter final : public FairTicket {
  public:
    std::condition_variable_any ended;

  private:
    void on_end() override { ended.notify_one(); }
};

}  // namespace

struct FairGate::State {
    State(const GateSettings& settings, const Clock& the_clock)
        : clock(the_clock), queue(settings), queue_timeout(settings.queue_timeout) {}

    const Clock& clock;
    mutable std::mutex mutex;  // guards what follows
    FairQueue queue;
    std::chrono::nanoseconds queue_timeout;
    std::int64_t refused_timeout = 0;
};

struct GateMember::Place {
    using Lock = std::unique_lock<std::mutex>;

    Place(std::shared_ptr<FairGate::State> the_state, FairLane& the_lane)
        : state(std::move(the_state)), lane(the_lane) {}

    // Waits for a slot; the lock is held when it begins.
    Result<void> wait(Lock lock, const Context& context) {
        const std::int64_t now = state->clock.boot_ns();
        if (now >= context.deadline_ns) {
            return timed_out();
        }
        const std::int64_t give_up_ns = later(now, state->queue_timeout);
        Waiter waiter;
        switch (state->queue.wait(lane, waiter)) {
            case FairQueue::Entry::lane_full:
                return lane_full(lane);
            case FairQueue::Entry::all_full:
                return all_full();
            case FairQueue::Entry::waits:
                break;
        }
        lock.unlock();  // a region may start or wake a thread, when it begins and when it ends
        const Result<BlockingRegion> region = BlockingRegion::enter();
        lock.lock();
        Result<void> outcome = region ? stay(lock, waiter, give_up_ns, context) : overload(region.error().message);
        if (waiter.waiting()) {
            state->queue.withdraw(waiter);
        } else if (waiter.granted()) {
            outcome = {};  // whatever else has happened: nobody would give this slot back
        }
        lock.unlock();
        return outcome;
    }

    // Waits in short turns, with a sign of life between them, until the wait has ended or the caller has to leave.
    Result<void> stay(Lock& lock, Waiter& waiter, std::int64_t give_up_ns, const Context& context) const {
        const std::int64_t until_ns = std::min(give_up_ns, context.deadline_ns);
        while (waiter.waiting() && !context.cancelled()) {
            const std::int64_t left_ns = until_ns - state->clock.boot_ns();
            if (left_ns <= 0) {
                return time_over(context.deadline_ns <= give_up_ns);
            }
            const std::chrono::nanoseconds turn{std::min(left_ns, Context::k_idle_interval_ns)};
            const bool ended = waiter.ended.wait_for(lock, context.stop, turn, [&] { return !waiter.waiting(); });
            const bool idle = !ended && turn.count() == Context::k_idle_interval_ns && !context.cancelled();
            if (idle && context.idle != nullptr) {
                lock.unlock();
                context.idle->on_idle();
                lock.lock();
            }
        }
        return waiter.refused() ? all_full() : client_gone();
    }

    Error time_over(bool by_deadline) const {
        if (by_deadline) {
            return timed_out();
        }
        ++state->refused_timeout;
        return overload("no slot became free in the time that a call may wait for one");
    }

    const std::shared_ptr<FairGate::State> state;
    FairLane& lane;
};

GatePass& GatePass::operator=(GatePass&& other) noexcept {
    if (this != &other) {
        release();
        m_member = std::move(other.m_member);
    }
    return *this;
}

GatePass::~GatePass() {
    release();
}

void GatePass::release() {
    if (m_member != nullptr) {
        m_member->leave_slot();
        m_member.reset();
    }
}

FairGate::FairGate(const GateSettings& settings, const Clock& clock)
    : m_state(std::make_shared<State>(settings, clock)) {}

FairGate::~FairGate() = default;

std::shared_ptr<GateMember> FairGate::join(const GateShare& share) {
    const std::scoped_lock lock(m_state->mutex);
    auto place = std::make_unique<GateMember::Place>(m_state, m_state->queue.join(share));
    return std::shared_ptr<GateMember>(new GateMember(std::move(place)));
}

void FairGate::reconfigure(const GateSettings& settings) {
    const std::scoped_lock lock(m_state->mutex);
    m_state->queue_timeout = settings.queue_timeout;
    m_state->queue.reconfigure(settings);
}

GateStatus FairGate::status() const {
    const std::scoped_lock lock(m_state->mutex);
    GateStatus status = m_state->queue.status();
    status.refused_timeout = m_state->refused_timeout;
    return status;
}

GateMember::GateMember(std::unique_ptr<Place> place) : m_place(std::move(place)) {}

GateMember::~GateMember() {
    const std::scoped_lock lock(m_place->state->mutex);
    m_place->state->queue.part(m_place->lane);
}

Result<GatePass> GateMember::enter(const Context& context) {
    if (context.cancelled()) {
        return client_gone();
    }
    std::unique_lock lock(m_place->state->mutex);
    if (!m_place->state->queue.take(m_place->lane)) {
        if (Result<void> granted = m_place->wait(std::move(lock), context); !granted) {
            return std::move(granted).error();
        }
    }
    return GatePass(shared_from_this());
}

void GateMember::reconfigure(const GateShare& share) {
    const std::scoped_lock lock(m_place->state->mutex);
    m_place->state->queue.reconfigure(m_place->lane, share);
}

std::int64_t GateMember::running() const {
    const std::scoped_lock lock(m_place->state->mutex);
    return m_place->lane.running();
}

std::int64_t GateMember::waiting() const {
    const std::scoped_lock lock(m_place->state->mutex);
    return m_place->lane.waiting();
}

void GateMember::leave_slot() {
    const std::scoped_lock lock(m_place->state->mutex);
    m_place->state->queue.give_back(m_place->lane);
}

}  // namespace mt
