// The load generator's own contract; what it measures is no matter of a test.

#include "e2e/site.h"

namespace mt::test {
namespace {

TEST_CASE("without a URL the demo is served in process, and a broken threshold ends with 5") {
    const Site site;
    const Outcome broken = site.run({"bench", "--duration", "1s", "--max-p99", "1us", "--json"});
    CHECK(broken.exit == 5);
    CHECK_MESSAGE(broken.err.find("p99") != std::string::npos, broken.err);
    CHECK(parse_json(broken.out)["requests"] > 0);
    Json held = site.json({"bench", "--duration", "1s", "--max-p99", "10s", "--max-error-rate", "0.1%"});
    CHECK(held["requests"] > 0);
    CHECK(held["error_rate"] == 0.0);
    CHECK_FALSE(std::filesystem::exists(site.path("data")));  // nothing of the folder here is touched
}

TEST_CASE("an error rate past its threshold ends with 5") {
    const Site site;
    Server server = site.serve();
    const std::string unknown = server.url("/nobody?q=test");
    const Outcome broken = site.run({"bench", unknown, "--duration", "300ms", "--max-error-rate", "0.1%", "--json"});
    CHECK(broken.exit == 5);
    CHECK(parse_json(broken.out)["error_rate"] == 1.0);
}

TEST_CASE("a limit that does its duty is counted, and is no error") {
    const Site site;
    Server server = site.serve();
    Json report =
        site.json({"bench", server.url("/tenant-basic?q=test"), "--duration", "300ms", "--max-error-rate", "0.1%"});
    CHECK(report["statuses"]["200"] == 10);
    CHECK(report["statuses"]["429"] > 0);
    Json stats = parse_json(server.get("/stats").body)["tenant-basic"];
    CHECK(stats["allowed"] == report["statuses"]["200"]);
    CHECK(stats["denied"] >= report["statuses"]["429"]);
}

TEST_CASE("the key of the environment is sent") {
    Site site;
    site.launch().environment["MTAGENT_API_KEY"] = site.add("acme", {"--rate-limit", "100000000"});
    Server server = site.serve();
    Json report = site.json({"bench", server.url("/acme?q=test"), "--duration", "300ms"});
    CHECK(report["statuses"].size() == 1);
    CHECK(report["statuses"]["200"] > 0);
}

TEST_CASE("nobody to measure is an error") {
    const Site site;
    const int exit = site.run({"bench", "http://127.0.0.1:1/", "--duration", "200ms"}).exit;
    CHECK_MESSAGE((exit == 69 || exit == 1), exit);
}

}  // namespace
}  // namespace mt::test
