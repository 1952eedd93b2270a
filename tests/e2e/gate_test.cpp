// Agent slots and their queues, from outside.

#include <csignal>
#include <future>

#include "e2e/chat.h"

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{10};

// Models that answer once the test says so, behind few slots.
struct GateHouse {
    GateHouse(const std::string& server_toml, const std::string& tenants)
        : site("[server]\n" + server_toml + model_toml(model) + tenants) {}

    // A call on its way; every question is another one, so that none is computed for another.
    std::future<http::Response> call(const std::string& tenant) {
        return std::async(std::launch::async, [this, tenant, number = ++calls] {
            Result<http::Response> reply = http::Client(*http::parse_url(server.url()), k_patience)
                                               .send("GET", "/" + tenant + "?q=Hello" + std::to_string(number));
            return reply ? *std::move(reply) : http::Response{};
        });
    }
    // Waits until so many calls run and wait.
    void expect(int running, int waiting) {
        const auto there = [&] {
            return metric(server, "mtagent_agent_slots_in_use") == std::to_string(running) &&
                   metric(server, "mtagent_agent_queue_length") == std::to_string(waiting);
        };
        CHECK_MESSAGE(time_until(there, k_patience), running, " running, ", waiting,
                      " waiting: ", metric(server, "mtagent_agent_slots_in_use"), ", ",
                      metric(server, "mtagent_agent_queue_length"));
    }

    Latch go;
    int calls = 0;
    ScriptedUpstream model{after(go, chat({"done"}))};
    Site site;
    Server server{site.serve()};
};

TEST_CASE("a full queue is its tenant's 503 alone, and costs no rate token") {
    GateHouse house("max_concurrency = 1\n",
                    tenant_toml("acme", "model = \"big\"\nqueue_limit = 1\nrate_limit = 10\n") + tenant_toml("umbra"));
    auto first = house.call("acme");
    house.expect(1, 0);
    auto second = house.call("acme");
    house.expect(1, 1);
    for (int i = 0; i < 3; ++i) {
        const http::Response refused = house.call("acme").get();
        CHECK(refused.status == 503);
        CHECK(parse_json(refused.body)["reason"] == "overload");
        CHECK(field(refused, "Retry-After") == "1");
        CHECK(remaining(refused) == 8);
    }
    auto other = house.call("umbra");
    house.expect(1, 2);
    CHECK(metric(house.server, "mtagent_agent_slots") == "1");
    CHECK(metric(house.server, "mtagent_agent_queue_refusals_total{reason=\"full\"}") == "3");
    house.go.open();
    for (auto* call : {&first, &second, &other}) {
        CHECK(call->get().status == 200);
    }
    house.expect(0, 0);
    const Json acme = numbers_of(house.server);
    CHECK(acme["served"] == 2);
    CHECK(acme["denied"] == 3);
    CHECK(acme["denied_by_reason"]["overload"] == 3);
    CHECK(numbers_of(house.server, "umbra")["denied"] == 0);
}

TEST_CASE("a tenant above its own max_concurrency gets 429, and spends no rate token") {
    GateHouse house("max_concurrency = 8\n",
                    tenant_toml("acme", "model = \"big\"\nmax_concurrency = 1\nrate_limit = 10\n"));
    auto first = house.call("acme");
    house.expect(1, 0);
    const http::Response refused = house.call("acme").get();
    CHECK(refused.status == 429);
    CHECK(parse_json(refused.body)["reason"] == "concurrency");
    CHECK(remaining(refused) == 9);
    house.go.open();
    CHECK(first.get().status == 200);
}

TEST_CASE("reserved slots are there for their tenant while others fill the rest") {
    GateHouse house("max_concurrency = 3\n",
                    tenant_toml("gold", "model = \"builtin\"\nreserved_concurrency = 1\n") + tenant_toml("acme"));
    CHECK(house.call("gold").get().status == 200);  // from its first call on
    auto first = house.call("acme");
    auto second = house.call("acme");
    auto third = house.call("acme");
    house.expect(2, 1);
    CHECK(house.call("gold").get().status == 200);
    house.expect(2, 1);
    house.go.open();
    for (auto* call : {&first, &second, &third}) {
        CHECK(call->get().status == 200);
    }
}

TEST_CASE("who waits too long gets 503 with Retry-After") {
    GateHouse house("max_concurrency = 1\nqueue_timeout = \"100ms\"\n", tenant_toml("acme"));
    auto first = house.call("acme");
    house.expect(1, 0);
    const http::Response refused = house.call("acme").get();
    CHECK(refused.status == 503);
    CHECK(field(refused, "Retry-After") == "1");
    CHECK(metric(house.server, "mtagent_agent_queue_refusals_total{reason=\"timeout\"}") == "1");
    house.go.open();
    CHECK(first.get().status == 200);
}

TEST_CASE("a client that leaves the queue frees its place, and counts as failed") {
    GateHouse house("max_concurrency = 1\n", tenant_toml("acme"));
    auto first = house.call("acme");
    house.expect(1, 0);
    {
        const LiveChat leaver(house.server, chat_request("waiting", k_streaming));
        house.expect(1, 1);
    }
    house.expect(1, 0);
    house.go.open();
    CHECK(first.get().status == 200);
    CHECK(time_until([&] { return numbers_of(house.server)["errors"] == 1; }, k_patience));
    CHECK(house.model.request_count() == 1);
}

TEST_CASE("SIGHUP with more slots lets waiting calls go on, and with fewer takes none away") {
    GateHouse house("max_concurrency = 1\n", tenant_toml("acme"));
    auto first = house.call("acme");
    house.expect(1, 0);
    auto second = house.call("acme");
    auto third = house.call("acme");
    house.expect(1, 2);
    const std::string toml = read_text(house.site.path("tenants.toml"));
    const auto reload = [&](const std::string& slots) {
        std::string changed = toml;
        changed.replace(changed.find("max_concurrency = 1"), 19, "max_concurrency = " + slots);
        house.site.write("tenants.toml", changed);
        house.server.process().signal(SIGHUP);
    };
    reload("3");
    house.expect(3, 0);
    reload("2");
    CHECK(time_until([&] { return metric(house.server, "mtagent_agent_slots") == "2"; }, k_patience));
    auto fourth = house.call("acme");
    house.expect(3, 1);
    house.go.open();
    for (auto* call : {&first, &second, &third, &fourth}) {
        CHECK(call->get().status == 200);
    }
    house.expect(0, 0);
}

TEST_CASE("SIGTERM lets those in the queue end as well") {
    GateHouse house("max_concurrency = 1\n", tenant_toml("acme"));
    auto first = house.call("acme");
    house.expect(1, 0);
    auto second = house.call("acme");
    house.expect(1, 1);
    house.server.process().signal(SIGTERM);
    house.go.open();
    CHECK(first.get().status == 200);
    CHECK(second.get().status == 200);
    CHECK(house.server.process().wait().exit == 0);
    CHECK(house.site.json({"stats"})["acme"]["served"] == 2);
}

}  // namespace
}  // namespace mt::test
