#include "agent/openai_model.h"

#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model_fixture.h"

namespace {

using mt::Code;
using mt::ToolSpec;
using mt::test::chat;
using mt::test::chat_error;
using mt::test::chat_reply;
using mt::test::ChatUsage;
using mt::test::k_key;
using mt::test::Latch;
using mt::test::Lines;
using mt::test::milliseconds;
using mt::test::ModelFixture;
using mt::test::Recorded;
using mt::test::Script;
using mt::test::ScriptedReply;
using mt::test::ScriptFields;
using mt::test::sequence;
using Json = nlohmann::json;

constexpr std::chrono::seconds k_any{0};

Script answer(int status, const std::string& body, const ScriptFields& fields = {}) {
    return [=](const Recorded&, ScriptedReply& out) { out.send(status, body, fields); };
}

Script raw(const std::string& bytes) {
    return [=](const Recorded&, ScriptedReply& out) {
        out.raw(bytes);
        out.cut();
    };
}

void keep_silent(const Recorded&, ScriptedReply& out) {
    out.keep_silent();
}

// RFC 9110 section 5.6.7.
std::string http_date(std::time_t time) {
    std::tm parts{};
    gmtime_r(&time, &parts);
    char text[64]{};
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return text;
}

// How many requests the server saw when its first answer was this, and another would be a good one.
std::size_t attempts_after(const Script& first) {
    ModelFixture f(sequence({first, chat_reply("ok")}));
    const auto completed = f.complete();
    CHECK(completed->error.has_value() == (f.server.request_count() == 1));
    return f.server.request_count();
}

}  // namespace

TEST_CASE("a plain completion: what is sent, what comes back") {
    ModelFixture f(chat({"It ", "is 4."}));
    const ToolSpec tool{"add", "Adds.", R"({"type":"object"})"};
    f.request.tools = {&tool};
    f.request.max_tokens = 9;
    f.request.options = R"({"temperature":0})";
    const auto completed = f.complete();
    REQUIRE_FALSE(completed->error);
    CHECK(completed->log.lines == Lines{"text It is 4.", "finish stop"});
    CHECK(completed->usage.tokens_in == 12);
    CHECK(completed->usage.tokens_out == 7);
    CHECK_FALSE(completed->usage.estimated);

    const Recorded sent = f.server.requests().at(0);
    CHECK(sent.method == "POST");
    CHECK(sent.target == "/v1/chat/completions");
    CHECK(sent.field("Authorization") == std::string("Bearer ") + k_key);
    CHECK(sent.field("Content-Type") == "application/json");
    const Json body = Json::parse(sent.body);
    CHECK(body["model"] == "scripted-1");
    CHECK(body["max_tokens"] == 9);
    CHECK(body["temperature"] == 0);
    CHECK(body["tools"][0]["function"]["name"] == "add");
    CHECK_FALSE(body.contains("stream"));
    CHECK(f.model->counters().ok == 1);
    CHECK(f.model->counters().failed == 0);
    CHECK(f.model->counters().first_tokens == 1);
    CHECK(f.model->counters().first_token_ns > 0);
    CHECK_FALSE(f.model->deterministic());
}

TEST_CASE("without a key none is sent; without a name at the server its own is used; a slash more does not matter") {
    ModelFixture f(chat_reply("ok"));
    f.options.api_key.clear();
    f.options.config.model.clear();
    f.options.config.base_url = f.server.url("/v1/");
    f.build();
    REQUIRE_FALSE(f.complete()->error);
    const Recorded sent = f.server.requests().at(0);
    CHECK(sent.field("Authorization").empty());
    CHECK(sent.target == "/v1/chat/completions");
    CHECK(Json::parse(sent.body)["model"] == "scripted");
}

TEST_CASE("an address that is none is refused at once") {
    mt::SystemClock clock;
    mt::OpenAiOptions options;
    options.config.name = "m";
    options.config.base_url = "http://";
    const auto made = mt::OpenAiModel::make(options, clock);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == Code::config);
    CHECK(made.error().message.starts_with("model 'm': base_url: "));
}

