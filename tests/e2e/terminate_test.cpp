// SIGTERM under load: what was answered is stored, and nothing else.

#include <cstdio>
#include <vector>

#include "e2e/chat.h"
#include "support/lanes.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

constexpr int k_rounds = 5;
constexpr std::int64_t k_replies = 300;  // before the signal

// Tenants that are answered at once, and two whose model takes its time.
struct World {
    World()
        : upstream([this](const Recorded& request, ScriptedReply& out) {
              if (!out.wait_until_gone(3ms)) {
                  chat({"answer"})(request, out);
              }
          }),
          site("[server]\naccess_log = false\n[models.gone]\nbase_url = \"http://127.0.0.1:1/v1\"\nretries = 0\n" +
               model_toml(upstream) + tenant_toml("plain", "") + tenant_toml("other", "") +
               tenant_toml("limited", "rate_limit = 60\n") + tenant_toml("repeating", "") +
               tenant_toml("failing", "model = \"gone\"\n") + tenant_toml("slow") + tenant_toml("crowded") +
               "[[tenants]]\nid = \"closed\"\nauth = \"key\"\n") {}

    ScriptedUpstream upstream;
    Site site;
    const std::vector<Target> targets{{"plain"},
                                      {"other"},
                                      {"limited"},
                                      {"repeating", "", 3},
                                      {"failing", "", 0, false},
                                      {"closed", "wrong"},
                                      {"slow", "", 0, false},
                                      {"crowded", "", 0, false}};
    const std::vector<std::size_t> quick{0, 1, 2, 3, 4, 5};
    const std::vector<std::size_t> slow{6, 7};
};

// A life of the server under load that ends with SIGTERM; what clients saw.
std::vector<Seen> live_and_end(const World& world, std::size_t round) {
    Server server = world.site.serve();
    Lanes lanes(server.port(), world.targets);
    for (const std::size_t depth : {std::size_t{1}, std::size_t{2}, round * 8}) {
        lanes.start({world.quick, depth});
        lanes.start({world.slow, depth});
    }
    CHECK(time_until([&] { return lanes.replies() >= k_replies; }, 10s));
    CHECK(server.terminate().exit == 0);
    std::vector<Seen> seen = lanes.join();
    CHECK_FALSE(lanes.timed_out());
    return seen;
}

TEST_CASE("SIGTERM under load: stored is what was acknowledged, exactly, by tenant and outcome") {
    const World world;
    std::vector<Counts> stored(world.targets.size());
    for (std::size_t round = 1; round <= k_rounds; ++round) {
        CAPTURE(round);
        const std::vector<Seen> seen = live_and_end(world, round);
        const Json numbers = world.site.json({"stats"});
        std::int64_t in_flight = 0;
        std::int64_t refused = 0;
        for (std::size_t i = 0; i < world.targets.size(); ++i) {
            const Counts now = counts_of(numbers[world.targets[i].id]);
            const std::string wrong = disagreement(stored[i], now, seen[i].counts, 0);
            CHECK_MESSAGE(wrong.empty(), world.targets[i].id, ":", wrong);
            stored[i] = now;
            in_flight += seen[i].in_flight;
            refused += seen[i].refused;
        }
        std::printf("SIGTERM, round %zu: %lld requests got no reply, %lld were told of the end\n", round,
                    static_cast<long long>(in_flight), static_cast<long long>(refused));
    }
    CHECK(world.site.json({"check"})["faults"].empty());
}

}  // namespace
}  // namespace mt::test
