// The body of a chat completion request.

#include "api/chat_request.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace mt;
using Json = nlohmann::json;

namespace {

Result<api::ChatRequest> read(std::string body, const std::string& type = "application/json") {
    http::Request request;
    request.fields = {{"Content-Type", type}};
    request.body = std::move(body);
    return api::read_chat_request(request);
}

// One user message and the given further fields.
std::string with(const std::string& more) {
    return R"({"messages":[{"role":"user","content":"Hi"}])" + (more.empty() ? "" : "," + more) + "}";
}

std::string fingerprint(const std::string& body) {
    const Result<api::ChatRequest> request = read(body);
    REQUIRE(request);
    return request->question.chat->fingerprint();
}

std::string nested(std::size_t levels) {
    return with("\"x\":" + std::string(levels, '[') + std::string(levels, ']'));
}

}  // namespace

TEST_CASE("a conversation: all roles, texts, parts, calls and results") {
    const Result<api::ChatRequest> request = read(R"({
        "model": "m", "stream": true, "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "developer", "content": "d"},
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "input_text", "text": "two"},
                                         {"type": "image_url", "image_url": {"url": "data:"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "user", "name": "Ann", "content": "q"}]})");
    REQUIRE(request);
    CHECK(request->question.model == "m");
    CHECK(request->question.stream);
    CHECK(request->include_usage);
    CHECK(request->question.text.empty());
    const std::vector<Message>& messages = request->question.chat->messages;
    REQUIRE(messages.size() == 6);
    CHECK(messages[0].role == Role::system);
    CHECK(messages[0].content == "s");
    CHECK(messages[0].verbatim.empty());
    CHECK(messages[1].role == Role::developer);
    CHECK(messages[2].content == "one\ntwo");
    CHECK(messages[2].other_parts == 1);
    CHECK(Json::parse(messages[2].verbatim)["content"][2]["image_url"]["url"] == "data:");
    CHECK(messages[3].tool_calls == std::vector<ToolCall>{{"c1", "f", "{\"a\": 1"}});
    CHECK(Json::parse(messages[3].verbatim)["tool_calls"][0]["id"] == "c1");
    CHECK(messages[4].role == Role::tool);
    CHECK(messages[4].tool_call_id == "c1");
    CHECK(messages[5].content == "q");
    CHECK(Json::parse(messages[5].verbatim)["name"] == "Ann");
}

TEST_CASE("settings: bounds, choices, tools, temperature, and what is left to the model") {
    const Result<api::ChatRequest> request = read(with(
        R"("max_tokens": 9, "max_completion_tokens": 7, "n": 2, "temperature": 0, "tool_choice": {"type": "x"},
           "seed": 5, "response_format": {"type": "json_object"}, "functions": [], "stream_options": null, "user": "u",
           "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
                      "parameters": {"type": "object"}}}])"));
    REQUIRE(request);
    const Chat& chat = *request->question.chat;
    CHECK(chat.max_tokens == 7);
    CHECK(chat.choices == 2);
    CHECK(chat.deterministic);
    CHECK(chat.tool_choice == R"({"type":"x"})");
    REQUIRE(chat.tools.size() == 1);
    CHECK(chat.tools[0].name == "f");
    CHECK(chat.tools[0].description == "d");
    CHECK(chat.tools[0].parameters == R"({"type":"object"})");
    CHECK(Json::parse(chat.tools[0].verbatim)["function"]["strict"] == true);
    CHECK(Json::parse(chat.options) ==
          Json::parse(R"({"functions": [], "n": 2, "temperature": 0, "seed": 5, "user": "u",
                                                       "response_format": {"type": "json_object"}})"));
    CHECK_FALSE(request->question.stream);

    const Result<api::ChatRequest> bare = read(with(R"("model": null, "max_tokens": null, "tools": null)"));
    REQUIRE(bare);
    CHECK(bare->question.model.empty());
    CHECK(bare->question.chat->max_tokens == 0);
    CHECK(bare->question.chat->choices == 1);
    CHECK(bare->question.chat->options.empty());
    CHECK_FALSE(bare->question.chat->deterministic);
    CHECK(read(with(R"("max_tokens": 3)"))->question.chat->max_tokens == 3);
    CHECK(read(with(R"("tool_choice": "none")"))->question.chat->tool_choice == "\"none\"");
}

