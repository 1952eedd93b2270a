#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "limit/limit_fixture.h"
#include "limit/limits.h"

using namespace mt;
using namespace std::chrono_literals;
using mt::test::LimitFixture;

namespace {

LimitSettings with_budget(std::int64_t budget, BudgetPeriod period = BudgetPeriod::day) {
    LimitSettings settings;
    settings.rate_limit = 1'000'000;
    settings.burst = 1'000'000;
    settings.budget = budget;
    settings.budget_period = period;
    return settings;
}

void use(const LimitFixture& f, std::int64_t reserved, std::int64_t used) {
    Result<Permit> permit = f.admit(1, reserved);
    REQUIRE(permit);
    permit->settle({1, used});
}

std::int64_t used(const LimitFixture& f) {
    return f.limits->status().budget_used;
}

// The refusal by the budget, which must be one.
Error refusal(const Result<Permit>& permit) {
    REQUIRE_FALSE(permit);
    CHECK(permit.error().code == Code::budget_spent);
    CHECK(permit.error().reason == "budget");
    return permit.error();
}

}  // namespace

TEST_CASE("a spent budget refuses until midnight UTC, to the nanosecond, and then all of it is there") {
    LimitFixture f(with_budget(100));
    f.wait(std::chrono::nanoseconds{7h + 1ns}.count());
    use(f, 60, 60);
    use(f, 40, 40);
    const Error error = refusal(f.admit(1, 1));
    CHECK(error.message == "the budget of 100 tokens per day is spent, or too little of it is left");
    REQUIRE(error.retry_after);
    CHECK(*error.retry_after <= 17h);
    f.wait((*error.retry_after - 1ms).count());
    CHECK_FALSE(f.admit(1, 1));
    CHECK_FALSE(f.admit(1, 0));
    f.wait(std::chrono::nanoseconds{1ms}.count());
    CHECK(used(f) == 0);
    CHECK(f.admit(1, 100));
}

TEST_CASE("a month's budget ends with the month, whatever its length, the year and leap years too") {
    LimitFixture f(with_budget(10, BudgetPeriod::month));
    const char* const starts[] = {"2026-12-01", "2027-03-01", "2027-06-01", "2028-03-01", "2100-03-01", "2101-01-01"};
    for (const char* start : starts) {
        CAPTURE(start);
        const WallTime moment = *parse_rfc3339(std::string(start) + "T00:00:00.000Z");
        f.clock.step_wall(moment - f.clock.wall() - 1ms);
        use(f, 10, 10);
        const Error error = refusal(f.admit(1, 1));
        CHECK(error.message == "the budget of 10 tokens per month is spent, or too little of it is left");
        CHECK(error.retry_after == 1ms);
        f.clock.step_wall(1ms);
        use(f, 4, 4);
        f.clock.step_wall(27 * 24h);
        CHECK(f.room() == 6);
        f.clock.step_wall(5 * 24h);
        CHECK(f.room() == 10);
    }
}

TEST_CASE("a reservation that does not fit what is left waits for the next period, or never fits") {
    LimitFixture f(with_budget(100));
    use(f, 50, 50);
    CHECK(refusal(f.admit(1, 51)).retry_after == 24h);
    const Error never = refusal(f.admit(1, 101));
    CHECK_FALSE(never.retry_after);
    CHECK(never.message == "a call of up to 101 tokens never fits the budget of 100 tokens per day");
    CHECK(f.room() == 50);
    CHECK(f.admit(1, 50));
}

TEST_CASE("what only calls in flight hold carries no retry_after, and comes back when they end") {
    LimitFixture f(with_budget(100));
    Result<Permit> first = f.admit(1, 70);
    REQUIRE(first);
    CHECK(f.room() == 30);
    const Error held = refusal(f.admit(1, 31));
    CHECK_FALSE(held.retry_after);
    CHECK(held.message == "calls in flight hold the rest of the budget of 100 tokens per day");
    first->settle({1, 10});
    CHECK(f.room() == 90);
    CHECK(f.admit(1, 90));
}

