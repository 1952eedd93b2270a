#include "agent/agent.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/agent_fixture.h"

namespace {

using mt::Code;
using mt::Message;
using mt::Role;
using mt::test::AgentFixture;
using mt::test::ScriptedModel;
using mt::test::ScriptedStep;

mt::ToolCall call(const std::string& name, const std::string& arguments, const std::string& id = "call_1") {
    return {id, name, arguments};
}

// A fixture whose model follows a script.
struct Scripted : AgentFixture {
    explicit Scripted(std::vector<ScriptedStep> steps)
        : AgentFixture(std::make_shared<ScriptedModel>(std::move(steps))) {}

    [[nodiscard]] std::vector<mt::CompletionRequest> requests() const {
        return static_cast<ScriptedModel&>(*model).requests();
    }
    /// What the model was told of the last tool call before its `step`-th completion, from 0.
    [[nodiscard]] std::string told(std::size_t step) const { return requests().at(step).messages.back().content; }
};

}  // namespace

TEST_CASE("the answer of a model passes through") {
    Scripted f({{{"It ", "is ", "4."}}});
    f.profile.system_prompt = "Be brief.";
    f.build();
    const auto answer = f.ask("2+2?");
    REQUIRE(answer);
    CHECK(answer->choice.text == "It is 4.");
    CHECK(f.sink.pieces == std::vector<std::string>{"It ", "is ", "4."});
    CHECK(answer->usage.tokens_in == 10);
    CHECK(answer->usage.tokens_out == 3);
    CHECK_FALSE(answer->usage.estimated);
    CHECK(answer->pure);
    CHECK(answer->tools_used.empty());
    const auto request = f.requests().at(0);
    REQUIRE(request.messages.size() == 2);
    CHECK(request.messages[0].role == Role::system);
    CHECK(request.messages[0].content == "Be brief.");
    CHECK(request.messages[1].content == "2+2?");
}

TEST_CASE("tools are offered when the profile names them and the plan has their feature") {
    Scripted f({{{"ok"}}});
    f.profile.tools = {"analyze", "calculator", "no-such-tool"};
    f.build();
    REQUIRE(f.ask("x"));
    f.profile.features = {"basic-chat"};
    f.build();
    REQUIRE(f.ask("x"));
    CHECK(f.requests().at(0).tools.size() == 2);
    REQUIRE(f.requests().at(1).tools.size() == 1);
    CHECK(f.requests().at(1).tools[0]->name == "calculator");
}

TEST_CASE("two tools in a row, then the answer") {
    Scripted f({{{"Let me see."}, {call("calculator", R"({"expression":"6*7"})", "a")}},
                {{}, {call("remember", R"({"key":"answer","value":"42"})", "b")}},
                {{"It is ", "42."}}});
    const auto answer = f.ask("6*7?");
    REQUIRE(answer);
    CHECK(answer->choice.text == "Let me see.\nIt is 42.");
    CHECK(f.sink.text() == answer->choice.text);
    CHECK(answer->tools_used == std::vector<std::string>{"calculator", "remember"});
    CHECK_FALSE(answer->pure);
    CHECK(answer->usage.tokens_in == 30);
    CHECK(answer->usage.tokens_out == 9);
    CHECK(f.told(1) == "42");
    CHECK(f.told(2) == "remembered answer = 42");
    const std::vector<Message> last = f.requests().at(2).messages;
    REQUIRE(last.size() == 5);
    CHECK(last[1].tool_calls.at(0).id == "a");
    CHECK(last[2].tool_call_id == "a");
    CHECK(last[4].tool_call_id == "b");
}

TEST_CASE("several calls in one completion all run") {
    Scripted f(
        {{{}, {call("calculator", R"({"expression":"1"})", "a"), call("calculator", R"({"expression":"2"})", "b")}},
         {{"done"}}});
    const auto answer = f.ask("x");
    REQUIRE(answer);
    CHECK(answer->tools_used.size() == 2);
    const std::vector<Message> messages = f.requests().at(1).messages;
    REQUIRE(messages.size() == 4);
    CHECK(messages[2].content == "1");
    CHECK(messages[3].content == "2");
    CHECK(messages[3].tool_call_id == "b");
}

TEST_CASE("a malformed call goes back to the model, which mends it") {
    Scripted f({{{}, {call("calculator", "{expression: 2+2}")}},
                {{}, {call("calculator", R"({"expr":"2+2"})")}},
                {{}, {call("calculator", R"({"expression":"2+"})")}},
                {{}, {call("calculator", R"({"expression":"2+2"})")}},
                {{"4"}}});
    const auto answer = f.ask("2+2?");
    REQUIRE(answer);
    CHECK(answer->choice.text == "4");
    CHECK(f.told(1) == "error: the arguments '{expression: 2+2}' are no JSON");
    CHECK(f.told(2).starts_with("error: "));
    CHECK(f.told(2).find("expr") != std::string::npos);
    CHECK(f.told(3) == "error: the expression ends too early, at position 3");
    CHECK(f.told(4) == "4");
    CHECK(answer->tools_used.size() == 2);
}

