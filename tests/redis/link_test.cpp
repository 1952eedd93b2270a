#include "redis/link.h"

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
const Script k_add("return redis.call('INCRBY', KEYS[1], ARGV[1])");
const Script k_fault("return redis.call('LPUSH', KEYS[1], 'secret')");
// Burns time in Redis without a sleep: some ten milliseconds.
const Script k_slow("local x = 0 for i = 1, tonumber(ARGV[2]) do x = x + i % 7 end return ARGV[1]");

Result<Reply> echo(Link& link, const std::string& text, std::chrono::milliseconds budget = 200ms) {
    return link.run(Call{&k_echo, {}, {text}}, budget);
}

bool echoes(Link& link) {
    const Result<Reply> reply = echo(link, "it");
    return reply && reply->text == "it";
}

// Every thread of `threads` sends its own words and counts replies that are not them.
int mixed_up(Link& link, int threads, int rounds) {
    std::atomic<int> wrong{0};
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t) {
        running.emplace_back([&, t] {
            for (int i = 0; i < rounds; ++i) {
                const std::string mine = std::to_string(t) + "/" + std::to_string(i);
                const Result<Reply> reply = echo(link, mine, 5s);
                wrong += reply && reply->text == mine ? 0 : 1;
            }
        });
    }
    running.clear();
    return wrong;
}

}  // namespace

TEST_CASE_FIXTURE(LinkBed,
                  "property: many threads get exactly their own replies, in fewer sends than runs" * k_needs_redis) {
    CHECK(mixed_up(link, 32, 300) == 0);
    const Link::Counts counts = link.counts();
    CHECK(counts.runs == 32 * 300);
    CHECK(counts.batches < counts.runs / 2);
    CHECK(counts.late == 0);
    CHECK(link.status().up);
}

TEST_CASE_FIXTURE(LinkBed, "large and binary arguments" * k_needs_redis) {
    std::string any;
    for (int i = 0; i < 1'000'000; ++i) {
        any += static_cast<char>(i * 11);
    }
    std::vector<std::jthread> threads;
    std::atomic<int> right{0};
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            const std::string mine = any + std::to_string(t);
            const Result<Reply> reply = echo(link, mine, 5s);
            right += reply && reply->text == mine ? 1 : 0;
        });
    }
    threads.clear();
    CHECK(right == 4);
}

TEST_CASE_FIXTURE(LinkBed, "a script that Redis has forgotten is sent as text, for runs and posts" * k_needs_redis) {
    link.post(Call{&k_add, {"n"}, {"1"}});
    CHECK(becomes([&] { return server.ask({"GET", "n"}) == "1"; }, 5s));
    CHECK(server.ask({"SCRIPT", "FLUSH"}) == "OK");
    std::atomic<std::int64_t> failed{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&] { failed += link.run(Call{&k_add, {"n"}, {"1"}}, 2s) ? 0 : 1; });
        }
    }
    CHECK(failed == 0);
    CHECK(server.ask({"GET", "n"}) == "9");
    CHECK(link.status().failures == 0);
}

TEST_CASE_FIXTURE(LinkBed, "posts are done without anybody waiting, each once" * k_needs_redis) {
    CHECK(echoes(link));
    for (int i = 0; i < 1000; ++i) {
        link.post(Call{&k_add, {"n"}, {"1"}});
    }
    CHECK(link.run(Call{&k_add, {"n"}, {"0"}}, 2s)->integer == 1000);
    CHECK(link.counts().posts == 1000);
    CHECK(link.counts().dropped == 0);
    CHECK(server.ask({"SET", "text", "x"}) == "OK");
    link.post(Call{&k_fault, {"text"}, {}});
    CHECK(becomes([&] { return link.status().failures == 1; }, 5s));
    CHECK(link.status().up);
}

TEST_CASE_FIXTURE(LinkBed, "a refused script is failed and repeats nothing of it" * k_needs_redis) {
    CHECK(server.ask({"SET", "text", "x"}) == "OK");
    const Result<Reply> reply = link.run(Call{&k_fault, {"text"}, {}}, 2s);
    CHECK(code_of(reply) == Code::failed);
    CHECK(reply.error().message == "Redis refused a command: WRONGTYPE");
    CHECK(link.status().up);
}

TEST_CASE_FIXTURE(LinkOptionsBed, "a late reply is dropped and given to nobody else" * k_needs_redis) {
    options.silence = 10s;
    options.failures = 1000;
    Link link(options, clock, log);
    CHECK(echoes(link));
    for (int i = 0; i < 5; ++i) {
        std::jthread slow([&] { CHECK(is_away(link.run(Call{&k_slow, {}, {"slow", "20000000"}}, 5ms))); });
        slow.join();
        CHECK(echo(link, "next", 10s)->text == "next");
    }
    CHECK(link.counts().late == 5);
    CHECK(mixed_up(link, 8, 50) == 0);
}

