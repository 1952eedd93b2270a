// What the transport asks of the endpoints: replies for refusals, counts, and which requests come first.

#include <doctest/doctest.h>

#include <string>

#include "api/endpoints.h"

using namespace mt;
using test::Endpoints;
using test::is_problem;
using test::Reply;

TEST_CASE("refusals of the transport count by reason, those of 4xx as invalid requests too") {
    Endpoints house;
    CHECK(house.call("GET", "/metrics").body().find("mtagent_http_refusals_total{reason=\"busy\"} 0\n") !=
          std::string::npos);
    const std::int64_t before = house.pipeline.invalid_requests;
    house.api.refused({Code::head_too_large, ""});
    house.api.refused({Code::request_timeout, ""});
    house.api.refused({Code::request_timeout, ""});
    CHECK(house.pipeline.invalid_requests == before + 3);
    house.api.refused({Code::busy, ""});
    house.api.refused({Code::unsupported, ""});
    house.api.refused({Code::storage_full, ""});
    CHECK(house.pipeline.invalid_requests == before + 3);
    const std::string metrics = house.call("GET", "/metrics").body();
    for (const char* line : {"{reason=\"head_too_large\"} 1", "{reason=\"request_timeout\"} 2", "{reason=\"busy\"} 1",
                             "{reason=\"unsupported\"} 1", "{reason=\"other\"} 1", "{reason=\"invalid\"} 0"}) {
        CHECK_MESSAGE(metrics.find("mtagent_http_refusals_total" + std::string(line) + "\n") != std::string::npos,
                      line);
    }
}

TEST_CASE("the reply for a refusal is a problem, and counts nothing") {
    Endpoints house;
    const std::int64_t before = house.pipeline.invalid_requests;
    const Reply reply(api::Api::fault({Code::too_large, "the body is too large"}));
    CHECK(reply.status() == 413);
    CHECK(is_problem(reply));
    CHECK(house.pipeline.invalid_requests == before);
    CHECK(house.call("GET", "/metrics").body().find("mtagent_http_refusals_total{reason=\"too_large\"} 0\n") !=
          std::string::npos);
}

TEST_CASE("health checks are urgent, and nothing else is") {
    const auto urgent = [](const char* method, const char* path) {
        http::Request request;
        request.method = method;
        request.path = path;
        return api::Api::is_urgent(request);
    };
    for (const char* path : {"/livez", "/readyz", "/health", "/health/live", "/health/ready", "/health/startup"}) {
        CHECK_MESSAGE(urgent("GET", path), path);
        CHECK_MESSAGE(urgent("HEAD", path), path);
        CHECK_FALSE_MESSAGE(urgent("POST", path), path);
    }
    for (const char* path : {"/acme", "/acme/stats", "/stats", "/metrics", "/admin/tenants", "/health/other",
                             "/healthz", "/livez/", "/%6civez", "/", ""}) {
        CHECK_FALSE_MESSAGE(urgent("GET", path), path);
    }
}
