#include "limit/fair_gate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "base/blocking.h"
#include "support/fake_clock.h"

using namespace mt;
using mt::test::FakeClock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

using Member = std::shared_ptr<GateMember>;

// Waits for a condition that another thread is about to bring; false when it did not in ten seconds.
template <class Condition>
bool eventually(const Condition& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (!condition()) {
        if (std::chrono::steady_clock::now() > give_up) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

GateSettings settings_of(std::int64_t slots, std::int64_t max_waiting = 1000,
                         nanoseconds queue_timeout = std::chrono::hours{1}) {
    return GateSettings{.slots = slots, .max_waiting = max_waiting, .queue_timeout = queue_timeout};
}

GateShare share_of(std::int64_t weight, std::int64_t reserved = 0, std::int64_t queue_limit = 100) {
    return GateShare{.weight = weight, .reserved = reserved, .queue_limit = queue_limit};
}

GatePass taken(const Member& member) {
    Result<GatePass> pass = member->enter({});
    REQUIRE(pass);
    return *std::move(pass);
}

// A caller on a thread of its own, with a client that can leave. Made once it waits, or has its answer.
class Caller {
  public:
    explicit Caller(const Member& member, Context context = {}) {
        const std::int64_t before = member->waiting();
        context.stop = m_client.get_token();
        m_pass = std::async(std::launch::async, [member, context] {
            Result<GatePass> pass = member->enter(context);
            return std::pair(std::move(pass), std::chrono::steady_clock::now());
        });
        REQUIRE(eventually([&] { return member->waiting() > before || returned(); }));
    }
    void leave() { m_client.request_stop(); }
    [[nodiscard]] bool returned() const {
        return m_pass.wait_for(std::chrono::seconds{0}) == std::future_status::ready;
    }
    Result<GatePass> pass() { return std::move(m_pass.get().first); }
    std::chrono::steady_clock::time_point came_back() { return m_pass.get().second; }

  private:
    std::stop_source m_client;
    std::future<std::pair<Result<GatePass>, std::chrono::steady_clock::time_point>> m_pass;
};

void check_overload(const Result<GatePass>& pass) {
    REQUIRE_FALSE(pass);
    CHECK(pass.error().code == Code::busy);
    CHECK(pass.error().reason == "overload");
    CHECK(pass.error().retry_after == std::chrono::seconds{1});
}

// Counts those who wait, does something right before, and may refuse them.
class Regions final : public mt::Blocker {
  public:
    Result<void> enter() override {
        if (then) {
            then();
        }
        if (full) {
            return mt::Error{Code::busy, "too many threads wait already"};
        }
        ++entered;
        return {};
    }
    void leave() override { ++left; }

    bool full = false;
    std::function<void()> then;
    std::atomic<int> entered{0};
    std::atomic<int> left{0};
};

}  // namespace

TEST_CASE("a free slot is taken without a blocking region; a wait is one, and ends with the slot that is freed") {
    const FakeClock clock;
    FairGate gate(settings_of(1), clock);
    const Member member = gate.join(share_of(1));
    Regions regions;
    const mt::BlockerScope scope(regions);
    std::optional<GatePass> first = taken(member);
    CHECK(regions.entered == 0);
    CHECK(member->running() == 1);
    regions.then = [&] {
        CHECK(gate.status().waiting == 1);  // its place is kept from before
        first.reset();
    };
    const Result<GatePass> second = member->enter({});
    CHECK(second);
    CHECK(regions.entered == 1);
    CHECK(regions.left == 1);
    CHECK(gate.status().running == 1);
}

TEST_CASE("where too many threads wait already a caller is refused, unless a slot came meanwhile") {
    const FakeClock clock;
    FairGate gate(settings_of(1), clock);
    const Member member = gate.join(share_of(1));
    Regions regions;
    regions.full = true;
    const mt::BlockerScope scope(regions);
    std::optional<GatePass> first = taken(member);
    check_overload(member->enter({}));
    CHECK(gate.status().waiting == 0);
    regions.then = [&] { first.reset(); };
    {
        const Result<GatePass> second = member->enter({});
        CHECK(second);
        CHECK(gate.status().running == 1);
    }
    CHECK(gate.status().running == 0);
}

TEST_CASE("a slot that comes together with the client's leaving or the deadline is not lost") {
    FakeClock clock;
    FairGate gate(settings_of(1), clock);
    const Member member = gate.join(share_of(1));
    for (const bool granted : {true, false}) {
        for (const bool by_deadline : {true, false}) {
            Regions regions;
            const mt::BlockerScope scope(regions);
            std::optional<GatePass> first = taken(member);
            std::stop_source client;
            Context context;
            context.stop = client.get_token();
            context.deadline_ns = clock.boot_ns() + 1'000'000;
            regions.then = [&] {
                if (granted) {
                    first.reset();
                }
                if (by_deadline) {
                    clock.advance(milliseconds{1});
                } else {
                    client.request_stop();
                }
            };
            const Result<GatePass> second = member->enter(context);
            CHECK(second.has_value() == granted);
            CHECK((granted || second.error().code == (by_deadline ? Code::timeout : Code::client_gone)));
            CHECK(gate.status().running == 1);
            CHECK(gate.status().waiting == 0);
        }
    }
    CHECK(gate.status().running == 0);
}

TEST_CASE("a slot, the client's leaving and a refusal end a wait at once") {
    const FakeClock clock;
    for (int what = 0; what < 3; ++what) {
        std::vector<milliseconds> times;
        for (int round = 0; round < 5; ++round) {
            FairGate gate(settings_of(1, 2), clock);
            const Member member = gate.join(share_of(1));
            const Member other = gate.join(share_of(1));
            GatePass first = taken(member);
            std::optional<Caller> older;
            std::optional<Caller> newcomer;
            if (what == 2) {
                older.emplace(member);
            }
            Caller caller(member);
            const auto began = std::chrono::steady_clock::now();
            if (what == 0) {
                first = GatePass();
            } else if (what == 1) {
                caller.leave();
            } else {
                newcomer.emplace(other);
            }
            times.push_back(std::chrono::duration_cast<milliseconds>(caller.came_back() - began));
            if (what == 2) {
                older->leave();
                newcomer->leave();
            }
        }
        std::sort(times.begin(), times.end());
        CHECK(times[2] <= milliseconds{50});
    }
}

TEST_CASE("a caller whose client leaves frees its place; one whose client left before takes none") {
    const FakeClock clock;
    FairGate gate(settings_of(1), clock);
    const Member member = gate.join(share_of(1, 0, 1));
    GatePass first = taken(member);
    Caller leaver(member);
    check_overload(member->enter({}));
    leaver.leave();
    CHECK(leaver.pass().error().code == Code::client_gone);
    CHECK(member->waiting() == 0);
    Caller next(member);
    CHECK_FALSE(next.returned());
    first = GatePass();
    Result<GatePass> pass = next.pass();
    CHECK(pass);
    Context gone;
    std::stop_source client;
    client.request_stop();
    gone.stop = client.get_token();
    CHECK(member->enter(gone).error().code == Code::client_gone);
    *pass = GatePass();
    CHECK(member->enter(gone).error().code == Code::client_gone);
    CHECK(gate.status().running == 0);
}

TEST_CASE("a wait ends after queue_timeout with busy, at the request's deadline with timeout") {
    FakeClock clock;
    FairGate gate(settings_of(1, 10, milliseconds{2}), clock);
    const Member member = gate.join(share_of(1));
    const GatePass first = taken(member);
    Context context;
    context.deadline_ns = clock.boot_ns() + 1'000'000;
    Caller hurried(member, context);
    context.deadline_ns = clock.boot_ns() + 3'000'000;
    Caller patient(member, context);
    clock.advance(nanoseconds{999'999});
    std::this_thread::yield();
    CHECK_FALSE(hurried.returned());
    clock.advance(nanoseconds{1});
    CHECK(hurried.pass().error().code == Code::timeout);
    CHECK_FALSE(patient.returned());
    CHECK(member->waiting() == 1);
    CHECK(gate.status().refused_timeout == 0);
    clock.advance(milliseconds{1});
    check_overload(patient.pass());
    CHECK(gate.status().refused_timeout == 1);
    CHECK(gate.status().refused_full == 0);
    CHECK(gate.status().waiting == 0);
    clock.advance(milliseconds{1});
    CHECK(member->enter(context).error().code == Code::timeout);  // its time is over before it waits
    gate.reconfigure(settings_of(1, 10, nanoseconds::max()));
    Caller endless(member);
    CHECK_FALSE(endless.returned());
    endless.leave();
}

TEST_CASE("who waits is told so once a second, outside of the gate's lock") {
    class Hook final : public mt::IdleHook {
      public:
        Hook(const FairGate& the_gate, std::stop_source& the_client) : gate(the_gate), client(the_client) {}
        void on_idle() override {
            waiting = gate.status().waiting;
            client.request_stop();
        }
        const FairGate& gate;
        std::stop_source& client;
        std::int64_t waiting = 0;
    };
    const FakeClock clock;
    FairGate gate(settings_of(1), clock);
    const Member member = gate.join(share_of(1));
    const GatePass first = taken(member);
    std::stop_source client;
    Hook hook(gate, client);
    Context context;
    context.stop = client.get_token();
    context.idle = &hook;
    CHECK(member->enter(context).error().code == Code::client_gone);
    CHECK(hook.waiting == 1);
}

TEST_CASE("a full house refuses only callers of the tenant with the longest queue") {
    const FakeClock clock;
    FairGate gate(settings_of(1, 3), clock);
    const Member crowd = gate.join(share_of(1));
    const Member other = gate.join(share_of(1));
    std::optional<GatePass> first = taken(crowd);
    std::vector<std::unique_ptr<Caller>> callers;
    for (int i = 0; i < 3; ++i) {
        callers.push_back(std::make_unique<Caller>(crowd));
    }
    check_overload(crowd->enter({}));
    Caller newcomer(other);
    check_overload(callers[2]->pass());  // the youngest
    check_overload(other->enter({}));    // both would have two
    CHECK(gate.status().refused_full == 3);
    CHECK(gate.status().waiting == 3);
    first.reset();
    CHECK(callers[0]->pass());
    CHECK(newcomer.pass());
    CHECK(callers[1]->pass());
}

TEST_CASE("messages say whose queue is full, and of other tenants nothing") {
    const FakeClock clock;
    FairGate gate(settings_of(1, 1), clock);
    const Member member = gate.join(share_of(1, 0, 1));
    const Member other = gate.join(share_of(1));
    const Member proud = gate.join(share_of(1, 0, 0));
    const GatePass first = taken(member);
    Caller waiting(member);
    CHECK(member->enter({}).error().message == "the queue of this tenant is full: 1 calls wait for a slot");
    CHECK(other->enter({}).error().message == "too many calls wait for a slot");
    CHECK(proud->enter({}).error().message == "all slots are taken, and calls of this tenant do not wait for one");
    waiting.leave();
}

TEST_CASE("more slots, and a reservation that goes with its tenant, let waiting callers go on") {
    const FakeClock clock;
    FairGate gate(settings_of(2), clock);
    Member reserver = gate.join(share_of(1, 1));
    const Member member = gate.join(share_of(1));
    const GatePass first = taken(member);
    Caller second(member);
    Caller third(member);
    CHECK(gate.status().waiting == 2);
    gate.reconfigure(settings_of(3));
    const Result<GatePass> more = second.pass();
    CHECK(more);
    CHECK(gate.status().running == 2);
    CHECK(gate.status().waiting == 1);
    reserver.reset();
    CHECK(third.pass());
}

TEST_CASE("a reserved slot is there at once, and a smaller reservation lets others go on") {
    const FakeClock clock;
    FairGate gate(settings_of(3), clock);
    const Member reserver = gate.join(share_of(1, 2));
    const Member member = gate.join(share_of(1));
    const GatePass first = taken(member);
    Caller second(member);
    Caller third(member);
    CHECK(gate.status().reserved == 2);
    CHECK(gate.status().waiting == 2);
    {
        const GatePass own = taken(reserver);  // although others wait
        reserver->reconfigure(share_of(1, 1));
        const Result<GatePass> pass = second.pass();
        CHECK(pass);
        CHECK(gate.status().running == 3);
        CHECK(gate.status().waiting == 1);
    }
    CHECK(third.pass());
}

TEST_CASE("a pass moves, and gives its slot back once") {
    const FakeClock clock;
    FairGate gate(settings_of(3), clock);
    const Member member = gate.join(share_of(1));
    {
        GatePass a = taken(member);
        GatePass b = taken(member);
        CHECK(member->running() == 2);
        a = std::move(b);
        CHECK(member->running() == 1);
        GatePass& same = a;
        a = std::move(same);
        CHECK(member->running() == 1);
        const GatePass c(std::move(a));
        CHECK(member->running() == 1);
    }
    CHECK(member->running() == 0);
    // The pass keeps its member alive, and with it what is reserved for the tenant.
    std::optional<GatePass> last = taken(gate.join(share_of(1, 1)));
    CHECK(gate.status().reserved == 1);
    last.reset();
    CHECK(gate.status().reserved == 0);
    CHECK(gate.status().running == 0);
}