TEST_CASE_FIXTURE(LinkBed, "a Redis that is killed and started again is found without any caller" * k_needs_redis) {
    CHECK(echoes(link));
    server.kill();
    CHECK(becomes([&] { return !link.status().up; }, 2s));
    CHECK(time_of([&] { CHECK(is_away(echo(link, "it"))); }) < 100ms);
    link.post(Call{&k_add, {"n"}, {"1"}});
    CHECK(link.counts().dropped == 1);
    server.start();
    CHECK(becomes([&] { return link.status().up; }, 5s));
    CHECK(echoes(link));
    CHECK(link.status().outages == 1);
}

TEST_CASE_FIXTURE(LinkOptionsBed, "a Redis that is away at the start is found when it comes" * k_needs_redis) {
    server.kill();
    Link link(options, clock, log);
    CHECK(time_of([&] { CHECK(is_away(echo(link, "it"))); }) < 300ms);
    server.start();
    CHECK(becomes([&] { return link.status().up; }, 5s));
    CHECK(echoes(link));
}

TEST_CASE_FIXTURE(LinkOptionsBed,
                  "a Redis that does not answer: each within its budget, then everybody at once, and back again" *
                      k_needs_redis) {
    options.silence = 20s;
    Link link(options, clock, log);
    CHECK(echoes(link));
    server.freeze();
    CHECK(time_of([&] { CHECK(is_away(echo(link, "it", 20ms))); }) < 120ms);
    CHECK(link.status().up);  // one late reply is no outage
    std::atomic<int> away{0};
    const auto longest = time_of([&] {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 16; ++t) {
            threads.emplace_back([&, t] { away += is_away(echo(link, "it", t < 8 ? 20ms : 10s)) ? 1 : 0; });
        }
    });
    CHECK(away == 16);
    CHECK(longest < 2s);  // the patient ones are told by what happened to the others
    CHECK_FALSE(link.status().up);
    CHECK(time_of([&] { CHECK(is_away(echo(link, "it", 10s))); }) < 100ms);
    server.thaw();
    CHECK(becomes([&] { return link.status().up; }, 5s));
    CHECK(mixed_up(link, 8, 50) == 0);
}

TEST_CASE_FIXTURE(LinkBed, "silence alone ends a connection" * k_needs_redis) {
    CHECK(echoes(link));
    server.freeze();
    CHECK(time_of([&] { CHECK(is_away(echo(link, "it", 20s))); }) < 2s);
    CHECK(becomes([&] { return !link.status().up; }, 2s));
    server.thaw();
    CHECK(becomes([&] { return link.status().up; }, 5s));
}

TEST_CASE_FIXTURE(LinkBed, "a connection that Redis closes is replaced without an outage" * k_needs_redis) {
    CHECK(echoes(link));
    for (int i = 0; i < 3; ++i) {
        CHECK(server.ask({"CLIENT", "KILL", "TYPE", "normal"}) == "1");
        CHECK(becomes([&] { return echoes(link); }, 5s));
    }
    CHECK(link.status().outages == 0);
}

TEST_CASE_FIXTURE(LinkOptionsBed, "a replica, want of memory and a wrong password" * k_needs_redis) {
    SUBCASE("replica") {
        const PrivateRedis primary({"repl-diskless-sync-delay 0"});
        Link link(options, clock, log);
        CHECK(echoes(link));
        CHECK(server.ask({"REPLICAOF", "127.0.0.1", std::to_string(primary.port())}) == "OK");
        CHECK(becomes([&] { return is_away(link.run(Call{&k_add, {"n"}, {"1"}}, 200ms)); }, 5s));
        CHECK_FALSE(link.status().up);
        CHECK(link.status().fault.find("READONLY") != std::string::npos);
        CHECK_FALSE(becomes([&] { return link.status().up; }, 1200ms));  // PING alone would not tell
        CHECK(server.ask({"REPLICAOF", "NO", "ONE"}) == "OK");
        CHECK(becomes([&] { return link.run(Call{&k_add, {"n"}, {"1"}}, 200ms).has_value(); }, 5s));
    }
    SUBCASE("memory") {
        Link link(options, clock, log);
        CHECK(echoes(link));
        CHECK(server.ask({"CONFIG", "SET", "maxmemory", "1"}) == "OK");
        CHECK(is_away(link.run(Call{&k_add, {"n"}, {"1"}}, 200ms)));
        CHECK(echoes(link));
        CHECK(link.status().up);
    }
    SUBCASE("password") {
        CHECK(server.ask({"CONFIG", "SET", "requirepass", "pw"}) == "OK");
        Link without(options, clock, log);
        CHECK(becomes([&] { return !without.status().up; }, 5s));
        CHECK(without.status().fault.find("NOAUTH") != std::string::npos);
        options.address.password = "pw";
        Link with(options, clock, log);
        CHECK(echoes(with));
    }
}

TEST_CASE_FIXTURE(LinkOptionsBed, "it ends at once, whatever is under way" * k_needs_redis) {
    server.freeze();
    CHECK(time_of([&] { const Link link(options, clock, log); }) < 1s);
    server.thaw();
}
