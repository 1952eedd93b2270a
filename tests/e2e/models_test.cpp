// Language models behind the agents: where they come from, what becomes of their faults, and who learns of their keys.

#include <array>
#include <csignal>

#include "e2e/chat.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

// What the process has said anywhere, and what it keeps on disk.
std::string everything_seen(const Site& site, Server& server) {
    std::string seen = server.process().out() + server.process().err();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(site.path())) {
        seen += entry.is_regular_file() ? read_text(entry.path()) : "";
    }
    return seen;
}

// A server whose model "big" is this one; the tenant acme is answered by it.
struct ModelHouse {
    explicit ModelHouse(Script script, const std::string& model = "retries = 0\n", const std::string& more = "")
        : upstream(std::move(script)), site(model_toml(upstream, model) + more + tenant_toml("acme")) {}

    ScriptedUpstream upstream;
    Site site;
    Server server = site.serve();
};

TEST_CASE("OPENAI_BASE_URL alone puts a model behind the tenants of the demo") {
    const ScriptedUpstream upstream(chat({"Good ", "evening"}));
    Site site;
    site.launch().environment = {
        {"OPENAI_BASE_URL", upstream.url("/v1")}, {"OPENAI_API_KEY", k_upstream_key}, {"OPENAI_MODEL", "llama3.2"}};
    Server server = site.serve({"--log-level", "debug"});
    CHECK(ask(server, "/tenant-basic?q=Hello") == "Good evening");
    const http::Response reply = complete(server, chat_request("Hello"), {}, "/tenant-pro/v1");
    CHECK(answer_of(reply) == "Good evening");
    CHECK(parse_json(reply.body)["model"] == "openai");
    CHECK(text_of(chunks_of(complete(server, chat_request("Hello", k_streaming), {}, "/tenant-pro/v1").body)) ==
          "Good evening");
    const std::vector<Recorded> requests = upstream.requests();
    REQUIRE(requests.size() == 3);
    for (const Recorded& request : requests) {
        CHECK(request.method == "POST");
        CHECK(request.target == "/v1/chat/completions");
        CHECK(request.field("Authorization") == "Bearer " + k_upstream_key);
        CHECK(parse_json(request.body)["model"] == "llama3.2");
    }
    CHECK(upstream.connections() == 1);  // kept alive
    CHECK(server.terminate().exit == 0);
    CHECK(everything_seen(site, server).find(k_upstream_key) == std::string::npos);
}

TEST_CASE("without a key no Authorization is sent, and a tenant may still name the builtin model") {
    const ScriptedUpstream upstream(chat({"from afar"}));
    Site site(tenant_toml("acme", "") + tenant_toml("home", "model = \"builtin\"\n"));
    site.launch().environment = {{"OPENAI_BASE_URL", upstream.url("/v1")}};
    Server server = site.serve();
    CHECK(ask(server) == "from afar");
    CHECK(ask(server, "/home?q=Hello").find("Received: Hello") != std::string::npos);
    CHECK(upstream.requests().at(0).field("Authorization").empty());
    CHECK(parse_json(upstream.requests().at(0).body)["model"] == "gpt-4o-mini");
}

TEST_CASE("keys come from the environment or a file, and nobody sees them") {
    // A server that repeats the key, in every shape in which an error may come.
    const std::array<Script, 4> scripts{chat_error(401, "Incorrect API key provided: " + k_upstream_key),
                                        chat_error(400, "no such thing with " + k_upstream_key),
                                        chat_error(500, "broken: " + k_upstream_key),
                                        [](const Recorded&, ScriptedReply& out) {
                                            out.start_stream();
                                            out.event(chat_delta("a"));
                                            out.event(R"({"error":{"message":"lost )" + k_upstream_key + "\"}}");
                                            out.finish();
                                        }};
    ScriptedUpstream upstream(chat({"x"}));
    for (const bool by_file : {false, true}) {
        Site site(model_toml(upstream, by_file ? "retries = 0\napi_key_file = \"big.key\"\n"
                                               : "retries = 0\napi_key_env = \"BIG_KEY\"\n") +
                  tenant_toml("acme"));
        site.launch().environment["BIG_KEY"] = by_file ? "other" : k_upstream_key;
        site.write("big.key", (by_file ? k_upstream_key : "other") + "\n");
        Server server = site.serve({"--log-level", "debug"});
        std::filesystem::remove(site.path("big.key"));
        upstream.set_script(chat({"fine"}));
        CHECK(ask(server) == "fine");
        CHECK(upstream.requests().back().field("Authorization") == "Bearer " + k_upstream_key);
        std::string told;
        for (const Script& script : scripts) {
            upstream.set_script(script);
            for (const Json& how : {Json::object(), k_streaming}) {
                const http::Response reply = complete(server, chat_request("Hello", how));
                CHECK_MESSAGE(reply.body.find("error") != std::string::npos, reply.body);
                told += reply.body + "\n";
            }
            told += ask(server);
        }
        told += server.get("/metrics").body + server.get("/stats").body + server.get("/acme/v1/models").body;
        CHECK_MESSAGE(told.find(k_upstream_key) == std::string::npos, told);
        CHECK(server.terminate().exit == 0);
        CHECK(everything_seen(site, server).find(k_upstream_key) == std::string::npos);
    }
}

