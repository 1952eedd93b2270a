#include "agent/openai_reply.h"
#include "agent/openai_request.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/event_log.h"
#include "base/text.h"

namespace {

using mt::ChatDialect;
using mt::Code;
using mt::CompletionRequest;
using mt::ReplyReader;
using mt::Result;
using mt::Role;
using mt::ToolSpec;
using mt::test::EventLog;
using mt::test::Lines;
using Json = nlohmann::json;

Json written(const CompletionRequest& request, const ChatDialect& dialect = {"m1"}) {
    const Json body = Json::parse(mt::write_chat_request(request, dialect), nullptr, false);
    REQUIRE(body.is_object());
    return body;
}

// What a reader makes of a complete reply.
struct Whole {
    explicit Whole(const std::string& body) { done = reader.read_reply(body); }

    EventLog log{};
    ReplyReader reader{log};
    Result<void> done{};
};

// What it makes of the events of a stream and their end.
struct Stream {
    explicit Stream(const std::vector<std::string>& events) {
        for (const std::string& event : events) {
            done = reader.read_event(event, false);
            if (!done) {
                return;
            }
        }
        done = reader.end();
    }

    EventLog log{};
    ReplyReader reader{log};
    Result<void> done{};
};

std::string delta(const std::string& content, const std::string& finish = "null") {
    return R"({"choices":[{"index":0,"delta":)" + content + R"(,"finish_reason":)" + finish + "}]}";
}

std::string calls(const std::string& list) {
    return delta(R"({"tool_calls":)" + list + "}");
}

std::string message(const std::string& content, const std::string& further = "") {
    return R"({"choices":[{"index":0,"message":)" + content + R"(,"finish_reason":"stop"}])" + further + "}";
}

const std::string k_stop = delta("{}", R"("stop")");

}  // namespace

TEST_CASE("a request has its model, its messages and nothing that nobody asked for") {
    CompletionRequest request;
    request.messages = {{Role::system, "Be brief."}, {Role::user, "\"2+2\"?\n"}};
    CHECK(written(request) == Json::parse(R"({"model":"m1","messages":[{"role":"system","content":"Be brief."},
                                              {"role":"user","content":"\"2+2\"?\n"}]})"));
    request.messages = {{Role::user, "broken \xff bytes"}};
    CHECK(written(request)["messages"][0]["content"] == "broken \xef\xbf\xbd bytes");
}

TEST_CASE("calls, their results and messages as the client sent them") {
    CompletionRequest request;
    request.messages = {{Role::assistant, "", {{"a", "add", R"({"x":1})"}, {"b", "sub", "{"}}},
                        {Role::tool, "3", {}, "a"},
                        {Role::user, "text", {}, "", R"({"role":"user","content":[{"type":"image_url"}]})"}};
    const Json messages = written(request)["messages"];
    CHECK(messages[0] == Json::parse(R"({"role":"assistant","content":null,"tool_calls":[
        {"id":"a","type":"function","function":{"name":"add","arguments":"{\"x\":1}"}},
        {"id":"b","type":"function","function":{"name":"sub","arguments":"{"}}]})"));
    CHECK(messages[1] == Json::parse(R"({"role":"tool","content":"3","tool_call_id":"a"})"));
    CHECK(messages[2] == Json::parse(R"({"role":"user","content":[{"type":"image_url"}]})"));
}

TEST_CASE("a choice of tools is sent with tools alone") {
    const ToolSpec own{"add", "Adds.", R"({"type":"object"})"};
    const ToolSpec clients{"x", "", "", R"({"type":"function","function":{"name":"x","strict":true}})"};
    CompletionRequest request;
    request.tool_choice = R"("required")";
    CHECK_FALSE(written(request).contains("tool_choice"));
    CHECK_FALSE(written(request).contains("tools"));
    request.tools = {&own, &clients};
    const Json body = written(request);
    CHECK(body["tool_choice"] == "required");
    CHECK(body["tools"] == Json::parse(R"([{"type":"function","function":{"name":"add","description":"Adds.",
        "parameters":{"type":"object"}}},{"type":"function","function":{"name":"x","strict":true}}])"));
}

