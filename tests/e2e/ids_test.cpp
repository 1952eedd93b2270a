// Tenant ids that are none, on the command line and over the wire.

#include "e2e/site.h"
#include "http/raw_client.h"

namespace mt::test {
namespace {

std::string long_id(std::size_t length) {
    std::string id(length, 'a');
    return id;
}

const Words k_bad_ids{"..",      ".",      "../x", "a/b",     "/",         "/etc/passwd", "A",          "Tenant-Basic",
                      "",        "-x",     "_x",   "a b",     "a.b",       "a%2fb",       "ü",          "a\nb",
                      "a'b",     "a\tb",   "v1",   "stats",   "admin",     "mcp",         "health",     "livez",
                      "metrics", "readyz", "a2a",  "tenants", "dashboard", long_id(49),   long_id(5000)};

TEST_CASE("an id that is none ends with 64 and makes nothing") {
    const Site site;
    site.add("acme");
    Json before = site.json({"tenant", "list"});
    for (const std::string& id : k_bad_ids) {
        CAPTURE(id);
        const Outcome add = site.run({"tenant", "add", id});
        CHECK(add.exit == 64);
        CHECK(add.out.empty());
        CHECK_FALSE(add.err.empty());
        CHECK(site.run({"tenant", "add", id, "--if-missing"}).exit == 64);
    }
    CHECK(site.json({"tenant", "list"}) == before);
    CHECK(std::distance(std::filesystem::directory_iterator(site.path()), {}) == 2);  // tenants.toml and data
    CHECK_FALSE(std::filesystem::exists(site.path("data") / "x.db"));
}

TEST_CASE("commands on an id that is none find nothing and change nothing") {
    const Site site;
    site.add("acme");
    const auto is_refusal = [](const Outcome& done) { return done.exit == 64 || done.exit == 3; };
    for (const std::string& id : {std::string(".."), std::string("../acme"), std::string("ACME"), long_id(49)}) {
        CAPTURE(id);
        CHECK(is_refusal(site.run({"tenant", "config", id, "rate_limit=5"})));
        CHECK(is_refusal(site.run({"tenant", "suspend", id})));
        CHECK(is_refusal(site.run({"tenant", "remove", id, "--confirm", id})));
        CHECK(is_refusal(site.run({"key", "create", id})));
        CHECK(is_refusal(site.run({"ask", id, "Hello"})));
        CHECK(is_refusal(site.run({"stats", id})));
    }
    CHECK(site.json({"tenant", "config", "acme"})["generation"] == 1);
}

TEST_CASE("48 characters are an id") {
    const Site site;
    const std::string key = site.add(long_id(48));
    Server server = site.serve();
    CHECK(server.get("/" + long_id(48) + "?q=Hello", bearer(key)).status == 200);
    CHECK(server.get("/" + long_id(49) + "?q=Hello", bearer(key)).status == 401);
}

// The status of one request whose target is sent byte by byte as it stands.
int status_of(const Server& server, const std::string& target) {
    http::Address address;
    address.port = server.port();
    RawClient client(address);
    client.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return client.reply().status;
}

TEST_CASE("a path that names no tenant is 401 or 404, never more") {
    const Site site;
    Server server = site.serve();
    for (const char* path : {"/..",
                             "/.",
                             "/%2e%2e",
                             "/%2E%2E",
                             "/..%2f..%2fetc%2fpasswd",
                             "/%2e%2e/%2e%2e/etc/passwd",
                             "/../stats",
                             "/tenant-basic/../tenant-pro",
                             "//",
                             "///",
                             "//tenant-basic",
                             "/tenant-basic//",
                             "/%2f",
                             "/a%2fb",
                             "/%00",
                             "/tenant-basic%00",
                             "/%00/stats",
                             "/TENANT-BASIC",
                             "/Tenant-Basic",
                             "/v1",
                             "/mcp",
                             "/a2a",
                             "/dashboard",
                             "/tenants",
                             "/admin",
                             "/%ff",
                             "/%c0%ae%c0%ae",
                             "/tenant-basic.",
                             "/tenant-basic%20",
                             "/%20tenant-basic",
                             "/tenant-basic;x=1",
                             "/tenant-basic%0d%0aX-Evil:%201",
                             "/nobody/x/y/z",
                             "/sessions",
                             "/keys"}) {
        const int status = status_of(server, std::string(path) + "?q=Hello");
        CHECK_MESSAGE((status == 401 || status == 404), path, " -> ", status);
    }
    for (const std::size_t length : {49U, 1000U, 7000U}) {
        CHECK(status_of(server, "/" + long_id(length) + "?q=Hello") == 401);
    }
    // A malformed escape, or bytes that no target may have, may be called what they are.
    for (const std::string& path : {std::string("/%zz"), std::string("/%"),
                                    std::string("/a\x01"
                                                "b"),
                                    std::string("/\xc3\xbc"), std::string("/a\0b", 4)}) {
        const int status = status_of(server, path + "?q=Hello");
        CHECK_MESSAGE((status == 400 || status == 401 || status == 404), path, " -> ", status);
    }
    CHECK_FALSE(server.process().ended());
    CHECK(server.get("/tenant-basic?q=Hello").status == 200);
    CHECK(parse_json(server.get("/stats").body).size() == 3);
}

TEST_CASE("session ids that are none are refused and reach nothing") {
    const Site site;
    Server server = site.serve();
    for (const std::string id : {"a%2fb", "..%2f..%2fregistry", "%00", "a%0ab"}) {
        CHECK_MESSAGE(server.get("/tenant-enterprise?q=Hello&session=" + id).status == 400, id);
        const int looked = status_of(server, "/tenant-enterprise/sessions/" + id);
        CHECK_MESSAGE(looked == 404, id, " -> ", looked);
    }
    CHECK(server.get("/tenant-enterprise?q=Hello&session=" + long_id(2000)).status == 400);
    CHECK(parse_json(server.get("/tenant-enterprise/sessions").body)["sessions"].empty());
}

}  // namespace
}  // namespace mt::test
