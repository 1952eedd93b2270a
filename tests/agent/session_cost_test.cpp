#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "agent/agent_fixture.h"
#include "agent/session.h"
#include "support/slow_store.h"

using namespace std::chrono_literals;
using mt::Code;
using mt::Message;
using mt::Role;
using mt::Sessions;
using mt::test::AgentFixture;
using mt::test::SlowStore;

namespace {

std::vector<Message> turn(const std::string& question, const std::string& answer) {
    return {{Role::user, question}, {Role::assistant, answer}};
}

// An agent whose store is behind a server.
struct SlowHouse {
    SlowHouse() { f.profile.history_tokens = 8000; }

    void fill(int turns, std::size_t bytes = 1) {
        Sessions sessions(*f.store, f.clock);
        for (int i = 0; i < turns; ++i) {
            REQUIRE(sessions.append("s", turn(std::string(bytes, 'q'), "a")));
        }
    }

    mt::Result<void> ask(const std::string& text) {
        mt::Agent agent(f.profile, {{"builtin", make_builtin_model(f.profile)}}, f.tools, store, f.clock);
        store.calls = 0;
        mt::Answer answer;
        mt::test::CollectingSink sink;
        const std::int64_t start_ns = f.clock.boot_ns();
        mt::Result<void> asked = agent.ask(mt::Question{text, "s"}, sink, answer, f.context);
        took = std::chrono::nanoseconds{f.clock.boot_ns() - start_ns};
        return asked;
    }

    std::int64_t turns() { return Sessions(*f.store, f.clock).info("s")->turns; }

    AgentFixture f;
    SlowStore store{*f.store, f.clock};
    std::chrono::nanoseconds took{};
};

void check_too_slow(const mt::Error& error) {
    CHECK(error.code == Code::unavailable);
    CHECK(error.retry_after == std::chrono::nanoseconds{1s});
}

}  // namespace

TEST_CASE("a call with a session makes at most five round trips to its store, however long the session is") {
    for (const int turns : {0, 1, 20, 300}) {
        CAPTURE(turns);
        SlowHouse house;
        house.fill(turns);
        REQUIRE(house.ask("hello"));
        CHECK(house.store.calls <= 5);
        CHECK(house.turns() == turns + 1);
    }
}

TEST_CASE("large turns are not read beyond what the history may show") {
    SlowHouse house;
    house.fill(20, 300'000);
    REQUIRE(house.ask("hello"));
    CHECK(house.store.calls <= 5);
    CHECK(house.store.bytes_listed < 1'500'000);
}

TEST_CASE("a long history of large turns comes complete, in pages") {
    SlowHouse house;
    house.fill(20, 300'000);
    Sessions sessions(house.store, house.f.clock);
    CHECK(sessions.history("s", 200)->size() == 40);
    CHECK(sessions.history("s", 200, 160'000)->size() == 4);
}

TEST_CASE("a history of turns of one message is as long as one of pairs") {
    SlowHouse house;
    Sessions sessions(house.store, house.f.clock);
    for (int i = 0; i < 50; ++i) {
        REQUIRE(sessions.append("s", {{Role::user, "q"}}));
    }
    CHECK(sessions.history("s", 40)->size() == 40);
}

TEST_CASE("a store that answers late holds a call for a few seconds at most") {
    SlowHouse house;
    house.fill(20);
    const std::int64_t used = *house.f.store->bytes_used();
    for (const auto late : {751ms, 900ms, 1499ms, 1501ms, 5000ms}) {
        CAPTURE(late.count());
        house.store.late = late;
        const mt::Result<void> asked = house.ask("hello");
        REQUIRE_FALSE(asked);
        check_too_slow(asked.error());
        CHECK(house.took < mt::CallStore::k_patience + late);
        CHECK(*house.f.store->bytes_used() == used);
    }
}

TEST_CASE("a turn that has begun to be kept is kept to its end") {
    for (const auto late : {300ms, 500ms, 749ms}) {
        CAPTURE(late.count());
        SlowHouse house;
        house.fill(1);
        house.store.late = late;
        CHECK(house.ask("hello"));
        CHECK(house.turns() == 2);
        CHECK(house.took == 5 * late);
    }
}

TEST_CASE("what tools do in the store counts, too") {
    SlowHouse house;
    house.fill(1);
    house.store.late = 751ms;
    const mt::Result<void> asked = house.ask("remember color = blue");
    REQUIRE_FALSE(asked);
    check_too_slow(asked.error());
    CHECK(house.store.calls == 2);
}

TEST_CASE("a store in this machine is never refused for being slow") {
    SlowHouse house;
    house.fill(20);
    house.store.remote = false;
    house.store.late = 10s;
    CHECK(house.ask("hello"));
    CHECK(house.turns() == 21);
}

TEST_CASE("to show a session takes three round trips, and no longer than a call") {
    SlowHouse house;
    house.fill(100);
    {
        Sessions sessions(house.store, house.f.clock);
        CHECK(sessions.info("s"));
        CHECK(sessions.history("s", 200)->size() == 200);
        CHECK(house.store.calls == 3);
    }
    house.store.late = 751ms;
    Sessions sessions(house.store, house.f.clock);
    CHECK(sessions.info("s"));
    check_too_slow(sessions.history("s", 200).error());
    CHECK(house.store.calls == 5);
    CHECK(sessions.erase("s").error().code == Code::unavailable);
    CHECK(house.turns() == 100);
}