TEST_CASE("the bound of the answer has the name that the server knows") {
    CompletionRequest request;
    request.max_tokens = 7;
    CHECK(written(request)["max_tokens"] == 7);
    CHECK_FALSE(written(request).contains("max_completion_tokens"));
    CHECK(written(request, {"m1", true})["max_completion_tokens"] == 7);
    CHECK_FALSE(written(request, {"m1", true}).contains("max_tokens"));
}

TEST_CASE("streams ask for usage; further options are spliced in") {
    CompletionRequest request;
    request.stream = true;
    request.options = R"( {"n":2,"stop":["}"]} )";
    const Json body = written(request);
    CHECK(body["stream"] == true);
    CHECK(body["stream_options"]["include_usage"] == true);
    CHECK(body["n"] == 2);
    CHECK(body["stop"][0] == "}");
    request.options = "{ }";
    CHECK(written(request).size() == 4);
}

TEST_CASE("a complete reply is told in the order of a stream") {
    const Whole plain(message(R"({"role":"assistant","content":"It is 4.","refusal":null})",
                              R"(,"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8})"));
    REQUIRE(plain.done);
    CHECK(plain.log.lines == Lines{"text It is 4.", "finish stop"});
    CHECK(plain.log.more == "++");
    REQUIRE(plain.reader.usage());
    CHECK(plain.reader.usage()->tokens_in == 5);
    CHECK(plain.reader.usage()->tokens_out == 3);
    CHECK_FALSE(plain.reader.usage()->estimated);

    const Whole silent(message(R"({"content":""})"));
    CHECK(silent.done);
    CHECK(silent.log.lines == Lines{"finish stop"});
    CHECK_FALSE(silent.reader.usage());

    const Whole refused(message(R"({"content":null,"refusal":"No."})"));
    CHECK(refused.log.lines == Lines{"refusal No.", "finish stop"});
}

TEST_CASE("calls in a complete reply are told apart whatever ids they have") {
    const std::string two = R"({"tool_calls":[{"id":"a","function":{"name":"add","arguments":"{}"}},)"
                            R"({"id":"a","type":"function","function":{"name":"sub","arguments":"[1]"}},)"
                            R"({"function":{"name":"mul"}},{"id":"d"},7,{"function":{"arguments":"{}"}}]})";
    const Whole whole(message(two));
    REQUIRE(whole.done);
    CHECK(whole.log.lines == Lines{"call 0 a add", "arguments 0 {}", "call 1 a sub", "arguments 1 [1]",
                                   "call 2 call_2 mul", "finish stop"});
}

TEST_CASE("further fields of a message, log probabilities and several choices pass through") {
    const Whole whole(
        R"({"choices":[{"index":1,"message":{"content":"b","reasoning_content":"hm","annotations":[],"audio":null},
            "logprobs":{"content":[]},"finish_reason":"length"},
            {"index":0,"message":{"content":"a"},"logprobs":null,"finish_reason":"stop"}]})");
    REQUIRE(whole.done);
    CHECK(whole.log.lines == Lines{R"(1: logprobs {"content":[]})",
                                   R"(1: fields {"annotations":[],"reasoning_content":"hm"})", "1: text b",
                                   "1: finish length", "text a", "finish stop"});
    CHECK(whole.log.assembly.choices().size() == 2);
    CHECK(whole.log.assembly.has_opaque_parts());
}

TEST_CASE("what is no chat completion is the server's fault") {
    for (const char* body : {"", "[]", "nonsense", R"({"choices": [{)", "{}", R"({"choices":7})", R"({"choices":[]})",
                             R"({"choices":[{}]})", R"({"choices":[3]})", R"({"usage":{"prompt_tokens":1}})",
                             R"({"choices":[{"index":-1,"message":{"content":"x"},"finish_reason":"stop"}]})",
                             R"({"choices":[{"index":128,"message":{"content":"x"},"finish_reason":"stop"}]})",
                             R"({"choices":[{"index":4294967296,"message":{"content":"x"}}]})"}) {
        CAPTURE(body);
        const Whole whole(body);
        REQUIRE_FALSE(whole.done);
        CHECK(whole.done.error().code == Code::upstream);
        CHECK(whole.log.lines.empty());
    }
}

