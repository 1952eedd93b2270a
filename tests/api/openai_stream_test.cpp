// An answer as a stream of chunks.

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/assembly.h"
#include "api/chat_stream.h"
#include "api/endpoints.h"
#include "support/fake_clock.h"

using namespace mt;
using api::Json;
using test::Capture;
using Kind = ModelEvent::Kind;

namespace {

// The data of all events; comments are left out. Everything has to be framed by empty lines.
std::vector<std::string> events_of(const std::string& body) {
    std::vector<std::string> events;
    std::string_view rest = body;
    while (!rest.empty()) {
        const std::size_t end = rest.find("\n\n");
        REQUIRE(end != std::string_view::npos);
        const std::string_view event = rest.substr(0, end);
        CHECK(event.find('\n') == std::string_view::npos);
        if (!event.starts_with(":")) {
            REQUIRE(event.starts_with("data: "));
            events.emplace_back(event.substr(6));
        }
        rest.remove_prefix(end + 2);
    }
    return events;
}

// The chunks before [DONE].
std::vector<Json> chunks_of(const std::string& body) {
    std::vector<Json> chunks;
    for (const std::string& event : events_of(body)) {
        if (event != "[DONE]") {
            chunks.push_back(Json::parse(event));
        }
    }
    return chunks;
}

struct Streamed {
    explicit Streamed(bool include_usage = false)
        : stream(
              {{"chatcmpl-1", 1700000000}, include_usage}, model,
              [this]() -> http::StreamWriter& {
                  ++opened;
                  return capture.start_stream({});
              },
              clock) {}

    bool tell(Kind kind, std::string_view text, bool more = false, int choice = 0, int index = 0) {
        return stream.on_event({.kind = kind, .text = text, .choice = choice, .index = index, .more = more});
    }
    [[nodiscard]] const std::string& body() const { return capture.sent.body; }

    test::FakeClock clock;
    std::string model = "m \"1\"";
    Capture capture;
    int opened = 0;
    api::ChatStream stream;
};

// What a client puts together from the deltas of a choice.
Choice assemble(const std::vector<Json>& chunks, int choice) {
    Assembly assembly;
    const auto tell = [&](Kind kind, const std::string& text, int index = 0, const std::string& id = {},
                          const std::string& name = {}) {
        assembly.add({.kind = kind, .text = text, .index = index, .id = id, .name = name});
    };
    for (const Json& chunk : chunks) {
        for (const Json& entry : chunk["choices"]) {
            if (entry["index"] != choice) {
                continue;
            }
            const Json& delta = entry["delta"];
            tell(Kind::text, delta.value("content", ""));
            tell(Kind::refusal, delta.value("refusal", ""));
            for (const Json& call : delta.value("tool_calls", Json::array())) {
                if (call.contains("id")) {
                    CHECK(call["type"] == "function");
                    CHECK(call["function"]["arguments"] == "");
                    tell(Kind::tool_call, "", call["index"], call["id"], call["function"]["name"]);
                }
                tell(Kind::tool_arguments, call["function"]["arguments"], call["index"]);
            }
            if (!entry["finish_reason"].is_null()) {
                tell(Kind::finish, entry["finish_reason"]);
            }
        }
    }
    return assembly.first();
}

}  // namespace

TEST_CASE("the wire, byte for byte") {
    Streamed house(true);
    CHECK(house.tell(Kind::text, "Hé\n"));
    CHECK(house.tell(Kind::finish, "stop"));
    house.stream.finish({3, 2, false});
    const std::string head = R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,)"
                             R"("model":"m \"1\"","choices":[)";
    CHECK(house.body() ==
          head + R"({"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],)" +
              "\"usage\":null}\n\n" + head +
              R"({"index":0,"delta":{"content":"Hé\n"},"logprobs":null,"finish_reason":null}],"usage":null})" + "\n\n" +
              head + R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null})" + "\n\n" + head +
              R"(],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})" + "\n\ndata: [DONE]\n\n");
    CHECK(house.capture.finished);
    CHECK(house.opened == 1);
}

TEST_CASE("without include_usage no chunk speaks of usage") {
    Streamed house;
    house.tell(Kind::text, "x");
    house.stream.finish({3, 2, false});
    CHECK(house.body().find("usage") == std::string::npos);
    CHECK(events_of(house.body()).back() == "[DONE]");
    CHECK(chunks_of(house.body()).back()["choices"][0]["finish_reason"] == "stop");
}

TEST_CASE("an answer survives the way: texts, refusals, calls, fields, log probabilities, several choices") {
    Choice first;
    first.text = "one \"two\" \\ \x01 three";
    first.tool_calls = {{"c1", "f", "{\"a\": \"\xC3\xA9\"}"}, {"c2", "g", ""}};
    first.fields = "{ \"reasoning_content\":\n \"why\" }";
    first.logprobs = R"({"content": []})";
    first.finish_reason = "tool_calls";
    Choice second;
    second.refusal = "no";
    second.finish_reason = "content_filter";
    Streamed house;
    CHECK(replay(first, 0, house.stream));
    CHECK(replay(second, 1, house.stream));
    house.stream.finish({});
    const std::vector<Json> chunks = chunks_of(house.body());
    const Choice got = assemble(chunks, 0);
    CHECK(got.text == first.text);
    CHECK(got.tool_calls == first.tool_calls);
    CHECK(got.finish_reason == "tool_calls");
    CHECK(assemble(chunks, 1).refusal == "no");
    CHECK(assemble(chunks, 1).finish_reason == "content_filter");
    CHECK(house.body().find(R"("delta":{"reasoning_content":"why"})") != std::string::npos);
    CHECK(house.body().find(R"("delta":{},"logprobs":{"content":[]})") != std::string::npos);
    for (const int choice : {0, 1}) {  // each begins with its role
        const auto begin = std::find_if(chunks.begin(), chunks.end(),
                                        [&](const Json& chunk) { return chunk["choices"][0]["index"] == choice; });
        REQUIRE(begin != chunks.end());
        CHECK((*begin)["choices"][0]["delta"] == Json{{"role", "assistant"}, {"content", ""}});
    }
}

