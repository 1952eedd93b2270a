#include <doctest/doctest.h>

#include <string>

#include "agent/agent_fixture.h"

using mt::test::AgentFixture;
using mt::test::tool_lines;

namespace {

constexpr const char* k_closing =
    "Available features: [basic-chat]\n"
    "Processing with Basic tier configuration";

struct Row {
    const char* command;
    const char* result;
};

// The tool lines of the answer to `message`.
std::string lines(AgentFixture& fixture, const std::string& message, const std::string& session = "") {
    return tool_lines(fixture.say(message, session));
}

}  // namespace

TEST_CASE("plain text is answered in the words of the reference example") {
    AgentFixture f;
    f.profile.features = {"basic-chat"};
    f.build();
    for (const std::string text :
         {"Hello", "Analyze data", "", "What is your name?", "two\nlines", "\xC3\xA4\xE2\x82\xAC"}) {
        CAPTURE(text);
        CHECK(f.say(text) == "[Basic Corp] Received: " + text + "\n" + k_closing);
        CHECK(f.sink.text() == "[Basic Corp] Received: " + text + "\n" + k_closing);
    }
    f.profile = {"Pro Enterprise", "Professional", {"basic-chat", "advanced-analytics", "priority-support"}};
    f.build();
    CHECK(f.say("Analyze data") ==
          "[Pro Enterprise] Received: Analyze data\n"
          "Available features: [basic-chat advanced-analytics priority-support]\n"
          "Processing with Professional tier configuration");
    f.profile = {"Bare", "Basic"};
    f.build();
    CHECK(f.say("Hi") == "[Bare] Received: Hi\nAvailable features: []\nProcessing with Basic tier configuration");
}

TEST_CASE("a tool's result stands after the first line") {
    AgentFixture f;
    f.profile.features = {"basic-chat"};
    f.build();
    const auto answer = f.ask("What is 2+2*3?");
    REQUIRE(answer);
    CHECK(answer->choice.text == std::string("[Basic Corp] Received: What is 2+2*3?\ncalculator: 8\n") + k_closing);
    CHECK(answer->tools_used == std::vector<std::string>{"calculator"});
    CHECK(answer->pure);
    CHECK(answer->usage.estimated);
    CHECK(answer->usage.tokens_in > 0);
    CHECK(answer->usage.tokens_out >= mt::estimate_tokens(answer->choice.text));
}

TEST_CASE("the mean of an analysis goes on to the calculator in full precision") {
    AgentFixture f;
    const auto answer = f.ask("analyze 3, 5, 8 and multiply the mean by 12");
    REQUIRE(answer);
    const std::string shown = tool_lines(answer->choice.text);
    CHECK(shown.starts_with("analyze: count 3, sum 16, mean 5.33333333333333, median 5, "));
    CHECK(shown.ends_with("\ncalculator: 64"));
    CHECK(answer->tools_used == std::vector<std::string>{"analyze", "calculator"});
    CHECK(answer->pure);
}

TEST_CASE("pieces of an analysis in a chain") {
    const Row table[] = {{"add 10 to the sum", "26"},
                         {"divide the median by 2", "2.5"},
                         {"square the mean", "28.4444444444444"},
                         {"multiply the count by 2", "6"},
                         {"subtract the min from the max", "5"},
                         {"multiply p90 by 10", "74"},
                         {"multiply the 90th percentile by 10", "74"},
                         {"square the standard deviation", "6.33333333333333"},
                         {"double the trend", "5"}};
    for (const Row& row : table) {
        CAPTURE(row.command);
        AgentFixture f;
        CHECK(lines(f, std::string("analyze 3, 5, 8 and ") + row.command)
                  .ends_with(std::string("\ncalculator: ") + row.result));
    }
    AgentFixture f;
    CHECK(lines(f, "analyze -1, -5 and square the mean").ends_with("\ncalculator: 9"));
    CHECK(
        lines(f, "Analyze this:\nm,a,b\nx,1,4\ny,3,8\nand multiply the mean of b by 2").ends_with("\ncalculator: 12"));
    // Which column's mean is not said: nothing is computed.
    CHECK(lines(f, "Analyze this:\nm,a,b\nx,1,4\ny,3,8\nand multiply the mean by 2").find("calculator") ==
          std::string::npos);
}

TEST_CASE("several columns stand on indented lines") {
    AgentFixture f;
    const std::string shown = lines(f, "month,sales,cost\nJan,10,1\nFeb,20,3");
    CHECK(shown.find("\nanalyze: sales: count 2, sum 30, ") != std::string::npos);
    CHECK(shown.find("\n  cost: count 2, sum 4, ") != std::string::npos);
}

TEST_CASE("an error of a tool is shown and ends the chain") {
    AgentFixture f;
    CHECK(lines(f, "calculate 1/0") == "calculator: error: division by zero at position 2");
    CHECK(lines(f, "calculate 1/0 and remember it as x") == "calculator: error: division by zero at position 2");
    CHECK(lines(f, "calculate 1/0 and calculate 2+2") == "calculator: error: division by zero at position 2");
    CHECK(lines(f, "analyze 1, x, 3") == "analyze: error: line 1, value 2: 'x' is no number");
    CHECK(lines(f, "what do you remember?") == "recall: nothing is remembered");
}

