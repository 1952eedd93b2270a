#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent_fixture.h"
#include "agent/event_log.h"

namespace {

using mt::Answer;
using mt::Chat;
using mt::Code;
using mt::Message;
using mt::ModelEvent;
using mt::Role;
using mt::ToolCall;
using mt::test::AgentFixture;
using mt::test::EventLog;
using mt::test::Lines;
using mt::test::ScriptedModel;
using mt::test::ScriptedStep;
using Kind = ModelEvent::Kind;

const ToolCall k_weather{"w", "weather", R"({"city":"Ulm"})"};
const ToolCall k_sum{"s", "calculator", R"({"expression":"6*7"})"};
const ToolCall k_clock{"c", "clock", "{}"};

// An agent with tools of its own, asked by a client that brings "weather" and "clock".
struct ClientTools : AgentFixture {
    explicit ClientTools(std::vector<ScriptedStep> steps)
        : AgentFixture(std::make_shared<ScriptedModel>(std::move(steps))) {
        chat.messages = {{Role::user, "Hello"}};
        chat.tools = {{"weather", "", "{}"}, {"clock", "", "{}"}};
    }

    mt::Result<void> run() {
        mt::Question question;
        question.chat = std::make_shared<const Chat>(chat);
        answer = {};
        kept.push_back(question.chat);
        return agent->ask(question, log, answer, context);
    }

    [[nodiscard]] std::vector<mt::CompletionRequest> requests() const {
        return static_cast<ScriptedModel&>(*model).requests();
    }
    [[nodiscard]] std::vector<std::string> offered(std::size_t step) const {
        std::vector<std::string> names;
        const mt::CompletionRequest request = requests().at(step);
        for (const mt::ToolSpec* spec : request.tools) {
            names.push_back(spec->name);
        }
        return names;
    }

    Chat chat{};
    Answer answer{};
    EventLog log{};
    std::vector<std::shared_ptr<const Chat>> kept{};  // requests of the model point into them
};

// Tells prepared events.
class Teller final : public mt::Model {
  public:
    explicit Teller(std::vector<ModelEvent> events) : m_events(std::move(events)) {}
    mt::Result<void> complete(const mt::CompletionRequest& request, mt::Sink& sink, mt::Usage&,
                              const mt::Context&) override {
        tools_offered = request.tools.size();
        for (const ModelEvent& event : m_events) {
            if (!sink.on_event(event)) {
                return mt::Error{Code::client_gone, "stopped"};
            }
        }
        return {};
    }
    [[nodiscard]] bool deterministic() const override { return true; }

    std::size_t tools_offered = 0;

  private:
    std::vector<ModelEvent> m_events;
};

}  // namespace

TEST_CASE("a client's conversation goes to the model as it is, behind the tenant's prompt") {
    ClientTools f({{{"Hi"}}});
    f.profile.system_prompt = "Be brief.";
    f.build();
    f.chat.messages = {{Role::system, "Shout."}, {Role::user, "a"}, {Role::assistant, "b"}, {Role::user, "c"}};
    f.chat.options = R"({"temperature":0})";
    f.chat.max_tokens = 5;
    REQUIRE(f.run());
    const mt::CompletionRequest request = f.requests().at(0);
    REQUIRE(request.messages.size() == 5);
    CHECK(request.messages[0].content == "Be brief.");
    CHECK(request.messages[1].content == "Shout.");
    CHECK(request.messages[4].content == "c");
    CHECK(request.options == R"({"temperature":0})");
    CHECK(request.max_tokens == 5);
    CHECK(f.answer.choice.text == "Hi");
    CHECK(f.answer.choice.finish_reason == "stop");
    CHECK(f.answer.cacheable);
    CHECK(f.log.lines == Lines{"text Hi", "finish stop"});
}

TEST_CASE("tools of the client and of the tenant are both offered") {
    ClientTools f({{{"ok"}}});
    f.profile.tools = {"calculator"};
    f.build();
    REQUIRE(f.run());
    CHECK(f.offered(0) == std::vector<std::string>{"weather", "clock", "calculator"});
}

TEST_CASE("a call of the client's tool is returned to it") {
    ClientTools f({{{"Let me see."}, {k_weather, k_clock}}});
    REQUIRE(f.run());
    CHECK(f.answer.choice.tool_calls == std::vector<ToolCall>{k_weather, k_clock});
    CHECK(f.answer.choice.finish_reason == "tool_calls");
    CHECK(f.answer.tools_used.empty());
    CHECK(f.answer.pure);
    CHECK(f.requests().size() == 1);
    CHECK(f.log.lines == Lines{"text Let me see.", "call 0 w weather", R"(arguments 0 {"city":"Ulm"})",
                               "call 1 c clock", "arguments 1 {}", "finish tool_calls"});
}