TEST_CASE("unknown tools and tools outside the profile go back to the model") {
    Scripted f({{{}, {call("rm", "{}")}}, {{}, {call("recall", "{}")}}, {{"sorry"}}});
    f.profile.tools = {"calculator"};
    f.build();
    const auto answer = f.ask("x");
    REQUIRE(answer);
    CHECK(answer->choice.text == "sorry");
    CHECK(f.told(1) == "error: there is no tool 'rm'; the tools are: calculator");
    CHECK(f.told(2) == "error: there is no tool 'recall'; the tools are: calculator");
    CHECK(answer->tools_used.empty());
    CHECK(answer->pure);
}

TEST_CASE("a tool that the plan lacks is refused by its feature") {
    AgentFixture f;
    f.profile.features = {"basic-chat"};
    f.build();
    for (const bool named : {true, false}) {
        const auto answer = f.ask("analyze 3, 5, 8");
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code == Code::feature_required);
        CHECK(answer.error().reason == "advanced-analytics");
        CHECK(answer.error().message ==
              "the tool analyze needs the feature advanced-analytics, which the plan does not have");
        CHECK(named == (f.profile.tools.size() == 5));
        f.profile.tools = {"calculator"};
        f.build();
    }
}

TEST_CASE("steps are bounded and the last step's calls do not run") {
    Scripted f({{{}, {call("remember", R"({"key":"a","value":"b"})")}}});
    f.profile.max_steps = 1;
    f.build();
    CHECK(f.ask("x").error().code == Code::upstream);
    CHECK(*f.store->bytes_used() == 0);
    f.profile.max_steps = 3;
    f.build();
    CHECK(f.ask("x", "s").error().code == Code::upstream);
    CHECK(f.requests().size() == 4);
    CHECK(f.agent->sessions().info("s").error().code == Code::not_found);
}

TEST_CASE("the deadline is checked before each step and each call") {
    AgentFixture late;
    late.context.deadline_ns = late.clock.boot_ns() - 1;
    CHECK(late.ask("Hello").error().code == Code::timeout);
    CHECK(late.sink.pieces.empty());

    Scripted f({{{}, {call("remember", R"({"key":"a","value":"b"})")}, {}}, {{"done"}}});
    f.context.deadline_ns = f.clock.boot_ns();
    CHECK(f.ask("x"));
    f.model = std::make_shared<ScriptedModel>(
        std::vector<ScriptedStep>{{{}, {call("remember", R"({"key":"c","value":"d"})")}, [&f] {
                                       f.clock.advance(std::chrono::nanoseconds{1});
                                   }}});
    f.build();
    CHECK(f.ask("x").error().code == Code::timeout);
    CHECK_FALSE(*f.store->get("memory", "c"));
}

TEST_CASE("a stop before or within the answer ends it") {
    AgentFixture f;
    f.sink.on_piece = [&f] { return f.stop.request_stop(); };
    CHECK(f.ask("Hello", "s").error().code == Code::client_gone);
    CHECK(f.sink.pieces.size() == 1);
    CHECK(f.agent->sessions().info("s").error().code == Code::not_found);
    CHECK(f.ask("Hello").error().code == Code::client_gone);
    CHECK(f.sink.pieces.empty());

    AgentFixture g;
    g.sink.on_piece = [] { return false; };
    CHECK(g.ask("Hello").error().code == Code::client_gone);
    CHECK(g.sink.pieces.size() == 1);
}

TEST_CASE("pieces pass at once; with a session the turn is kept before the end is told") {
    Scripted f({{{"one ", "two ", "three"}}});
    std::vector<bool> kept;
    f.sink.on_piece = f.sink.on_finish = [&] {
        kept.push_back(f.agent->sessions().info("s").has_value());
        return true;
    };
    REQUIRE(f.ask("count", "s"));
    CHECK(kept == std::vector<bool>{false, false, false, true});
}