TEST_CASE("a refusal costs none of the budget, whichever limit refuses, and the budget's costs nothing else") {
    LimitSettings settings = with_budget(100);
    settings.burst = 2;
    settings.tokens_per_minute = 90;
    settings.max_concurrency = 1;
    LimitFixture f(settings);
    CHECK(f.admit(3, 1).error().reason == "requests");
    CHECK(f.admit(1, 91).error().reason == "tokens");
    Result<Permit> first = f.admit(1, 40);
    REQUIRE(first);
    CHECK(f.admit(1, 40).error().reason == "concurrency");
    first->settle({1, 70});
    first = Permit();
    f.wait(mt::test::k_minute_ns);
    const LimitStatus before = f.limits->status();
    CHECK(f.admit(1, 31).error().reason == "budget");
    const LimitStatus after = f.limits->status();
    CHECK(after.remaining == before.remaining);
    CHECK(after.tokens_remaining == before.tokens_remaining);
    CHECK(after.budget_used == 70);
    CHECK(f.limits->in_flight() == 0);
    CHECK(f.admit(1, 30));
}

TEST_CASE("use counts in full whatever was reserved; a permit without a settlement counts as reserved") {
    LimitFixture f(with_budget(100));
    use(f, 10, 0);
    CHECK(used(f) == 0);
    use(f, 10, 25);
    CHECK(used(f) == 25);
    REQUIRE(f.admit(1, 30));  // gone at once, never settled
    CHECK(used(f) == 55);
    use(f, 45, 1000);
    CHECK(used(f) == 1055);
    CHECK(f.room() == 0);
    CHECK_FALSE(f.admit(1, 0));
}

TEST_CASE("a call counts in the period in which it ends, and its reservation goes on into it") {
    LimitFixture f(with_budget(100));
    Result<Permit> late = f.admit(1, 60);
    REQUIRE(late);
    f.clock.step_wall(24h);
    CHECK(f.room() == 40);
    late->settle({1, 60});
    CHECK(used(f) == 60);
    CHECK(f.room() == 40);
}

