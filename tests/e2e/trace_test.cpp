// Traces from the real binary, as a collector gets them.

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "e2e/chat.h"

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{10};
const std::string k_trace = "0af7651916cd43dd8448eb211c80319c";
const std::string k_parent = "b7ad6b7169203331";
const std::string k_secret_words = "the-question-nobody-may-see";

// Takes spans as an OpenTelemetry collector does.
class Collector {
  public:
    [[nodiscard]] std::string url() const { return m_server.url(); }
    [[nodiscard]] std::string all_bodies() const {
        std::string all;
        for (const Recorded& request : m_server.requests()) {
            all += request.body + "\n";
        }
        return all;
    }
    [[nodiscard]] std::vector<Recorded> requests() const { return m_server.requests(); }

    // In order of their begin.
    [[nodiscard]] std::vector<Json> spans() const {
        std::vector<Json> spans;
        for (const Recorded& request : m_server.requests()) {
            const Json body = parse_json(request.body);
            for (const Json& resource : body["resourceSpans"]) {
                for (const Json& scope : resource["scopeSpans"]) {
                    spans.insert(spans.end(), scope["spans"].begin(), scope["spans"].end());
                }
            }
        }
        std::stable_sort(spans.begin(), spans.end(), [](const Json& a, const Json& b) {
            return a["startTimeUnixNano"].get<std::string>() < b["startTimeUnixNano"].get<std::string>();
        });
        return spans;
    }
    [[nodiscard]] bool wait_for(std::size_t count) const {
        return time_until([&] { return spans().size() >= count; }, k_patience).has_value();
    }

  private:
    ScriptedUpstream m_server{[](const Recorded&, ScriptedReply& out) { out.send(200, "{}"); }};
};

std::string attribute(const Json& span, const std::string& name) {
    for (const Json& entry : span["attributes"]) {
        if (entry["key"] == name) {
            const Json value = entry["value"].begin().value();
            return value.is_string() ? value.get<std::string>() : value.dump();
        }
    }
    return "";
}

const Json& named(const std::vector<Json>& spans, const std::string& prefix) {
    const auto found = std::find_if(spans.begin(), spans.end(), [&](const Json& span) {
        return span["name"].get<std::string>().starts_with(prefix);
    });
    REQUIRE_MESSAGE(found != spans.end(), "no span ", prefix);
    return *found;
}

// A model that asks for a tool of the operator's product, and then answers.
struct TraceHouse {
    explicit TraceHouse(const std::string& arg = "", const std::string& endpoint = "")
        : site("[server]\nprivate_upstreams = [\"127.0.0.0/8\"]\n" + model_toml(model) +
               "[tools.order]\ndescription = \"An order\"\nurl = \"" + shop.url() + "/orders/{id}\"\n" +
               "parameters.properties.id = { type = \"string\" }\n" + tenant_toml("acme")) {
        auto& environment = site.launch().environment;
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint.empty() ? collector.url() : endpoint;
        environment["OTEL_SERVICE_NAME"] = "agents";
        if (!arg.empty()) {
            environment["OTEL_TRACES_SAMPLER_ARG"] = arg;
        }
        server.emplace(site.launch(), Words{});
    }

    http::Response ask(const http::Fields& fields = {}) {
        return complete(*server, chat_request(k_secret_words), fields);
    }

    Collector collector;
    ScriptedUpstream shop{[](const Recorded&, ScriptedReply& out) { out.send(200, "{\"state\":\"on its way\"}"); }};
    ScriptedUpstream model{sequence({tools({{"c1", "order", R"({"id":"7"})"}}), chat({"an-answer-nobody-may-see"})})};
    Site site;
    std::optional<Server> server{};
};

