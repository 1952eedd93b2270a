// Models that tenants bring themselves: whom they may reach, and what becomes of their keys.

#include <netdb.h>
#include <unistd.h>

#include <array>

#include "e2e/chat.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

const std::string k_allowed = "[server]\nprivate_upstreams = [\"127.0.0.0/8\", \"::1\"]\n";

// A name, not an address, that leads to this machine's loopback and that no rule of spelling catches; "" if none.
std::string name_of_loopback() {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    for (const std::string& name : Words{host.data(), "localhost.localdomain", "localhost4"}) {
        addrinfo wish{};
        wish.ai_family = AF_INET;
        addrinfo* found = nullptr;
        if (getaddrinfo(name.c_str(), nullptr, &wish, &found) != 0) {
            continue;
        }
        const auto* address = reinterpret_cast<const sockaddr_in*>(found->ai_addr);
        const bool loopback = (ntohl(address->sin_addr.s_addr) >> 24U) == 127;
        freeaddrinfo(found);
        if (loopback) {
            return name;
        }
    }
    return "";
}

struct OwnHouse {
    explicit OwnHouse(const std::string& toml) : site(toml + tenant_toml("acme", "")) {
        site.write("key.txt", k_upstream_key + "\n");
        server.get("/acme?q=Hello");  // the tenant is loaded
    }

    Outcome add(const std::string& url) {
        return site.run(
            {"tenant", "model", "add", "acme", "mine", "--base-url", url, "--model", "m-1", "--key-file", "key.txt"});
    }
    http::Response ask(const Json& more = Json::object()) {
        Json body = chat_request("Hello", more);
        body["model"] = "mine";
        return complete(server, body);
    }
    // The server has heard of the model.
    bool knows_model() {
        return time_until([&] { return server.get("/acme/v1/models/mine").status == 200; }, 5s).has_value();
    }

    ScriptedUpstream upstream{chat({"mine ", "own"})};
    Site site;
    Server server = site.serve({"--log-level", "debug"});
};

TEST_CASE("a private address is refused when it is added, on the command line and over /admin") {
    OwnHouse house("");
    const std::string port = std::to_string(house.upstream.port());
    for (const char* host : {"127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::1]",
                             "[::ffff:127.0.0.1]", "0.0.0.0", "10.1.2.3", "192.168.1.1", "172.16.0.1",
                             "169.254.169.254", "[fe80::1]", "[fd00::1]", "100.64.0.1", "a.localhost"}) {
        CAPTURE(host);
        const std::string url = "http://" + std::string(host) + ":" + port + "/v1";
        const Outcome refused = house.add(url);
        CHECK(refused.exit != 0);
        CHECK_MESSAGE(refused.err.find(k_upstream_key) == std::string::npos, refused.err);
        const http::Response admin = house.server.send(
            "POST", "/admin/tenants/acme/models",
            {{"Authorization", "Bearer " + house.site.operator_token()}, {"Content-Type", "application/json"}},
            Json{{"name", "mine"}, {"base_url", url}, {"model", "m"}, {"api_key", k_upstream_key}}.dump());
        CHECK_MESSAGE((admin.status == 403 || admin.status == 400), admin.body);
        CHECK(admin.body.find(k_upstream_key) == std::string::npos);
    }
    CHECK(house.site.json({"tenant", "model", "list", "acme"}).empty());
    CHECK(house.ask().status == 404);
    CHECK(house.upstream.connections() == 0);
}

TEST_CASE("a name that leads to loopback is refused when it is called: 502, and nobody is connected to") {
    const std::string name = name_of_loopback();
    if (name.empty()) {
        MESSAGE("SKIPPED: no name here but localhost leads to loopback");
        return;
    }
    OwnHouse house("");
    const Outcome added = house.add("http://" + name + ":" + std::to_string(house.upstream.port()) + "/v1");
    REQUIRE_MESSAGE(added.exit == 0, added.err);
    REQUIRE(house.knows_model());
    for (const Json& how : {Json::object(), k_streaming}) {
        const http::Response refused = house.ask(how);
        CHECK_MESSAGE(refused.status == 502, refused.body);
        CHECK_MESSAGE(refused.body.find(std::to_string(house.upstream.port())) == std::string::npos, refused.body);
        CHECK_MESSAGE(refused.body.find("127.0.0.1") == std::string::npos, refused.body);
    }
    CHECK(house.upstream.connections() == 0);
    CHECK(numbers_of(house.server)["errors"] == 2);
}