TEST_CASE("a reply without reasons to end gets them") {
    CHECK(Whole(R"({"choices":[{"message":{"content":"x"}}]})").log.lines == Lines{"text x", "finish stop"});
    CHECK(Whole(R"({"choices":[{"message":{"tool_calls":[{"function":{"name":"f"}}]},"finish_reason":null}]})")
              .log.lines == Lines{"call 0 call_0 f", "finish tool_calls"});
}

TEST_CASE("an error in place of a completion is told, its code to the operator alone") {
    const Whole whole(R"({"error":{"message":"too many","code":"insufficient_quota"}})");
    REQUIRE_FALSE(whole.done);
    CHECK(whole.done.error().code == Code::upstream);
    CHECK(whole.done.error().message == "the model's server failed in its answer");
    CHECK(whole.done.error().detail == "insufficient_quota");
    for (const char* words : {R"({"error":"plain words"})", R"({"error":{"code":"the question itself"}})"}) {
        CHECK(Whole(words).done.error().detail.empty());  // may be anything, and would go into the log
    }
    CHECK(Whole(R"({"error":null,"choices":[{"message":{"content":"x"}}]})").done);
}

TEST_CASE("usage is what a server may have meant, and never overflows a sum") {
    const auto usage = [](const std::string& text) {
        return *Whole(message(R"({"content":"x"})", R"(,"usage":)" + text)).reader.usage();
    };
    for (const char* half : {R"({})", R"({"total_tokens":9})", R"({"prompt_tokens":-5,"completion_tokens":2})",
                             R"({"prompt_tokens":12,"completion_tokens":"many"})", "null", R"({"prompt_tokens":12})"}) {
        CHECK_FALSE_MESSAGE(Whole(message(R"({"content":"x"})", std::string(R"(,"usage":)") + half)).reader.usage(),
                            half);
    }
    CHECK(usage(R"({"prompt_tokens":12.0,"completion_tokens":1})").tokens_in == 12);
    mt::Usage sum = usage(R"({"prompt_tokens":9223372036854775807,"completion_tokens":18446744073709551615})");
    sum += sum;
    CHECK(sum.total() > 0);
}

TEST_CASE("a stream is told as it comes") {
    const Stream stream({delta(R"({"role":"assistant","content":""})"), delta(R"({"content":"It "})"),
                         delta(R"({"content":"is"})"), k_stop,
                         R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}})", "[DONE]"});
    REQUIRE(stream.done);
    CHECK(stream.log.lines == Lines{"text It ", "text is", "finish stop"});
    CHECK(stream.reader.is_done());
    CHECK(stream.reader.usage()->total() == 11);
}

TEST_CASE("the next event's presence is passed on") {
    EventLog log;
    ReplyReader reader(log);
    CHECK(reader.read_event(delta(R"({"content":"a"})"), true));
    CHECK(reader.read_event(delta(R"({"content":"b"})"), false));
    CHECK(log.more == "+.");
}

TEST_CASE("calls come in pieces, several at a time") {
    const Stream stream({calls(R"([{"index":0,"id":"a","type":"function","function":{"name":"add","arguments":""}}])"),
                         calls(R"([{"index":0,"function":{"arguments":"{\"x\""}}])"),
                         calls(R"([{"index":1,"id":"b","function":{"name":"sub"}},)"
                               R"({"index":0,"function":{"arguments":":1}"}}])"),
                         calls(R"([{"index":1,"function":{"arguments":"{}"}}])"), delta("{}", R"("tool_calls")")});
    REQUIRE(stream.done);
    CHECK(stream.log.lines == Lines{"call 0 a add", R"(arguments 0 {"x")", "call 1 b sub", "arguments 0 :1}",
                                    "arguments 1 {}", "finish tool_calls"});
    CHECK(stream.log.assembly.first().tool_calls.at(0).arguments == R"({"x":1})");
}

