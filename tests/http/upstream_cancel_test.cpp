#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "http/upstream_kit.h"
#include "support/chat_scripts.h"

namespace {

using mt::Code;
using mt::Context;
using mt::Error;
using mt::Result;
using mt::http::Upstream;
using mt::http::UpstreamReply;
using mt::test::ask;
using mt::test::cancel_when;
using mt::test::code_of;
using mt::test::DeafPort;
using mt::test::eventually;
using mt::test::in;
using mt::test::k_long;
using mt::test::Latch;
using mt::test::milliseconds;
using mt::test::open_descriptors;
using mt::test::Outcome;
using mt::test::Recorded;
using mt::test::ScriptedReply;
using mt::test::ScriptedUpstream;
using mt::test::url_to;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr milliseconds k_bound{100};
#else
constexpr milliseconds k_bound{10};
#endif

milliseconds median_of_five(const std::function<milliseconds()>& measure) {
    std::array<milliseconds, 5> times{};
    std::generate(times.begin(), times.end(), measure);
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

// A request comes back as client_gone within the bound after its client left, as a rule: the machine may be busy with
// something else at times.
bool cancels_in_time(const std::function<bool()>& ready, const std::function<Outcome(const Context&)>& work) {
    const auto measure = [&] {
        Outcome outcome;
        const milliseconds time = cancel_when(ready, [&](const Context& context) { outcome = work(context); });
        CHECK(code_of(outcome) == Code::client_gone);
        return time;
    };
    bool in_time = false;
    for (int round = 0; round < 3 && !in_time; ++round) {
        in_time = median_of_five(measure) <= k_bound;
    }
    return in_time;
}

// The request has opened its socket, so it waits or is about to.
bool settled(std::size_t descriptors) {
    return eventually([&] { return open_descriptors() >= descriptors; });
}

std::int64_t cpu_ns_of_thread() {
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

}  // namespace

TEST_CASE("a client that leaves ends the connecting") {
    const DeafPort full(true);
    Upstream upstream(url_to(full.port()), {});
    const std::size_t before = open_descriptors();
    CHECK(cancels_in_time([&] { return settled(before + 1); },
                          [&](const Context& context) { return ask(upstream, {}, context); }));
    CHECK(open_descriptors() <= before);
}

TEST_CASE("a client that leaves ends the TLS handshake") {
    const DeafPort deaf(false);
    mt::http::UpstreamOptions options;
    options.verify = false;
    Upstream upstream(url_to(deaf.port(), "https://127.0.0.1:"), options);
    const std::size_t before = open_descriptors();
    CHECK(cancels_in_time([&] { return settled(before + 1); },
                          [&](const Context& context) { return ask(upstream, {}, context); }));
    CHECK(open_descriptors() <= before);
}

TEST_CASE("a client that leaves ends the writing") {
    const DeafPort deaf(false);
    Upstream upstream(url_to(deaf.port()), {});
    const std::string upload(30'000'000, 'u');  // more than the kernel takes for a server that does not read
    const std::size_t before = open_descriptors();
    CHECK(cancels_in_time([&] { return settled(before + 1); },
                          [&](const Context& context) {
                              return ask(upstream, {"POST", "/", {}, upload}, context);
                          }));
    CHECK(deaf.next_is_reset());  // a server that begins to read later is not sent the rest of what nobody wants
}

TEST_CASE("a client that leaves ends the wait for the head, and the server is told at once") {
    ScriptedUpstream server(mt::test::keep_silent);
    Upstream upstream(url_to(server.port()), {});
    std::size_t asked = 0;
    CHECK(cancels_in_time([&] { return server.wait_for_requests(++asked); },
                          [&](const Context& context) { return ask(upstream, {}, context); }));
    CHECK(server.wait_for_departures(asked));
    CHECK(upstream.idle_connections() == 0);
}

TEST_CASE("a client that leaves ends the reading of a body") {
    Latch never;
    ScriptedUpstream server(mt::test::stalled_stream({"one"}, never, {}));
    Upstream upstream(url_to(server.port()), {});
    std::atomic<int> read{0};
    int asked = 0;
    CHECK(cancels_in_time(
        [&] {
            ++asked;
            return eventually([&] { return read == asked; });
        },
        [&](const Context& context) {
            Result<UpstreamReply> reply = upstream.send({}, context, in(k_long));
            REQUIRE(reply);
            Result<std::string_view> piece = reply->read(context, in(k_long));
            ++read;
            while (piece) {
                piece = reply->read(context, in(k_long));
            }
            return Outcome{piece.error()};
        }));
    CHECK(server.wait_for_departures(static_cast<std::size_t>(asked)));
}

TEST_CASE("a client that left before starts nothing") {
    ScriptedUpstream server(mt::test::reply_with("x"));
    Upstream upstream(url_to(server.port()), {});
    std::stop_source source;
    Context context;
    context.stop = source.get_token();
    Result<UpstreamReply> reply = upstream.send({}, context, in(k_long));
    REQUIRE(reply);
    source.request_stop();
    CHECK(reply->read(context, in(k_long)).error().code == Code::client_gone);
    CHECK(code_of(ask(upstream, {}, context)) == Code::client_gone);
    CHECK(server.request_count() == 1);
    CHECK(ask(upstream).body == "x");  // the thread's wake-up is not left over
}

TEST_CASE("requests of one thread do not wake each other") {
    Latch answer;
    ScriptedUpstream server(mt::test::keep_silent);
    Upstream upstream(url_to(server.port()), {});
    std::stop_source source;
    Context gone;
    gone.stop = source.get_token();
    std::thread leaver([&] {
        CHECK(server.wait_for_requests(1));
        source.request_stop();
        CHECK(server.wait_for_requests(2));
        answer.open();
    });
    CHECK(code_of(ask(upstream, {}, gone)) == Code::client_gone);
    server.set_script(mt::test::after(answer, mt::test::reply_with("x")));
    std::stop_source other;
    Context there;
    there.stop = other.get_token();
    CHECK(ask(upstream, {}, there).body == "x");
    leaver.join();

    server.set_script(mt::test::keep_silent);
    const std::int64_t start_ns = mt::SystemClock{}.boot_ns();
    const std::int64_t start_cpu_ns = cpu_ns_of_thread();
    CHECK(code_of(ask(upstream, {}, there, milliseconds(100))) == Code::timeout);
    CHECK(cpu_ns_of_thread() - start_cpu_ns < (mt::SystemClock{}.boot_ns() - start_ns) / 2);  // it slept
}

TEST_CASE("cancelled requests leave no descriptors behind") {
    ScriptedUpstream server([](const Recorded& request, ScriptedReply& out) {
        if (request.number % 2 == 0) {
            out.start_stream();
        }
        out.keep_silent();
    });
    Upstream upstream(url_to(server.port()), {});
    std::size_t settled_at = 0;
    for (std::size_t i = 1; i <= 200; ++i) {
        cancel_when([&] { return server.wait_for_requests(i); },
                    [&](const Context& context) { CHECK(code_of(ask(upstream, {}, context)) == Code::client_gone); });
        if (i == 20) {
            CHECK(server.wait_for_open(0));
            settled_at = open_descriptors();
        }
    }
    CHECK(server.wait_for_open(0));
    CHECK(open_descriptors() <= settled_at);
}
