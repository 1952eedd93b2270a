// Every database stalls at once: calls hang, and whoever asks whether the server lives is told so at once.

#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <vector>

#include "long/crowd.h"

namespace mt::test {
namespace {

constexpr int k_cold_tenants = 60;
constexpr int k_sessions = 10;
constexpr int k_calls = 300;  // of each of three kinds
constexpr double k_bound_ms = 50;
constexpr std::chrono::seconds k_patience{20};

std::string tenant_toml(const std::string& id) {
    return "[[tenants]]\nid = \"" + id +
           "\"\nplan = \"enterprise\"\nauth = \"open\"\nstorage_type = \"sqlite\"\nrate_limit = 1000000\n";
}

std::string site_toml() {
    std::string toml = tenant_toml("warm");
    for (int i = 0; i < k_cold_tenants; ++i) {
        toml += tenant_toml("cold-" + std::to_string(i));
    }
    return toml;
}

// Write locks on the registry and on the file of every tenant, held until release().
class Stall {
  public:
    explicit Stall(const Site& site) {
        lock(site.path("data/registry.db"));
        for (const auto& entry : std::filesystem::directory_iterator(site.path("data/tenants"))) {
            if (entry.path().extension() == ".db") {
                lock(entry.path());
            }
        }
    }
    void release() { m_locked.clear(); }
    [[nodiscard]] std::size_t size() const { return m_locked.size(); }

  private:
    void lock(const std::filesystem::path& file) {
        constexpr int k_busy_ms = 10'000;
        auto database = std::make_unique<SQLite::Database>(file.string(), SQLite::OPEN_READWRITE, k_busy_ms);
        database->exec("BEGIN IMMEDIATE");
        m_locked.push_back(std::move(database));
    }

    std::vector<std::unique_ptr<SQLite::Database>> m_locked;
};

std::string message(const std::string& method, const std::string& target, const std::string& fields,
                    const std::string& body) {
    return method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Calls that cannot be answered without a write: turns of conversations, first calls of tenants, changes of a tenant.
std::vector<std::string> needy_calls(const std::string& token) {
    const std::string text = "Content-Type: text/plain\r\n";
    const std::string change = "Content-Type: application/json\r\nAuthorization: Bearer " + token + "\r\n";
    std::vector<std::string> calls;
    for (int i = 0; i < k_calls; ++i) {
        const std::string number = std::to_string(i);
        const std::string cold = "/cold-" + std::to_string(i % k_cold_tenants);
        calls.push_back(message("POST", "/warm?session=s" + std::to_string(i % k_sessions), text, "Hello " + number));
        calls.push_back(message("POST", cold + "?session=s", text, "Hello " + number));
        calls.push_back(message("PATCH", "/admin/tenants/warm", change, R"({"name": "Warm )" + number + "\"}"));
    }
    return calls;
}

void ask_livez(RawClient& client) {
    REQUIRE(client.send(get_text("/livez")));
    REQUIRE(client.reply().status == 200);
}

// How long 50 questions take, over kept and new connections in turn.
void measure_livez(const http::Address& address, RawClient& kept, std::vector<double>& times) {
    constexpr int k_questions = 50;
    for (int i = 0; i < k_questions; ++i) {
        const auto start = std::chrono::steady_clock::now();
        if (i % 2 == 0) {
            ask_livez(kept);
        } else {
            RawClient fresh(address);
            ask_livez(fresh);
        }
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
}

void check_healthy(Server& server) {
    CHECK(server.send("POST", "/warm?session=s0", {}, "Hello").status == 200);
    CHECK(server.send("POST", "/cold-0?session=s", {}, "Hello").status == 200);
    CHECK(time_until([&] { return server.get("/readyz").status == 200; }, k_patience));
    CHECK(server.terminate().exit == 0);
}

struct Answers {
    double median_ms;
    double largest_ms;
};

// Stalls a server of its own, asks it while calls begin to hang and while all of them do, and lets it go on.
Answers stall_everything() {
    const Site site(site_toml());
    Server server = site.serve({"--no-access-log"});
    const http::Address address = address_of(server);
    for (int i = 0; i < k_sessions; ++i) {
        REQUIRE(server.send("POST", "/warm?session=s" + std::to_string(i), {}, "Hello").status == 200);
    }
    const std::vector<std::string> calls = needy_calls(site.operator_token());
    std::vector<RawClient> clients;
    for (std::size_t i = 0; i < calls.size(); ++i) {
        clients.emplace_back(address);
    }
    RawClient kept(address);
    Stall stall(site);
    REQUIRE(stall.size() == k_cold_tenants + 2);
    for (std::size_t i = 0; i < calls.size(); ++i) {
        REQUIRE(clients[i].send(calls[i]));
    }
    std::vector<double> times;
    measure_livez(address, kept, times);
    // Each call that hangs does so in a thread of its own.
    CHECK(time_until([&] { return holdings_of(server.process().pid()).threads >= calls.size(); }, k_patience));
    measure_livez(address, kept, times);
    const auto answered = [](const RawClient& client) { return client.readable(); };
    CHECK(std::none_of(clients.begin(), clients.end(), answered));
    stall.release();
    int served = 0;
    for (RawClient& client : clients) {
        const int status = client.reply().status;
        CHECK_MESSAGE((status == 200 || status == 503), status);
        served += status == 200 ? 1 : 0;
    }
    check_healthy(server);
    std::sort(times.begin(), times.end());
    MESSAGE("median ", times[times.size() / 2], " ms, largest ", times.back(), " ms; then ", served, " of ",
            calls.size(), " calls were served");
    return {times[times.size() / 2], times.back()};
}

// Once more when the largest is too large: other processes use the machine, too.
TEST_CASE("while every database stalls and calls hang, /livez answers within 50 ms") {
    constexpr std::size_t k_descriptors = 2000;
    if (!may_open(k_descriptors)) {
        MESSAGE("SKIPPED: the system allows fewer than ", k_descriptors, " descriptors in a process (ulimit -Hn)");
        return;
    }
    Answers answers = stall_everything();
    if (answers.largest_ms >= k_bound_ms) {
        answers = stall_everything();
    }
    CHECK(answers.median_ms < k_bound_ms);
    CHECK(answers.largest_ms < k_bound_ms);
}

}  // namespace
}  // namespace mt::test
