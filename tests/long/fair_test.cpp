// The agent slots of a server and the places of a tenant, under more load than there is room for.

#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <vector>

#include "e2e/chat.h"
#include "long/callers.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

// A model's server that takes about this long for each answer: not always the same, or all slots would beat in time.
Script slow_answers(std::chrono::microseconds delay) {
    return [delay](const Recorded& request, ScriptedReply& out) {
        const std::chrono::microseconds own = delay * (90 + request.number * 7 % 21) / 100;
        if (!out.wait_until_gone(std::chrono::duration_cast<std::chrono::milliseconds>(own))) {
            chat({"answer"})(request, out);
        }
    };
}

// A server with so many slots before such a model, and tenants of it.
struct Restaurant {
    Restaurant(const std::string& server_settings, const std::string& tenants, Script script)
        : upstream(std::move(script)), site("[server]\n" + server_settings + model_toml(upstream) + tenants) {}

    ScriptedUpstream upstream;
    Site site;
    Server server = site.serve();
};

std::string diner(const std::string& id, const std::string& more = "") {
    return tenant_toml(id, "model = \"big\"\n" + more);
}

std::string named(const std::string& name, std::size_t number) {
    return name + std::to_string(number);
}

double median_of_three(const std::function<double()>& measure) {
    std::array<double, 3> values{measure(), measure(), measure()};
    std::sort(values.begin(), values.end());
    return values[1];
}

TEST_CASE("one tenant at 50 times its share: no other is refused, and their p99 stays within twice that of alone") {
    constexpr std::size_t k_good = 20;
    const std::string weight_one = "features = [\"basic-chat\"]\n";
    std::string tenants = diner("flood", weight_one);
    for (std::size_t i = 0; i < k_good; ++i) {
        tenants += diner(named("good", i), weight_one);
    }
    Restaurant place("access_log = false\nmax_concurrency = 8\n", tenants, slow_answers(50ms));
    // 160 answers a second, 7.6 for each of 21; the flood wants 380, each of the others 4.
    const auto p99_beside = [&](bool flooded) {
        Callers callers(place.server.port());
        for (std::size_t i = 0; i < k_good; ++i) {
            callers.add({named("good", i), 1, 250ms, i * 250ms / k_good});
        }
        if (flooded) {
            callers.add({"flood", 100, 263ms});
        }
        const std::vector<Heard> heard = callers.run(5s);
        Heard good;
        for (std::size_t i = 0; i < k_good; ++i) {
            CHECK(heard[i].only_served());
            good.served_ms.insert(good.served_ms.end(), heard[i].served_ms.begin(), heard[i].served_ms.end());
        }
        if (flooded) {
            const std::int64_t calls = heard[k_good].served() + heard[k_good].overloads;
            std::printf("  flood: %lld calls, %lld served\n", static_cast<long long>(calls),
                        static_cast<long long>(heard[k_good].served()));
            CHECK(heard[k_good].overloads > 0);
        }
        return good.p99_ms();
    };
    const double ratio = median_of_three([&] {
        const double alone = p99_beside(false);
        const double flooded = p99_beside(true);
        std::printf("p99 alone %.1f ms, beside the flood %.1f ms\n", alone, flooded);
        return flooded / alone;
    });
    CHECK(ratio <= 2);
}

TEST_CASE("equal tenants at more than twice the capacity, however many callers each has: Jain's index >= 0.99") {
    constexpr std::size_t k_tenants = 10;
    std::string tenants;
    for (std::size_t i = 0; i < k_tenants; ++i) {
        tenants += diner(named("t", i), "queue_limit = 1000\n");
    }
    Restaurant place("access_log = false\nmax_concurrency = 8\n", tenants, slow_answers(20ms));
    Callers callers(place.server.port());
    for (std::size_t i = 0; i < k_tenants; ++i) {
        callers.add({named("t", i), 6 + 6 * (i % 4)});
    }
    double sum = 0;
    double squares = 0;
    for (const Heard& heard : callers.run(5s, 500ms)) {
        CHECK(heard.only_served());
        const auto served = static_cast<double>(heard.served_on_time);
        std::printf("  %.0f served\n", served);
        sum += served;
        squares += served * served;
    }
    const double jain = sum * sum / (k_tenants * squares);
    std::printf("%zu equal tenants: %.0f served, Jain's index %.4f\n", k_tenants, sum, jain);
    CHECK(jain >= 0.99);
}