TEST_CASE("a conversation is shown to the model, cut to max_history") {
    Scripted f({{{"a1"}}, {{}, {call("calculator", R"({"expression":"1"})")}}, {{"a2"}}, {{"a3"}}});
    f.profile.max_history = 5;
    f.build();
    REQUIRE(f.ask("q1", "s"));
    const auto second = f.ask("q2", "s");
    REQUIRE(second);
    CHECK_FALSE(second->pure);
    CHECK(f.requests().at(1).messages.size() == 3);
    REQUIRE(f.ask("q3", "s"));
    // The second turn has four messages; with the first there would be six.
    const std::vector<Message> messages = f.requests().at(3).messages;
    REQUIRE(messages.size() == 5);
    CHECK(messages[0].content == "q2");
    CHECK(messages[1].tool_calls.size() == 1);
    CHECK(messages[2].role == Role::tool);
    CHECK(messages[3].content == "a2");
    CHECK(messages[4].content == "q3");
    REQUIRE(f.ask("q4"));
    CHECK(f.requests().at(4).messages.size() == 1);
    CHECK(f.agent->sessions().info("s")->turns == 3);
}

TEST_CASE("a conversation is shown to the model, cut to history_tokens") {
    const std::string long_answer(400, 'x');  // 100 tokens, and 8 for the frames of its turn
    Scripted f({{{long_answer}}});
    f.profile.history_tokens = 250;
    f.build();
    for (const char* question : {"q1", "q2", "q3", "q4"}) {
        REQUIRE(f.ask(question, "s"));
    }
    std::vector<std::size_t> shown;
    for (const auto& request : f.requests()) {
        shown.push_back(request.messages.size());
    }
    CHECK(shown == std::vector<std::size_t>{1, 3, 5, 5});
    CHECK(f.requests().at(3).messages.front().content == "q2");
    f.profile.history_tokens = 50;
    f.build();
    REQUIRE(f.ask("q5", "s"));
    CHECK(f.requests().at(4).messages.size() == 1);
}

TEST_CASE("a bad session id is refused before the model is asked") {
    Scripted f({{{"a"}}});
    CHECK(f.ask("q", "no/good").error().code == Code::invalid);
    CHECK(f.requests().empty());
}

TEST_CASE("a full store fails the turn, and its end is not told") {
    AgentFixture f;
    f.store->set_max_bytes(50);
    CHECK(f.ask("Hello", "s").error().code == Code::storage_full);
    CHECK(f.sink.pieces.size() == 3);
    CHECK(f.sink.assembly.first().finish_reason.empty());
    CHECK(*f.store->bytes_used() == 0);
    CHECK(f.ask("Hello"));
    CHECK(f.ask("remember my favorite colors of all are blue and green and white").error().code == Code::storage_full);
}

TEST_CASE("an answer is pure without a session and with pure tools alone") {
    AgentFixture f;
    const auto pure = [&f](const std::string& text, const std::string& session = "") {
        return f.ask(text, session)->pure;
    };
    CHECK(pure("Hello"));
    CHECK(pure("2+2"));
    CHECK(pure("analyze 1, 2 and double the mean"));
    CHECK_FALSE(pure("Hello", "s"));
    CHECK_FALSE(pure("what time is it?"));
    CHECK_FALSE(pure("recall color"));
    CHECK_FALSE(pure("remember a = b"));
    CHECK_FALSE(pure("calculate 2+2 and remember it as x"));
}

TEST_CASE("an error of the model is the request's error") {
    Scripted f({{.fault = mt::Error{Code::unavailable, "away"}}});
    CHECK(f.say("x", "s") == "unavailable: away");
    CHECK(f.agent->sessions().info("s").error().code == Code::not_found);
    CHECK(f.used.total() == 13);
}

TEST_CASE("a language model that makes up a call of a tool that the plan lacks is told so, and what it used counts") {
    Scripted f({{{}, {call("analyze", R"({"data":"1, 2"})")}}, {{"sorry"}}});
    static_cast<ScriptedModel&>(*f.model).is_deterministic = false;
    f.profile.features = {"basic-chat"};
    f.build();
    const auto answer = f.ask("x");
    REQUIRE(answer);
    CHECK(answer->choice.text == "sorry");
    CHECK(f.told(1).starts_with("error: there is no tool 'analyze'"));
    CHECK(answer->usage.total() == 26);
}

TEST_CASE("what a question may use covers offered tools, all choices and every passed-on field") {
    Scripted f({{{"ok"}}});
    const auto bound = [&f](mt::Chat chat) {
        mt::Question question;
        question.chat = std::make_shared<const mt::Chat>(std::move(chat));
        return f.agent->bound(question);
    };
    mt::Chat plain;
    plain.messages.push_back({Role::user, "Hello"});
    const std::int64_t least = bound(plain).prompt;
    mt::Chat wide = plain;
    wide.options = std::string(2000, ' ');
    wide.choices = 3;
    CHECK(bound(wide).prompt >= least + 1000);
    CHECK(bound(wide).choices == 3);
    mt::Chat named = plain;
    named.messages[0].verbatim = std::string(4000, ' ');
    CHECK(bound(named).prompt >= least + 1900);
    static_cast<ScriptedModel&>(*f.model).is_deterministic = false;
    CHECK(bound(plain).prompt > least + 100);
}
