// Redis or PostgreSQL goes away: what does not need it goes on, what does is told so quickly, and all is well again
// within seconds of its return.

#include <chrono>
#include <functional>

#include "e2e/chat.h"
#include "e2e/metrics_page.h"
#include "e2e/replicas.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

constexpr auto k_recovery = 5s;
constexpr auto k_quickly = 4s;  // of a first call that finds out for itself; later ones are told at once

std::string site_toml(const std::string& server = {}) {
    return "[server]\n" + server + tenant_toml("free", "") + tenant_toml("limited", "rate_limit = 60\nburst = 30\n") +
           tenant_toml("kept-r", "storage_type = \"redis\"\n") + tenant_toml("kept-p", "storage_type = \"postgres\"\n");
}

http::Response ask_timed(ReplicaHouse& house, const std::string& target, std::chrono::milliseconds bound) {
    const auto before = SteadyClock::now();
    http::Response reply = house.at(0).get(target);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - before);
    CHECK_MESSAGE(took < bound, target, " took ", took.count(), " ms");
    return reply;
}

void expect_away(const http::Response& reply) {
    CHECK(reply.status == 503);
    CHECK_FALSE(field(reply, "Retry-After").empty());
    CHECK_MESSAGE(reply.body.find("127.0.0.1") == std::string::npos, reply.body);
}

MetricsPage metrics_of(ReplicaHouse& house) {
    return MetricsPage(house.at(0).get("/metrics").body);
}

bool is_ready_without(ReplicaHouse& house, const std::string& trouble) {
    const http::Response ready = house.at(0).get("/readyz");
    return ready.status == 200 && ready.body.find(trouble) == std::string::npos;
}

enum class Fault { killed, frozen };

// A replica for each fault, anew.
void with_each_fault(const std::function<void(ReplicaHouse& house, Fault fault)>& work) {
    for (const Fault fault : {Fault::killed, Fault::frozen}) {
        CAPTURE(static_cast<int>(fault));
        ReplicaHouse house(site_toml(), 1);
        house.start_all();
        work(house, fault);
    }
}

template <class Backend>
void break_it(Backend& backend, Fault fault) {
    fault == Fault::killed ? backend.kill() : backend.freeze();
}
template <class Backend>
void mend_it(Backend& backend, Fault fault) {
    fault == Fault::killed ? backend.start() : backend.thaw();
}

TEST_CASE("without servers to share" * doctest::skip(can_share())) {
    MESSAGE("SKIPPED: redis-server or PostgreSQL is not installed");
}

TEST_CASE("Redis goes away and comes back" * k_needs_both) {
    with_each_fault([](ReplicaHouse& house, Fault fault) {
        for (const std::string tenant : {"free", "limited", "kept-r", "kept-p"}) {
            CHECK(house.at(0).get("/" + tenant + "?q=Hello&session=s").status == 200);
        }
        CHECK(is_ready_without(house, "away"));
        break_it(house.redis(), fault);

        // Limits go on by this replica's share, conversations elsewhere as well.
        int admitted = 0;
        for (int i = 0; i < 100; ++i) {
            const int status = ask_timed(house, "/limited?q=Hello", k_quickly).status;
            CHECK((status == 200 || status == 429));
            admitted += status == 200 ? 1 : 0;
        }
        CHECK(admitted >= 20);
        CHECK(admitted <= 60);
        CHECK(ask_timed(house, "/free?q=Hello", k_quickly).status == 200);
        CHECK(ask_timed(house, "/kept-p?q=Hello&session=s", k_quickly).status == 200);
        expect_away(ask_timed(house, "/kept-r?q=Hello&session=s", k_quickly));
        expect_away(ask_timed(house, "/kept-r/sessions", k_quickly));
        const auto told = [&] {
            return house.at(0).get("/readyz").body.find("redis 'redis' is away") != std::string::npos;
        };
        CHECK(time_until(told, k_recovery));
        CHECK(house.at(0).get("/readyz").status == 200);
        const MetricsPage page = metrics_of(house);
        CHECK(page.at("mtagent_backend_up{backend=\"redis\",kind=\"redis\"}") == 0);
        CHECK(page.at("mtagent_backend_up{backend=\"postgres\",kind=\"postgres\"}") == 1);
        CHECK(page.at("mtagent_limiter_outage") == 1);
        CHECK(page.at("mtagent_limiter_decisions_total{by=\"local-share\"}") > 0);
        CHECK(house.at(0).process().err().find("redis 'redis' is away") != std::string::npos);

        mend_it(house.redis(), fault);
        CHECK(time_until([&] { return house.at(0).get("/kept-r?q=Hello&session=s").status == 200; }, k_recovery));
        CHECK(time_until([&] { return is_ready_without(house, "away"); }, k_recovery));
        const auto decides = [&] {
            house.at(0).get("/free?q=Hello");
            return metrics_of(house).at("mtagent_limiter_outage") == 0;
        };
        CHECK(time_until(decides, k_recovery));
    });
}

