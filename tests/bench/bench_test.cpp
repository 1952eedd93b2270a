#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "bench/latency_histogram.h"
#include "bench/load.h"
#include "http/server.h"

using namespace mt;
using namespace std::chrono_literals;

TEST_CASE("percentiles are within one per cent of the exact ones") {
    std::mt19937_64 random(3);
    std::lognormal_distribution<double> latency(13, 2);  // nanoseconds around half a millisecond, with a long tail
    LatencyHistogram histogram;
    LatencyHistogram other;
    std::vector<std::int64_t> exact;
    for (int i = 0; i < 50'000; ++i) {
        const auto ns = static_cast<std::int64_t>(latency(random)) + 200'000;
        exact.push_back(ns);
        (i % 2 == 0 ? histogram : other).record(std::chrono::nanoseconds{ns});
    }
    histogram.merge(other);
    std::sort(exact.begin(), exact.end());
    for (const double ratio : {0.5, 0.9, 0.99, 0.999}) {
        const auto rank = static_cast<std::size_t>(std::ceil(ratio * static_cast<double>(exact.size()))) - 1;
        CHECK(static_cast<double>(histogram.percentile(ratio).count()) ==
              doctest::Approx(static_cast<double>(exact[rank])).epsilon(0.011));
    }
    CHECK(histogram.max().count() == exact.back());
    CHECK(histogram.count() == 50'000);
    CHECK(LatencyHistogram().percentile(0.99) == 0ns);
}

TEST_CASE("a load counts every reply and tells errors from limits") {
    Log log(LogLevel::off);
    http::Server server({[](const http::Request& request, http::Responder& to) {
                             http::Response reply;
                             reply.status = request.path == "/limited" ? 429 : request.path == "/broken" ? 500 : 200;
                             to.send(reply);
                         },
                         [](const Error&) { return http::Response{}; }},
                        {}, log);
    const auto address = server.start(*http::parse_address("127.0.0.1:0"));
    REQUIRE(address);
    const SystemClock clock;
    const auto load = [&](const std::string& path) {
        LoadOptions options;
        options.url = *http::parse_url(address->url() + path);
        options.connections = 3;
        options.duration = 200ms;
        Result<LoadReport> report = run_load(options, clock, [](double, std::int64_t) {}, {});
        REQUIRE(report);
        CHECK(report->requests > 10);
        CHECK(report->latencies.count() == report->requests);
        CHECK(report->transport_errors == 0);
        return *report;
    };
    CHECK(load("/fine").error_rate() == 0);
    CHECK(load("/limited").error_rate() == 0);
    const LoadReport broken = load("/broken");
    CHECK(broken.error_rate() == 1);
    CHECK(broken.statuses.at(500) == broken.requests);
}

TEST_CASE("a load on nobody is unavailable") {
    LoadOptions options;
    options.url = *http::parse_url("http://127.0.0.1:1/");
    options.duration = 100ms;
    const Result<LoadReport> report = run_load(options, SystemClock(), [](double, std::int64_t) {}, {});
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::unavailable);
}