TEST_CASE("of a mixed turn only the client's calls are returned, numbered anew, and nothing runs") {
    const ToolCall remember{"r", "remember", R"({"key":"a","value":"b"})"};
    ClientTools f({{{}, {k_sum, k_weather, remember, k_clock}}});
    REQUIRE(f.run());
    CHECK(f.log.lines == Lines{"call 0 w weather", R"(arguments 0 {"city":"Ulm"})", "call 1 c clock", "arguments 1 {}",
                               "finish tool_calls"});
    CHECK(f.answer.choice.tool_calls == std::vector<ToolCall>{k_weather, k_clock});
    CHECK(f.answer.tools_used.empty());
    CHECK(*f.store->bytes_used() == 0);
    CHECK(f.requests().size() == 1);
}

TEST_CASE("a turn of the tenant's tools alone runs, unseen by the client") {
    ClientTools f({{{"Let me see."}, {k_sum, k_sum}}, {{"42"}}});
    REQUIRE(f.run());
    CHECK(f.log.lines == Lines{"text Let me see.", "text \n", "text 42", "finish stop"});
    CHECK(f.answer.choice.text == "Let me see.\n42");
    CHECK(f.answer.choice.tool_calls.empty());
    CHECK(f.answer.tools_used == std::vector<std::string>{"calculator", "calculator"});
    const std::vector<Message> messages = f.requests().at(1).messages;
    REQUIRE(messages.size() == 4);
    CHECK(messages[1].tool_calls.size() == 2);
    CHECK(messages[2].content == "42");
    CHECK(messages[3].tool_call_id == "s");
}

TEST_CASE("the client's tool may be called after the tenant's ones") {
    ClientTools f({{{}, {k_sum}}, {{}, {k_weather}}});
    REQUIRE(f.run());
    CHECK(f.log.lines == Lines{"call 0 w weather", R"(arguments 0 {"city":"Ulm"})", "finish tool_calls"});
    CHECK(f.answer.usage.tokens_in == 20);
    CHECK(f.answer.tools_used.size() == 1);
}

TEST_CASE("a client's tool hides the tenant's one of the same name") {
    ClientTools f({{{}, {k_sum}}});
    f.profile.tools = {"calculator", "recall"};
    f.build();
    f.chat.tools = {{"calculator", "the client's own", "{}"}};
    REQUIRE(f.run());
    CHECK(f.offered(0) == std::vector<std::string>{"calculator", "recall"});
    CHECK(f.requests().at(0).tools.at(0)->description == "the client's own");
    CHECK(f.answer.choice.tool_calls == std::vector<ToolCall>{k_sum});
    CHECK(f.answer.tools_used.empty());
}

TEST_CASE("a bad call of a tenant's tool goes back to the model, also from a client's conversation") {
    ClientTools f({{{}, {{"1", "calculator", R"({"expression":)"}, {"2", "nothing", "{}"}}}, {{"sorry"}}});
    f.profile.tools = {"calculator"};
    f.build();
    REQUIRE(f.run());
    const std::vector<Message> messages = f.requests().at(1).messages;
    REQUIRE(messages.size() == 4);
    CHECK(messages[2].content == R"(error: the arguments '{"expression":' are no JSON)");
    CHECK(messages[3].content == "error: there is no tool 'nothing'; the tools are: weather, clock, calculator");
}

TEST_CASE("a choice of tools holds for the first step; none holds for all") {
    for (const char* choice : {R"("required")", R"({"type":"function","function":{"name":"calculator"}})"}) {
        ClientTools f({{{}, {k_sum}}, {{"42"}}});
        f.chat.tool_choice = choice;
        REQUIRE(f.run());
        CHECK(f.requests().at(0).tool_choice == choice);
        CHECK(f.requests().at(1).tool_choice.empty());
    }
    ClientTools f({{{}, {k_sum}}, {{"42"}}});
    f.chat.tool_choice = R"("none")";
    REQUIRE(f.run());
    CHECK(f.requests().at(1).tool_choice == R"("none")");
}