TEST_CASE("calls in a plain reply") {
    ModelFixture f(mt::test::tool_reply({{"a", "add", R"({"x":1})"}, {"b", "sub", "{}"}}));
    const auto completed = f.complete();
    REQUIRE_FALSE(completed->error);
    CHECK(completed->log.lines ==
          Lines{"call 0 a add", R"(arguments 0 {"x":1})", "call 1 b sub", "arguments 1 {}", "finish tool_calls"});
}

TEST_CASE("usage is estimated and marked where the server sends none") {
    ModelFixture f(chat_reply("12345678", std::nullopt));
    const auto completed = f.complete();
    REQUIRE_FALSE(completed->error);
    CHECK(completed->usage.estimated);
    CHECK(completed->usage.tokens_in == mt::estimate_tokens(f.request));
    CHECK(completed->usage.tokens_out == 2);
}

TEST_CASE("requests share their connection") {
    ModelFixture f(chat({"ok"}));
    REQUIRE_FALSE(f.complete()->error);
    REQUIRE_FALSE(f.stream()->error);
    REQUIRE_FALSE(f.complete()->error);
    CHECK(f.server.request_count() == 3);
    CHECK(f.server.connections() == 1);
}

TEST_CASE("408, 409, 429 and 5xx are repeated, other refusals are not") {
    for (const int status : {408, 409, 429, 500, 502, 503, 504, 529, 599}) {
        CAPTURE(status);
        CHECK(attempts_after(chat_error(status)) == 2);
    }
    for (const int status : {400, 401, 402, 403, 404, 413, 422, 201, 204, 302}) {
        CAPTURE(status);
        CHECK(attempts_after(chat_error(status)) == 1);
    }
}

TEST_CASE("a server may say itself whether another attempt helps") {
    CHECK(attempts_after(chat_error(500, "no", {{"X-Should-Retry", "false"}})) == 1);
    CHECK(attempts_after(chat_error(404, "yes", {{"x-should-retry", "true"}})) == 2);
    CHECK(attempts_after(chat_error(404, "perhaps", {{"X-Should-Retry", "perhaps"}})) == 1);
    CHECK(attempts_after(answer(429, R"({"error":{"message":"paid up?","code":"insufficient_quota"}})")) == 1);
}

