#include "redis/pool.h"

#include <atomic>

#include "base/blocking.h"
#include "redis/bed.h"
#include "support/temp_folder.h"

using namespace mt::test;
using namespace std::chrono_literals;
using mt::Code;
using mt::Result;
using mt::redis::Call;
using mt::redis::Command;
using mt::redis::Pool;
using mt::redis::PoolOptions;
using mt::redis::Reply;
using mt::redis::Script;

namespace {

PoolOptions options_of(const RedisBed& bed) {
    PoolOptions options;
    options.address = bed.address();
    options.command_timeout = 300ms;
    return options;
}

struct OptionsBed : RedisBed {
    PoolOptions options = options_of(*this);
};

struct PoolBed : OptionsBed {
    Pool pool{options, clock, log};
};

bool is_pong(Pool& pool) {
    return pool.ping().has_value();
}

std::string text_of(Pool& pool, const Command& command, int database = 0) {
    const Result<Reply> reply = pool.run(database, command);
    REQUIRE(reply);
    return reply->text;
}

const Script k_echo("return {ARGV[1], {1, false, KEYS[1]}}");

}  // namespace

TEST_CASE("without redis-server" * doctest::skip(PrivateRedis::is_installed())) {
    MESSAGE("SKIPPED: redis-server is not installed");
}

TEST_CASE_FIXTURE(PoolBed, "commands, scripts and their replies" * k_needs_redis) {
    std::string any;
    for (int i = 0; i < 1'000'000; ++i) {
        any += static_cast<char>(i * 7);
    }
    CHECK(text_of(pool, {"SET", any.substr(0, 300), any}) == "OK");
    CHECK(text_of(pool, {"GET", any.substr(0, 300)}) == any);
    CHECK(pool.run(0, Command{"GET", "absent"})->kind == Reply::Kind::nil);
    CHECK(pool.run(0, Command{"INCRBY", "n", "-9223372036854775808"})->integer == INT64_MIN);
    for (int round = 0; round < 2; ++round) {
        const Result<Reply> reply = pool.run(0, Call{&k_echo, {"k"}, {any}});
        REQUIRE(reply);
        REQUIRE(reply->list.size() == 2);
        CHECK(reply->list[0].text == any);
        REQUIRE(reply->list[1].list.size() == 3);
        CHECK(reply->list[1].list[1].kind == Reply::Kind::nil);
        CHECK(reply->list[1].list[2].text == "k");
        CHECK(server.ask({"SCRIPT", "FLUSH"}) == "OK");
    }
    const auto replies = pool.run_all(0, {{"SET", "a", "1"}, {"INCR", "a"}, {"GET", "a"}});
    REQUIRE(replies);
    CHECK((*replies)[1].integer == 2);
    CHECK((*replies)[2].text == "2");
}

TEST_CASE_FIXTURE(PoolBed,
                  "a refused command is failed, repeats nothing of it and costs no connection" * k_needs_redis) {
    text_of(pool, {"SET", "text", "secret"});
    const Result<Reply> wrong = pool.run(0, Command{"LPUSH", "text", "secret"});
    CHECK(code_of(wrong) == Code::failed);
    CHECK(wrong.error().message == "Redis refused a command: WRONGTYPE");
    const auto second = pool.run_all(0, {{"SET", "b", "2"}, {"NONSENSE", "secret"}, {"SET", "c", "3"}});
    CHECK(code_of(second) == Code::failed);
    CHECK(second.error().message.find("secret") == std::string::npos);
    CHECK(text_of(pool, {"GET", "c"}) == "3");
    CHECK(code_of(pool.run(77, Command{"GET", "c"})) == Code::failed);
    CHECK(pool.status().up);
    CHECK(pool.status().failures == 0);
    CHECK(server.ask({"INFO", "stats"}).find("total_connections_received:3") != std::string::npos);
}