TEST_CASE("servers that number calls in their own way") {
    const Lines two{"call 0 a add", "arguments 0 {}", "call 1 b sub", "arguments 1 []", "finish tool_calls"};
    const auto lines = [](const std::string& first, const std::string& second, const std::string& third) {
        return Stream({calls(first), calls(second), calls(third), "[DONE]"}).log.lines;
    };
    // No index at all; 0 for each; from 1; with gaps.
    CHECK(lines(R"([{"id":"a","function":{"name":"add","arguments":"{}"}}])",
                R"([{"id":"b","function":{"name":"sub"}}])", R"([{"function":{"arguments":"[]"}}])") == two);
    CHECK(lines(R"([{"index":0,"id":"a","function":{"name":"add","arguments":"{}"}}])",
                R"([{"index":0,"id":"b","function":{"name":"sub"}}])",
                R"([{"index":0,"function":{"arguments":"[]"}}])") == two);
    CHECK(lines(R"([{"index":1,"id":"a","function":{"name":"add","arguments":"{}"}}])",
                R"([{"index":2,"id":"b","function":{"name":"sub"}}])",
                R"([{"index":2,"function":{"arguments":"[]"}}])") == two);
    CHECK(lines(R"([{"index":3,"id":"a","function":{"name":"add","arguments":"{}"}}])",
                R"([{"index":900,"id":"b","function":{"name":"sub"}}])",
                R"([{"index":900,"function":{"arguments":"[]"}}])") == two);
    // No ids either.
    CHECK(lines(R"([{"function":{"name":"add","arguments":"{}"}}])", R"([{"function":{"name":"sub"}}])",
                R"([{"function":{"arguments":"[]"}}])") ==
          Lines{"call 0 call_0 add", "arguments 0 {}", "call 1 call_1 sub", "arguments 1 []", "finish tool_calls"});
    // Name and id again in every piece.
    CHECK(lines(R"([{"index":0,"id":"a","function":{"name":"add","arguments":"{"}}])",
                R"([{"index":0,"id":"a","function":{"name":"add","arguments":"}"}}])",
                "[]") == Lines{"call 0 a add", "arguments 0 {", "arguments 0 }", "finish tool_calls"});
    CHECK(lines(R"([{"id":"a","function":{"name":"add","arguments":"{"}}])",
                R"([{"id":"a","function":{"name":"add","arguments":"}"}}])",
                "[]") == Lines{"call 0 a add", "arguments 0 {", "arguments 0 }", "finish tool_calls"});
}

TEST_CASE("arguments of a call that has no name are dropped, and so are calls without end") {
    CHECK(Stream({calls(R"([{"index":0,"function":{"arguments":"{}"}}])"), k_stop}).log.lines == Lines{"finish stop"});
    std::vector<std::string> events;
    for (int i = 0; i < 200; ++i) {
        events.push_back(calls(R"([{"index":)" + std::to_string(i) + R"(,"function":{"name":"f"}}])"));
    }
    events.emplace_back("[DONE]");
    CHECK(Stream(events).log.assembly.first().tool_calls.size() == 128);
}

TEST_CASE("unknown fields of a delta, log probabilities and choices pass through") {
    const Stream stream({delta(R"({"role":"assistant","reasoning_content":"hm","function_call":null})"),
                         R"({"choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[1]}}]})",
                         R"({"choices":[{"index":1,"delta":{},"finish_reason":"stop"},{"index":0,"delta":{},)"
                         R"("finish_reason":"stop"}]})"});
    REQUIRE(stream.done);
    CHECK(stream.log.lines == Lines{R"(fields {"reasoning_content":"hm"})", R"(1: logprobs {"content":[1]})",
                                    "1: text b", "1: finish stop", "finish stop"});
}

TEST_CASE("where a stream may end") {
    const std::string text = delta(R"({"content":"x"})");
    CHECK(Stream({text, k_stop}).done);  // some never say [DONE]
    CHECK(Stream({text, "[DONE]"}).log.lines == Lines{"text x", "finish stop"});
    CHECK(Stream({text, " [DONE]\n"}).done);
    for (const std::vector<std::string>& cut :
         {std::vector<std::string>{},
          {text},
          {"[DONE]"},
          {R"({"choices":[]})"},
          {text, k_stop, R"({"choices":[{"index":1,"delta":{"content":"y"}}]})"}}) {
        const Stream stream(cut);
        REQUIRE_FALSE(stream.done);
        CHECK(stream.done.error().code == Code::upstream);
    }
}

