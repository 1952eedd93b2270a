// Tokens: counted, limited and budgeted, whatever the model's server does.

#include <array>
#include <regex>
#include <utility>

#include "e2e/chat.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

// Of a tenant whose questions are small: the schemas of its tools belong to every prompt.
const std::string k_small = "model = \"big\"\ntools = [\"calculator\"]\n";

struct TokenHouse {
    explicit TokenHouse(const std::string& limits, Script script = chat({"Good ", "evening"}, ChatUsage{12, 7}))
        : upstream(std::move(script)), site(model_toml(upstream) + tenant_toml("acme", k_small + limits)) {}

    http::Response ask(const Json& more = Json::object()) { return complete(server, chat_request("Hello", more)); }
    int status(const Json& more = Json::object()) { return ask(more).status; }
    // All tokens of /stats.
    int used() {
        const Json numbers = numbers_of(server);
        return numbers["tokens_in"].get<int>() + numbers["tokens_out"].get<int>();
    }
    std::string budget_used() { return metric(server, R"(mtagent_tenant_budget_used_tokens{tenant_id="acme"})"); }

    ScriptedUpstream upstream;
    Site site;
    Server server = site.serve();
};

Json error_of(const http::Response& reply) {
    return parse_json(reply.body).value("error", Json::object());
}

bool is_duration(const std::string& text) {
    return std::regex_match(text, std::regex("[0-9]+ms|([0-9]+h)?([0-9]+m)?[0-9]+s"));
}

TEST_CASE("replies under /v1 tell what is left of both limits") {
    TokenHouse house("rate_limit = 600\nburst = 20\ntokens_per_minute = 6000\n");
    int left = 6000;
    for (int i = 0; i < 3; ++i) {
        const http::Response reply = house.ask({{"max_tokens", 500}, {"stream", i == 2}});
        CHECK(reply.status == 200);
        CHECK(field(reply, "x-ratelimit-limit-requests") == "20");
        CHECK(field(reply, "x-ratelimit-remaining-requests") == std::to_string(19 - i));
        CHECK(is_duration(field(reply, "x-ratelimit-reset-requests")));
        CHECK(field(reply, "x-ratelimit-limit-tokens") == "6000");
        const int now_left = std::stoi(field(reply, "x-ratelimit-remaining-tokens"));
        CHECK(now_left <= left - (i == 0 ? 500 : 0));  // the reservation, which is settled by the next reply
        left = now_left + 500;
        CHECK_MESSAGE(is_duration(field(reply, "x-ratelimit-reset-tokens")), field(reply, "x-ratelimit-reset-tokens"));
    }
    CHECK(parse_json(house.upstream.requests().back().body)["max_tokens"] == 500);
    CHECK(field(house.server.get("/acme?q=Hello"), "RateLimit-Policy") == "\"requests\";q=20;w=2");
}

TEST_CASE("where tokens are limited every answer gets a bound, which is sent to the model") {
    TokenHouse house("tokens_per_minute = 100000\n");
    CHECK(house.status() == 200);
    CHECK(parse_json(house.upstream.requests().back().body)["max_tokens"].get<int>() > 0);
    TokenHouse free("");
    CHECK(free.status() == 200);
    CHECK_FALSE(parse_json(free.upstream.requests().back().body).contains("max_tokens"));
}

TEST_CASE("the request limit under /v1: 429 with retry-after in both units") {
    TokenHouse house("rate_limit = 60\nburst = 2\n");
    CHECK(house.status() == 200);
    CHECK(house.status() == 200);
    const http::Response refused = house.ask();
    CHECK(refused.status == 429);
    CHECK(error_of(refused)["code"] == "rate_limit_exceeded");
    const int ms = std::stoi(field(refused, "retry-after-ms"));
    CHECK(ms > 0);
    CHECK(ms <= 1000);
    CHECK(field(refused, "retry-after") == "1");
    CHECK(field(refused, "x-should-retry") != "false");
    CHECK(field(refused, "x-ratelimit-remaining-requests") == "0");
    CHECK(house.upstream.request_count() == 2);
}

