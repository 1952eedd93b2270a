#include <atomic>
#include <memory>

#include "postgres/bed.h"

using mt::Result;
using mt::SystemClock;
using mt::postgres::Listener;
using namespace mt::test;
using namespace std::chrono_literals;

namespace {

struct ListenerBed : OwnPostgres {
    SystemClock clock;
};

bool hears_within(Listener& listener, std::chrono::milliseconds bound) {
    const auto start = std::chrono::steady_clock::now();
    while (!listener.hears() && since(start) < bound) {
        listener.wait(50ms);
    }
    return listener.hears();
}

// How long one wait() took that something is notified in, from another connection.
std::chrono::milliseconds notified_after(Listener& listener, const PrivatePostgres& server) {
    const auto start = std::chrono::steady_clock::now();
    const std::jthread other([&] { REQUIRE(server.ask("NOTIFY \"odd \"\" name\"").empty()); });
    listener.wait(10s);
    return since(start);
}

}  // namespace

TEST_CASE_FIXTURE(ListenerBed, "a notification ends the wait, also after a restart and after its connection was ended" *
                                   k_needs_postgres) {
    Listener listener(options, "odd \" name", clock);
    CHECK_FALSE(listener.hears());
    auto start = std::chrono::steady_clock::now();
    listener.wait(10s);  // ended by the connection
    CHECK(since(start) < 1s);
    REQUIRE(listener.hears());
    CHECK(notified_after(listener, server) < 1s);

    start = std::chrono::steady_clock::now();
    listener.wait(100ms);
    CHECK(since(start) >= 100ms);

    CHECK(server.ask("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = 'mtagent'") ==
          "1");
    start = std::chrono::steady_clock::now();
    listener.wait(10s);  // ended by the loss
    CHECK(since(start) < 1s);
    CHECK_FALSE(listener.hears());
    CHECK(hears_within(listener, 2s));
    CHECK(notified_after(listener, server) < 1s);

    server.kill();
    listener.wait(10s);
    CHECK_FALSE(listener.hears());
    start = std::chrono::steady_clock::now();
    listener.wait(1200ms);  // tries again meanwhile, in vain
    CHECK(since(start) >= 1200ms);
    CHECK_FALSE(listener.hears());
    server.start();
    CHECK(hears_within(listener, 5s));
    CHECK(notified_after(listener, server) < 1s);
}

TEST_CASE_FIXTURE(ListenerBed,
                  "waking ends a wait, be it for notifications, for the next try or for a server that does not answer" *
                      k_needs_postgres) {
    options.connect_timeout = 20s;
    const auto woken_after = [&](Listener& listener) {
        const auto start = std::chrono::steady_clock::now();
        const std::jthread other([&] { listener.wake(); });
        listener.wait(30s);
        return since(start);
    };
    Listener listener(options, "c", clock);
    REQUIRE(hears_within(listener, 5s));
    CHECK(woken_after(listener) < 1s);
    server.freeze();
    Listener frozen(options, "c", clock);
    CHECK(woken_after(frozen) < 1s);
    server.thaw();
    server.kill();
    listener.wait(10s);
    REQUIRE_FALSE(listener.hears());
    CHECK(woken_after(listener) < 1s);
    listener.wake();
    const auto start = std::chrono::steady_clock::now();
    listener.wait(10s);  // woken before it began
    CHECK(since(start) < 1s);
}

TEST_CASE_FIXTURE(ListenerBed,
                  "a listener whose server is frozen notices, so that polling takes over" * k_needs_postgres) {
    options.statement_timeout = 100ms;
    options.connect_timeout = 100ms;
    Listener listener(options, "c", clock);
    REQUIRE(hears_within(listener, 5s));
    server.freeze();
    const auto start = std::chrono::steady_clock::now();
    while (listener.hears() && since(start) < 10s) {
        listener.wait(10s);
    }
    CHECK(since(start) < 8s);
    CHECK_FALSE(listener.hears());
}
