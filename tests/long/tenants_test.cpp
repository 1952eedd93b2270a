// Very many tenants behind one server that may open 1,024 files.

#include <sys/statvfs.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "e2e/chat.h"
#include "long/crowd.h"
#include "support/lanes.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t k_descriptors = 1024;
constexpr std::size_t k_asked = 5'000;

constexpr std::size_t k_tenants = 100'000;
constexpr std::size_t k_fewer = 20'000;

// In memory where there is room: a commit per tenant takes many minutes on a slow disk, and is not what is measured.
bool use_memory() {
    constexpr std::uint64_t k_needed = 4ULL << 30U;
    const char* const folder = "/dev/shm";
    struct statvfs space {};
    const bool fits = statvfs(folder, &space) == 0 && space.f_bavail * space.f_frsize >= k_needed;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread is there yet
    return fits && setenv("TMPDIR", folder, 1) == 0;
}

std::size_t tenant_count() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment
    const char* const wanted = std::getenv("MTAGENT_TEST_TENANTS");
    const bool in_memory = use_memory();
    return wanted != nullptr ? std::stoul(wanted) : in_memory ? k_tenants : k_fewer;
}

std::string id_of(std::size_t number) {
    return "tenant-" + std::to_string(number);
}

// Prints how long `work` took.
template <class Work>
auto timed(const char* what, const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    auto result = work();
    std::printf("  %s: %.3f s\n", what,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return result;
}

std::string tenants_toml(std::size_t count) {
    std::string toml;
    for (std::size_t i = 0; i < count; ++i) {
        toml += "[[tenants]]\nid = \"" + id_of(i) + "\"\nauth = \"open\"\n";
    }
    return toml;
}

// A data folder with so many tenants, and no word of them in the file that serve reads.
struct Town {
    explicit Town(std::size_t count) : site("[server]\naccess_log = false\n") {
        site.write("town.toml", tenants_toml(count));
        constexpr auto k_patience = 60min;
        const Outcome made = timed("made", [&] {
            return site.start({"tenant", "apply", "town.toml"}).wait(k_patience);
        });
        REQUIRE_MESSAGE(made.exit == 0, made.err);
        site.launch().descriptors = k_descriptors;
    }
    Site site;
};

std::size_t resident_kib(Server& server) {
    return holdings_of(server.process().pid()).resident_kib;
}

std::unique_ptr<Server> serve_until_ready(const Site& site) {
    return timed("started and ready", [&] {
        std::unique_ptr<Server> server(new Server(site.serve()));
        CHECK(time_until([&] { return server->get("/readyz").status == 200; }, 30s));
        return server;
    });
}

// Calls of as many different tenants, one after the other.
void ask_some(Server& server, std::size_t tenants, std::size_t asked) {
    std::mt19937 random(11);
    std::set<std::size_t> chosen;
    while (chosen.size() < asked) {
        chosen.insert(random() % tenants);
    }
    std::vector<std::size_t> order(chosen.begin(), chosen.end());
    std::shuffle(order.begin(), order.end(), random);
    RawLane lane(server.port());
    std::vector<double> times;
    std::size_t served = 0;
    for (const std::size_t tenant : order) {
        const auto start = std::chrono::steady_clock::now();
        lane.send("GET /" + id_of(tenant) + "?q=Hello HTTP/1.1\r\nHost: localhost\r\n\r\n", tenant);
        const std::optional<LaneReply> reply = lane.reply();
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        served += reply && reply->status == 200 ? 1 : 0;
    }
    CHECK(served == asked);
    std::sort(times.begin(), times.end());
    std::printf("  first call of %zu tenants: median %.3f ms, p99 %.3f ms, worst %.3f ms\n", asked, times[asked / 2],
                times[asked * 99 / 100], times.back());
}

// How many tenants' numbers are not the same in both.
std::int64_t counts_differing(const Json& one, const Json& other) {
    return std::count_if(one.items().begin(), one.items().end(), [&](const auto& entry) {
        return !other.contains(entry.key()) || counts_of(other[entry.key()]) != counts_of(entry.value());
    });
}

std::int64_t served_in(const Json& numbers) {
    std::int64_t sum = 0;
    for (const auto& [tenant, own] : numbers.items()) {
        sum += own["served"].get<std::int64_t>();
    }
    return sum;
}

// The sum of a family over all of its series with this text in their labels.
double sum_of(const std::string& page, const std::string& family, const std::string& label) {
    double sum = 0;
    for (std::size_t at = 0; (at = page.find("\n" + family + "{", at)) != std::string::npos; ++at) {
        const std::string line = page.substr(at + 1, page.find('\n', at + 1) - at - 1);
        sum += line.find(label) == std::string::npos ? 0 : std::stod(line.substr(line.rfind(' ')));
    }
    return sum;
}

Json command_json(const Site& site, Words words) {
    words.emplace_back("--json");
    const Outcome done = timed(words[0].c_str(), [&] { return site.start(words).wait(10min); });
    CHECK_MESSAGE(done.exit == 0, done.err);
    return parse_json(done.out);
}

http::Response get_patiently(const Server& server, const char* target) {
    http::Client client(*http::parse_url(server.url()), 10min);
    Result<http::Response> reply = timed(target, [&] { return client.send("GET", target); });
    REQUIRE(reply);
    CHECK(reply->status == 200);
    return *std::move(reply);
}

TEST_CASE("very many tenants with 1,024 descriptors: all is answered, and who is idle costs next to nothing") {
    const std::size_t tenants = tenant_count();
    const std::size_t asked = std::min(k_asked, tenants / 2);
    std::printf("%zu tenants (MTAGENT_TEST_TENANTS sets how many)\n", tenants);
    const Town hamlet(1);
    const Town town(tenants);
    const std::unique_ptr<Server> small = serve_until_ready(hamlet.site);
    const std::unique_ptr<Server> big = serve_until_ready(town.site);
    Server& server = *big;
    const std::size_t alone_kib = resident_kib(*small);
    const std::size_t idle_kib = resident_kib(server);
    std::printf("  resident: %zu KiB with 1 tenant, %zu KiB with all\n", alone_kib, idle_kib);
    CHECK(idle_kib < alone_kib + tenants);  // 1 KiB for each

    ask_some(server, tenants, asked);
    std::printf("  resident: %zu KiB after their calls\n", resident_kib(server));
    CHECK(command_json(town.site, {"tenant", "list"}).size() == tenants);
    const Json stats = command_json(town.site, {"stats"});
    CHECK(stats.size() == tenants);
    CHECK(served_in(stats) == static_cast<std::int64_t>(asked));
    CHECK(counts_differing(stats, parse_json(get_patiently(server, "/stats").body)) == 0);
    const std::string metrics = get_patiently(server, "/metrics").body;
    CHECK(sum_of(metrics, "tenant_requests_total", "status=\"allowed\"") == static_cast<double>(asked));
    const Holdings after = holdings_of(server.process().pid());
    std::printf("  resident: %zu KiB after all, %zu descriptors\n", after.resident_kib, after.descriptors);
    CHECK(after.descriptors <= k_descriptors);
    CHECK(server.terminate().exit == 0);
    CHECK(served_in(command_json(town.site, {"stats"})) == static_cast<std::int64_t>(asked));
}

}  // namespace
}  // namespace mt::test
