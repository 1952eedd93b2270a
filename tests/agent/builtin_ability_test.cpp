#include "agent/builtin_ability.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent_fixture.h"

namespace {

using mt::Code;
using mt::CompletionRequest;
using mt::Result;
using mt::Role;
using mt::ToolCall;
using mt::ToolSpec;
using mt::test::AgentFixture;

// The field that the builtin model refuses, "" when it takes the options.
std::string refused(const std::string& options) {
    CompletionRequest request;
    request.options = options;
    const Result<void> possible = mt::check_possible(request);
    if (possible) {
        return "";
    }
    CHECK(possible.error().code == Code::invalid);
    CHECK(possible.error().reason == "unsupported_parameter");
    CHECK(possible.error().message.find('\'' + possible.error().param + '\'') != std::string::npos);
    return possible.error().param;
}

std::optional<ToolCall> named(const std::string& question) {
    const std::vector<mt::Message> messages{{Role::user, question}};
    static const ToolSpec weather{"weather", "", "{}"};
    return mt::named_call(mt::Conversation(messages), {&weather});
}

}  // namespace

TEST_CASE("settings that only tune words are taken, whatever they say") {
    CHECK(refused("").empty());
    CHECK(refused("{}").empty());
    for (const char* name : {"temperature", "top_p", "seed", "user", "metadata", "store", "parallel_tool_calls",
                             "presence_penalty", "frequency_penalty", "reasoning_effort"}) {
        CHECK(refused("{\"" + std::string(name) + "\":0.7}").empty());
    }
}

TEST_CASE("what promises something of the answer is refused by its name") {
    CHECK(refused(R"({"n":2})") == "n");
    CHECK(refused(R"({"response_format":{"type":"json_object"}})") == "response_format");
    CHECK(refused(R"({"response_format":{"type":5}})") == "response_format");
    CHECK(refused(R"({"response_format":{}})") == "response_format");
    CHECK(refused(R"({"response_format":"text"})") == "response_format");
    CHECK(refused(R"({"logprobs":true})") == "logprobs");
    CHECK(refused(R"({"top_logprobs":2})") == "top_logprobs");
    CHECK(refused(R"({"stop":["x"]})") == "stop");
    CHECK(refused(R"({"logit_bias":{"50256":-100}})") == "logit_bias");
    CHECK(refused(R"({"modalities":["text","audio"]})") == "modalities");
    CHECK(refused(R"({"temperature":1,"made_up":1})") == "made_up");
}

TEST_CASE("what only says the default is taken") {
    for (const char* options : {R"({"n":1})", R"({"n":null})", R"({"response_format":{"type":"text"}})",
                                R"({"logprobs":false})", R"({"top_logprobs":0})", R"({"stop":[]})", R"({"stop":null})",
                                R"({"logit_bias":{}})", R"({"modalities":["text"]})", R"({"audio":null})"}) {
        CAPTURE(options);
        CHECK(refused(options).empty());
    }
}

TEST_CASE("messages with other parts than text, and forced calls, are refused") {
    CompletionRequest request;
    request.messages = {{Role::user, "look"}};
    request.messages[0].other_parts = 1;
    CHECK(mt::check_possible(request).error().param == "messages");
    request.messages[0].other_parts = 0;
    for (const char* choice : {"", R"("auto")", R"("none")"}) {
        request.tool_choice = choice;
        CHECK(mt::check_possible(request));
    }
    for (const char* choice : {R"("required")", R"({"type":"function","function":{"name":"f"}})"}) {
        request.tool_choice = choice;
        CHECK(mt::check_possible(request).error().param == "tool_choice");
    }
}

TEST_CASE("a call in so many words") {
    CHECK(named("call weather") == ToolCall{"call_1", "weather", "{}"});
    CHECK(named("  CALL   weather   {\"city\": \"Ulm\"} ") == ToolCall{"call_1", "weather", "{\"city\": \"Ulm\"}"});
    CHECK(named("call weather{}") == ToolCall{"call_1", "weather", "{}"});
    for (const char* text : {"", "call", "call ", "recall weather", "call me", "call weather in Ulm", "call other {}",
                             "please call weather", "callweather"}) {
        CAPTURE(text);
        CHECK_FALSE(named(text));
    }
}

TEST_CASE("the builtin model calls a client's tool, reads its result, and tells it on") {
    AgentFixture f;
    mt::Chat chat;
    chat.messages = {{Role::user, R"(call weather {"city":"Ulm"})"}};
    chat.tools = {{"weather", "", "{}"}};
    mt::Question question;
    question.chat = std::make_shared<const mt::Chat>(chat);
    auto first = f.ask(question);
    REQUIRE(first);
    CHECK(first->choice.tool_calls == std::vector<ToolCall>{{"call_1", "weather", R"({"city":"Ulm"})"}});
    CHECK(first->choice.finish_reason == "tool_calls");

    chat.messages.push_back({Role::assistant, "", first->choice.tool_calls});
    chat.messages.push_back({Role::tool, "sunny, 21 degrees", {}, "call_1"});
    question.chat = std::make_shared<const mt::Chat>(chat);
    const auto second = f.ask(question);
    REQUIRE(second);
    CHECK(second->choice.tool_calls.empty());
    CHECK(second->choice.finish_reason == "stop");
    CHECK(second->choice.text.find("sunny, 21 degrees") != std::string::npos);

    chat.messages.resize(1);
    chat.tool_choice = R"("none")";
    question.chat = std::make_shared<const mt::Chat>(chat);
    const auto none = f.ask(question);
    REQUIRE(none);
    CHECK(none->choice.tool_calls.empty());
}

TEST_CASE("what the builtin model cannot do costs nothing") {
    AgentFixture f;
    mt::Chat chat;
    chat.messages = {{Role::user, "Hello"}};
    chat.options = R"({"response_format":{"type":"json_schema"}})";
    mt::Question question;
    question.chat = std::make_shared<const mt::Chat>(chat);
    const auto answer = f.ask(question);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Code::invalid);
    CHECK(answer.error().param == "response_format");
    CHECK(f.used.total() == 0);
    CHECK(f.sink.pieces.empty());
}
