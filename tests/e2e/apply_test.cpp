// tenants.toml and the catalog: apply, dry run, prune, drift.

#include "base/ids.h"
#include "e2e/site.h"

namespace mt::test {
namespace {

const std::string k_two =
    "[[tenants]]\nid = \"one\"\nrate_limit = 5\n\n"
    "[[tenants]]\nid = \"two\"\nplan = \"professional\"\nname = \"Two\"\n";

Json ids(const Site& site) {
    Json list = Json::array();
    for (const Json& tenant : site.json({"tenant", "list"})) {
        list.push_back(tenant.at("id"));
    }
    return list;
}

TEST_CASE("a dry run tells the difference and changes nothing") {
    const Site site(k_two);
    site.add("extra");
    Json plan = site.json({"tenant", "apply", "--dry-run"});
    CHECK(plan["dry_run"] == true);
    CHECK(plan["created"] == Json::array({"one", "two"}));
    CHECK(plan["removed"].empty());
    CHECK(plan["not_in_file"] == Json::array({"extra"}));
    CHECK(ids(site) == Json::array({"extra"}));

    site.out({"tenant", "apply"});
    site.out({"tenant", "config", "one", "rate_limit=9"});
    Json drift = site.json({"tenant", "apply", "--dry-run", "--prune"});
    CHECK(drift["created"].empty());
    REQUIRE(drift["changed"].size() == 1);
    CHECK(drift["changed"][0]["id"] == "one");
    CHECK(drift["changed"][0]["fields"]["rate_limit"] == Json{{"before", 9}, {"after", 5}});
    CHECK(drift["removed"] == Json::array({"extra"}));
    CHECK(ids(site) == Json::array({"extra", "one", "two"}));
    CHECK(site.json({"tenant", "config", "one"})["rate_limit"] == 9);
}

TEST_CASE("apply brings the tenants of the file into line and leaves others alone") {
    const Site site(k_two);
    site.add("extra", {"--rate-limit", "3"});
    site.out({"tenant", "apply"});
    CHECK(ids(site) == Json::array({"extra", "one", "two"}));
    CHECK(site.json({"tenant", "config", "two"})["name"] == "Two");
    site.out({"tenant", "config", "one", "rate_limit=9", "burst=20"});
    site.out({"tenant", "apply"});
    Json one = site.json({"tenant", "config", "one"});
    CHECK(one["rate_limit"] == 5);
    CHECK(one["burst"] == 0);
    CHECK(site.json({"tenant", "config", "extra"})["rate_limit"] == 3);
    CHECK(site.json({"tenant", "apply"})["unchanged"] == 2);
}

TEST_CASE("prune needs --confirm") {
    const Site site(k_two);
    site.add("extra");
    CHECK(site.run({"tenant", "apply", "--prune"}).exit == 64);
    CHECK(ids(site) == Json::array({"extra"}));
    CHECK(site.json({"tenant", "apply", "--prune", "--confirm"})["removed"] == Json::array({"extra"}));
    CHECK(ids(site) == Json::array({"one", "two"}));
}

TEST_CASE("a file with one fault is not applied at all") {
    const Site site(k_two);
    site.out({"tenant", "apply"});
    site.write("bad.toml", "[[tenants]]\nid = \"three\"\n\n[[tenants]]\nid = \"four\"\nrate_limit = -1\n");
    const Outcome done = site.run({"tenant", "apply", "bad.toml", "--prune", "--confirm"});
    CHECK(done.exit == 78);
    CHECK_MESSAGE(done.err.find("bad.toml:6:") != std::string::npos, done.err);
    CHECK(ids(site) == Json::array({"one", "two"}));
    CHECK(site.run({"tenant", "apply", "missing.toml"}).exit == 78);
}

TEST_CASE("a key whose hash stands in the file opens, and no other") {
    const std::string key = "mta_abcdefghijkl_" + std::string(64, '7');
    const Site site("[[tenants]]\nid = \"one\"\nkey_hashes = [\"abcdefghijkl:" + to_hex(sha256(key)) + "\"]\n");
    Server server = site.serve();
    CHECK(server.get("/one?q=Hello", bearer(key)).status == 200);
    CHECK(server.get("/one?q=Hello", bearer("mta_abcdefghijkl_" + std::string(64, '8'))).status == 401);
    CHECK(server.get("/one?q=Hello").status == 401);
}

TEST_CASE("serve creates what is missing, reports drift and does not undo changes") {
    const Site site(k_two);
    {
        const Server server = site.serve();
        CHECK(ids(site) == Json::array({"one", "two"}));
        site.out({"tenant", "config", "one", "rate_limit=9"});
    }
    Server server = site.serve();
    CHECK(site.json({"tenant", "config", "one"})["rate_limit"] == 9);
    CHECK(server.terminate().exit == 0);
    const std::string log = server.process().err();
    CHECK_MESSAGE((log.find("'one'") != std::string::npos && log.find("rate_limit") != std::string::npos), log);
    CHECK_FALSE(site.json({"check"})["warnings"].empty());
}

}  // namespace
}  // namespace mt::test