TEST_CASE("serve without the key that a model needs ends with 78 and names the model") {
    const ScriptedUpstream upstream(chat({"x"}));
    for (const char* source : {"api_key_env = \"NO_SUCH_KEY\"\n", "api_key_file = \"no-such.key\"\n"}) {
        const Site site(model_toml(upstream, source));
        const Outcome refused = site.run({"serve", "--listen", "127.0.0.1:0"});
        CHECK(refused.exit == 78);
        CHECK_MESSAGE(refused.err.find("big") != std::string::npos, refused.err);
        CHECK_MESSAGE(refused.err.find("no-such") + refused.err.find("NO_SUCH") != 2 * std::string::npos, refused.err);
    }
}

TEST_CASE("SIGHUP takes a new model; a file with a fault changes nothing") {
    const ScriptedUpstream first(chat({"first"}));
    const ScriptedUpstream second(chat({"second"}));
    const Site site(model_toml(first) + tenant_toml("acme"));
    Server server = site.serve();
    const auto answer = [&] { return ask(server); };
    REQUIRE(answer() == "first");
    site.write("tenants.toml", model_toml(second) + tenant_toml("acme"));
    server.process().signal(SIGHUP);
    CHECK(time_until([&] { return answer() == "second"; }, 5s));
    const std::array<std::pair<std::string, const char*>, 2> faults{
        {{model_toml(first, "retires = 2\n"), "retires"}, {model_toml(first, "api_key_env = \"GONE_KEY\"\n"), "GONE"}}};
    for (const auto& [toml, word] : faults) {
        site.write("tenants.toml", toml + tenant_toml("acme"));
        server.process().signal(SIGHUP);
        const auto told = [&, wanted = word] { return server.process().err().find(wanted) != std::string::npos; };
        CHECK(time_until(told, 5s));
        CHECK(answer() == "second");
    }
    site.write("tenants.toml", model_toml(first) + tenant_toml("acme"));
    server.process().signal(SIGHUP);
    CHECK(time_until([&] { return answer() == "first"; }, 5s));
}

TEST_CASE("a stream that runs while its model is replaced ends as it began") {
    Latch latch;
    const ScriptedUpstream first([&](const Recorded& request, ScriptedReply& out) {
        const bool streamed = parse_json(request.body).value("stream", false);
        (streamed ? stalled_stream({"be", "gun"}, latch, {" and done"}) : chat({"first"}))(request, out);
    });
    const ScriptedUpstream second(chat({"second"}));
    const Site site(model_toml(first) + tenant_toml("acme"));
    Server server = site.serve();
    LiveChat stream(server, chat_request("Hello", k_streaming));
    stream.head();
    REQUIRE(stream.read_until("gun"));
    site.write("tenants.toml", model_toml(second) + tenant_toml("acme"));
    server.process().signal(SIGHUP);
    CHECK(time_until([&] { return ask(server) == "second"; }, 5s));
    latch.open();
    CHECK(text_of(chunks_of(stream.read_all())) == "begun and done");
}

TEST_CASE("what another attempt may mend is tried again, unseen by the client") {
    for (const int status : {408, 409, 429, 500, 502, 503, 504}) {
        CAPTURE(status);
        ModelHouse house(sequence({chat_error(status), chat({"mended"})}), "retries = 2\n");
        CHECK(ask(house.server) == "mended");
        CHECK(house.upstream.request_count() == 2);
        CHECK(metric(house.server, R"(mtagent_upstream_retries_total{model="big"})") == "1");
        const Json numbers = numbers_of(house.server);
        CHECK(numbers["served"] == 1);
        CHECK(numbers["errors"] == 0);
    }
}

