#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "e2e/site.h"

using namespace mt;
using namespace mt::test;

// Calls acknowledged are stored; calls stored were at least sent.
TEST_CASE("kill -9 at random moments loses no acknowledged call") {
    constexpr int k_cycles = 25;
    constexpr int k_lanes = 4;
    const Site site;
    std::mt19937 random(5);
    std::atomic<std::int64_t> acknowledged{0};
    std::atomic<std::int64_t> sent{0};
    for (int cycle = 0; cycle < k_cycles; ++cycle) {
        Server server = site.serve();
        const auto url = http::parse_url(server.url());
        REQUIRE(url);
        std::vector<std::jthread> lanes;
        for (int lane = 0; lane < k_lanes; ++lane) {
            lanes.emplace_back([&](const std::stop_token& stop) {
                http::Client client(*url, std::chrono::seconds{5});
                while (!stop.stop_requested()) {
                    ++sent;
                    if (!client.send("GET", "/tenant-basic?q=Hello")) {
                        return;
                    }
                    ++acknowledged;
                }
            });
        }
        const std::int64_t enough = acknowledged + 50 + static_cast<std::int64_t>(random() % 400);
        while (acknowledged < enough) {
            std::this_thread::yield();
        }
        CHECK(server.kill().exit < 0);
        lanes.clear();
        const auto numbers = site.json({"stats", "tenant-basic"})["tenant-basic"];
        const auto stored = numbers["requests"].get<std::int64_t>();
        CHECK(stored >= acknowledged);
        CHECK(stored <= sent);
    }
    CHECK(site.json({"check"})["faults"].empty());
}
