// Scripts that nobody waits for: Link::begin.
#include <atomic>

#include "redis/bed.h"
#include "redis/link.h"

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

TEST_CASE("property: what is begun by many ends exactly once, with its own reply") {
    MT_NEEDS_REDIS();
    RedisBed bed;
    Link link({.address = bed.address()}, bed.clock, bed.log);
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

TEST_CASE("a script that fails, or that Redis has forgotten, ends as it does for who waits") {
    MT_NEEDS_REDIS();
    RedisBed bed;
    Link link({.address = bed.address()}, bed.clock, bed.log);
    REQUIRE(is_connected(link));
    std::atomic<int> ended{0};
    std::optional<Code> failed;
    std::string text;
    REQUIRE(bed.server.ask({"SET", "k", "v"}) == "OK");
    REQUIRE(bed.server.ask({"SCRIPT", "FLUSH"}) == "OK");
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

TEST_CASE("what takes too long, and what is lost, ends as away; without a connection nothing begins") {
    MT_NEEDS_REDIS();
    RedisBed bed;
    Link link({.address = bed.address()}, bed.clock, bed.log);
    REQUIRE(is_connected(link));
    std::atomic<int> away{0};
    const auto count = [&away](const Result<Reply>& reply) { away += is_away(reply) ? 1 : 0; };
    bed.server.freeze();
    for (int i = 0; i < 3; ++i) {
        REQUIRE(link.begin(Call{&k_echo, {}, {"late"}}, 20ms, count));
    }
    CHECK(becomes([&] { return away == 3; }, 5s));
    bed.server.thaw();
    REQUIRE(is_connected(link));
    bed.server.freeze();
    REQUIRE(link.begin(Call{&k_echo, {}, {"lost"}}, 20s, count));
    bed.server.kill();
    CHECK(becomes([&] { return away == 4; }, 5s));
    CHECK(becomes([&] { return !link.begin(Call{&k_echo, {}, {"none"}}, 20ms, count); }, 5s));
    bed.server.start();
    CHECK(is_connected(link));
    CHECK(becomes([&] { return link.begin(Call{&k_echo, {}, {"back"}}, 5s, [](const Result<Reply>&) {}); }, 5s));
}

TEST_CASE("a link that goes ends what was begun") {
    MT_NEEDS_REDIS();
    RedisBed bed;
    std::atomic<int> ended{0};
    {
        Link link({.address = bed.address()}, bed.clock, bed.log);
        REQUIRE(is_connected(link));
        bed.server.freeze();
        REQUIRE(link.begin(Call{&k_echo, {}, {"it"}}, 20s, [&](const Result<Reply>&) { ++ended; }));
    }
    CHECK(ended == 1);
    bed.server.thaw();
}