TEST_CASE("broken connections and cut replies are tried again, in a stream only before its first byte") {
    const Script cut = [](const Recorded&, ScriptedReply& out) { out.cut(); };
    const Script reset = [](const Recorded&, ScriptedReply& out) { out.reset(); };
    for (const Script& broken : {cut, reset, cut_stream({}), wrong_json()}) {
        ModelHouse house(sequence({broken, chat({"men", "ded"})}), "retries = 1\n");
        CHECK(text_of(chunks_of(complete(house.server, chat_request("Hello", k_streaming)).body)) == "mended");
        CHECK(house.upstream.request_count() == 2);
    }
    ModelHouse house(sequence({cut_stream({"heard"}), chat({"never"})}), "retries = 3\n");
    const http::Response reply = complete(house.server, chat_request("Hello", k_streaming));
    CHECK(reply.status == 200);
    const std::vector<std::string> events = events_of(reply.body);
    CHECK(parse_json(events.back())["error"]["type"].is_string());
    CHECK(reply.body.find("[DONE]") == std::string::npos);
    CHECK(reply.body.find("never") == std::string::npos);
    CHECK(house.upstream.request_count() == 1);
    CHECK(numbers_of(house.server)["errors"] == 1);
}

TEST_CASE("other refusals are not repeated") {
    for (const int status : {400, 401, 403, 404, 413, 422}) {
        CAPTURE(status);
        ModelHouse house(chat_error(status, "no"), "retries = 5\n");
        CHECK(complete(house.server, chat_request("Hello")).status >= 400);
        CHECK(house.upstream.request_count() == 1);
    }
}

TEST_CASE("Retry-After is obeyed, and a wait beyond all patience is not begun") {
    ModelHouse house(sequence({rate_limited("1"), chat({"patient"})}), "retries = 1\n");
    const auto start = std::chrono::steady_clock::now();
    CHECK(ask(house.server) == "patient");
    CHECK(std::chrono::steady_clock::now() - start >= 1s);
    ModelHouse busy(rate_limited("3600"), "retries = 3\n");
    const http::Response refused = complete(busy.server, chat_request("Hello"));
    CHECK(refused.status == 502);
    CHECK(busy.upstream.request_count() == 1);
}

TEST_CASE("the fallback answers when the first model fails, and only before the first byte") {
    const ScriptedUpstream spare(chat({"spare"}));
    const std::string more = model_toml(spare, "retries = 0\n", "spare");
    ModelHouse house(chat_error(500), "retries = 1\nfallback = \"spare\"\n", more);
    CHECK(ask(house.server) == "spare");
    CHECK(house.upstream.request_count() == 2);
    CHECK(spare.request_count() == 1);
    CHECK(metric(house.server, R"(mtagent_upstream_fallbacks_total{model="big"})") == "1");
    house.upstream.set_script(cut_stream({"heard"}));
    CHECK(complete(house.server, chat_request("Hello", k_streaming)).body.find("spare") == std::string::npos);
    house.upstream.set_script(chat_error(400, "your fault"));
    CHECK(complete(house.server, chat_request("Hello")).status == 400);  // no other model would know better
    CHECK(spare.request_count() == 1);

    ModelHouse offline(chat_error(503), "retries = 0\nfallback = \"builtin\"\n");
    CHECK(ask(offline.server).find("Received: Hello") != std::string::npos);
}

TEST_CASE("a server that keeps failing is left alone, and /metrics shows it") {
    ModelHouse house(chat_error(500), "retries = 0\n");
    const std::string state = R"(mtagent_upstream_breaker_state{model="big"})";
    CHECK(metric(house.server, state) == "0");
    for (int i = 0; i < 20; ++i) {
        CHECK(complete(house.server, chat_request("Hello")).status == 502);
    }
    CHECK(metric(house.server, state) == "2");
    const std::size_t asked = house.upstream.request_count();
    CHECK(asked < 20);
    CHECK(metric(house.server, R"(mtagent_upstream_requests_total{model="big",outcome="failed"})") ==
          std::to_string(asked));
    CHECK(metric(house.server, R"(mtagent_upstream_requests_total{model="big",outcome="rejected"})") ==
          std::to_string(20 - asked));
    house.upstream.set_script(chat({"back"}));
    CHECK(complete(house.server, chat_request("Hello")).status == 502);
    CHECK(house.upstream.request_count() == asked);
    CHECK(numbers_of(house.server)["errors"] == 21);
}

