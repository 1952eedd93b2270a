#include "agent/assembly.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "agent/event_log.h"

namespace {

using mt::Assembly;
using mt::Choice;
using mt::ModelEvent;
using mt::test::EventLog;
using mt::test::Lines;
using Kind = ModelEvent::Kind;

// Everything that a choice can hold.
Choice full() {
    return {"text", "refusal", {{"a", "add", "{}"}, {"b", "sub", ""}}, "{\"r\":1}", "{\"content\":[]}", "tool_calls"};
}

bool equal(const Choice& a, const Choice& b) {
    return a.text == b.text && a.refusal == b.refusal && a.tool_calls == b.tool_calls && a.fields == b.fields &&
           a.logprobs == b.logprobs && a.finish_reason == b.finish_reason;
}

}  // namespace

TEST_CASE("an answer that nobody has begun has one empty choice") {
    const Assembly assembly;
    CHECK(assembly.choices().size() == 1);
    CHECK(equal(assembly.first(), Choice{}));
    CHECK_FALSE(assembly.has_opaque_parts());
}

TEST_CASE("pieces are put together by choice and call, in whatever order they come") {
    Assembly assembly;
    assembly.add({.kind = Kind::text, .text = "It "});
    assembly.add({.kind = Kind::tool_call, .choice = 2, .index = 1, .id = "b", .name = "sub"});
    assembly.add({.kind = Kind::text, .text = "is."});
    assembly.add({.kind = Kind::tool_arguments, .text = "{", .choice = 2, .index = 1});
    assembly.add({.kind = Kind::tool_call, .choice = 2, .index = 0, .id = "a", .name = "add"});
    assembly.add({.kind = Kind::tool_arguments, .text = "}", .choice = 2, .index = 1});
    assembly.add({.kind = Kind::refusal, .text = "No", .choice = 1});
    assembly.add({.kind = Kind::refusal, .text = ".", .choice = 1});
    assembly.add({.kind = Kind::finish, .text = "stop"});
    REQUIRE(assembly.choices().size() == 3);
    CHECK(assembly.first().text == "It is.");
    CHECK(assembly.first().finish_reason == "stop");
    CHECK(assembly.choices()[1].refusal == "No.");
    CHECK(assembly.choices()[2].tool_calls == std::vector<mt::ToolCall>{{"a", "add", ""}, {"b", "sub", "{}"}});
    CHECK_FALSE(assembly.has_opaque_parts());
}

TEST_CASE("absurd numbers take no memory") {
    Assembly assembly;
    for (const int number : {-1, 128, 2'000'000'000}) {
        assembly.add({.kind = Kind::text, .text = "x", .choice = number});
        assembly.add({.kind = Kind::tool_call, .index = number, .id = "a", .name = "f"});
    }
    CHECK(assembly.choices().size() == 1);
    CHECK(equal(assembly.first(), Choice{}));
    assembly.add({.kind = Kind::text, .text = "x", .choice = 127});
    CHECK(assembly.choices().size() == 128);
}

TEST_CASE("fields and log probabilities are kept as they came, and told of") {
    Assembly assembly;
    assembly.add({.kind = Kind::fields, .text = "{}"});
    CHECK(assembly.has_opaque_parts());
    assembly.clear();
    CHECK_FALSE(assembly.has_opaque_parts());
    assembly.add({.kind = Kind::logprobs, .text = "[]"});
    CHECK(assembly.has_opaque_parts());
    CHECK(assembly.first().logprobs == "[]");
    CHECK(assembly.first().fields.empty());
}

TEST_CASE("a choice that is told and put together again is the same") {
    for (const int number : {0, 3}) {
        EventLog log;
        CHECK(mt::replay(full(), number, log));
        CHECK(equal(log.assembly.choices().at(static_cast<std::size_t>(number)), full()));
    }
    EventLog log;
    Choice empty;
    empty.finish_reason = "stop";
    CHECK(mt::replay(empty, 0, log));
    CHECK(log.lines == Lines{"finish stop"});
}

TEST_CASE("what is told follows the order of a stream, and only the last event ends it") {
    EventLog log;
    CHECK(mt::replay(full(), 1, log));
    CHECK(log.lines == Lines{"1: fields {\"r\":1}", "1: logprobs {\"content\":[]}", "1: text text",
                             "1: refusal refusal", "1: call 0 a add", "1: arguments 0 {}", "1: call 1 b sub",
                             "1: finish tool_calls"});
    CHECK(log.more == "+++++++.");
}

TEST_CASE("telling stops where the sink has enough") {
    EventLog all;
    CHECK(mt::replay(full(), 0, all));
    for (std::size_t last = 1; last <= all.lines.size(); ++last) {
        EventLog log;
        log.on_line = [&] { return log.lines.size() < last; };
        CHECK_FALSE(mt::replay(full(), 0, log));
        CHECK(log.lines.size() == last);
    }
}