TEST_CASE("the token limit: less used is given back, more is debt, and what never fits says so") {
    TokenHouse house("tokens_per_minute = 1000\n", chat({"x"}, ChatUsage{3, 1}));
    for (int i = 0; i < 20; ++i) {  // reserves 400 each time, uses 4
        REQUIRE(house.status({{"max_tokens", 400}}) == 200);
    }
    const http::Response hopeless = house.ask({{"max_tokens", 5000}});
    CHECK(hopeless.status == 429);
    CHECK(field(hopeless, "retry-after").empty());
    CHECK(field(hopeless, "retry-after-ms").empty());
    CHECK(field(hopeless, "x-should-retry") == "false");
    CHECK(error_of(hopeless)["message"].get<std::string>().find("token") != std::string::npos);

    house.upstream.set_script(chat({"x"}, ChatUsage{1000, 50}));  // a little more than there is
    CHECK(house.status({{"max_tokens", 400}}) == 200);
    const http::Response soon = house.ask({{"max_tokens", 10}});
    CHECK(soon.status == 429);
    CHECK(error_of(soon)["code"] == "rate_limit_exceeded");
    const int wait = std::stoi(field(soon, "retry-after"));
    CHECK(wait >= 1);
    CHECK(wait <= 60);
    CHECK(field(soon, "x-should-retry") != "false");
    CHECK(field(soon, "x-ratelimit-remaining-tokens") == "0");
    CHECK(numbers_of(house.server)["denied_by_reason"]["tokens"] == 2);

    TokenHouse greedy("tokens_per_minute = 1000\n", chat({"x"}, ChatUsage{50'000, 50'000}));
    CHECK(greedy.status({{"max_tokens", 400}}) == 200);
    const http::Response late = greedy.ask({{"max_tokens", 10}});
    CHECK(late.status == 429);
    CHECK(std::stoi(field(late, "retry-after")) > 60);
    CHECK(std::stoi(field(late, "retry-after")) <= 120);  // debt is one capacity at most
    CHECK(field(late, "x-should-retry") == "false");
}

