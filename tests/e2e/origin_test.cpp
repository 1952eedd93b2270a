// A web page from elsewhere, or a proxy, is no person on this machine.

#include "e2e/site.h"

namespace mt::test {
namespace {

const std::vector<http::Fields> k_strangers{
    {{"Origin", "http://evil.example"}},
    {{"Origin", "null"}},
    {{"Origin", "http://localhost"}},
    {{"Sec-Fetch-Site", "cross-site"}},
    {{"Sec-Fetch-Site", "same-site"}},
    {{"Host", "evil.example"}},
    {{"Host", "evil.example:8080"}},
    {{"Host", "localhost.evil.example"}},
    {{"Host", "127.evil.example"}},
    {{"X-Forwarded-For", "203.0.113.7"}},
    {{"Forwarded", "for=203.0.113.7"}},
    {{"X-Real-IP", "203.0.113.7"}},
    {{"X-Forwarded-Host", "evil.example"}},
    {{"Origin", "http://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "no-cors"}},
};

TEST_CASE("a page from elsewhere gets neither /stats nor /metrics nor /admin") {
    const Site site;
    Server server = site.serve();
    for (const http::Fields& fields : k_strangers) {
        for (const char* target : {"/stats", "/metrics", "/admin/tenants"}) {
            const http::Response reply = server.get(target, fields);
            CAPTURE(target);
            CAPTURE(fields[0].second);
            CHECK(reply.status == 401);
            CHECK(reply.body.find("tenant-basic") == std::string::npos);
            CHECK(field(reply, "Access-Control-Allow-Origin").empty());
        }
        http::Fields with_body = fields;
        with_body.emplace_back("Content-Type", "text/plain");
        CHECK(server.send("POST", "/admin/tenants", with_body, R"({"id":"evil"})").status == 401);
    }
    CHECK(site.json({"tenant", "list"}).size() == 3);
}

TEST_CASE("whoever sits on this machine reads /stats and /metrics, not /admin") {
    const Site site;
    Server server = site.serve();
    const std::string port = ":" + std::to_string(server.port());
    const std::vector<http::Fields> neighbours{
        {},
        {{"Host", "localhost" + port}},
        {{"Host", "LOCALHOST"}},
        {{"Host", "127.0.0.1" + port}},
        {{"Host", "[::1]" + port}},
        {{"Sec-Fetch-Site", "none"}},
        {{"Sec-Fetch-Site", "same-origin"}},
    };
    for (const http::Fields& fields : neighbours) {
        CHECK(server.get("/stats", fields).status == 200);
        CHECK(server.get("/metrics", fields).status == 200);
        CHECK(server.get("/admin/tenants", fields).status == 401);
    }
}

TEST_CASE("with the operator's token the numbers are told to everybody who has it") {
    const Site site;
    Server server = site.serve();
    const http::Fields proxied{{"Authorization", "Bearer " + site.operator_token()},
                               {"X-Forwarded-For", "203.0.113.7"},
                               {"Host", "agents.example"}};
    CHECK(server.get("/stats", proxied).status == 200);
    CHECK(server.get("/metrics", proxied).status == 200);
    CHECK(server.get("/stats", bearer("wrong")).status == 401);
}

TEST_CASE("an address that others can reach needs keys, or --allow-open") {
    const Site site;
    const Outcome refused = site.run({"serve", "--listen", "0.0.0.0:0"});
    CHECK(refused.exit == 78);
    CHECK(refused.err.find("--allow-open") != std::string::npos);

    Server server = site.serve({"--listen", "0.0.0.0:0", "--allow-open"});
    CHECK(server.get("/tenant-basic?q=Hello").status == 200);
    CHECK(server.get("/stats").status == 401);
    CHECK(server.get("/metrics").status == 401);
    CHECK(server.get("/stats", bearer(site.operator_token())).status == 200);
}

TEST_CASE("a tenant that turns open where others can reach it is treated as one with keys") {
    const Site site("[[tenants]]\nid = \"acme\"\n");
    Server server = site.serve({"--listen", "0.0.0.0:0"});
    site.out({"tenant", "config", "acme", "auth=open"});
    const auto warned = [&] { return server.process().err().find("acme") != std::string::npos; };
    CHECK(time_until(warned, std::chrono::seconds{5}));
    CHECK(server.get("/acme?q=Hello").status == 401);
    const std::string key = site.create_key({"acme"});
    const auto opens = [&] { return server.get("/acme?q=Hello", bearer(key)).status == 200; };
    CHECK(time_until(opens, std::chrono::seconds{5}));
}

TEST_CASE("a unix socket is private and counts as this machine") {
    const Site site;
    const std::string address = "unix:" + site.path("socket").string();
    Process process = site.start({"serve", "--listen", address});
    http::Client client(*http::parse_url(address), std::chrono::seconds{5});
    const auto answers = [&] {
        const Result<http::Response> reply = client.send("GET", "/tenant-basic?q=Hello");
        return reply && reply->status == 200;
    };
    REQUIRE(time_until(answers, std::chrono::seconds{10}));
    const Result<http::Response> stats = client.send("GET", "/stats");
    REQUIRE(stats);
    CHECK(stats->status == 200);
    using std::filesystem::perms;
    CHECK(std::filesystem::status(site.path("socket")).permissions() == (perms::owner_read | perms::owner_write));
}

}  // namespace
}  // namespace mt::test
