#include "base/parking.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <thread>

using mt::Parking;

namespace {

struct Number final : Parking::Memo {
    explicit Number(int number) : value(number) {}
    int value;
};

}  // namespace

TEST_CASE("what one run leaves the next one finds, once") {
    Parking parking;
    parking.reset();
    CHECK_FALSE(parking.take());
    CHECK_FALSE(parking.parked());
    CHECK(parking.began_ns(5) == 5);
    parking.park(std::make_shared<Number>(7));
    CHECK(parking.parked());
    parking.begin_run();
    CHECK_FALSE(parking.parked());
    CHECK(parking.began_ns(9) == 5);
    const auto memo = std::dynamic_pointer_cast<Number>(parking.take());
    REQUIRE(memo);
    CHECK(memo->value == 7);
    CHECK_FALSE(parking.take());
    parking.park(std::make_shared<Number>(8));
    parking.reset();  // another request
    CHECK_FALSE(parking.take());
    CHECK(parking.began_ns(11) == 11);
}

TEST_CASE("property: whoever comes last of waiting and resuming runs the request again, and only he") {
    constexpr int k_rounds = 20'000;
    Parking parking;
    std::atomic<int> called{0};
    parking.set_run_again([&called] { ++called; });
    std::atomic<int> round{0};
    std::atomic<int> resumed{0};
    std::jthread resumer([&] {
        for (int i = 1; i <= k_rounds; ++i) {
            while (round < i) {
            }
            parking.resume();
            resumed = i;
        }
    });
    int waited = 0;
    int wrong = 0;
    for (int i = 1; i <= k_rounds; ++i) {
        parking.reset();
        const int before = called;
        if (i % 2 == 0) {
            parking.park(std::make_shared<Number>(i));
            round = i;
        } else {
            round = i;
            parking.park(std::make_shared<Number>(i));
        }
        const bool waits = parking.await();
        waited += waits ? 1 : 0;
        while (resumed < i) {
        }
        wrong += called - before == (waits ? 1 : 0) ? 0 : 1;
    }
    CHECK(wrong == 0);
    CHECK(called == waited);
}