TEST_CASE("half-open: after the pause one call tries, and its success closes the breaker") {
    ModelHouse house(chat_error(500), "retries = 0\n");
    for (int i = 0; i < 6; ++i) {
        complete(house.server, chat_request("Hello"));
    }
    house.upstream.set_script(chat({"back"}));
    const auto answered = [&] { return complete(house.server, chat_request("Hello")).status == 200; };
    CHECK(time_until(answered, 20s));  // the promised pause is 10 s of real time
    CHECK(metric(house.server, R"(mtagent_upstream_breaker_state{model="big"})") == "0");
}

TEST_CASE("502: the model's server fails; 504: it is too slow") {
    const Script silent = [](const Recorded&, ScriptedReply& out) { out.keep_silent(); };
    const Script head_only = [](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        out.keep_silent();
    };
    const Script cut = [](const Recorded&, ScriptedReply& out) { out.cut(); };
    const std::string fast = "retries = 0\nfirst_token_timeout = \"150ms\"\nidle_timeout = \"150ms\"\n";
    struct Case {
        const char* name;
        Script script;
        int status;
    };
    const std::array<Case, 8> cases{{{"500", chat_error(500), 502},
                                     {"401", chat_error(401), 502},
                                     {"429", rate_limited("1"), 502},
                                     {"cut", cut, 502},
                                     {"wrong JSON", wrong_json(), 502},
                                     {"wrong JSON in a stream", wrong_json_stream(), 502},
                                     {"no byte", silent, 504},
                                     {"no token", head_only, 504}}};
    ModelHouse house(chat({"x"}), fast);
    for (const Case& fault : cases) {
        CAPTURE(std::string(fault.name));
        house.upstream.set_script(chat({"x"}));  // keeps the breaker closed
        REQUIRE(house.server.get("/acme?q=Hello").status == 200);
        house.upstream.set_script(fault.script);
        const http::Response reply = complete(house.server, chat_request("Hello", k_streaming));
        CHECK_MESSAGE(reply.status == fault.status, reply.body);
        CHECK(parse_json(reply.body)["error"]["message"].is_string());
        const http::Response plain = house.server.get("/acme?q=Hello");
        CHECK_MESSAGE(plain.status == fault.status, plain.body);
        CHECK(field(plain, "Content-Type") == "application/problem+json");
        for (const std::string& body : {reply.body, plain.body}) {
            CHECK_MESSAGE(body.find("127.0.0.1") == std::string::npos, body);
            CHECK_MESSAGE(body.find(std::to_string(house.upstream.port())) == std::string::npos, body);
        }
    }
}

TEST_CASE("a server that is not there is 502, without its address") {
    std::string gone;
    {
        const ScriptedUpstream upstream(chat({"x"}));
        gone = model_toml(upstream, "retries = 1\n");
    }
    const Site site(gone + tenant_toml("acme"));
    Server server = site.serve();
    const http::Response reply = complete(server, chat_request("Hello"));
    CHECK(reply.status == 502);
    CHECK_MESSAGE(reply.body.find("127.0.0.1") == std::string::npos, reply.body);
    const auto told = [&] { return server.process().err().find("127.0.0.1") != std::string::npos; };
    CHECK(time_until(told, std::chrono::seconds{5}));  // the operator
}

TEST_CASE("time runs out in mid-stream: an error event, 504 in the numbers of nobody's fault but the server's") {
    Latch never;
    ModelHouse idle(stalled_stream({"some"}, never, {"x"}), "retries = 0\nidle_timeout = \"150ms\"\n");
    const std::vector<std::string> events = events_of(complete(idle.server, chat_request("Hello", k_streaming)).body);
    CHECK(parse_json(events.back())["error"]["code"] == "timeout");
    CHECK(numbers_of(idle.server)["errors"] == 1);

    const Script trickle = [](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.event(chat_delta("x")) && !out.wait_until_gone(20ms)) {
        }
    };
    ModelHouse total(trickle, "retries = 0\ntimeout = \"400ms\"\n");
    const http::Response cut = complete(total.server, chat_request("Hello", k_streaming));
    CHECK(parse_json(events_of(cut.body).back())["error"]["code"] == "timeout");
    CHECK(total.upstream.wait_for_departures(1));
}

}  // namespace
}  // namespace mt::test