TEST_CASE("an event that is no chunk, or an error, ends the stream") {
    const std::string text = delta(R"({"content":"x"})");
    for (const char* event : {"nonsense", "7", "{}", R"({"choices":[{)"}) {
        const Stream stream({text, event});
        REQUIRE_FALSE(stream.done);
        CHECK(stream.done.error().code == Code::upstream);
        CHECK(stream.log.lines == Lines{"text x"});
    }
    const Stream failed({text, R"({"error":{"message":"overloaded","code":null,"type":"server_error"}})"});
    CHECK(failed.done.error().message == "the model's server failed in its answer");
    CHECK(failed.done.error().detail == "server_error");
}

TEST_CASE("a sink that has enough stops the reader at each kind of event") {
    const std::string event =
        R"({"choices":[{"index":0,"logprobs":{},"delta":{"content":"x","refusal":"y","reasoning":"z","tool_calls":[)"
        R"({"index":0,"id":"a","function":{"name":"add","arguments":"{}"}}]},"finish_reason":"stop"}]})";
    for (std::size_t last = 1; last <= 7; ++last) {
        CAPTURE(last);
        EventLog log;
        ReplyReader reader(log);
        log.on_line = [&] { return log.lines.size() < last; };
        const Result<void> done = reader.read_event(event, true);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == Code::client_gone);
        CHECK(log.lines.size() == last);
    }
    EventLog log;
    ReplyReader reader(log);
    CHECK(reader.read_event(delta(R"({"content":"x"})"), true));
    CHECK(reader.read_event("[DONE]", false));
    log.on_line = [] { return false; };
    CHECK(reader.end().error().code == Code::client_gone);
}

TEST_CASE("JSON that is nested without end is no chat completion") {
    const std::string deep(1'000'000, '[');
    const std::string closed = deep + std::string(deep.size(), ']');
    for (const std::string& part : {R"({"content":"x","further":)" + closed + "}", deep}) {
        CHECK(Whole(message(part)).done.error().code == Code::upstream);
        CHECK(Stream({delta(part)}).done.error().code == Code::upstream);
    }
    CHECK(Whole(R"({"choices":[{"message":{"content":"x"},"logprobs":)" + closed + "}]}").log.lines.empty());
    CHECK(mt::read_fault(R"({"error":{"message":"x","further":)" + closed + "}}").message.empty());
}

TEST_CASE("what came is estimated where nobody counted it") {
    const Stream stream({delta(R"({"content":"12345678"})"),
                         calls(R"([{"index":0,"id":"a","function":{"name":"four","arguments":"{}{}"}}])"), "[DONE]"});
    CHECK_FALSE(stream.reader.usage());
    CHECK(stream.reader.estimated_tokens_out() == 4);
    CHECK(Stream({delta(R"({"reasoning_content":"123456789012345678"})"), k_stop}).reader.estimated_tokens_out() > 4);
}

TEST_CASE("an error body in each of the shapes that servers use") {
    const mt::ServerFault openai = mt::read_fault(
        R"({"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}})");
    CHECK(openai.message == "too long");
    CHECK(openai.type == "invalid_request_error");
    CHECK(openai.param == "messages");
    CHECK(openai.code == "context_length_exceeded");
    CHECK(mt::read_fault(R"({"error":"model not found"})").message == "model not found");
    CHECK(mt::read_fault(R"({"object":"error","message":"no","code":404})").message == "no");
    CHECK(mt::read_fault(R"({"error":{"message":7,"code":5}})").message.empty());
    for (const char* body : {"", "<html>", "[]", "7", R"({"error":[]})", R"({"error":null})"}) {
        CHECK(mt::read_fault(body).message.empty());
    }
}

TEST_CASE("words of a server are cut to what a message may hold, between two characters") {
    std::string words(499, 'x');
    words += "\xe2\x82\xac and more";
    const mt::ServerFault fault = mt::read_fault(Json{{"error", {{"message", words}}}}.dump());
    CHECK(fault.message == std::string(499, 'x') + "...");
    CHECK(mt::is_utf8(fault.message));
}
