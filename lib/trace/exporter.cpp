#include "trace/exporter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

#include "trace/otlp.h"

namespace mt {
namespace {

using Batch = std::vector<SpanRecord>;
using std::chrono::milliseconds;

bool is_worth_another_try(Code code) {
    return code == Code::unavailable || code == Code::timeout || code == Code::busy;
}

bool is_within(double ratio, const TraceId& id) {
    constexpr int k_bits = 64;
    if (ratio >= 1) {
        return true;
    }
    std::uint64_t value = 0;
    std::for_each(id.begin() + 8, id.end(), [&](std::uint8_t byte) { value = value << 8U | byte; });
    return value < static_cast<std::uint64_t>(std::ldexp(std::max(ratio, 0.0), k_bits));
}

}  // namespace

// What the exporter's thread shares with those who take spans to it. Everything below `mutex` is under it.
struct TraceExporter::State {
    State(TraceSettings the_settings, Send the_send, Log& the_log, const Bounds& the_bounds)
        : settings(std::move(the_settings)), send(std::move(the_send)), log(the_log), bounds(the_bounds) {
        bounds.batch = std::max<std::size_t>(bounds.batch, 1);
    }

    // The thread, until `stopping` fires and nothing waits.
    void run(const std::stop_token& stopping) {
        for (Batch batch = next_batch(stopping); !batch.empty(); batch = next_batch(stopping)) {
            deliver(batch, stopping);
        }
    }

    // Waits for spans, and for more of them to share a body. Empty: it is over.
    Batch next_batch(const std::stop_token& stopping) {
        std::unique_lock lock(mutex);
        wake.wait(lock, stopping, [this] { return !queue.empty(); });
        wake.wait_for(lock, stopping, bounds.delay, [this] { return queue.size() >= bounds.batch; });
        if (give_up.stop_requested()) {
            drop_queue();
        }
        const auto size = static_cast<std::ptrdiff_t>(std::min(queue.size(), bounds.batch));
        Batch batch(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.begin() + size));
        queue.erase(queue.begin(), queue.begin() + size);
        sending = batch.size();
        if (batch.empty()) {
            ended = true;
            end.notify_all();
        }
        return batch;
    }

    // Once the end has begun each body has one more try, and a failure ends it all: its reader is not there.
    void deliver(const Batch& batch, const std::stop_token& stopping) {
        const std::string body = encode_spans(batch, settings);
        milliseconds pause = bounds.first_retry;
        while (true) {
            const bool last = stopping.stop_requested();
            const Result<void> sent = send(body, give_up.get_token());
            note(sent);
            if (sent || !is_worth_another_try(sent.error().code)) {
                return settle(sent.has_value());
            }
            if (last || give_up.stop_requested()) {
                settle(false);
                const std::lock_guard lock(mutex);
                return drop_queue();
            }
            wait_for_retry(std::max(pause, asked_for(sent.error())), stopping);
            pause = std::min(2 * pause, bounds.longest_retry);
        }
    }

    [[nodiscard]] milliseconds asked_for(const Error& error) const {
        const std::chrono::nanoseconds wait = error.retry_after.value_or(std::chrono::nanoseconds{0});
        return std::min(std::chrono::ceil<milliseconds>(wait), bounds.longest_retry);
    }

    void wait_for_retry(milliseconds pause, const std::stop_token& stopping) {
        std::unique_lock lock(mutex);
        wake.wait_for(lock, stopping, pause, [] { return false; });
    }

    void settle(bool delivered) {
        const std::lock_guard lock(mutex);
        (delivered ? counts.exported : counts.dropped) += static_cast<std::int64_t>(sending);
        sending = 0;
    }

    // Under `mutex`.
    void drop_queue() {
        counts.dropped += static_cast<std::int64_t>(queue.size());
        queue.clear();
    }

