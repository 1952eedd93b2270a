// Commands beside a running server: each takes effect within 200 ms. The bound asserted is wider, for busy machines;
// the time itself is printed.

#include <csignal>

#include "e2e/site.h"

namespace mt::test {
namespace {

constexpr std::chrono::milliseconds k_bound{1000};

// Waits for the effect of a command that has just ended.
template <class Condition>
void check_effect(const std::string& change, Condition shows) {
    const auto took = time_until(shows, k_bound);
    CHECK_MESSAGE(took.has_value(), change, " shows no effect within ", k_bound.count(), " ms");
    MESSAGE(change, " took effect after ", took.value_or(k_bound).count(), " ms");
}

int status(Server& server, const std::string& target, const std::string& key) {
    return server.get(target, bearer(key)).status;
}

TEST_CASE("tenant add, suspend, resume and remove take effect beside a server") {
    const Site site;
    Server server = site.serve();
    const std::string key = site.add("acme", {"--rate-limit", "100000"});
    const auto acme = [&] { return status(server, "/acme?q=Hello", key); };
    check_effect("tenant add", [&] { return acme() == 200; });
    CHECK(server.get("/acme?q=Hello", bearer(key)).body.starts_with("[acme] Received: Hello\n"));
    site.out({"tenant", "suspend", "acme"});
    check_effect("tenant suspend", [&] { return acme() == 401; });
    site.out({"tenant", "resume", "acme"});
    check_effect("tenant resume", [&] { return acme() == 200; });
    site.out({"tenant", "remove", "acme", "--confirm", "acme"});
    check_effect("tenant remove", [&] { return acme() == 401; });
    CHECK(status(server, "/tenant-pro?q=Hello", "wrong") == 401);
    CHECK(server.get("/tenant-pro?q=Hello").status == 200);
}

TEST_CASE("tenant config takes effect beside a server and keeps limiter state and numbers") {
    const Site site;
    Server server = site.serve();
    const auto policy = [&] { return field(server.get("/tenant-basic?q=Hello"), "RateLimit-Policy"); };
    for (int i = 0; i < 10; ++i) {
        CHECK(server.get("/tenant-basic?q=Hello").status == 200);
    }
    CHECK(server.get("/tenant-basic?q=Hello").status == 429);
    site.out({"tenant", "config", "tenant-basic", "rate_limit=20"});
    check_effect("tenant config", [&] { return policy() == "\"requests\";q=20;w=60"; });
    // What was spent stays spent: an emptied bucket is not full because its size changed.
    CHECK(remaining(server.get("/tenant-basic?q=Hello")) <= 10);
    CHECK(parse_json(server.get("/stats").body)["tenant-basic"]["requests"] >= 12);

    site.out({"tenant", "config", "tenant-basic", "--unset", "rate_limit"});
    check_effect("tenant config --unset", [&] { return policy() == "\"requests\";q=10;w=60"; });

    site.out({"tenant", "config", "tenant-pro", "name=Renamed"});
    check_effect("tenant config name", [&] { return server.get("/tenant-pro?q=Hi").body.starts_with("[Renamed] "); });
    site.out({"tenant", "config", "tenant-pro", "features=basic-chat"});
    check_effect("tenant config features", [&] { return server.get("/tenant-pro?q=analyze+1,2").status == 403; });
}

TEST_CASE("an open tenant that gets keys, and one that opens") {
    const Site site;
    const std::string key = site.add("acme", {"--rate-limit", "100000"});
    Server server = site.serve();
    CHECK(server.get("/acme?q=Hello").status == 401);
    site.out({"tenant", "config", "acme", "auth=open"});
    check_effect("auth=open", [&] { return server.get("/acme?q=Hello").status == 200; });
    site.out({"tenant", "config", "acme", "auth=key"});
    check_effect("auth=key", [&] { return server.get("/acme?q=Hello").status == 401; });
    CHECK(status(server, "/acme?q=Hello", key) == 200);
}

TEST_CASE("keys made, revoked and rotated take effect beside a server") {
    const Site site;
    const std::string first = site.add("acme", {"--rate-limit", "100000"});
    Server server = site.serve();
    const auto opens = [&](const std::string& key) { return status(server, "/acme?q=Hello", key) == 200; };
    CHECK(opens(first));
    const std::string second = site.create_key({"acme", "--name", "laptop"});
    check_effect("key create", [&] { return opens(second); });
    site.out({"key", "revoke", key_id(first)});
    check_effect("key revoke", [&] { return !opens(first); });
    CHECK(opens(second));
    const std::string third = site.json({"key", "rotate", key_id(second)})["api_key"];
    check_effect("key rotate", [&] { return opens(third) && !opens(second); });
    const std::string fourth = site.json({"key", "rotate", key_id(third), "--grace", "1h"})["api_key"];
    check_effect("key rotate --grace", [&] { return opens(fourth); });
    CHECK(opens(third));
    const std::string brief = site.create_key({"acme", "--expires", "1s"});
    CHECK(time_until([&] { return !opens(brief); }, std::chrono::seconds{5}));
}

TEST_CASE("operators' keys made and revoked take effect beside a server") {
    const Site site;
    Server server = site.serve();
    const std::string key = site.create_key({"--operator", "ci"});
    check_effect("key create --operator", [&] { return status(server, "/admin/tenants", key) == 200; });
    site.out({"key", "revoke", key_id(key)});
    check_effect("key revoke of an operator", [&] { return status(server, "/admin/tenants", key) == 401; });
}

TEST_CASE("SIGHUP reads plans anew, and a file with a fault changes nothing") {
    const Site site;
    Server server = site.serve();
    const auto policy = [&] { return field(server.get("/tenant-pro?q=Hello"), "RateLimit-Policy"); };
    CHECK(policy() == "\"requests\";q=100;w=60");
    const std::string toml = read_text(site.path("tenants.toml"));
    site.write("tenants.toml", toml + "\n[plans.professional]\nrate_limit = 300\n");
    server.process().signal(SIGHUP);
    check_effect("SIGHUP", [&] { return policy() == "\"requests\";q=300;w=60"; });
    site.write("tenants.toml", toml + "\n[plans.professional]\nrate_limt = 400\n");
    server.process().signal(SIGHUP);
    const auto told = [&] { return server.process().err().find("rate_limt") != std::string::npos; };
    CHECK(time_until(told, std::chrono::seconds{5}));
    CHECK(policy() == "\"requests\";q=300;w=60");
}

TEST_CASE("tenant apply takes effect beside a server") {
    const Site site;
    Server server = site.serve();
    site.write("more.toml", read_text(site.path("tenants.toml")) + "\n[[tenants]]\nid = \"fresh\"\nauth = \"open\"\n");
    site.out({"tenant", "apply", "more.toml"});
    check_effect("tenant apply", [&] { return server.get("/fresh?q=Hello").status == 200; });
}

}  // namespace
}  // namespace mt::test
