#include "trace/settings.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

using mt::Code;
using mt::Result;
using mt::TraceSettings;
using Sampler = mt::TraceSettings::Sampler;
using Variables = std::map<std::string, std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr const char* k_endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
constexpr const char* k_headers = "OTEL_EXPORTER_OTLP_HEADERS";
constexpr const char* k_attributes = "OTEL_RESOURCE_ATTRIBUTES";
constexpr const char* k_sampler = "OTEL_TRACES_SAMPLER";
constexpr const char* k_argument = "OTEL_TRACES_SAMPLER_ARG";

Result<TraceSettings> read(const Variables& variables) {
    return mt::read_trace_settings([&](const std::string& name) {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
}

TraceSettings good(const Variables& variables) {
    const Result<TraceSettings> settings = read(variables);
    REQUIRE_MESSAGE(settings, (settings ? "" : settings.error().message));
    return *settings;
}

std::string endpoint(const Variables& variables) {
    return good(variables).endpoint;
}

// The message, which begins with the variable at fault.
std::string refused(const Variables& variables) {
    const Result<TraceSettings> settings = read(variables);
    REQUIRE_FALSE(settings);
    CHECK(settings.error().code == Code::config);
    return settings.error().message;
}

}  // namespace

TEST_CASE("nothing is exported where nothing is set") {
    for (const TraceSettings& settings : {good({}), *mt::read_trace_settings({}), good({{k_endpoint, " "}})}) {
        CHECK(settings.endpoint.empty());
        CHECK(settings.service_name == "mtagent");
        CHECK(settings.service_version.empty());
        CHECK(settings.headers.empty());
        CHECK(settings.resource.empty());
        CHECK(settings.sampler == Sampler::always_on);
        CHECK(settings.parent_based);
        CHECK(settings.timeout_ms == 10'000);
    }
}

TEST_CASE("the endpoint for everything gets the path of traces, the one for traces is complete") {
    CHECK(endpoint({{k_endpoint, "http://h:4318"}}) == "http://h:4318/v1/traces");
    CHECK(endpoint({{k_endpoint, "http://h:4318/"}}) == "http://h:4318/v1/traces");
    CHECK(endpoint({{k_endpoint, "https://h/otlp"}}) == "https://h/otlp/v1/traces");
    CHECK(endpoint({{k_endpoint, "https://h/otlp/?a=b/"}}) == "https://h/otlp/v1/traces?a=b/");
    CHECK(endpoint({{k_endpoint, "http://h"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x"}}) == "http://t/x");
    CHECK(endpoint({{k_endpoint, "http://h"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""}}) == "http://h/v1/traces");
    CHECK(endpoint({{"OTEL_TRACES_EXPORTER", "otlp"}}) == "http://localhost:4318/v1/traces");
    CHECK(endpoint({{"OTEL_TRACES_EXPORTER", "otlp"}, {k_endpoint, "http://h"}}) == "http://h/v1/traces");
}

TEST_CASE("tracing is switched off by two variables, whatever the others say") {
    const Variables wrong{{k_endpoint, "ftp://h"}, {k_sampler, "dice"}};
    for (const auto& [name, value] : Variables{{"OTEL_TRACES_EXPORTER", "none"}, {"OTEL_SDK_DISABLED", "TRUE"}}) {
        Variables variables = wrong;
        variables[name] = value;
        CHECK(endpoint(variables).empty());
    }
    CHECK(endpoint({{"OTEL_SDK_DISABLED", "false"}, {k_endpoint, "http://h"}}) == "http://h/v1/traces");
}

TEST_CASE("headers and attributes are percent-decoded") {
    const Pairs expected{{"Authorization", "Bearer a,b=c%"}, {"X-Team", "blue"}};
    CHECK(good({{k_headers, "Authorization=Bearer%20a%2Cb=c%25 , X-Team = blue,"}}).headers == expected);
    CHECK(good({{k_headers, "a=1"}, {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"}}).headers == Pairs{{"b", "2"}});
    const TraceSettings settings = good({{k_attributes,
                                          "service.name=shop,service.version=7,deployment.environment.name=a,"
                                          "deployment.environment.name=pr%C3%B6d,empty="}});
    CHECK(settings.service_name == "shop");
    CHECK(settings.service_version == "7");
    CHECK(settings.resource == Pairs{{"deployment.environment.name", "pr\u00f6d"}, {"empty", ""}});
    CHECK(good({{k_attributes, "service.name=shop"}, {"OTEL_SERVICE_NAME", "agent"}}).service_name == "agent");
    CHECK(good({{k_attributes, "service.name="}}).service_name == "mtagent");
}

TEST_CASE("each sampler has its name") {
    struct Row {
        std::string name;
        Sampler sampler;
        bool parent_based;
    };
    for (const Row& row : std::vector<Row>{{"always_on", Sampler::always_on, false},
                                           {"always_off", Sampler::always_off, false},
                                           {"traceidratio", Sampler::ratio, false},
                                           {"parentbased_always_on", Sampler::always_on, true},
                                           {"parentbased_always_off", Sampler::always_off, true},
                                           {"parentbased_traceidratio", Sampler::ratio, true}}) {
        const TraceSettings settings = good({{k_sampler, row.name}, {k_argument, "0.25"}});
        CHECK(settings.sampler == row.sampler);
        CHECK(settings.parent_based == row.parent_based);
        CHECK(settings.ratio == (row.sampler == Sampler::ratio ? 0.25 : 1));
    }
    const TraceSettings unnamed = good({{k_argument, "0.1"}});
    CHECK(unnamed.sampler == Sampler::ratio);
    CHECK(unnamed.parent_based);
    CHECK(unnamed.ratio == 0.1);
    CHECK(good({{k_sampler, "traceidratio"}}).ratio == 1);
    CHECK(good({{k_sampler, "always_on"}, {k_argument, "whatever"}}).sampler == Sampler::always_on);
}

TEST_CASE("time-outs are milliseconds, and only http/json is spoken") {
    CHECK(good({{"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"}}).timeout_ms == 2'500);
    CHECK(good({{"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"}, {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1"}}).timeout_ms == 1);
    CHECK(good({{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"}}).endpoint.empty());
    CHECK(good({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"}})
              .endpoint.empty());
    for (const std::string protocol : {"http/protobuf", "grpc", "HTTP/JSON"}) {
        const std::string message =
            refused({{"OTEL_EXPORTER_OTLP_PROTOCOL", protocol}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"}});
        CHECK(message.find("only http/json") != std::string::npos);
        CHECK(good({{"OTEL_EXPORTER_OTLP_PROTOCOL", protocol}}).endpoint.empty());  // nothing is sent by it
    }
}

TEST_CASE("what is wrong is named, and no value that may be secret is repeated") {
    const std::string secret = "hunter2";
    const std::vector<std::pair<std::string, std::string>> wrong{
        {k_endpoint, secret},
        {k_endpoint, "ftp://" + secret},
        {k_endpoint, "http://"},
        {k_endpoint, "http://:4318"},
        {k_endpoint, "http://h/" + secret + " x"},
        {k_endpoint, "http://h/#" + secret},
        {k_endpoint, "http://user:" + secret + "@h"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "h:4318/" + secret},
        {k_headers, secret},
        {k_headers, "a=1," + secret},
        {k_headers, "=" + secret},
        {k_headers, "a=" + secret + "%2"},
        {k_headers, "a=" + secret + "%zz"},
        {k_headers, "a=" + secret + "%0D%0Ab: c"},
        {k_headers, "a b=" + secret},
        {k_headers, "Content-Type=" + secret},
        {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", secret},
        {k_attributes, secret},
        {k_attributes, "a=%" + secret},
        {"OTEL_EXPORTER_OTLP_TIMEOUT", "0"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT", "10s"},
        {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT", "99999999999999999999"},
        {k_sampler, "jaeger_remote"},
        {k_argument, "1.5"},
        {k_argument, "half"},
        {"OTEL_TRACES_EXPORTER", "zipkin"},
        {"OTEL_SDK_DISABLED", "yes"},
    };
    for (const auto& [name, value] : wrong) {
        const std::string message = refused({{name, value}});
        CAPTURE(message);
        CHECK(message.starts_with(name + ": "));
        CHECK(message.find(secret) == std::string::npos);
    }
}