TEST_CASE("priority-support against none: 4 to 1 within 5 %") {
    const std::string queue = "queue_limit = 1000\n";
    Restaurant place("access_log = false\nmax_concurrency = 4\n",
                     diner("first", queue + "features = [\"basic-chat\", \"priority-support\"]\n") +
                         diner("second", queue + "features = [\"basic-chat\"]\n"),
                     slow_answers(10ms));
    Callers callers(place.server.port());
    callers.add({"first", 40});
    callers.add({"second", 40});
    const std::vector<Heard> heard = callers.run(6s, 500ms);
    const double ratio = static_cast<double>(heard[0].served_on_time) / static_cast<double>(heard[1].served_on_time);
    std::printf("priority-support %lld, none %lld: %.2f to 1\n", static_cast<long long>(heard[0].served_on_time),
                static_cast<long long>(heard[1].served_on_time), ratio);
    CHECK(std::abs(ratio - 4) <= 0.2);
}

TEST_CASE("a full queue: 503 with Retry-After and the reason overload, for who floods alone, and at no cost") {
    constexpr int k_burst = 100'000;
    Restaurant place("access_log = false\nmax_concurrency = 2\n",
                     diner("flood", "queue_limit = 4\nrate_limit = 1\nburst = " + std::to_string(k_burst) + "\n") +
                         diner("a") + diner("b") + diner("c"),
                     slow_answers(10ms));
    Callers callers(place.server.port());
    const std::size_t flood = callers.add({"flood", 40, 20ms});
    for (const char* id : {"a", "b", "c"}) {
        callers.add({id});
    }
    const auto start = std::chrono::steady_clock::now();
    const std::vector<Heard> heard = callers.run(3s);
    for (std::size_t i = flood + 1; i < heard.size(); ++i) {
        CHECK(heard[i].only_served());
    }
    const Heard& flooded = heard[flood];
    std::printf("queue of 4: %lld served, %lld refused\n", static_cast<long long>(flooded.served()),
                static_cast<long long>(flooded.overloads));
    CHECK(flooded.overloads > 0);
    CHECK(flooded.statuses.at(503) == flooded.overloads);
    CHECK(flooded.statuses.size() == 2);
    const Json numbers = numbers_of(place.server, "flood");
    CHECK(numbers["served"] == flooded.served());
    CHECK(numbers["denied"] == flooded.overloads);
    CHECK(numbers["denied_by_reason"]["overload"] == flooded.overloads);
    CHECK(metric(place.server, R"(mtagent_tenant_denied_total{tenant_id="flood",reason="overload"})") ==
          std::to_string(flooded.overloads));
    // What was served was charged, and nothing else; one a minute flows back.
    const int left = remaining(place.server.get("/flood?q=last"));
    const auto minutes = std::chrono::ceil<std::chrono::minutes>(std::chrono::steady_clock::now() - start).count();
    CHECK(left >= k_burst - flooded.served() - 1);
    CHECK(left <= k_burst - flooded.served() - 1 + minutes);
}

// How long the calls of a tenant waited for their slots, by the access log.
std::vector<double> queue_ms_of(const std::string& log, const std::string& tenant) {
    std::vector<double> waits;
    for (std::size_t at = 0; (at = log.find("\"tenant\":\"" + tenant + "\"", at)) != std::string::npos; ++at) {
        constexpr std::string_view k_name = "\"queue_ms\":";
        const std::size_t value = log.find(k_name, at);
        REQUIRE(value < log.find('\n', at));
        waits.push_back(std::stod(log.substr(value + k_name.size(), 20)));
    }
    std::sort(waits.begin(), waits.end());
    return waits;
}

