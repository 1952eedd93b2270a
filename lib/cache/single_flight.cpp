#include "cache/single_flight.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/blocking.h"

namespace mt {
namespace {

Error client_gone() {
    return Error{Code::client_gone, "the client left before the answer"};
}

Error timed_out() {
    return Error{Code::timeout, "the time for this request is over"};
}

// A throwing computation must end its flight like any other: others may be waiting for it.
Result<std::string> guarded(const SingleFlight::Compute& compute, std::stop_token stop) {
    try {
        return compute(std::move(stop));
    } catch (const std::exception& thrown) {
        return Error{Code::internal, std::string("the computation of an answer threw: ") + thrown.what()};
    } catch (...) {
        return Error{Code::internal, "the computation of an answer threw something unknown"};
    }
}

// After these errors the callers who waited would wait for each other in vain.
bool helps_nobody_to_queue(const Error& error) {
    return error.code == Code::conflict || error.code == Code::timeout || error.code == Code::busy;
}

// One computation and the callers who want its value. Everything but `cancel` is guarded by State::mutex, until `done`;
// from then on nothing changes.
struct Flight {
    std::stop_source cancel;  // stops the computation
    std::condition_variable_any ended;
    int interested = 1;  // callers who have not left, the computing one included
    int waiting = 0;     // of these, those who wait for the computing one
    bool done = false;
    std::optional<std::string> value;  // absent when done: the computation failed
    bool alone = false;                // when done: a next flight would bring the same, so each computes for itself
};

}  // namespace

// The flights by key. A flight leaves the map when it is done, or when nobody wants it any more: who comes then begins
// a new one instead of waiting for a cancelled computation. Stop callbacks lock the mutex, so it is never held while
// one is made or destroyed, nor while a stop is requested.
struct SingleFlight::State {
    using FlightPtr = std::shared_ptr<Flight>;

    State(const Clock& the_clock, int the_most) : clock(the_clock), most_waiting(the_most) {}

    void detach(const std::string& key, const FlightPtr& flight) {
        const auto found = flights.find(key);
        if (found != flights.end() && found->second == flight) {
            flights.erase(found);
        }
    }

    // A caller no longer wants the flight; the last one stops it.
    void leave(std::unique_lock<std::mutex> lock, const std::string& key, const FlightPtr& flight) {
        const bool last = --flight->interested == 0 && !flight->done;
        if (last) {
            detach(key, flight);
        }
        lock.unlock();
        if (last) {
            flight->cancel.request_stop();
        }
    }

    Outcome lead(const std::string& key, const FlightPtr& flight, const std::stop_token& stop, const Compute& compute) {
        Result<std::string> value = Error{};
        {
            const std::stop_callback on_stop(stop, [&] { leave(std::unique_lock<std::mutex>(mutex), key, flight); });
            value = guarded(compute, flight->cancel.get_token());
        }
        {
            const std::scoped_lock lock(mutex);
            detach(key, flight);
            flight->done = true;
            if (value && flight->waiting > 0) {
                flight->value = *value;
            }
            flight->alone = !value && helps_nobody_to_queue(value.error());
        }
        flight->ended.notify_all();
        return {std::move(value), false};
    }

    // Outside of the lock: it may start a thread.
    static Result<BlockingRegion> enter_region(std::unique_lock<std::mutex>& lock) {
        lock.unlock();
        Result<BlockingRegion> region = BlockingRegion::enter();
        lock.lock();
        return region;
    }

    // Waits for the flight's end in short turns, with a sign of life between them. False: the caller has to leave.
    [[nodiscard]] bool wait_for(std::unique_lock<std::mutex>& lock, Flight& flight, const Context& context) const {
        while (!flight.done && !context.cancelled()) {
            const std::int64_t left_ns = context.deadline_ns - clock.boot_ns();
            if (left_ns <= 0) {
                return false;
            }
            const std::chrono::nanoseconds turn{std::min(left_ns, Context::k_idle_interval_ns)};
            const bool ended = flight.ended.wait_for(lock, context.stop, turn, [&] { return flight.done; });
            if (!ended && context.idle != nullptr) {
                lock.unlock();
                context.idle->on_idle();
                lock.lock();
            }
        }
        return flight.done;
    }

    // The shared value, the caller's own, or nothing when the computation failed and the caller should try again.
    std::optional<Outcome> follow(std::unique_lock<std::mutex> lock, const std::string& key, const FlightPtr& flight,
                                  const Context& context, const Compute& compute) {
        ++flight->interested;
        ++flight->waiting;
        ++waiting;
        const Result<BlockingRegion> region = enter_region(lock);
        if (!region) {
            --flight->waiting;
            --waiting;
            leave(std::move(lock), key, flight);
            return Outcome{region.error(), false};
        }
        const bool done = wait_for(lock, *flight, context);
        --flight->waiting;
        --waiting;
        if (!done) {
            leave(std::move(lock), key, flight);
            return Outcome{context.cancelled() ? client_gone() : timed_out(), false};
        }
        lock.unlock();
        if (!flight->value && flight->alone) {
            return Outcome{guarded(compute, context.stop), false};
        }
        if (!flight->value) {
            return std::nullopt;
        }
        return Outcome{*flight->value, true};
    }

    const Clock& clock;
    const int most_waiting;
    std::mutex mutex;
    int waiting = 0;  // callers who wait for others
    std::unordered_map<std::string, FlightPtr> flights;
};

SingleFlight::SingleFlight(const Clock& clock, int most_waiting)
    : m_state(std::make_unique<State>(clock, most_waiting)) {}

SingleFlight::~SingleFlight() = default;

SingleFlight::Outcome SingleFlight::run(std::string_view key, const Context& context, const Compute& compute) {
    const std::string own_key(key);
    // What computes may change its context's token; this call's client stays the same.
    const std::stop_token stop = context.stop;
    while (!stop.stop_requested()) {
        std::unique_lock lock(m_state->mutex);
        State::FlightPtr& place = m_state->flights[own_key];
        const bool leads = place == nullptr;
        if (leads) {
            place = std::make_shared<Flight>();
        }
        const State::FlightPtr flight = place;
        if (leads) {
            lock.unlock();
            return m_state->lead(own_key, flight, stop, compute);
        }
        if (m_state->waiting >= m_state->most_waiting) {
            lock.unlock();
            return {guarded(compute, stop), false};
        }
        std::optional<Outcome> outcome = m_state->follow(std::move(lock), own_key, flight, context, compute);
        if (outcome) {
            return std::move(*outcome);
        }
    }
    return {client_gone(), false};
}

int SingleFlight::waiting(std::string_view key) const {
    const std::scoped_lock lock(m_state->mutex);
    const auto found = m_state->flights.find(std::string(key));
    return found == m_state->flights.end() ? 0 : found->second->waiting;
}

}  // namespace mt