TEST_CASE("characters that a server cuts in two arrive whole, and rubbish does not throw") {
    Streamed house;
    for (const char* piece : {"\xE2", "\x82", "\xAC!", "\xF0\x9F", "\xFF", "x", "\xC3"}) {
        CHECK(house.tell(Kind::text, piece));
    }
    for (const char* piece : {"{\"\xC3", "\xA9\":1}"}) {
        CHECK(house.tell(Kind::tool_arguments, piece));
    }
    house.stream.finish({});
    const Choice got = assemble(chunks_of(house.body()), 0);
    CHECK(got.text == "\xE2\x82\xAC!\xEF\xBF\xBD\xEF\xBF\xBDx\xEF\xBF\xBD");
    REQUIRE(got.tool_calls.size() == 1);
    CHECK(got.tool_calls[0].arguments == "{\"\xC3\xA9\":1}");
}

TEST_CASE("an event is written at once, unless the next one is there") {
    Streamed house;
    CHECK(house.tell(Kind::text, "a", true));
    CHECK(house.opened == 0);
    CHECK_FALSE(house.stream.started());
    CHECK(house.tell(Kind::text, "b"));
    CHECK(house.capture.pieces.size() == 1);
    CHECK(house.tell(Kind::text, "c"));
    CHECK(house.capture.pieces.size() == 2);
    CHECK(house.tell(Kind::text, std::string(20'000, 'x'), true));  // more than is held back
    CHECK(house.capture.pieces.size() == 3);
    CHECK(house.tell(Kind::text, "d", true));
    house.stream.on_idle();  // the next one takes its time after all
    CHECK(house.capture.pieces.size() == 4);
}

TEST_CASE("15 s of silence bring a comment, and only they do") {
    Streamed house;
    house.clock.advance(std::chrono::seconds(14));
    house.stream.on_idle();
    CHECK(house.opened == 0);
    house.clock.advance(std::chrono::seconds(1));
    house.stream.on_idle();
    CHECK(house.body() == ": ping\n\n");
    house.stream.on_idle();
    house.clock.advance(std::chrono::seconds(14));
    house.tell(Kind::text, "x");
    house.clock.advance(std::chrono::seconds(14));
    house.stream.on_idle();
    CHECK(house.body().rfind(": ping") == 0);
    house.clock.advance(std::chrono::seconds(1));
    house.stream.on_idle();
    CHECK(house.body().ends_with("\n\n: ping\n\n"));
    house.stream.finish({});
    CHECK(assemble(chunks_of(house.body()), 0).text == "x");
}

TEST_CASE("an error in mid-stream is an event, and ends the stream") {
    Streamed house;
    house.tell(Kind::text, "x");
    house.stream.fail({Code::upstream, "the server behind went away"});
    const std::vector<std::string> events = events_of(house.body());
    CHECK(Json::parse(events.back()) == Json::parse(R"({"error":{"message":"the server behind went away",
        "type":"api_error","param":null,"code":"upstream"}})"));
    CHECK(house.body().find("[DONE]") == std::string::npos);
    CHECK(house.capture.finished);
}

TEST_CASE("a client that is gone stops the model, and gets nothing more") {
    Streamed house;
    house.capture.most_pieces = 1;
    CHECK(house.tell(Kind::text, "a"));
    CHECK_FALSE(house.tell(Kind::text, "b"));
    CHECK_FALSE(house.tell(Kind::text, "c", true));
    house.stream.on_idle();
    house.stream.fail({Code::client_gone, "gone"});
    CHECK_FALSE(house.capture.finished);
    CHECK(house.capture.pieces.size() == 1);
}

TEST_CASE("absurd numbers of a server fill no memory") {
    Streamed house;
    for (const int number : {-1, 128, 2'000'000'000}) {
        CHECK(house.tell(Kind::text, "x", false, number));
        CHECK(house.tell(Kind::tool_arguments, "x", false, 0, number));
    }
    CHECK(house.opened == 0);
}

TEST_CASE("ten thousand deltas of one byte: each a chunk, none costs more than its bytes") {
    Streamed house;
    constexpr int k_count = 10'000;
    for (int i = 0; i < k_count; ++i) {
        REQUIRE(house.tell(Kind::text, "x", i + 1 < k_count));
    }
    CHECK(house.capture.pieces.size() < k_count / 50);
    house.stream.finish({});
    CHECK(assemble(chunks_of(house.body()), 0).text == std::string(k_count, 'x'));
}