    void note(const Result<void>& sent) {
        if (!sent && !std::exchange(faulty, true)) {
            dropped_before = snapshot().dropped;
            const std::array<LogField, 2> fields{LogField{"error", std::string_view(sent.error().message)},
                                                 LogField{"detail", std::string_view(sent.error().detail)}};
            log.write(LogLevel::warning, "spans do not reach the collector", fields);
        } else if (sent && std::exchange(faulty, false)) {
            const std::array<LogField, 1> fields{LogField{"dropped", snapshot().dropped - dropped_before}};
            log.write(LogLevel::info, "spans reach the collector again", fields);
        }
    }

    [[nodiscard]] TraceCounts snapshot() const {
        const std::lock_guard lock(mutex);
        TraceCounts now = counts;
        now.queued = static_cast<std::int64_t>(queue.size() + sending);
        return now;
    }

    const TraceSettings settings;
    const Send send;
    Log& log;
    Bounds bounds;
    std::stop_source give_up{};
    bool faulty = false;              // the thread's own
    std::int64_t dropped_before = 0;  // the thread's own: when the fault began

    std::mutex stop_mutex{};  // who stops; taken before `mutex`

    mutable std::mutex mutex{};
    std::condition_variable_any wake{};  // the thread, as far as no token does
    std::condition_variable end{};       // who stops
    std::deque<SpanRecord> queue{};
    std::size_t sending = 0;  // spans that left the queue and are not settled
    TraceCounts counts{};     // without `queued`
    bool ended = true;        // nobody will look at the queue again

    std::jthread thread{};
};

TraceExporter::TraceExporter(TraceSettings settings, Send send, Log& log, const Bounds& bounds)
    : m_state(std::make_unique<State>(std::move(settings), std::move(send), log, bounds)) {
    State& state = *m_state;
    if (!state.settings.endpoint.empty()) {
        state.ended = false;
        state.thread = std::jthread([&state](const std::stop_token& stopping) { state.run(stopping); });
    }
}

TraceExporter::~TraceExporter() {
    stop();
}

bool TraceExporter::sample(const TraceId& trace_id, const TraceContext* parent) {
    const TraceSettings& settings = m_state->settings;
    if (settings.endpoint.empty()) {
        return false;
    }
    if (parent != nullptr && settings.parent_based) {
        return parent->sampled;
    }
    switch (settings.sampler) {
        case TraceSettings::Sampler::always_on:
            return true;
        case TraceSettings::Sampler::always_off:
            return false;
        case TraceSettings::Sampler::ratio:
            return is_within(settings.ratio, trace_id);
    }
    return false;
}

void TraceExporter::take(std::vector<SpanRecord>&& spans) {
    State& state = *m_state;
    std::vector<SpanRecord> taken = std::move(spans);  // what is dropped is freed outside of the lock
    const std::lock_guard lock(state.mutex);
    const std::size_t waiting = state.queue.size() + state.sending;
    const std::size_t room = state.ended ? 0 : state.bounds.queue - std::min(waiting, state.bounds.queue);
    const std::size_t kept = std::min(taken.size(), room);
    const bool was_short = state.queue.size() < state.bounds.batch;
    const bool was_empty = state.queue.empty();
    std::move(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(kept), std::back_inserter(state.queue));
    state.counts.dropped += static_cast<std::int64_t>(taken.size() - kept);
    if (kept > 0 && (was_empty || (was_short && state.queue.size() >= state.bounds.batch))) {
        state.wake.notify_one();
    }
}

void TraceExporter::stop() {
    State& state = *m_state;
    const std::lock_guard only_one(state.stop_mutex);
    if (!state.thread.joinable()) {
        return;
    }
    state.thread.request_stop();
    {
        std::unique_lock lock(state.mutex);
        state.end.wait_for(lock, state.bounds.last_try, [&state] { return state.ended; });
    }
    state.give_up.request_stop();
    state.thread.join();
}

TraceCounts TraceExporter::counts() const {
    return m_state->snapshot();
}

}  // namespace mt