TEST_CASE("while Redis is away limits can be left open, or close the door" * k_needs_both) {
    for (const std::string mode : {"open", "closed"}) {
        CAPTURE(mode);
        ReplicaHouse house(site_toml("limiter_outage = \"" + mode + "\"\n"), 1);
        house.start_all();
        CHECK(house.at(0).get("/limited?q=Hello").status == 200);
        house.redis().kill();
        for (int i = 0; i < 60; ++i) {
            const http::Response reply = ask_timed(house, "/limited?q=Hello", k_quickly);
            if (mode == "open") {
                CHECK(reply.status == 200);
            } else {
                expect_away(reply);
            }
        }
        house.redis().start();
        CHECK(time_until([&] { return house.at(0).get("/free?q=Hello").status == 200; }, k_recovery));
    }
}

TEST_CASE("PostgreSQL goes away and comes back" * k_needs_both) {
    with_each_fault([](ReplicaHouse& house, Fault fault) {
        const std::string key = house.site().add("known", {"--plan", "enterprise"});
        const std::string late = house.site().add("late", {"--plan", "enterprise"});
        CHECK(house.at(0).get("/known?q=Hello", bearer(key)).status == 200);
        CHECK(house.at(0).get("/kept-p?q=Hello&session=s").status == 200);
        CHECK(house.at(0).get("/free?q=Hello").status == 200);
        break_it(house.postgres(), fault);

        const int calls = 20;
        for (int i = 0; i < calls; ++i) {
            const auto before = SteadyClock::now();
            CHECK(house.at(0).get("/known?q=Hello", bearer(key)).status == 200);
            CHECK(SteadyClock::now() - before < k_quickly);
        }
        // A key that may have been made elsewhere, once this replica knows that it cannot know.
        const auto told_apart = [&] { return house.at(0).get("/known?q=Hello", bearer(late)).status == 503; };
        CHECK(time_until(told_apart, 2 * k_recovery));
        CHECK(house.at(0).get("/known?q=Hello", bearer(key.substr(0, 18) + late.substr(18))).status == 401);
        expect_away(ask_timed(house, "/kept-p?q=Hello&session=s", k_quickly));
        expect_away(house.at(0).get("/late?q=Hello", bearer(late)));  // whether it exists nobody can tell: never a 401
        expect_away(house.at(0).get("/admin/tenants", bearer(house.site().operator_token())));
        const auto told = [&] {
            return house.at(0).get("/readyz").body.find("'postgres' is away") != std::string::npos;
        };
        CHECK(time_until(told, k_recovery));
        CHECK(house.at(0).get("/readyz").status == 200);
        CHECK(metrics_of(house).at("mtagent_backend_up{backend=\"postgres\",kind=\"postgres\"}") == 0);
        const Outcome command = house.site().run({"tenant", "list"});
        CHECK(command.exit == 69);

        mend_it(house.postgres(), fault);
        CHECK(time_until([&] { return house.at(0).get("/late?q=Hello", bearer(late)).status == 200; }, k_recovery));
        CHECK(time_until([&] { return house.at(0).get("/kept-p?q=Hello&session=s").status == 200; }, k_recovery));
        CHECK(time_until([&] { return house.number(0, "known", "allowed") == calls + 1; }, k_recovery));
        CHECK(time_until([&] { return is_ready_without(house, "away"); }, k_recovery));
        CHECK(time_until(
            [&] {
                return house.site().json({"stats", "known"})["known"]["allowed"] == calls + 1;
            },
            k_recovery));
        house.site().out({"tenant", "config", "known", "name=Renamed"});
        const auto renamed = [&] { return house.at(0).get("/known?q=Hi", bearer(key)).body.starts_with("[Renamed]"); };
        CHECK(time_until(renamed, k_recovery));
    });
}

TEST_CASE("a replica that starts while PostgreSQL is away waits, and says so" * k_needs_both) {
    ReplicaHouse house(site_toml(), 1);
    house.postgres().kill();
    house.start(0);
    CHECK(house.at(0).get("/livez").status == 200);
    const http::Response ready = house.at(0).get("/readyz");
    expect_away(ready);
    CHECK_MESSAGE(ready.body.find("PostgreSQL") != std::string::npos, ready.body);
    expect_away(house.at(0).get("/free?q=Hello"));
    expect_away(house.at(0).get("/stats"));
    house.postgres().start();
    CHECK(time_until([&] { return house.at(0).get("/readyz").status == 200; }, k_recovery));
    CHECK(house.at(0).get("/free?q=Hello").status == 200);
    CHECK(house.at(0).terminate().exit == 0);

    // Told to end while it waits, it ends.
    house.postgres().kill();
    house.start(0);
    CHECK(house.at(0).get("/readyz").status == 503);
    CHECK(house.at(0).terminate().exit == 0);
}

}  // namespace
}  // namespace mt::test
