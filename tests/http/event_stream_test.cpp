#include "http/event_stream.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using mt::Result;
using mt::http::EventStream;

// Everything that an event stream gives: "name=data;" for each event, "!" for an error.
std::string events(const std::vector<std::string_view>& pieces, std::size_t max_event = 1000, bool look_ahead = false) {
    EventStream stream(max_event);
    std::string text;
    for (const std::string_view piece : pieces) {
        const std::string copy(piece);  // goes away with the piece
        stream.feed(copy);
        for (bool open = true; open;) {
            const Result<std::optional<std::string_view>> event = stream.next();
            if (!event) {
                return text + "!";
            }
            open = event->has_value();
            if (!open) {
                break;
            }
            const bool more = look_ahead && stream.more();
            text += fmt::format("{}={};", stream.event_name(), **event);
            if (look_ahead && !more) {
                const Result<std::optional<std::string_view>> none = stream.next();
                if (!none) {
                    return text + "!";
                }
                CHECK_FALSE(none->has_value());
                open = false;
            }
        }
    }
    return text;
}

// The same however the bytes are cut.
std::string parse(std::string_view bytes, std::size_t max_event = 1000) {
    std::string whole = events({bytes}, max_event);
    std::vector<std::string_view> single;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        single.push_back(bytes.substr(i, 1));
        for (std::size_t j = i; j < bytes.size(); ++j) {
            const std::vector<std::string_view> cut{bytes.substr(0, i), bytes.substr(i, j - i), bytes.substr(j)};
            CHECK_MESSAGE(events(cut, max_event) == whole, "cut at ", i, " and ", j);
            CHECK_MESSAGE(events(cut, max_event, true) == whole, "looking ahead, cut at ", i, " and ", j);
        }
    }
    CHECK(events(single, max_event) == whole);
    CHECK(events({bytes}, max_event, true) == whole);
    return whole;
}

}  // namespace

TEST_CASE("events come apart as the standard says, however the stream is cut") {
    CHECK(parse("data: one\n\ndata: two\n\n") == "message=one;message=two;");
    CHECK(parse("data: one\r\n\r\ndata: two\r\n\r\n") == "message=one;message=two;");
    CHECK(parse("data: one\r\rdata: two\r\r") == "message=one;message=two;");
    CHECK(parse("data: a\r\ndata: b\ndata: c\rdata:d\n\r") == "message=a\nb\nc\nd;");
    // The standard's own examples.
    CHECK(parse("data: YHOO\ndata: +2\ndata: 10\n\n") == "message=YHOO\n+2\n10;");
    CHECK(parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n") ==
          "message=first event;message=second event;");
    CHECK(parse("data\n\ndata\ndata\n\ndata:") == "message=;message=\n;");
    CHECK(parse("data:test\n\ndata: test\n\n") == "message=test;message=test;");
    CHECK(parse("event: add\ndata: 73\n\nevent: remove\ndata: 21\n\ndata: x\n\n") == "add=73;remove=21;message=x;");
}

TEST_CASE("byte order marks, comments, unknown fields and names without data") {
    CHECK(parse("\xEF\xBB\xBF"
                "data: a\n\n") == "message=a;");
    CHECK(parse("\xEF\xBB\xBF\xEF\xBB\xBF"
                "data: a\n\ndata: b\n\n") == "message=b;");
    CHECK(parse("\n\xEF\xBB\xBF"
                "data: a\n\n")
              .empty());
    CHECK(parse(": ping\n\n: ping\n\n\n\ndata: a\n\n") == "message=a;");
    CHECK(parse("event: lost\n\ndata: a\n\n") == "message=a;");
    CHECK(parse("retry: 5\nDATA: a\n data: b\ndatax: c\ndata : d\ndata: e\n\n") == "message=e;");
    CHECK(parse("data: {\"a\": \"b: c\"}\n\n") == "message={\"a\": \"b: c\"};");
    CHECK(parse("data: \xC3\xA4\n\n") == "message=\xC3\xA4;");
    CHECK(parse("").empty());
    CHECK(parse("data: never ended\n").empty());
}

TEST_CASE("an event and a line are bounded") {
    CHECK(parse("data: 123\n\n", 9) == "message=123;");
    CHECK(parse("data: 1234\n\n", 9) == "!");
    CHECK(parse("data:1\ndata:2\ndata:3\ndata:4\n\n", 7) == "message=1\n2\n3\n4;");
    CHECK(parse("data:1\ndata:2\ndata:3\ndata:4\ndata:\n\n", 7) == "!");
    CHECK(parse("data:1\n\n:2345678", 7) == "message=1;!");
    EventStream stream(100);
    const std::string bytes(60, 'x');
    stream.feed(bytes);
    CHECK(stream.next());
    stream.feed(bytes);
    for (int i = 0; i < 3; ++i) {
        const auto event = stream.next();
        REQUIRE_FALSE(event);
        CHECK(event.error().code == mt::Code::upstream);
        CHECK(event.error().message == "an event of the stream has more than 100 bytes");
        CHECK_FALSE(stream.more());
    }
}

TEST_CASE("data of one line is not copied, and looking ahead spoils nothing") {
    EventStream stream;
    const std::string bytes = "data: one\n\ndata: two\ndata: lines\n\ndata: three\n\ndata: fo";
    stream.feed(bytes);
    CHECK(stream.more());
    const auto one = stream.next();
    REQUIRE((one && one->has_value()));
    CHECK((*one)->data() == bytes.data() + 6);
    CHECK(stream.more());
    CHECK(**one == "one");
    const auto two = stream.next();
    REQUIRE((two && two->has_value()));
    CHECK(stream.more());
    CHECK(**two == "two\nlines");
    const auto three = stream.next();
    REQUIRE((three && three->has_value()));
    CHECK_FALSE(stream.more());
    CHECK(**three == "three");
    CHECK_FALSE(stream.next()->has_value());
    stream.feed("ur\n\n");
    CHECK(**stream.next() == "four");
}

TEST_CASE("the time does not depend on which line ends a stream uses") {
    const auto time_of = [](std::string_view end) {
        std::string bytes;
        for (int i = 0; i < 20'000; ++i) {
            bytes.append("data: some text of an event").append(end).append(end);
        }
        const auto start = std::chrono::steady_clock::now();
        EventStream stream;
        stream.feed(bytes);
        int count = 0;
        for (auto event = stream.next(); event && event->has_value(); event = stream.next()) {
            ++count;
        }
        CHECK(count == 20'000);
        return std::chrono::steady_clock::now() - start;
    };
    const auto usual = time_of("\n");
    CHECK(time_of("\r") < 50 * usual);
    CHECK(time_of("\r\n") < 50 * usual);
}