TEST_CASE("a wall clock that goes back gives no second budget, and one that was wrong locks out for a period at most") {
    LimitFixture f(with_budget(100));
    f.clock.step_wall(24h);
    use(f, 100, 100);
    f.clock.step_wall(-3h);
    CHECK(refusal(f.admit(1, 1)).retry_after == 24h);  // of boot time, before the calendar's 27
    f.wait(std::chrono::nanoseconds{4h}.count());
    CHECK_FALSE(f.admit(1, 1));  // the same day again
    f.wait(std::chrono::nanoseconds{23h}.count());
    use(f, 100, 100);

    f.clock.step_wall(20'000 * 24h);
    use(f, 100, 100);
    f.clock.step_wall(-20'000 * 24h - 2h);
    CHECK(refusal(f.admit(1, 1)).retry_after == 24h);
    f.wait(std::chrono::nanoseconds{24h - 1ns}.count());
    CHECK_FALSE(f.admit(1, 1));
    f.wait(1);
    use(f, 100, 100);
    CHECK(refusal(f.admit(1, 1)).retry_after == 24h);  // not only until the next midnight of the wrong days
}

TEST_CASE("the budget survives a restart, reservations of the dead process do not") {
    LimitFixture f(with_budget(100));
    use(f, 30, 30);
    Result<Permit> dead = f.admit(1, 70);
    REQUIRE(dead);
    const std::int64_t stored_use = f.budget_used;
    const std::int64_t stored_start = f.budget_period_start;
    CHECK(stored_use == 30);

    LimitFixture next(with_budget(0));
    next.budget_used = stored_use;
    next.budget_period_start = stored_start;
    next.open(with_budget(100));
    CHECK(used(next) == 30);
    CHECK(next.admit(1, 70));
    next.clock.step_wall(24h);
    next.open(with_budget(100));
    CHECK(next.room() == 100);
}

TEST_CASE("reconfiguring keeps what was used and reserved of the budget") {
    LimitFixture f(with_budget(100));
    use(f, 60, 60);
    Result<Permit> open = f.admit(1, 30);
    REQUIRE(open);
    f.limits->reconfigure(with_budget(200));
    CHECK(f.room() == 110);
    f.limits->reconfigure(with_budget(50));
    CHECK(refusal(f.admit(1, 1)).retry_after == 24h);
    f.limits->reconfigure(with_budget(0));
    CHECK_FALSE(f.limits->limits_tokens());
    use(f, 1000, 1000);
    f.limits->reconfigure(with_budget(100));
    CHECK(used(f) == 60);
    CHECK(f.room() == 10);
    f.limits->reconfigure(with_budget(100, BudgetPeriod::month));
    CHECK(used(f) == 60);
    f.clock.step_wall(24h);
    CHECK(used(f) == 60);
    f.limits->reconfigure(with_budget(100));
    CHECK(used(f) == 0);  // a day that starts after the month which was counted in
    CHECK(f.room() == 70);
}

TEST_CASE("damaged state of the budget locks out for one period at most") {
    constexpr std::int64_t k_most = std::numeric_limits<std::int64_t>::max();
    constexpr std::int64_t k_least = std::numeric_limits<std::int64_t>::min();
    for (const std::int64_t damage : {k_most, k_least, std::int64_t{-1}, std::int64_t{1} << 62}) {
        for (const BudgetPeriod period : {BudgetPeriod::day, BudgetPeriod::month}) {
            CAPTURE(damage);
            LimitFixture f(with_budget(0));
            f.budget_used = damage;
            f.budget_period_start = damage;
            f.open(with_budget(100, period));
            CHECK(f.room() == (damage < 0 ? 100 : 0));
            if (damage > 0) {
                const Error error = refusal(f.admit(1, 1));
                REQUIRE(error.retry_after);
                CHECK(*error.retry_after > 0ns);
                CHECK(*error.retry_after <= 31 * 24h);
            }
            f.wait(std::chrono::nanoseconds{31 * 24h}.count());
            use(f, 100, k_most);
            CHECK_FALSE(f.admit(1, 1));
            f.wait(std::chrono::nanoseconds{31 * 24h}.count());
            use(f, 100, -5);
            CHECK(used(f) == 0);
        }
    }
}

TEST_CASE("the status and the room tell the limits of tokens") {
    LimitSettings settings = with_budget(0);
    LimitFixture f(settings);
    CHECK(f.limits->status().token_limit == 0);
    CHECK(f.limits->status().budget == 0);
    CHECK_FALSE(f.limits->limits_tokens());
    CHECK(f.room() == std::numeric_limits<std::int64_t>::max());

    settings.tokens_per_minute = 600;
    settings.budget = 1000;
    f.limits->reconfigure(settings);
    const Result<Permit> permit = f.admit(1, 200);
    REQUIRE(permit);
    CHECK(permit->status().token_limit == 600);
    CHECK(permit->status().tokens_remaining == 400);
    CHECK(permit->status().token_reset_ns == std::chrono::nanoseconds{20s}.count());
    CHECK(permit->status().budget == 1000);
    CHECK(permit->status().budget_used == 0);
    CHECK(f.limits->limits_tokens());
    CHECK(f.room() == 400);
    f.wait(std::chrono::nanoseconds{1min}.count());
    CHECK(f.room() == 600);
    settings.budget = 300;
    f.limits->reconfigure(settings);
    CHECK(f.room() == 100);
    CHECK(f.limits->status().tokens_remaining == 600);
    CHECK(f.limits->status().token_reset_ns == 0);
}