TEST_CASE_FIXTURE(OptionsBed, "property: threads in different databases get their own replies over few connections" *
                                  k_needs_redis) {
    options.connections = 3;
    options.command_timeout = 5s;
    Pool pool(options, clock, log);
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 12; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 200; ++i) {
                    const std::string mine = std::to_string(t) + "/" + std::to_string(i);
                    const auto replies =
                        pool.run_all(t % 4, {{"SET", "k" + std::to_string(t), mine}, {"GET", "k" + std::to_string(t)}});
                    const Result<Reply> echo = pool.run(t % 4, Command{"ECHO", mine});
                    wrong += replies && (*replies)[1].text == mine && echo && echo->text == mine ? 0 : 1;
                }
            });
        }
    }
    CHECK(wrong == 0);
    for (int database = 0; database < 4; ++database) {
        CHECK(pool.run(database, Command{"DBSIZE"})->integer == 3);
    }
}

TEST_CASE_FIXTURE(PoolBed, "a Redis that is killed and started again is found without a new pool" * k_needs_redis) {
    CHECK(is_pong(pool));
    server.kill();
    CHECK(is_away(pool.run(0, Command{"GET", "k"})));
    CHECK_FALSE(pool.status().up);
    CHECK(pool.status().fault.find("127.0.0.1") != std::string::npos);
    CHECK(time_of([&] { CHECK(is_away(pool.run(0, Command{"GET", "k"}))); }) < 100ms);
    server.start();
    CHECK(becomes([&] { return is_pong(pool); }, 5s));
    CHECK(pool.status().up);
    CHECK(pool.status().outages == 1);
}

TEST_CASE_FIXTURE(PoolBed,
                  "connections that Redis closed while they were idle are replaced without a fault" * k_needs_redis) {
    text_of(pool, {"SET", "k", "v"});
    CHECK(server.ask({"CLIENT", "KILL", "TYPE", "normal"}) == "1");
    CHECK(text_of(pool, {"GET", "k"}) == "v");
    server.kill();
    server.start();
    CHECK(pool.run(0, Command{"INCR", "n"})->integer == 1);
    CHECK(pool.status().failures == 0);
}

TEST_CASE_FIXTURE(OptionsBed, "a Redis that does not answer holds nobody longer than the timeout" * k_needs_redis) {
    options.connections = 2;
    Pool pool(options, clock, log);
    CHECK(is_pong(pool));
    server.freeze();
    std::atomic<int> away{0};
    const auto longest = time_of([&] {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&] { away += is_away(pool.run(0, Command{"INCR", "n"})) ? 1 : 0; });
        }
    });
    CHECK(away == 8);
    CHECK(longest < 900ms);  // twice 300 ms would be a wait after another's wait
    CHECK(time_of([&] { CHECK(is_away(pool.ping())); }) < 450ms);
    server.thaw();
    CHECK(becomes([&] { return is_pong(pool); }, 5s));
    CHECK(text_of(pool, {"ECHO", "mine"}) == "mine");
}

TEST_CASE_FIXTURE(PoolBed, "no memory for writes: writes are unavailable, reads go on" * k_needs_redis) {
    text_of(pool, {"SET", "k", "v"});
    CHECK(server.ask({"CONFIG", "SET", "maxmemory", "1"}) == "OK");
    CHECK(is_away(pool.run(0, Command{"SET", "k", "w"})));
    const Script write("return redis.call('SET', KEYS[1], 'x')");
    CHECK(is_away(pool.run(0, Call{&write, {"k"}, {}})));
    CHECK(text_of(pool, {"GET", "k"}) == "v");
    CHECK(pool.status().up);
    CHECK(server.ask({"CONFIG", "SET", "maxmemory", "0"}) == "OK");
    CHECK(text_of(pool, {"SET", "k", "w"}) == "OK");
}

