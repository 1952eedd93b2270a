// Limits over Redis, asked by requests that wait without a thread.
#include <doctest/doctest.h>

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/parking.h"
#include "limit/redis_house.h"

using namespace mt;
using namespace mt::test;

namespace {

// A request as its runner sees it.
class Request {
  public:
    Request() {
        m_parking.set_run_again([this] { m_again = true; });
        m_parking.reset();
        m_context.parking = &m_parking;
    }
    /// Nothing: it is parked.
    std::optional<Result<Permit>> run(Limits& limits, Cost cost = {}) {
        m_parking.begin_run();
        Result<Permit> permit = limits.admit(cost, m_context);
        return m_parking.parked() ? std::nullopt : std::optional(std::move(permit));
    }
    /// Until it may run again.
    void wait() {
        if (m_parking.await()) {
            REQUIRE(becomes([this] { return m_again.load(); }));
            m_again = false;
        }
    }
    Result<Permit> finish(Limits& limits, Cost cost = {}) {
        for (int runs = 0; runs < 2; ++runs) {
            if (auto permit = run(limits, cost)) {
                return *std::move(permit);
            }
            wait();
        }
        return *run(limits, cost);
    }

  private:
    Parking m_parking;
    Context m_context;
    std::atomic<bool> m_again{false};
};

// Its link has a connection: only then does anybody park.
struct ConnectedReplica : OneReplica {
    ConnectedReplica() { replica.finish_posts(); }
};

}  // namespace

TEST_CASE_FIXTURE(ConnectedReplica,
                  "requests that park are admitted as those that wait, with one script each" * k_needs_redis) {
    const auto limits = replica.make(per_minute(1, 20));
    const std::int64_t before = replica.link->counts().runs;
    std::vector<std::unique_ptr<Request>> requests;
    int admitted = 0;
    for (int i = 0; i < 30; ++i) {
        requests.push_back(std::make_unique<Request>());
        CHECK_FALSE(requests.back()->run(*limits));
    }
    for (const auto& request : requests) {
        request->wait();
        const auto permit = request->run(*limits);
        REQUIRE(permit);
        admitted += *permit ? 1 : 0;
        if (!*permit) {
            CHECK(permit->error().reason == "requests");
            CHECK(permit->error().retry_after);
        }
    }
    CHECK(admitted == 20);
    CHECK(replica.link->counts().runs - before == 30);
    CHECK(replica.limiter->counts().by_redis == 30);
    CHECK(limits->in_flight() == 0);
}

TEST_CASE_FIXTURE(ConnectedReplica, "tokens, budget and concurrency hold for requests that park" * k_needs_redis) {
    LimitSettings settings = per_minute(1, 1000);
    settings.max_concurrency = 2;
    settings.tokens_per_minute = 1000;
    settings.budget = 600;
    const auto limits = replica.make(settings);
    Request first;
    Request second;
    Request third;
    std::optional<Result<Permit>> one = first.finish(*limits, {1, 300});
    std::optional<Result<Permit>> two = second.finish(*limits, {1, 300});
    REQUIRE((*one && *two));
    CHECK(reason_of(third.finish(*limits, {1, 0})) == "concurrency");
    (*one)->settle({1, 300});
    one.reset();
    replica.finish_posts();
    Request fourth;
    CHECK(reason_of(fourth.finish(*limits, {1, 300})) == "budget");
}

TEST_CASE_FIXTURE(ConnectedReplica,
                  "settings that change while a request is parked: it pays for what it asks now, once" *
                      k_needs_redis) {
    LimitSettings settings = per_minute(1, 100);
    settings.tokens_per_minute = 1000;
    const auto limits = replica.make(settings);
    Request request;
    REQUIRE_FALSE(request.run(*limits, {1, 400}));
    request.wait();
    auto permit = request.run(*limits, {1, 100});
    REQUIRE(permit);
    REQUIRE(*permit);
    CHECK((*permit)->granted() == 100);
    (*permit)->settle({1, 100});
    permit.reset();
    replica.finish_posts();
    Request next;
    const Result<Permit> after = next.finish(*limits, {1, 0});
    REQUIRE(after);
    CHECK(after->status().tokens_remaining >= 900);
    CHECK(after->status().remaining == 98);
}

TEST_CASE_FIXTURE(ConnectedReplica, "a decision about another life of the tenant says nothing" * k_needs_redis) {
    const auto old_life = replica.make(per_minute(1, 1));
    const auto new_life = replica.make(per_minute(1, 1), "life2");
    REQUIRE(old_life->admit({}, Context{}));
    Request request;
    REQUIRE_FALSE(request.run(*old_life));
    request.wait();
    const auto permit = request.run(*new_life);
    REQUIRE(permit);
    CHECK(*permit);
    CHECK_FALSE(new_life->admit({}, Context{}));
}

TEST_CASE_FIXTURE(ConnectedReplica,
                  "Redis that goes while requests are parked leaves them to the share" * k_needs_redis) {
    const auto limits = replica.make(per_minute(1, 10));
    REQUIRE(limits->admit({}, Context{}));
    redis.freeze();
    std::vector<std::unique_ptr<Request>> requests;
    for (int i = 0; i < 12; ++i) {
        requests.push_back(std::make_unique<Request>());
        CHECK_FALSE(requests.back()->run(*limits));
    }
    int admitted = 0;
    for (const auto& request : requests) {
        request->wait();
        const auto permit = request->run(*limits);
        REQUIRE(permit);
        admitted += *permit ? 1 : 0;
    }
    CHECK(admitted == 9);
    CHECK(replica.limiter->counts().by_share == 12);
    CHECK(replica.limiter->counts().outage);
    redis.thaw();
}
