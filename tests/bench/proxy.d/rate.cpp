#include <time.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "clients.h"
#include "upstream.h"

namespace mt::bench {

namespace {

using std::chrono::nanoseconds;

/// What all connections share.
struct Row {
    nanoseconds start;
    nanoseconds interval;
    std::int64_t count;
    std::atomic<std::int64_t> next{0};
};

void sleep_until(nanoseconds time) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
    const timespec until{seconds.count(), (time - seconds).count()};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
    }
}

http::Fields chat_fields(const ChatTarget& target) {
    http::Fields fields = target.fields;
    fields.emplace_back("Content-Type", "application/json");
    return fields;
}

/// Takes places of the row until none is left.
RateReport serve_row(http::Client& client, const ChatTarget& target, Row& row) {
    const http::Fields fields = chat_fields(target);
    RateReport report;
    for (std::int64_t place = row.next++; place < row.count; place = row.next++) {
        const nanoseconds due = row.start + place * row.interval;
        sleep_until(due);
        const Result<http::Response> reply = client.send("POST", target.url.path, fields, target.body);
        report.latencies.record(stamp_now() - due);
        report.failures += reply && reply->status == 200 ? 0 : 1;
    }
    return report;
}

}  // namespace

Result<RateReport> ask_at_rate(const ChatTarget& target, const RateOptions& options) {
    const auto count = static_cast<std::size_t>(options.connections);
    std::vector<std::unique_ptr<http::Client>> clients;
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(std::make_unique<http::Client>(target.url, std::chrono::seconds(10)));
        // Connecting is no part of the measurement.
        const Result<http::Response> reply =
            clients.back()->send("POST", target.url.path, chat_fields(target), target.body);
        if (!reply) {
            return reply.error();
        }
    }
    Row row{stamp_now() + std::chrono::milliseconds(10), nanoseconds(std::chrono::seconds(1)) / options.per_second,
            options.per_second * options.duration.count()};
    std::vector<RateReport> reports(count);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < count; ++i) {
            threads.emplace_back([&, i] { reports[i] = serve_row(*clients[i], target, row); });
        }
    }
    RateReport all;
    for (const RateReport& report : reports) {
        all.latencies.merge(report.latencies);
        all.failures += report.failures;
    }
    return all;
}

}  // namespace mt::bench