TEST_CASE_FIXTURE(OptionsBed, "a replica refuses writes until it is a primary again" * k_needs_redis) {
    const PrivateRedis primary({"repl-diskless-sync-delay 0"});
    Pool pool(options, clock, log);
    CHECK(is_pong(pool));
    CHECK(server.ask({"REPLICAOF", "127.0.0.1", std::to_string(primary.port())}) == "OK");
    CHECK(becomes(
        [&] {
            return server.ask({"INFO", "replication"}).find("master_link_status:up") != std::string::npos;
        },
        10s));
    CHECK(becomes([&] { return is_away(pool.run(0, Command{"SET", "k", "v"})); }, 5s));
    CHECK(becomes([&] { return pool.status().fault.find("READONLY") != std::string::npos; }, 5s));
    CHECK_FALSE(becomes([&] { return is_pong(pool); }, 1200ms));  // a PING alone would not tell
    CHECK(server.ask({"REPLICAOF", "NO", "ONE"}) == "OK");
    CHECK(becomes([&] { return pool.run(0, Command{"SET", "k", "v"}).has_value(); }, 5s));
}

TEST_CASE_FIXTURE(OptionsBed,
                  "too many clients, a wrong password and missing rights are outages that end" * k_needs_redis) {
    SUBCASE("clients") {
        CHECK(server.ask({"CONFIG", "SET", "maxclients", "1"}) == "OK");
        Pool first(options, clock, log);
        Pool second(options, clock, log);
        CHECK(becomes([&] { return is_pong(first); }, 5s));  // redis-cli leaves in its own time
        CHECK(is_away(second.ping()));
        text_of(first, {"CONFIG", "SET", "maxclients", "10"});
        CHECK(becomes([&] { return is_pong(second); }, 5s));
    }
    SUBCASE("password") {
        Pool without(options, clock, log);
        CHECK(server.ask({"CONFIG", "SET", "requirepass", "se cret"}) == "OK");
        CHECK(is_away(without.ping()));
        CHECK(without.status().fault.find("NOAUTH") != std::string::npos);
        options.address.password = "se cret";
        Pool with(options, clock, log);
        CHECK(is_pong(with));
        options.address.password = "guess";
        Pool wrong(options, clock, log);
        CHECK(is_away(wrong.ping()));
        CHECK(wrong.status().fault.find("WRONGPASS") != std::string::npos);
        CHECK(wrong.status().fault.find("guess") == std::string::npos);
    }
    SUBCASE("user") {
        CHECK(server.ask({"ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-flushall"}) == "OK");
        options.address.user = "bob";
        options.address.password = "pw";
        Pool pool(options, clock, log);
        CHECK(text_of(pool, {"ACL", "WHOAMI"}) == "bob");
        CHECK(is_away(pool.run(0, Command{"FLUSHALL"})));
        CHECK(becomes([&] { return is_pong(pool); }, 5s));
    }
}

TEST_CASE_FIXTURE(OptionsBed, "a name that nobody has, and a socket that is not there, are outages" * k_needs_redis) {
    options.address.host = "no-such-host.invalid";
    Pool named(options, clock, log);
    CHECK(time_of([&] { CHECK(is_away(named.ping())); }) < 2s);
    options.address = *mt::redis::parse_address("unix:///no/such/socket");
    Pool local(options, clock, log);
    CHECK(is_away(local.ping()));
    CHECK(local.status().fault.find("unix:///no/such/socket") != std::string::npos);
}

TEST_CASE("a database of the address and a unix socket" * k_needs_redis) {
    const TempFolder folder;
    const std::string path = folder.path() / "redis.sock";
    RedisBed bed({"unixsocket " + path});
    PoolOptions options = options_of(bed);
    options.address = *mt::redis::parse_address("unix://" + path + "?db=5");
    Pool pool(options, bed.clock, bed.log);
    CHECK(pool.default_database() == 5);
    text_of(pool, {"SET", "k", "five"}, 5);
    text_of(pool, {"SET", "k", "nought"}, 0);
    CHECK(bed.server.ask({"-n", "5", "GET", "k"}) == "five");
    CHECK(bed.server.ask({"GET", "k"}) == "nought");
}
