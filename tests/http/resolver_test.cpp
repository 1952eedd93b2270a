#include "http/resolver.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "http/upstream_kit.h"
#include "support/fake_clock.h"

namespace {

using mt::Code;
using mt::Context;
using mt::Error;
using mt::Result;
using mt::http::Endpoints;
using mt::http::Patience;
using mt::http::Resolver;
using mt::test::cancel_when;
using mt::test::FakeClock;
using mt::test::in;
using mt::test::k_long;
using mt::test::Latch;
using mt::test::milliseconds;

Endpoints somewhere() {
    return *mt::http::look_up("192.0.2.1");
}

// What a resolver says to a request that waits some seconds.
Result<Endpoints> resolve(Resolver& resolver, const Context& context = {}, milliseconds patience = k_long) {
    Patience waiting(context, in(patience));
    return resolver.resolve(waiting, waiting.deadline_ns());
}

}  // namespace

TEST_CASE("numeric hosts are not asked for") {
    const FakeClock clock;
    for (const auto& [host, text] : {std::pair("127.0.0.1", "127.0.0.1"), std::pair("::1", "::1"),
                                     std::pair("::ffff:127.0.0.1", "::ffff:127.0.0.1"), std::pair("127.1", "127.0.0.1"),
                                     std::pair("2130706433", "127.0.0.1")}) {
        CAPTURE(host);
        Resolver resolver(host, clock, [](const std::string&) {
            CHECK(false);
            return Error{};
        });
        const Result<Endpoints> endpoints = resolve(resolver);
        REQUIRE(endpoints);
        REQUIRE(endpoints->size() == 1);
        CHECK(endpoints->front().text == text);
    }
}

TEST_CASE("an answer is remembered for 30 s, a failure for 1 s") {
    FakeClock clock;
    std::atomic<int> asked{0};
    std::atomic<bool> works{true};
    Resolver resolver("example.test", clock, [&](const std::string& host) {
        CHECK(host == "example.test");
        ++asked;
        return works ? Result<Endpoints>(somewhere()) : Error{Code::unavailable, "no such name"};
    });
    CHECK(resolve(resolver));
    clock.advance(std::chrono::milliseconds(29'999));
    CHECK(resolve(resolver));
    CHECK(asked == 1);
    clock.advance(std::chrono::milliseconds(1));
    works = false;
    const Result<Endpoints> failed = resolve(resolver);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().message == "no such name");
    CHECK(asked == 2);
    works = true;
    clock.advance(std::chrono::milliseconds(999));
    CHECK_FALSE(resolve(resolver));
    CHECK(asked == 2);
    clock.advance(std::chrono::milliseconds(1));
    CHECK(resolve(resolver));
    CHECK(asked == 3);
}

TEST_CASE("requests that want to know at the same time ask once") {
    const FakeClock clock;
    Latch answer;
    std::atomic<int> asked{0};
    Resolver resolver("example.test", clock, [&](const std::string&) {
        ++asked;
        CHECK(answer.wait());
        return somewhere();
    });
    std::atomic<int> found{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 16; ++i) {
        threads.emplace_back([&] { found += resolve(resolver) ? 1 : 0; });
    }
    CHECK(mt::test::eventually([&] { return asked == 1; }));
    answer.open();
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(found == 16);
    CHECK(asked == 1);
}

TEST_CASE("who waits for an answer gives up in time and when its client leaves; the answer serves the next") {
    const FakeClock clock;
    Latch answer;
    std::atomic<int> asked{0};
    Resolver resolver("example.test", clock, [&](const std::string&) {
        ++asked;
        CHECK(answer.wait());
        return somewhere();
    });
    const Result<Endpoints> late = resolve(resolver, {}, milliseconds(20));
    REQUIRE_FALSE(late);
    CHECK(late.error().code == Code::timeout);
    Result<Endpoints> cancelled = Endpoints{};
    const milliseconds took = cancel_when([&] { return asked == 1; },
                                          [&](const Context& context) { cancelled = resolve(resolver, context); });
    REQUIRE_FALSE(cancelled);
    CHECK(cancelled.error().code == Code::client_gone);
    CHECK(took < milliseconds(1'000));
    answer.open();
    CHECK(resolve(resolver));
    CHECK(asked == 1);
}

TEST_CASE("the system knows localhost, and says what it does not know") {
    const Result<Endpoints> found = mt::http::look_up("localhost");
    REQUIRE(found);
    CHECK((found->front().text == "127.0.0.1" || found->front().text == "::1"));
    const Result<Endpoints> unknown = mt::http::look_up("no-such-host.invalid");
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().code == Code::unavailable);
    CHECK(unknown.error().message.find("'no-such-host.invalid' has no address: ") == 0);
}
