#include "trace/exporter.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>
#include <vector>

#include "trace/exporter_kit.h"

using namespace mt;
using namespace mt::test;

TEST_CASE("without an endpoint nothing is recorded, kept or sent") {
    Collector collector;
    TraceExporter exporter({}, collector.send(), silent(), fast());
    TraceContext parent;
    parent.sampled = true;
    CHECK_FALSE(exporter.sample({}, &parent));
    CHECK_FALSE(exporter.sample({}, nullptr));
    exporter.take(spans(0, 3));
    exporter.stop();
    CHECK(collector.calls() == 0);
    CHECK(exporter.counts().dropped == 3);
    CHECK(exporter.counts().queued == 0);
}

TEST_CASE("every span arrives once, in order, in bodies that are not too large") {
    Collector collector;
    TraceExporter::Bounds bounds = fast();
    bounds.queue = 100'000;
    bounds.batch = 7;
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    constexpr int k_spans = 1'000;
    for (int i = 0; i < k_spans; i += 5) {
        exporter.take(spans(i, 5));
    }
    exporter.stop();
    CHECK(collector.spans() == numbers(k_spans));
    for (const std::size_t size : collector.sizes()) {
        CHECK(size <= 7);
    }
    CHECK(exporter.counts().exported == k_spans);
    CHECK(exporter.counts().dropped == 0);
    CHECK(exporter.counts().queued == 0);
}

TEST_CASE("spans wait for company until a body is full, or until the end") {
    Collector collector;
    TraceExporter::Bounds bounds = fast();
    bounds.batch = 10;
    bounds.delay = k_long;
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    for (int i = 0; i < 9; ++i) {
        exporter.take(spans(i, 1));
    }
    CHECK(collector.calls() == 0);
    exporter.take(spans(9, 3));
    REQUIRE(collector.wait_for_calls(1));
    wait_until([&] { return exporter.counts().exported == 10; });
    CHECK(exporter.counts().queued == 2);
    exporter.stop();
    CHECK(collector.sizes() == std::vector<std::size_t>{10, 2});
    CHECK(collector.spans() == numbers(12));
}

TEST_CASE("a body that is not full goes after the delay") {
    Collector collector;
    TraceExporter::Bounds bounds = fast();
    bounds.delay = milliseconds{5};
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    exporter.take(spans(0, 1));
    CHECK(collector.wait_for_calls(1));
}

TEST_CASE("a collector that hangs makes nobody wait: the queue is bounded, and what finds it full is counted") {
    Gate gate;
    Collector collector([&](int, const std::stop_token& stop) { return gate.pass(stop); });
    TraceExporter exporter(settings_with(), collector.send(), silent(), fast());
    constexpr int k_spans = 100'000;
    constexpr int k_threads = 4;
    std::vector<std::jthread> requests;
    for (int thread = 0; thread < k_threads; ++thread) {
        requests.emplace_back([&exporter, thread] {
            for (int i = 0; i < k_spans / k_threads; i += 5) {
                exporter.take(spans(thread * (k_spans / k_threads) + i, 5));
                CHECK(exporter.counts().queued <= 8192);
            }
        });
    }
    requests.clear();
    CHECK(collector.calls() <= 1);
    const TraceCounts full = exporter.counts();
    CHECK(full.queued == 8192);
    CHECK(full.exported == 0);
    CHECK(sum(full) == k_spans);
    gate.open();
    exporter.stop();
    const TraceCounts end = exporter.counts();
    CHECK(end.exported == 8192);
    CHECK(end.queued == 0);
    CHECK(sum(end) == k_spans);
    const std::vector<int> arrived = collector.spans();
    CHECK(std::set<int>(arrived.begin(), arrived.end()).size() == arrived.size());
    CHECK(arrived.size() == 8192);
}

TEST_CASE("the oldest spans are kept, and of a request that half fits its outermost") {
    Gate gate;
    Collector collector([&](int, const std::stop_token& stop) { return gate.pass(stop); });
    TraceExporter::Bounds bounds = fast();
    bounds.queue = 8;
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    exporter.take(spans(0, 6));
    exporter.take(spans(6, 6));
    exporter.take(spans(12, 6));
    CHECK(exporter.counts().dropped == 10);
    gate.open();
    exporter.stop();
    CHECK(collector.spans() == numbers(8));
}

TEST_CASE("a collector that was away has lost nothing, and the log says it once at each end") {
    for (const Code code : {Code::unavailable, Code::timeout, Code::busy}) {
        const ErrorLines lines;
        Log log(LogLevel::debug);
        std::atomic<bool> is_away{true};
        Collector collector([&](int, const std::stop_token&) {
            return is_away ? Result<void>{Error{code, "nobody \"there\"", {}, {}, {}, "connect"}} : Result<void>{};
        });
        TraceExporter exporter(settings_with(), collector.send(), log, fast());
        exporter.take(spans(0, 10));
        REQUIRE(collector.wait_for_calls(3));
        exporter.take(spans(10, 10));
        REQUIRE(collector.wait_for_calls(6));
        CHECK(exporter.counts().queued == 20);
        is_away = false;
        wait_until([&] { return exporter.counts().exported == 20; });
        exporter.stop();
        CHECK(collector.spans() == numbers(20));
        CHECK(exporter.counts().dropped == 0);
        log.flush();
        const std::vector<Json> logged = lines.read_all();
        REQUIRE(logged.size() == 2);
        CHECK(logged[0]["level"] == "warning");
        CHECK(logged[0]["error"] == "nobody \"there\"");
        CHECK(logged[0]["detail"] == "connect");
        CHECK(logged[1]["level"] == "info");
        CHECK(logged[1]["dropped"] == 0);
    }
}