TEST_CASE("reserved_concurrency: a flood that fills all shared slots does not touch who has slots of its own") {
    std::string tenants = diner("reserved", "reserved_concurrency = 2\n");
    for (std::size_t i = 0; i < 5; ++i) {
        tenants += diner(named("flood", i), "queue_limit = 1000\n");
    }
    Restaurant place("max_concurrency = 6\n", tenants, slow_answers(50ms));
    const auto p99_beside = [&](bool flooded) {
        Callers callers(place.server.port());
        callers.add({"reserved", 2});
        for (std::size_t i = 0; i < 5 && flooded; ++i) {
            callers.add({named("flood", i), 20});
        }
        const std::vector<Heard> heard = callers.run(4s);
        CHECK(heard[0].only_served());
        return heard[0].p99_ms();
    };
    const double ratio = median_of_three([&] {
        const double alone = p99_beside(false);
        const double flooded = p99_beside(true);
        std::printf("reserved slots: p99 alone %.1f ms, in the flood %.1f ms\n", alone, flooded);
        return flooded / alone;
    });
    CHECK(ratio <= 2);
    const std::string log = place.server.process().err();
    const std::vector<double> own = queue_ms_of(log, "reserved");
    const std::vector<double> others = queue_ms_of(log, "flood0");
    REQUIRE(!own.empty());
    REQUIRE(!others.empty());
    std::printf("waited for a slot, p99: reserved %.3f ms, flood %.3f ms\n", own[own.size() * 99 / 100],
                others[others.size() * 99 / 100]);
    CHECK(own[own.size() * 99 / 100] < 5);
    CHECK(others[others.size() / 2] > 20);
}

TEST_CASE("queue_timeout: who waits too long for a slot gets 503 with Retry-After") {
    Latch latch;
    Restaurant place("access_log = false\nmax_concurrency = 1\nqueue_timeout = \"300ms\"\n", diner("a") + diner("b"),
                     after(latch, chat({"answer"})));
    RawLane first(place.server.port());
    first.send("GET /a?q=one HTTP/1.1\r\nHost: localhost\r\n\r\n", 0);
    first.flush();
    REQUIRE(place.upstream.wait_for_requests(1));
    const auto start = std::chrono::steady_clock::now();
    const http::Response late = place.server.get("/b?q=two");
    CHECK(std::chrono::steady_clock::now() - start >= 300ms);
    CHECK(late.status == 503);
    CHECK(field(late, "Retry-After") == "1");
    CHECK(parse_json(late.body)["reason"] == "overload");
    CHECK(numbers_of(place.server, "b")["denied_by_reason"]["overload"] == 1);
    latch.open();
    const std::optional<LaneReply> reply = first.reply();
    REQUIRE(reply);
    CHECK(reply->status == 200);
    CHECK(place.server.get("/b?q=three").status == 200);
}

TEST_CASE("a tenant above its own max_concurrency gets 429 with the reason concurrency, and pays nothing for it") {
    constexpr int k_burst = 50;
    Latch latch;
    Restaurant place("access_log = false\n",
                     diner("a", "max_concurrency = 2\nrate_limit = 1\nburst = " + std::to_string(k_burst) + "\n"),
                     after(latch, chat({"answer"})));
    RawLane first(place.server.port());
    RawLane second(place.server.port());
    for (RawLane* lane : {&first, &second}) {
        lane->send("GET /a?q=" + std::to_string(lane->fd()) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 0);
        lane->flush();
    }
    REQUIRE(place.upstream.wait_for_requests(2));
    for (int i = 0; i < 5; ++i) {
        const http::Response refused = place.server.get("/a?q=" + named("too-many-", static_cast<std::size_t>(i)));
        CHECK(refused.status == 429);
        CHECK(parse_json(refused.body)["reason"] == "concurrency");
        CHECK(remaining(refused) == k_burst - 2);
    }
    latch.open();
    for (RawLane* lane : {&first, &second}) {
        const std::optional<LaneReply> reply = lane->reply();
        REQUIRE(reply);
        CHECK(reply->status == 200);
    }
    CHECK(remaining(place.server.get("/a?q=last")) == k_burst - 3);
    CHECK(numbers_of(place.server, "a")["denied_by_reason"]["concurrency"] == 5);
}

}  // namespace
}  // namespace mt::test