TEST_CASE("numbers are shown with 15 significant digits") {
    AgentFixture f;
    CHECK(lines(f, "0.1 + 0.2") == "calculator: 0.3");
    CHECK(lines(f, "what is 10/4*2") == "calculator: 5");
    CHECK(lines(f, "2/3") == "calculator: 0.666666666666667");
    CHECK(lines(f, "2^53") == "calculator: 9007199254740992");
    CHECK(lines(f, "calculate 2/3 and remember it as share")
              .ends_with("\nremember: remembered share = 0.6666666666666666"));
    CHECK(lines(f, "recall share and multiply it by 3") == "recall: 0.6666666666666666\ncalculator: 2");
}

TEST_CASE("remembering and recalling") {
    AgentFixture f;
    CHECK(lines(f, "Remember that my name is Ada") == "remember: remembered name = Ada");
    CHECK(lines(f, "What is my name?") == "recall: Ada");
    CHECK(lines(f, "remember color = blue") == "remember: remembered color = blue");
    CHECK(lines(f, "What do you remember?") == "recall: color = blue\n  name = Ada");
    CHECK(lines(f, "What is my age?") == "recall: nothing is remembered under 'age'");
    CHECK(lines(f, "What is the color?") == "recall: blue");
    CHECK(lines(f, "What is the weather?").empty());
    CHECK(lines(f, "recall price and multiply it by 3") == "recall: nothing is remembered under 'price'");
    CHECK(lines(f, "recall color and multiply it by 3") == "recall: blue");
    CHECK(lines(f, "remember price is 20").ends_with("price = 20"));
    CHECK(lines(f, "recall price and multiply it by 3") == "recall: 20\ncalculator: 60");
    CHECK(lines(f, "calculate 6*7 and remember it as answer").ends_with("remembered answer = 42"));
    CHECK(lines(f, "What is the answer?") == "recall: 42");
}

TEST_CASE("a guess is not made with a tool that is not offered") {
    AgentFixture f;
    f.profile.tools = {"calculator"};
    f.build();
    const auto answer = f.ask("What is the weather?");
    REQUIRE(answer);
    CHECK(tool_lines(answer->choice.text).empty());
    CHECK(answer->pure);
    CHECK(lines(f, "recall color") == "recall: error: there is no tool 'recall'; the tools are: calculator");
}

TEST_CASE("current time") {
    AgentFixture f;
    CHECK(lines(f, "What time is it?") == "current_time: 2026-11-23T00:00:00Z, Monday");
    CHECK(lines(f, "What time is it in UTC-5?") == "current_time: 2026-11-22T19:00:00-05:00, Sunday");
}

TEST_CASE("a session knows earlier results and words") {
    AgentFixture f;
    CHECK(lines(f, "What did I say?", "s") == "You said: nothing before this");
    CHECK(lines(f, "analyze 3, 5, 8", "s").starts_with("analyze: "));
    CHECK(lines(f, "multiply the mean by 12", "s") == "calculator: 64");
    CHECK(lines(f, "add 1 to it", "s") == "calculator: 65");
    CHECK(lines(f, "what is the result minus 5?", "s") == "calculator: 60");
    CHECK(lines(f, "remember that", "s") == "remember: remembered result = 60");
    CHECK(lines(f, "double it", "s") == "calculator: 120");
    CHECK(lines(f, "thanks", "s").empty());
    CHECK(lines(f, "halve it", "s") == "calculator: 60");
    CHECK(lines(f, "what did I say last?", "s") == "You said: halve it");
    CHECK(lines(f, "1/0", "s").starts_with("calculator: error: "));
    CHECK(lines(f, "double it", "s").empty());
    CHECK(lines(f, "double it", "other").empty());
    CHECK(lines(f, "double it").empty());
}

TEST_CASE("an answer stops at max_tokens, between characters") {
    AgentFixture f;
    const auto model = mt::make_builtin_model(f.profile);
    mt::CompletionRequest request{{{mt::Role::user, "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC"}}, {}, 6};
    REQUIRE(model->complete(request, f.sink, f.used, f.context));
    CHECK(f.sink.text() == "[Basic Corp] Received: ");
    f.sink.pieces.clear();
    request.max_tokens = 8;
    f.used = {};
    REQUIRE(model->complete(request, f.sink, f.used, f.context));
    CHECK(f.sink.assembly.first().finish_reason == "length");
    CHECK(f.sink.text() == "[Basic Corp] Received: \xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC");
    CHECK(f.used.tokens_out == 8);
    CHECK(f.used.tokens_in == 3);
}

TEST_CASE("the builtin model sends line by line and stops when told") {
    AgentFixture f;
    const auto model = mt::make_builtin_model(f.profile);
    const mt::CompletionRequest request{{{mt::Role::user, "Hello"}}};
    REQUIRE(model->complete(request, f.sink, f.used, f.context));
    CHECK(f.sink.pieces.size() == 3);
    f.sink.pieces.clear();
    f.sink.on_piece = [] { return false; };
    CHECK(model->complete(request, f.sink, f.used, f.context).error().code == mt::Code::client_gone);
    CHECK(f.sink.pieces.size() == 1);
    f.sink.pieces.clear();
    f.sink.on_piece = [&f] { return f.stop.request_stop(); };
    CHECK(model->complete(request, f.sink, f.used, f.context).error().code == mt::Code::client_gone);
    CHECK(f.sink.pieces.size() == 1);
}

TEST_CASE("token estimates round up") {
    CHECK(mt::estimate_tokens("") == 0);
    CHECK(mt::estimate_tokens("a") == 1);
    CHECK(mt::estimate_tokens("abcd") == 1);
    CHECK(mt::estimate_tokens("abcde") == 2);
}