TEST_CASE("a fault names its place") {
    const std::vector<std::pair<std::string, std::string>> faults{
        {"{}", "messages"},
        {R"({"messages": []})", "messages"},
        {R"({"messages": "Hi"})", "messages"},
        {R"({"messages": [7]})", "messages[0]"},
        {R"({"messages": [{"content": "x"}]})", "messages[0].role"},
        {R"({"messages": [{"role": "king", "content": "x"}]})", "messages[0].role"},
        {R"({"messages": [{"role": 3, "content": "x"}]})", "messages[0].role"},
        {R"({"messages": [{"role": "user", "content": "x"}, {"role": "user"}]})", "messages[1].content"},
        {R"({"messages": [{"role": "user", "content": null}]})", "messages[0].content"},
        {R"({"messages": [{"role": "user", "content": []}]})", "messages[0].content"},
        {R"({"messages": [{"role": "user", "content": {"type": "text"}}]})", "messages[0].content"},
        {R"({"messages": [{"role": "assistant", "content": null}]})", "messages[0].content"},
        {R"({"messages": [{"role": "user", "content": ["x"]}]})", "messages[0].content[0].type"},
        {R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text"}]}]})",
         "messages[0].content[1].text"},
        {R"({"messages": [{"role": "tool", "content": "x"}]})", "messages[0].tool_call_id"},
        {R"({"messages": [{"role": "user", "content": "x", "tool_calls": []}]})", "messages[0].tool_calls"},
        {R"({"messages": [{"role": "assistant", "tool_calls": {}}]})", "messages[0].tool_calls"},
        {R"({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}]})",
         "messages[0].tool_calls[0].function.arguments"},
        {R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]}]})",
         "messages[0].tool_calls[0].id"},
        {R"({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]})",
         "messages[0].tool_calls[0].type"},
        {with(R"("model": 4)"), "model"},
        {with(R"("stream": "yes")"), "stream"},
        {with(R"("stream_options": true)"), "stream_options"},
        {with(R"("stream_options": {"include_usage": 1})"), "stream_options.include_usage"},
        {with(R"("max_tokens": 0)"), "max_tokens"},
        {with(R"("max_tokens": -1)"), "max_tokens"},
        {with(R"("max_tokens": 1.5)"), "max_tokens"},
        {with(R"("max_tokens": 18446744073709551615)"), "max_tokens"},
        {with(R"("max_completion_tokens": "9")"), "max_completion_tokens"},
        {with(R"("n": 0)"), "n"},
        {with(R"("n": 129)"), "n"},
        {with(R"("temperature": "hot")"), "temperature"},
        {with(R"("tools": {})"), "tools"},
        {with(R"("tools": [{"type": "web_search"}])"), "tools[0].type"},
        {with(R"("tools": [{"type": "function", "function": {}}])"), "tools[0].function.name"},
        {with(R"("tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}])"),
         "tools[0].function.parameters"},
        {with(R"("tool_choice": 1)"), "tool_choice"},
    };
    for (const auto& [body, place] : faults) {
        CAPTURE(body);
        const Result<api::ChatRequest> request = read(body);
        REQUIRE_FALSE(request);
        CHECK(request.error().code == Code::invalid);
        CHECK(request.error().param == place);
        CHECK(request.error().message.find("'" + place + "' is to be ") == 0);
    }
}

TEST_CASE("an assistant's message may say nothing when it does something else") {
    for (const char* message :
         {R"({"role":"assistant","content":[],"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]})",
          R"({"role":"assistant","refusal":"no"})", R"({"role":"assistant","function_call":{"name":"f"}})"}) {
        CHECK_MESSAGE(read(std::string(R"({"messages":[)") + message + "]}"), message);
    }
}

TEST_CASE("what is no JSON object in UTF-8 is refused") {
    CHECK(read(with(""), "application/json; charset=utf-8"));
    for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"}) {
        CHECK(read(with(""), type).error().code == Code::unsupported_media);
    }
    for (const std::string& body :
         std::vector<std::string>{"", "nonsense", "[]", "null", with("") + "x",
                                  "{\"messages\":", R"({"messages":[{"role":"user","content":"\ud800"}]})",
                                  "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}"}) {
        CAPTURE(body);
        const Result<api::ChatRequest> request = read(body);
        REQUIRE_FALSE(request);
        CHECK(request.error().code == Code::invalid);
        CHECK(request.error().param.empty());
    }
}

TEST_CASE("depth is bounded before anything is built, and brackets in texts do not count") {
    CHECK(read(nested(63)));
    CHECK_FALSE(read(nested(64)));
    CHECK_FALSE(read(std::string(1'000'000, '[')));
    CHECK(read(with("\"x\":\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"")));
}

TEST_CASE("the fingerprint tells requests apart by what can change their answer") {
    const std::string plain = fingerprint(with(R"("model":"m","temperature":0)"));
    CHECK(plain.size() == 64);
    CHECK(plain ==
          fingerprint(R"({ "temperature" : 0, "model":"m", "messages" : [ {"content":"Hi","role":"user"} ] })"));
    for (const char* more :
         {R"("stream":true)", R"("stream_options":{})", R"("user":"u")", R"("metadata":{"a":"b"})", R"("store":true)",
          R"("service_tier":"flex")", R"("safety_identifier":"s")", R"("prompt_cache_key":"k")"}) {
        CHECK_MESSAGE(plain == fingerprint(with(std::string(R"("model":"m","temperature":0,)") + more)), more);
    }
    for (const char* more : {R"("model":"m","temperature":1)", R"("model":"m")", R"("model":"n","temperature":0)",
                             R"("model":"m","temperature":0,"seed":1)", R"("model":"m","temperature":0,"max_tokens":9)",
                             R"("model":"m","temperature":0,"tools":[])", R"("model":"m","temperature":0,"x":{})"}) {
        CHECK_MESSAGE(plain != fingerprint(with(more)), more);
    }
}

TEST_CASE("the time to read a body grows with its size alone") {
    const auto time_of = [](std::size_t count, bool fields) {
        std::string body = R"({"messages":[{"role":"user","content":"x"})";
        for (std::size_t i = 0; i < count && !fields; ++i) {
            body += R"(,{"role":"user","content":"x"})";
        }
        body += "]";
        for (std::size_t i = 0; i < count && fields; ++i) {
            body += ",\"f" + std::to_string(i) + "\":1";
        }
        body += "}";
        // Time of this thread on a processor: what else runs on the machine does not count.
        const auto used_s = [] {
            timespec used{};
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
            return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
        };
        double best = std::numeric_limits<double>::max();
        for (int round = 0; round < 3; ++round) {
            const double start = used_s();
            CHECK(read(body));
            best = std::min(best, used_s() - start);
        }
        return best;
    };
    for (const bool fields : {false, true}) {
        CHECK(time_of(16'000, fields) < 40 * time_of(2'000, fields));  // 8 times the size; a square would be 64 times
    }
}