TEST_CASE("pauses double, and are what a collector asks for, up to a bound") {
    std::mutex mutex;
    std::vector<std::chrono::steady_clock::time_point> times;
    const auto now = [&] {
        const std::lock_guard lock(mutex);
        times.push_back(std::chrono::steady_clock::now());
    };
    Collector collector([&](int call, const std::stop_token&) {
        now();
        const Error away{Code::unavailable, "away"};
        const Error asks{Code::busy, "busy", {}, std::chrono::hours{1}};
        return call < 4 ? Result<void>{call == 0 ? asks : away} : Result<void>{};
    });
    TraceExporter::Bounds bounds = fast();
    bounds.first_retry = milliseconds{4};
    bounds.longest_retry = milliseconds{16};
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    exporter.take(spans(0, 1));
    wait_until([&] { return exporter.counts().exported == 1; });
    exporter.stop();
    REQUIRE(times.size() == 5);
    const std::array<milliseconds, 4> least{milliseconds{16}, milliseconds{8}, milliseconds{16}, milliseconds{16}};
    for (std::size_t i = 0; i < least.size(); ++i) {
        CHECK(times[i + 1] - times[i] >= least[i]);
    }
}

TEST_CASE("what the collector refuses is dropped and counted, and the next body is tried") {
    Collector collector([](int call, const std::stop_token&) {
        return call == 0 ? Result<void>{Error{Code::invalid, "no such thing"}} : Result<void>{};
    });
    TraceExporter::Bounds bounds = fast();
    bounds.batch = 4;
    bounds.delay = k_long;
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    exporter.take(spans(0, 8));
    wait_until([&] { return exporter.counts().queued == 0; });
    CHECK(exporter.counts().dropped == 4);
    CHECK(exporter.counts().exported == 4);
    exporter.stop();
    CHECK(collector.spans() == std::vector<int>{4, 5, 6, 7});
    CHECK(collector.calls() == 2);
}

TEST_CASE("the end does not wait for a collector that hangs: its token fires") {
    Gate never;
    std::atomic<bool> is_told{false};
    Collector collector([&](int, const std::stop_token& stop) {
        Result<void> passed = never.pass(stop);
        is_told = stop.stop_requested();
        return passed;
    });
    TraceExporter::Bounds bounds = fast();
    bounds.last_try = milliseconds{20};
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    exporter.take(spans(0, 1'000));
    REQUIRE(collector.wait_for_calls(1));
    const auto start = std::chrono::steady_clock::now();
    exporter.stop();
    CHECK(std::chrono::steady_clock::now() - start < k_long / 2);
    CHECK(is_told);
    exporter.stop();
    exporter.take(spans(1'000, 5));
    const TraceCounts counts = exporter.counts();
    CHECK(counts.dropped == 1'005);
    CHECK(counts.exported == 0);
    CHECK(counts.queued == 0);
}

TEST_CASE("the end waits for no pause: each body has one more try, a collector that is away none further") {
    Collector collector([](int, const std::stop_token&) { return Result<void>{Error{Code::unavailable, "away"}}; });
    TraceExporter::Bounds bounds = fast();
    bounds.batch = 10;
    bounds.first_retry = k_long;
    bounds.longest_retry = k_long;
    TraceExporter exporter(settings_with(), collector.send(), silent(), bounds);
    exporter.take(spans(0, 100));
    REQUIRE(collector.wait_for_calls(1));
    exporter.stop();
    CHECK(collector.calls() <= 2);
    CHECK(exporter.counts().dropped == 100);
    CHECK(exporter.counts().queued == 0);
}

TEST_CASE("many may end it at once, while others still bring spans") {
    Collector collector;
    TraceExporter exporter(settings_with(), collector.send(), silent(), fast());
    constexpr int k_each = 1'000;
    {
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 3; ++thread) {
            threads.emplace_back([&exporter, thread] {
                for (int i = 0; i < k_each; ++i) {
                    exporter.take(spans(thread * k_each + i, 1));
                }
            });
        }
        threads.emplace_back([&exporter] { exporter.stop(); });
        threads.emplace_back([&exporter] { exporter.stop(); });
    }
    const TraceCounts counts = exporter.counts();
    CHECK(sum(counts) == 3 * k_each);
    CHECK(counts.queued == 0);
    CHECK(static_cast<std::int64_t>(collector.spans().size()) == counts.exported);
}