TEST_CASE("request > admit > cache > agent > upstream and tool, in the caller's trace") {
    TraceHouse house;
    const http::Response reply =
        house.ask({{"traceparent", "00-" + k_trace + "-" + k_parent + "-01"}, {"tracestate", "vendor=1"}});
    CHECK(reply.status == 200);
    REQUIRE(house.collector.wait_for(8));
    const std::vector<Json> spans = house.collector.spans();
    REQUIRE(spans.size() == 8);
    const Json& request = named(spans, "POST /");
    const Json& admit = named(spans, "admit");
    const Json& cache = named(spans, "cache");
    const Json& agent = named(spans, "invoke_agent");
    const Json& chat = named(spans, "chat");
    const Json& tool = named(spans, "execute_tool order");
    CHECK(request["parentSpanId"] == k_parent);
    CHECK(admit["parentSpanId"] == request["spanId"]);
    CHECK(cache["parentSpanId"] == admit["spanId"]);
    CHECK(agent["parentSpanId"] == cache["spanId"]);
    CHECK(chat["parentSpanId"] == agent["spanId"]);
    CHECK(tool["parentSpanId"] == agent["spanId"]);
    for (const Json& span : spans) {
        CHECK(span["traceId"] == k_trace);
        CHECK(span["traceState"] == "vendor=1");
        CHECK(std::stoll(span["endTimeUnixNano"].get<std::string>()) >=
              std::stoll(span["startTimeUnixNano"].get<std::string>()));
    }
    CHECK(request["kind"] == 2);
    CHECK(attribute(request, "http.request.method") == "POST");
    CHECK(attribute(request, "http.route").find("/v1/chat/completions") != std::string::npos);
    CHECK(attribute(request, "http.response.status_code") == "200");
    CHECK(attribute(request, "mtagent.tenant.id") == "acme");
    CHECK(chat["kind"] == 3);
    CHECK(attribute(chat, "gen_ai.operation.name") == "chat");
    CHECK(attribute(chat, "gen_ai.usage.input_tokens") == "12");
    CHECK(attribute(tool, "gen_ai.tool.name") == "order");
    CHECK(attribute(agent, "gen_ai.operation.name") == "invoke_agent");
    CHECK(house.collector.requests()[0].target == "/v1/traces");
    CHECK(house.collector.all_bodies().find("\"agents\"") != std::string::npos);

    // Both servers are told the span that asks them.
    const std::string sent = house.model.requests()[0].field("traceparent");
    CHECK(sent == "00-" + k_trace + "-" + chat["spanId"].get<std::string>() + "-01");
    CHECK(house.model.requests()[0].field("tracestate") == "vendor=1");
    CHECK(house.shop.requests()[0].field("traceparent").starts_with("00-" + k_trace + "-"));

    const std::string everything = house.collector.all_bodies();
    for (const std::string& secret : {k_secret_words, std::string("an-answer-nobody-may-see"), k_upstream_key}) {
        CHECK(everything.find(secret) == std::string::npos);
    }
    CHECK(house.server->terminate().exit == 0);
}

TEST_CASE("without a traceparent the request id names the trace; refusals and failures are traced, too") {
    TraceHouse house;
    house.model.set_script(chat_error(500));
    const http::Response reply = house.ask();
    CHECK(reply.status == 502);
    REQUIRE(house.collector.wait_for(5));
    const std::vector<Json> spans = house.collector.spans();
    const Json& request = named(spans, "POST /");
    CHECK(request["traceId"] == field(reply, "X-Request-Id"));
    CHECK_FALSE(request.contains("parentSpanId"));
    CHECK(request["status"]["code"] == 2);
    CHECK(attribute(request, "error.type") == "upstream");
    CHECK(named(spans, "chat")["status"]["code"] == 2);
    CHECK(house.server->get("/nobody?q=Hello").status == 401);
    CHECK(house.server->terminate().exit == 0);  // sends what waits
    CHECK(attribute(house.collector.spans().back(), "http.response.status_code") == "401");
}

TEST_CASE("a ratio of 0 records nothing but what a parent has sampled, and passes trace ids on") {
    TraceHouse house("0");
    CHECK(house.ask().status == 200);
    house.model.set_script(chat({"x"}));
    CHECK(house.ask({{"traceparent", "00-" + k_trace + "-" + k_parent + "-01"}}).status == 200);
    CHECK(house.server->terminate().exit == 0);
    const std::vector<Json> spans = house.collector.spans();
    CHECK(spans.size() == 5);
    for (const Json& span : spans) {
        CHECK(span["traceId"] == k_trace);
    }
    const std::string unsampled = house.model.requests()[0].field("traceparent");
    CHECK(unsampled.size() == 55);
    CHECK(unsampled.ends_with("-00"));
}

TEST_CASE("regression: a stranger's traceparent decides nothing") {
    TraceHouse house("0");
    const http::Fields sampled{{"traceparent", "00-" + k_trace + "-" + k_parent + "-01"}, {"X-API-Key", "wrong"}};
    CHECK(house.server->get("/nobody?q=Hello", sampled).status == 401);
    CHECK(house.server->get("/acme?q=Hello", sampled).status == 401);
    CHECK(house.server->terminate().exit == 0);
    CHECK(house.collector.spans().empty());
}

TEST_CASE("a collector that is away costs no request, and what is lost is counted") {
    std::string gone;
    {
        const Collector away;
        gone = away.url();
    }
    TraceHouse house("", gone);
    for (int i = 0; i < 20; ++i) {
        CHECK(house.ask().status == 200);
    }
    const auto told = [&] { return house.server->process().err().find("collector") != std::string::npos; };
    CHECK(time_until(told, k_patience));
    const std::string metrics = house.server->get("/metrics").body;
    CHECK(metrics.find("mtagent_trace_spans_exported_total 0\n") != std::string::npos);
    CHECK(house.server->terminate().exit == 0);
}

TEST_CASE("a wrong setting of OpenTelemetry ends the start with 78 and names the variable") {
    const std::map<std::string, std::string> wrong{{"OTEL_TRACES_SAMPLER_ARG", "2"},
                                                   {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x"},
                                                   {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}};
    for (const auto& [name, value] : wrong) {
        Site site;
        site.launch().environment = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"}};
        site.launch().environment[name] = value;
        const Outcome done = site.run({"serve", "--listen", "127.0.0.1:0"});
        CHECK(done.exit == 78);
        CHECK_MESSAGE(done.err.find(name) != std::string::npos, done.err);
    }
}

}  // namespace
}  // namespace mt::test