TEST_CASE("a reservation has room for the tenant's tools, and for every choice") {
    TokenHouse house("tokens_per_minute = 10000\n");
    // What the model is really sent, a token for every 4 bytes.
    REQUIRE(house.status({{"max_tokens", 100}}) == 200);
    const std::size_t sent = house.upstream.requests().at(0).body.size();
    const http::Response reply = house.ask({{"max_tokens", 100}});
    const int reserved = 10'000 - 19 - std::stoi(field(reply, "x-ratelimit-remaining-tokens"));
    CHECK(reserved >= 100 + static_cast<int>(sent) / 4);

    CHECK(house.status({{"max_tokens", 4000}, {"n", 1}}) == 200);
    const http::Response hopeless = house.ask({{"max_tokens", 4000}, {"n", 3}});
    CHECK(hopeless.status == 429);
    CHECK(field(hopeless, "retry-after").empty());
    house.ask({{"n", 50}});
    CHECK(parse_json(house.upstream.requests().back().body)["max_tokens"].get<int>() <= 10'000 / 50);
}

TEST_CASE("max_concurrency counts streams until their last byte") {
    Latch latch;
    TokenHouse house("max_concurrency = 2\n", stalled_stream({"x"}, latch, {"y"}));
    LiveChat first(house.server, chat_request("a", k_streaming));
    LiveChat second(house.server, chat_request("b", k_streaming));
    for (LiveChat* stream : {&first, &second}) {
        stream->head();
        REQUIRE(stream->read_until("x"));
    }
    const http::Response refused = house.ask();
    CHECK(refused.status == 429);
    CHECK(error_of(refused)["code"] == "rate_limit_exceeded");
    CHECK(house.server.get("/acme?q=Hello").status == 429);
    CHECK(numbers_of(house.server)["denied_by_reason"]["concurrency"] == 2);
    CHECK(house.upstream.request_count() == 2);
    latch.open();
    first.read_all();
    CHECK(house.status(k_streaming) == 200);
    second.read_all();
    CHECK(numbers_of(house.server)["in_flight"] == 0);
}

TEST_CASE("a spent budget: 402 insufficient_quota, and a restart or kill -9 brings nothing back") {
    const ScriptedUpstream upstream(chat({"x"}, ChatUsage{300, 300}));
    const Site site(model_toml(upstream) + tenant_toml("acme", k_small + "budget = \"1000/day\"\n"));
    const auto expect_spent = [&](Server& server) {
        const http::Response refused = complete(server, chat_request("Hello"));
        CHECK(refused.status == 402);
        CHECK(error_of(refused)["type"] == "insufficient_quota");
        CHECK(error_of(refused)["code"] == "insufficient_quota");
        CHECK(field(refused, "x-should-retry") == "false");
        const http::Response plain = server.get("/acme?q=Hello");
        CHECK(plain.status == 402);
        CHECK(field(plain, "Content-Type") == "application/problem+json");
        CHECK(parse_json(plain.body)["reason"] == "budget");
    };
    Server server = site.serve();
    CHECK(complete(server, chat_request("Hello")).status == 200);
    CHECK(server.terminate().exit == 0);
    Server again = site.serve();
    CHECK(complete(again, chat_request("Hello")).status == 200);  // used past the end: that is the overshoot
    expect_spent(again);
    CHECK(again.kill().exit < 0);
    Server third = site.serve();
    expect_spent(third);
    const Json numbers = numbers_of(third);
    CHECK(numbers["denied_by_reason"]["budget"] == 4);
    CHECK(numbers["tokens_in"].get<int>() + numbers["tokens_out"].get<int>() == 1200);
    CHECK(metric(third, R"(mtagent_tenant_budget_used_tokens{tenant_id="acme"})") == "1200");
    CHECK(metric(third, R"(mtagent_tenant_budget_tokens{tenant_id="acme"})") == "1000");
    CHECK(upstream.request_count() == 2);
    CHECK(site.json({"check"})["faults"].empty());
}

TEST_CASE("a call that never fits the budget is refused, and a smaller one is not") {
    TokenHouse house("budget = \"1000/month\"\n");
    CHECK(house.status({{"max_tokens", 2000}}) == 402);
    CHECK(house.status({{"max_tokens", 100}}) == 200);
    CHECK(house.used() == 19);
    CHECK(house.budget_used() == "19");
}

TEST_CASE("what the server says was used is what counts, else an estimate that says so") {
    TokenHouse house("budget = \"100000/day\"\n");
    int before = 0;
    const auto added = [&] {
        const int now = house.used();
        CHECK(house.budget_used() == std::to_string(now));
        return now - std::exchange(before, now);
    };
    for (const ChatUsage& usage : {ChatUsage{3, 1}, ChatUsage{4000, 3000}, ChatUsage{0, 0}}) {
        for (const bool streamed : {false, true}) {
            house.upstream.set_script(chat({"x"}, usage));
            CHECK(house.status({{"max_tokens", 50}, {"stream", streamed}}) == 200);
            CHECK(added() == usage.prompt + usage.completion);
        }
    }
    house.upstream.set_script(chat({"four letters, four letters"}, std::nullopt));
    const http::Response plain = house.ask();
    const Json usage = parse_json(plain.body)["usage"];
    CHECK(usage["estimated"] == true);
    CHECK(usage["total_tokens"].get<int>() > 0);
    CHECK(added() == usage["total_tokens"]);
    const http::Response stream = house.ask({{"stream", true}, {"stream_options", {{"include_usage", true}}}});
    CHECK(chunks_of(stream.body).back()["usage"]["estimated"] == true);
    CHECK(added() == usage["total_tokens"]);
    CHECK(parse_json(house.server.get("/acme?q=Hello", {{"Accept", "application/json"}}).body)["usage"]["estimated"] ==
          true);
}

TEST_CASE("servers that die are metered by what they gave, and give the reservation back") {
    TokenHouse house("budget = \"100000/day\"\n", cut_stream({"some words", " of an answer"}));
    CHECK(parse_json(events_of(house.ask(k_streaming).body).back())["error"].is_object());
    const int died = house.used();
    CHECK(died > 0);
    CHECK(died < 1000);
    CHECK(house.budget_used() == std::to_string(died));
    house.upstream.set_script(chat_error(500));
    CHECK(house.status() == 502);
    CHECK(house.used() == died);  // nothing came of it
    CHECK(house.budget_used() == std::to_string(died));
    CHECK(numbers_of(house.server)["errors"] == 2);
    CHECK(numbers_of(house.server)["in_flight"] == 0);
    CHECK(house.site.json({"stats", "acme"})["acme"]["tokens_out"] == numbers_of(house.server)["tokens_out"]);
}

TEST_CASE("a stream that its client leaves is metered into /stats and the budget") {
    Latch never;
    TokenHouse house("budget = \"100000/day\"\n", stalled_stream({"some words", " of an answer"}, never, {"x"}));
    LiveChat stream(house.server, chat_request("Hello", k_streaming));
    stream.head();
    REQUIRE(stream.read_until("answer"));
    stream.leave();
    REQUIRE(time_until([&] { return numbers_of(house.server)["errors"] == 1; }, 5s));
    const Json numbers = numbers_of(house.server);
    CHECK(numbers["tokens_in"].get<int>() > 0);
    CHECK(numbers["tokens_out"].get<int>() > 0);
    CHECK(numbers["in_flight"] == 0);
    CHECK(house.budget_used() == std::to_string(house.used()));
}

TEST_CASE("the builtin model is metered and limited in the same way") {
    const Site site(tenant_toml("acme", "budget = \"100/day\"\n"));
    Server server = site.serve();
    int status = 200;
    int calls = 0;
    for (; status == 200 && calls < 20; ++calls) {
        status = complete(server, chat_request("Hello " + std::to_string(calls))).status;
    }
    CHECK(status == 402);
    CHECK(calls > 1);
    const Json numbers = numbers_of(server);
    CHECK(numbers["tokens_in"].get<int>() + numbers["tokens_out"].get<int>() <= 100);
}

}  // namespace
}  // namespace mt::test
