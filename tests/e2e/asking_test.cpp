// The reference example over HTTP, and what comes with every reply.

#include <set>

#include "e2e/site.h"

namespace mt::test {
namespace {

const std::string k_basic_reply =
    "[Basic Corp] Received: Hello\n"
    "Available features: [basic-chat]\n"
    "Processing with Basic tier configuration\n";
const std::string k_pro_reply =
    "[Pro Enterprise] Received: Analyze data\n"
    "Available features: [basic-chat advanced-analytics priority-support]\n"
    "Processing with Professional tier configuration\n";
const std::string k_enterprise_reply =
    "[Enterprise Solutions] Received: Custom model query\n"
    "Available features: [basic-chat advanced-analytics priority-support custom-models dedicated-resources]\n"
    "Processing with Enterprise tier configuration\n";

bool has_three_decimals(const std::string& text) {
    const std::size_t dot = text.find('.');
    return dot != std::string::npos && dot > 0 && text.size() == dot + 4 &&
           text.find_first_not_of("0123456789.") == std::string::npos;
}

TEST_CASE("the three requests of the reference example get its three replies") {
    const Site site;
    Server server = site.serve();
    CHECK(server.get("/tenant-basic?q=Hello").body == k_basic_reply);
    CHECK(server.get("/tenant-pro?q=Analyze+data").body == k_pro_reply);
    CHECK(server.get("/tenant-enterprise?q=Custom+model+query").body == k_enterprise_reply);
}

TEST_CASE("a reply names its tenant, its time, its request and its limit") {
    const Site site;
    Server server = site.serve();
    std::set<std::string> requests;
    for (const char* target : {"/tenant-basic?q=Hello", "/tenant-basic?q=Hello", "/tenant-pro?q=Hello"}) {
        const http::Response reply = server.get(target);
        CHECK(reply.status == 200);
        CHECK(reply.content_type.starts_with("text/plain"));
        CHECK(std::string(target).find(field(reply, "X-Tenant-ID")) == 1);
        CHECK_MESSAGE(has_three_decimals(field(reply, "X-Processing-Time-Ms")), field(reply, "X-Processing-Time-Ms"));
        requests.insert(field(reply, "X-Request-Id"));
        const bool basic = field(reply, "X-Tenant-ID") == "tenant-basic";
        CHECK(field(reply, "RateLimit-Policy") == (basic ? "\"requests\";q=10;w=60" : "\"requests\";q=100;w=60"));
        CHECK(field(reply, "RateLimit").starts_with("\"requests\";r="));
    }
    CHECK(requests.size() == 3);
    CHECK_FALSE(requests.contains(""));
}

TEST_CASE("Accept chooses between text and JSON") {
    const Site site;
    Server server = site.serve();
    const auto type_for = [&](const std::string& accept) {
        return server.get("/tenant-pro?q=Hello", {{"Accept", accept}}).content_type;
    };
    CHECK(type_for("application/json").starts_with("application/json"));
    CHECK(type_for("text/plain;q=0.5, application/json").starts_with("application/json"));
    CHECK(type_for("application/json;q=0.1, text/plain").starts_with("text/plain"));
    CHECK(type_for("application/json;q=0").starts_with("text/plain"));
    CHECK(type_for("*/*").starts_with("text/plain"));
    CHECK(type_for("text/html,application/xhtml+xml,*/*;q=0.8").starts_with("text/plain"));

    const http::Response reply = server.get("/tenant-basic?q=Hello", {{"Accept", "application/json"}});
    CHECK(parse_json(reply.body)["answer"].get<std::string>() + "\n" == k_basic_reply);
}

TEST_CASE("a question may come as the body of a POST, text or JSON") {
    const Site site;
    Server server = site.serve();
    CHECK(server.send("POST", "/tenant-basic", {{"Content-Type", "text/plain"}}, "Hello").body == k_basic_reply);
    CHECK(server.send("POST", "/tenant-basic", {{"Content-Type", "text/plain; charset=utf-8"}}, "Hello").body ==
          k_basic_reply);
    CHECK(server.send("POST", "/tenant-basic", {{"Content-Type", "application/json"}}, R"({"message":"Hello"})").body ==
          k_basic_reply);
    const http::Response umlaut = server.send("POST", "/tenant-basic", {{"Content-Type", "text/plain"}}, "Grüße, 世界");
    CHECK(umlaut.body.starts_with("[Basic Corp] Received: Grüße, 世界\n"));
}

TEST_CASE("a plus and an escaped blank are the same question") {
    const Site site;
    Server server = site.serve();
    CHECK(server.get("/tenant-pro?q=Analyze%20data").body == k_pro_reply);
    CHECK(server.get("/tenant-pro?x=1&q=Analyze+data").body == k_pro_reply);
}

TEST_CASE("health is told at all its addresses") {
    const Site site;
    Server server = site.serve();
    for (const char* target : {"/health", "/livez", "/readyz", "/health/live", "/health/ready", "/health/startup"}) {
        CHECK_MESSAGE(server.get(target).status == 200, target);
    }
    const std::string body = server.get("/health").body;
    CHECK(body.substr(0, body.find('\n')) == "OK");
}

}  // namespace
}  // namespace mt::test