TEST_CASE("connections that break are repeated, and so are replies that are none") {
    CHECK(attempts_after(raw("")) == 2);
    CHECK(attempts_after(raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")) == 2);
    CHECK(attempts_after(raw("SSH-2.0-OpenSSH\r\n\r\n")) == 2);
    CHECK(attempts_after([](const Recorded&, ScriptedReply& out) { out.reset(); }) == 2);
    CHECK(attempts_after(mt::test::wrong_json()) == 2);
    CHECK(attempts_after(answer(200, R"({"error":{"message":"overloaded"}})")) == 2);
}

TEST_CASE("retries come to an end, and the last failure is told") {
    ModelFixture f(chat_error(503, "overloaded"));
    const auto completed = f.complete();
    CHECK(completed->code() == Code::upstream);
    CHECK(completed->error->message == "the server of model 'scripted' answered with status 503");
    CHECK(completed->error->detail == "scripted");
    CHECK(completed->log.lines.empty());
    CHECK(completed->usage.total() == 0);
    CHECK(f.server.request_count() == 3);
    CHECK(f.model->counters().failed == 3);
    CHECK(f.model->counters().retries == 2);

    f.options.config.retries = 0;
    f.build();
    CHECK(f.complete()->code() == Code::upstream);
    CHECK(f.server.request_count() == 4);
}

TEST_CASE("Retry-After is obeyed: waited for where it is short") {
    const auto waited = [](const ScriptFields& fields) {
        ModelFixture f(sequence({chat_error(429, "slow down", fields), chat_reply("ok")}));
        const auto start = std::chrono::steady_clock::now();
        CHECK_FALSE(f.complete()->error);
        return std::chrono::steady_clock::now() - start;
    };
    CHECK(waited({{"Retry-After", "0"}}) >= k_any);
    CHECK(waited({{"Retry-After-Ms", "60"}}) >= milliseconds{60});
    CHECK(waited({{"Retry-After", "0.06"}}) >= milliseconds{60});
    CHECK(waited({{"Retry-After-Ms", "60"}, {"Retry-After", "3600"}}) >= milliseconds{60});
    CHECK(waited({{"Retry-After", http_date(std::time(nullptr) - 100)}}) >= k_any);
    CHECK(waited({{"Retry-After", "tomorrow"}}) >= k_any);
}

TEST_CASE("Retry-After is obeyed: a wait past our patience is the client's to make") {
    const auto refused = [](const std::string& retry_after) {
        ModelFixture f(sequence({mt::test::rate_limited(retry_after), chat_reply("ok")}));
        f.options.retry.patience = milliseconds{1000};
        f.build();
        const auto completed = f.complete();
        CHECK(f.server.request_count() == 1);
        CHECK(completed->code() == Code::upstream);
        REQUIRE(completed->error->retry_after);
        return std::chrono::duration_cast<std::chrono::seconds>(*completed->error->retry_after).count();
    };
    CHECK(refused("30") == 30);
    const auto until = refused(http_date(std::time(nullptr) + 1000));
    CHECK(until > 900);
    CHECK(until <= 1000);
    CHECK(refused("99999999999999") == 365 * 86400);  // no wait is so long that it overflows
    CHECK(refused("Fri, 31 Dec 9999 23:59:59 GMT") == 365 * 86400);
}

TEST_CASE("a wait that would end after the request's own time is not begun") {
    ModelFixture f(sequence({mt::test::rate_limited("20"), chat_reply("ok")}));
    f.options.config.timeout_ms = 10'000;
    f.build();
    const auto completed = f.complete();
    CHECK(completed->code() == Code::upstream);
    CHECK(completed->error->retry_after == std::chrono::seconds{20});
    CHECK(f.server.request_count() == 1);
}

TEST_CASE("a request that is at fault is told with the server's words") {
    for (const int status : {400, 413, 422}) {
        ModelFixture f(answer(
            status,
            R"({"error":{"message":"too long","param":"messages","code":"context_length_exceeded","type":"x"}})"));
        const auto completed = f.complete();
        CHECK(completed->code() == Code::invalid);
        CHECK(completed->error->message == "too long");
        CHECK(completed->error->reason == "context_length_exceeded");
        CHECK(completed->error->param == "messages");
        CHECK(f.server.request_count() == 1);
    }
    ModelFixture f(answer(400, "<html>"));
    CHECK(f.complete()->error->message == "model 'scripted' refused the request");
}

TEST_CASE("a key that the server does not take is our fault, told without its words") {
    for (const int status : {401, 403}) {
        ModelFixture f(chat_error(status, "Incorrect API key provided: sk-se******def"));
        const auto completed = f.complete();
        CHECK(completed->code() == Code::upstream);
        CHECK(completed->error->message == "the server of model 'scripted' does not take our key");
        CHECK(f.server.request_count() == 1);
    }
}

TEST_CASE("the key is in no error, wherever the server repeats it") {
    const std::string key = k_key;
    const std::string everywhere =
        Json{{"error",
              {{"message", "you sent Bearer " + key + ", " + key}, {"code", key}, {"param", key}, {"type", key}}}}
            .dump();
    const std::string cut = Json{{"error", {{"message", std::string(485, 'x') + key}}}}.dump();
    std::vector<Script> echoes{answer(200, everywhere),
                               answer(200, cut),
                               raw("HTTP/1.1 2x0 " + key + "\r\n\r\n"),
                               raw("HTTP/1.1 200 OK\r\n" + key + "\r\n\r\n"),
                               raw("HTTP/1.1 " + std::string(60, '9') + key + "\r\n\r\n"),
                               [&](const Recorded&, ScriptedReply& out) {
                                   out.start_stream();
                                   out.event(mt::test::chat_delta("x"));
                                   out.event(everywhere);
                                   out.finish();
                               }};
    for (const int status : {400, 401, 403, 404, 422, 429, 500, 503}) {
        echoes.push_back(answer(status, everywhere));
        echoes.push_back(answer(status, cut));
    }
    for (const Script& echo : echoes) {
        ModelFixture f(echo);
        const auto completed = f.stream();
        REQUIRE(completed->error);
        const std::string all =
            completed->error->message + completed->error->reason + completed->error->param + completed->error->detail;
        CAPTURE(all);
        CHECK(f.server.requests().at(0).field("Authorization").find(key) != std::string::npos);
        CHECK(all.find(key.substr(0, 8)) == std::string::npos);
    }
}

TEST_CASE("a server that is not there is 502, one that does not answer is 504") {
    ModelFixture away(chat_reply("x"));
    away.options.config.base_url = [] { return mt::test::ScriptedUpstream(chat_reply("x")).url("/v1"); }();
    away.build();
    const auto refused = away.complete();
    CHECK(refused->code() == Code::upstream);
    CHECK(refused->error->reason == "connect");
    CHECK(refused->error->message == "the server of model 'scripted' cannot be reached");
    CHECK(refused->error->detail.find("127.0.0.1") != std::string::npos);  // for the operator alone
    CHECK(away.model->counters().failed == 3);

    ModelFixture slow(keep_silent);
    slow.options.config.first_token_timeout_ms = 50;
    slow.build();
    CHECK(slow.complete()->code() == Code::timeout);
    CHECK(slow.server.request_count() == 1);  // it may be working on it: it is not asked twice
    CHECK(slow.server.wait_for_departures(1));
}

TEST_CASE("a connection that is not made in time is tried again, then 504") {
    const mt::test::FullPort full;
    ModelFixture f(chat_reply("x"));
    f.options.config.base_url = "http://127.0.0.1:" + std::to_string(full.port());
    f.options.config.connect_timeout_ms = 40;
    f.build();
    const auto completed = f.complete();
    CHECK(completed->code() == Code::timeout);
    CHECK(completed->error->reason == "connect");
    CHECK(f.model->counters().failed == 3);
}

TEST_CASE("the whole call is bounded, retries included, and so is the request's own time") {
    ModelFixture f(keep_silent);
    f.options.config.timeout_ms = 50;
    f.build();
    CHECK(f.complete()->code() == Code::timeout);

    f.options.config.timeout_ms = 10'000;
    f.build();
    mt::Context context;
    context.deadline_ns = f.clock.boot_ns() + 50'000'000;
    CHECK(f.complete(false, context)->code() == Code::timeout);

    f.server.set_script(chat_error(503));
    f.options.config.retries = 1'000'000;
    f.options.config.timeout_ms = 100;
    f.options.breaker.failures = 1'000'000;
    f.build();
    const Code last = f.complete()->code();  // its time is over within an attempt, or between two
    CHECK((last == Code::upstream || last == Code::timeout));
    CHECK(f.server.request_count() > 3);
}

TEST_CASE("an error body that does not end holds nobody up") {
    ModelFixture f([](const Recorded&, ScriptedReply& out) {
        out.raw("HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n{");
        out.keep_silent();
    });
    f.options.config.idle_timeout_ms = 50;
    f.build();
    const auto completed = f.complete();
    CHECK(completed->code() == Code::upstream);
    CHECK(completed->error->message == "the server of model 'scripted' answered with status 404");
}

TEST_CASE("an address that the rule forbids is not asked, and that is no fault of the request") {
    ModelFixture f(chat_reply("x"));
    f.options.rule.public_only = true;
    f.build();
    const auto completed = f.complete();
    CHECK(completed->code() == Code::upstream);
    CHECK(completed->error->reason == "address");
    CHECK(f.server.request_count() == 0);
    CHECK(f.model->counters().retries == 0);
}

TEST_CASE("replies that ask for more memory than there is for one are not read") {
    ModelFixture f(raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{"));
    f.options.config.retries = 0;
    f.build();
    CHECK(f.complete()->code() == Code::upstream);
}