TEST_CASE("the last step is offered the client's tools alone") {
    ClientTools f({{{}, {k_sum}}, {{}, {k_sum}}, {{"42"}}});
    f.profile.tools = {"calculator"};
    f.profile.max_steps = 3;
    f.build();
    REQUIRE(f.run());
    CHECK(f.offered(1).size() == 3);
    CHECK(f.offered(2) == std::vector<std::string>{"weather", "clock"});

    ClientTools stubborn({{{}, {k_sum}}});
    stubborn.profile.max_steps = 2;
    stubborn.build();
    const mt::Result<void> done = stubborn.run();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::upstream);
    CHECK(stubborn.requests().size() == 2);
}

TEST_CASE("the bound of an answer goes down by what earlier steps have written") {
    ClientTools f({{{}, {k_sum}}, {{}, {k_sum}}, {{"42"}}});
    f.chat.max_tokens = 5;
    REQUIRE(f.run());
    CHECK(f.requests().at(0).max_tokens == 5);
    CHECK(f.requests().at(1).max_tokens == 2);
    CHECK(f.requests().at(2).max_tokens == 1);
}

TEST_CASE("what was used is told also when a later step fails") {
    ClientTools f({{{}, {k_sum}}, {.fault = mt::Error{Code::upstream, "away"}}});
    const mt::Result<void> done = f.run();
    REQUIRE_FALSE(done);
    CHECK(done.error().message == "away");
    CHECK(f.answer.usage.tokens_in == 20);
    CHECK(f.answer.usage.tokens_out == 6);
    CHECK(f.answer.tools_used.size() == 1);
    CHECK(f.log.lines.empty());
}

TEST_CASE("a client that leaves between two calls ends the turn") {
    ClientTools f({{{}, {k_sum}, [&f] { f.stop.request_stop(); }}, {{"42"}}});
    const mt::Result<void> done = f.run();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::client_gone);
    CHECK(f.requests().size() == 1);
}

TEST_CASE("a client that wants several answers gets them, each with its own end, and none of the tenant's tools") {
    const auto teller = std::make_shared<Teller>(
        std::vector<ModelEvent>{{.kind = Kind::text, .text = "a"},
                                {.kind = Kind::tool_call, .choice = 1, .index = 0, .id = "x", .name = "other"},
                                {.kind = Kind::tool_call, .choice = 1, .index = 1, .id = "w", .name = "weather"},
                                {.kind = Kind::tool_arguments, .text = "{}", .choice = 1, .index = 1},
                                {.kind = Kind::finish, .text = "stop", .choice = 1},
                                {.kind = Kind::text, .text = "c", .choice = 2},
                                {.kind = Kind::finish, .text = "length", .choice = 2},
                                {.kind = Kind::finish, .text = "stop"}});
    ClientTools f({});
    f.model = teller;
    f.build();
    f.chat.choices = 3;
    REQUIRE(f.run());
    CHECK(f.log.lines == Lines{"text a", "1: call 0 w weather", "1: arguments 0 {}", "2: text c", "finish stop",
                               "1: finish tool_calls", "2: finish length"});
    CHECK(f.answer.choice.finish_reason == "stop");
    CHECK_FALSE(f.answer.cacheable);
    CHECK(teller->tools_offered == 2);
}

TEST_CASE("what only the client understands passes, and such answers are not cached") {
    for (const Kind kind : {Kind::fields, Kind::logprobs}) {
        ClientTools f({});
        f.model = std::make_shared<Teller>(std::vector<ModelEvent>{
            {.kind = kind, .text = "{}"}, {.kind = Kind::text, .text = "a"}, {.kind = Kind::finish, .text = "stop"}});
        f.build();
        REQUIRE(f.run());
        CHECK(f.log.lines.size() == 3);
        CHECK_FALSE(f.answer.cacheable);
    }
}

TEST_CASE("reasons to end that a server has forgotten or got wrong are mended") {
    ClientTools forgotten({});
    forgotten.model = std::make_shared<Teller>(std::vector<ModelEvent>{{.kind = Kind::text, .text = "a"}});
    forgotten.build();
    REQUIRE(forgotten.run());
    CHECK(forgotten.log.lines == Lines{"text a", "finish stop"});

    ClientTools wrong(std::vector<ScriptedStep>{{.calls = {k_weather}, .finish_reason = "stop"}});
    REQUIRE(wrong.run());
    CHECK(wrong.log.lines.back() == "finish tool_calls");

    ClientTools cut(std::vector<ScriptedStep>{{.pieces = {"a"}, .finish_reason = "length"}});
    REQUIRE(cut.run());
    CHECK(cut.answer.choice.finish_reason == "length");
}
