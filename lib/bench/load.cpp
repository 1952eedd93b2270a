#include "bench/load.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace mt {
namespace {

constexpr int k_first_error = 400;
constexpr int k_too_many_requests = 429;
constexpr std::chrono::milliseconds k_progress_interval{250};
constexpr std::int64_t k_most_failures_in_a_row = 100;  // a dead server: do not spin until the end

struct Lane {
    std::int64_t requests = 0;
    std::int64_t transport_errors = 0;
    std::map<int, std::int64_t> statuses;
    LatencyHistogram latencies;
};

void drive(const LoadOptions& options, const Clock& clock, Lane& lane, std::atomic<std::int64_t>& done,
           const std::stop_token& stop) {
    http::Client client(options.url, options.client);
    std::int64_t failures = 0;
    while (!stop.stop_requested() && failures < k_most_failures_in_a_row) {
        const std::int64_t started = clock.boot_ns();
        const Result<http::Response> reply = client.send("GET", options.url.path, options.fields);
        if (!reply) {
            ++lane.transport_errors;
            ++failures;
            continue;
        }
        failures = 0;
        lane.latencies.record(std::chrono::nanoseconds{clock.boot_ns() - started});
        ++lane.statuses[reply->status];
        ++lane.requests;
        done.fetch_add(1, std::memory_order_relaxed);
    }
}

}  // namespace

std::int64_t LoadReport::errors() const {
    std::int64_t count = transport_errors;
    for (const auto& [status, replies] : statuses) {
        if (status >= k_first_error && status != k_too_many_requests) {
            count += replies;
        }
    }
    return count;
}

double LoadReport::error_rate() const {
    const std::int64_t all = requests + transport_errors;
    return all == 0 ? 0 : static_cast<double>(errors()) / static_cast<double>(all);
}

Result<LoadReport> run_load(const LoadOptions& wanted, const Clock& clock, const LoadProgress& progress,
                            const std::stop_token& stop) {
    LoadOptions options = wanted;
    options.client = http::with_trust(options.url, options.client);
    Result<http::Response> first = http::Client(options.url, options.client).send("GET", "/livez", options.fields);
    if (!first && first.error().code == Code::unavailable) {
        return std::move(first).error();
    }
    std::vector<Lane> lanes(static_cast<std::size_t>(options.connections));
    std::atomic<std::int64_t> done{0};
    const std::int64_t started = clock.boot_ns();
    {
        std::vector<std::jthread> threads;
        threads.reserve(lanes.size());
        for (Lane& lane : lanes) {
            threads.emplace_back([&](const std::stop_token& own) { drive(options, clock, lane, done, own); });
        }
        std::mutex mutex;
        std::condition_variable_any wake;
        std::unique_lock lock(mutex);
        const std::int64_t end = started + std::chrono::nanoseconds(options.duration).count();
        while (!stop.stop_requested() && clock.boot_ns() < end) {
            const std::chrono::nanoseconds left{end - clock.boot_ns()};
            wake.wait_for(lock, stop, std::min<std::chrono::nanoseconds>(left, k_progress_interval),
                          [] { return false; });
            progress(static_cast<double>(clock.boot_ns() - started) / 1e9, done.load());
        }
        for (std::jthread& thread : threads) {
            thread.request_stop();
        }
    }
    LoadReport report;
    report.seconds = static_cast<double>(clock.boot_ns() - started) / 1e9;
    for (const Lane& lane : lanes) {
        report.requests += lane.requests;
        report.transport_errors += lane.transport_errors;
        report.latencies.merge(lane.latencies);
        for (const auto& [status, count] : lane.statuses) {
            report.statuses[status] += count;
        }
    }
    return report;
}

}  // namespace mt
