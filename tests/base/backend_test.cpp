#include "base/backend.h"

#include <doctest/doctest.h>

#include "support/fake_clock.h"

using mt::Backend;
using mt::CircuitBreaker;
using mt::Code;
using mt::Error;
using mt::Result;

namespace {

struct Bed {
    mt::test::FakeClock clock;
    mt::Log log{mt::LogLevel::off};
    Backend backend{"redis", "redis", clock, log, 2};

    void fail() {
        const Result<CircuitBreaker::Pass> pass = backend.try_use();
        REQUIRE(pass);
        const Error error = backend.failed(*pass, "connection refused");
        CHECK(error.code == Code::unavailable);
        CHECK(error.retry_after);
        CHECK(error.message.find("refused") == std::string::npos);
        CHECK(error.detail == "redis: connection refused");
    }
};

}  // namespace

TEST_CASE("a backend is down after its failures in a row, refuses at once, and is back with the first success") {
    Bed bed;
    bed.fail();
    CHECK(bed.backend.is_up());
    bed.fail();
    CHECK_FALSE(bed.backend.is_up());
    CHECK(bed.backend.status().fault == "connection refused");

    const Result<CircuitBreaker::Pass> refused = bed.backend.try_use();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::unavailable);
    CHECK(refused.error().retry_after);

    bed.clock.advance(std::chrono::milliseconds{500});
    const Result<CircuitBreaker::Pass> probe = bed.backend.try_use();
    REQUIRE(probe);
    CHECK_FALSE(bed.backend.try_use());  // one tries at a time
    bed.backend.succeeded(*probe);
    CHECK(bed.backend.is_up());
    const mt::BackendStatus status = bed.backend.status();
    CHECK(status.up);
    CHECK(status.fault.empty());
    CHECK(status.outages == 1);
    CHECK(status.failures == 2);
    CHECK(status.calls == 3);
    CHECK(status.refused == 2);
}

TEST_CASE("a failure between successes takes no backend down") {
    Bed bed;
    for (int i = 0; i < 10; ++i) {
        bed.fail();
        const Result<CircuitBreaker::Pass> pass = bed.backend.try_use();
        REQUIRE(pass);
        bed.backend.succeeded(*pass);
    }
    CHECK(bed.backend.is_up());
    CHECK(bed.backend.status().outages == 0);
}