TEST_CASE("a redirect to a private address is not followed") {
    OwnHouse house(k_allowed);
    const ScriptedUpstream secret(chat({"metadata"}));
    house.upstream.set_script([&](const Recorded&, ScriptedReply& out) {
        out.send(307, "{}", {{"Location", secret.url("/v1/chat/completions")}});
    });
    REQUIRE(house.add(house.upstream.url("/v1")).exit == 0);
    REQUIRE(house.knows_model());
    CHECK(house.ask().status == 502);
    CHECK(secret.connections() == 0);
}

TEST_CASE("with private_upstreams it answers; its key is seen nowhere") {
    OwnHouse house(k_allowed);
    const Outcome added = house.add(house.upstream.url("/v1"));
    REQUIRE_MESSAGE(added.exit == 0, added.err);
    std::filesystem::remove(house.site.path("key.txt"));
    REQUIRE(house.knows_model());
    CHECK(answer_of(house.ask()) == "mine own");
    CHECK(text_of(chunks_of(house.ask(k_streaming).body)) == "mine own");
    const Recorded request = house.upstream.requests().back();
    CHECK(request.field("Authorization") == "Bearer " + k_upstream_key);
    CHECK(parse_json(request.body)["model"] == "m-1");

    // The tenant's default, and by name for nobody else.
    REQUIRE(house.site.run({"tenant", "config", "acme", "model=mine"}).exit == 0);
    CHECK(time_until([&] { return ask(house.server) == "mine own"; }, 5s));
    house.upstream.set_script(chat_error(401, "bad key " + k_upstream_key));
    std::string told = house.ask().body + house.ask(k_streaming).body + ask(house.server);
    const http::Fields who = bearer(house.site.operator_token());
    for (const char* path : {"/stats", "/metrics", "/acme/stats", "/acme/v1/models", "/admin/tenants",
                             "/admin/tenants/acme", "/admin/tenants/acme/models"}) {
        told += house.server.get(path, who).body;
    }
    for (const Words& words :
         {Words{"tenant", "history", "acme", "--json"}, Words{"tenant", "config", "acme", "--json"},
          Words{"tenant", "model", "list", "acme", "--json"}, Words{"check", "--json"}}) {
        const Outcome done = house.site.run(words);
        told += done.out + done.err;
    }
    CHECK_MESSAGE(told.find(k_upstream_key) == std::string::npos, told);
    CHECK(house.server.terminate().exit == 0);
    told = house.server.process().out() + house.server.process().err();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(house.site.path())) {
        told += entry.is_regular_file() ? read_text(entry.path()) : "";
    }
    CHECK(told.find(k_upstream_key) == std::string::npos);
}

TEST_CASE("a model that is replaced or removed while serving changes at once; its key lives as long as it") {
    OwnHouse house(k_allowed);
    const ScriptedUpstream other(chat({"other"}));
    REQUIRE(house.add(house.upstream.url("/v1")).exit == 0);
    REQUIRE(house.knows_model());
    CHECK(answer_of(house.ask()) == "mine own");
    REQUIRE(house.site
                .run({"tenant", "model", "add", "acme", "mine", "--base-url", other.url("/v1"), "--model", "m-2",
                      "--replace"})
                .exit == 0);
    CHECK(time_until([&] { return house.ask().body.find("other") != std::string::npos; }, 5s));
    CHECK(other.requests().back().field("Authorization").empty());  // the old key was for the old address
    REQUIRE(house.site.run({"tenant", "model", "remove", "acme", "mine"}).exit == 0);
    CHECK(time_until([&] { return house.ask().status == 404; }, 5s));
}

TEST_CASE("another tenant has nothing of it") {
    OwnHouse house(k_allowed + tenant_toml("other", ""));
    REQUIRE(house.add(house.upstream.url("/v1")).exit == 0);
    REQUIRE(house.knows_model());
    Json body = chat_request("Hello");
    body["model"] = "mine";
    CHECK(complete(house.server, body, {}, "/other/v1").status == 404);
    CHECK(house.server.get("/other/v1/models").body.find("mine") == std::string::npos);
    CHECK(house.upstream.connections() == 0);
}

}  // namespace
}  // namespace mt::test
