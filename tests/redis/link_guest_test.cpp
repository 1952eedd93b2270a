// Scripts that nobody waits for: Link::begin.
#include <atomic>

#include "redis/link_bed.h"

using namespace mt::test;
using namespace std::chrono_literals;
using mt::Code;
using mt::Result;
using mt::redis::Call;
using mt::redis::Link;
using mt::redis::Reply;
using mt::redis::Script;

namespace {

const Script k_echo("return ARGV[1]");
const Script k_fault("return redis.call('LPUSH', KEYS[1], 'secret')");

bool is_connected(Link& link) {
    return becomes([&] { return link.run(Call{&k_echo, {}, {"it"}}, 200ms).has_value(); }, 10s);
}

}  // namespace

TEST_CASE_FIXTURE(LinkBed, "property: what is begun by many ends exactly once, with its own reply" * k_needs_redis) {
    REQUIRE(is_connected(link));
    constexpr int k_threads = 8;
    constexpr int k_rounds = 2000;
    std::atomic<int> ended{0};
    std::atomic<int> wrong{0};
    std::atomic<int> refused{0};
    std::vector<std::jthread> threads;
    for (int t = 0; t < k_threads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < k_rounds; ++i) {
                const std::string mine = std::to_string(t) + "/" + std::to_string(i);
                refused += link.begin(Call{&k_echo, {}, {mine}}, 20s,
                                      [&, mine](const Result<Reply>& reply) {
                                          wrong += reply && reply->text == mine ? 0 : 1;
                                          ++ended;
                                      })
                               ? 0
                               : 1;
            }
        });
    }
    threads.clear();
    CHECK(becomes([&] { return ended == k_threads * k_rounds; }, 30s));
    CHECK(wrong == 0);
    CHECK(refused == 0);
    CHECK(link.counts().batches < link.counts().runs / 2);
}

TEST_CASE_FIXTURE(LinkBed,
                  "a script that fails, or that Redis has forgotten, ends as it does for who waits" * k_needs_redis) {
    REQUIRE(is_connected(link));
    std::atomic<int> ended{0};
    std::optional<Code> failed;
    std::string text;
    REQUIRE(server.ask({"SET", "k", "v"}) == "OK");
    REQUIRE(server.ask({"SCRIPT", "FLUSH"}) == "OK");
    REQUIRE(link.begin(Call{&k_fault, {"k"}, {}}, 5s, [&](const Result<Reply>& reply) {
        failed = code_of(reply);
        ++ended;
    }));
    REQUIRE(link.begin(Call{&k_echo, {}, {"new"}}, 5s, [&](const Result<Reply>& reply) {
        text = reply ? reply->text : "";
        ++ended;
    }));
    REQUIRE(becomes([&] { return ended == 2; }, 10s));
    CHECK(failed == Code::failed);
    CHECK(text == "new");
}

TEST_CASE_FIXTURE(LinkBed, "what takes too long, and what is lost, ends as away; without a connection nothing begins" *
                               k_needs_redis) {
    REQUIRE(is_connected(link));
    std::atomic<int> away{0};
    const auto count = [&away](const Result<Reply>& reply) { away += is_away(reply) ? 1 : 0; };
    server.freeze();
    for (int i = 0; i < 3; ++i) {
        REQUIRE(link.begin(Call{&k_echo, {}, {"late"}}, 20ms, count));
    }
    CHECK(becomes([&] { return away == 3; }, 5s));
    server.thaw();
    REQUIRE(is_connected(link));
    server.freeze();
    REQUIRE(link.begin(Call{&k_echo, {}, {"lost"}}, 20s, count));
    server.kill();
    CHECK(becomes([&] { return away == 4; }, 5s));
    CHECK(becomes([&] { return !link.begin(Call{&k_echo, {}, {"none"}}, 20ms, count); }, 5s));
    server.start();
    CHECK(is_connected(link));
    CHECK(becomes([&] { return link.begin(Call{&k_echo, {}, {"back"}}, 5s, [](const Result<Reply>&) {}); }, 5s));
}

TEST_CASE_FIXTURE(LinkOptionsBed, "a link that goes ends what was begun" * k_needs_redis) {
    std::atomic<int> ended{0};
    {
        Link link(options, clock, log);
        REQUIRE(is_connected(link));
        server.freeze();
        REQUIRE(link.begin(Call{&k_echo, {}, {"it"}}, 20s, [&](const Result<Reply>&) { ++ended; }));
    }
    CHECK(ended == 1);
    server.thaw();
}
