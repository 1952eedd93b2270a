#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <stop_token>
#include <thread>
#include <vector>

#include "limit/fair_gate.h"

using namespace mt;

namespace {

using Member = std::shared_ptr<GateMember>;

GateSettings settings_of(std::int64_t slots, std::int64_t max_waiting = 1000) {
    return GateSettings{.slots = slots, .max_waiting = max_waiting, .queue_timeout = std::chrono::minutes{1}};
}

GateShare share_of(std::int64_t weight, std::int64_t reserved = 0, std::int64_t queue_limit = 100) {
    return GateShare{.weight = weight, .reserved = reserved, .queue_limit = queue_limit};
}

// Tenants with different numbers of callers, all of which come again and again. A slot is freed only while somebody of
// every tenant waits. Returns how many slots each got.
std::vector<double> compete(std::int64_t slots, const std::vector<GateShare>& shares, std::int64_t grants) {
    const mt::SystemClock clock;
    FairGate gate(settings_of(slots), clock);
    std::vector<Member> members;
    members.reserve(shares.size());
    for (const GateShare& share : shares) {
        members.push_back(gate.join(share));
    }
    std::vector<std::atomic<std::int64_t>> counts(shares.size());
    std::atomic<std::int64_t> total{0};
    const auto all_wait = [&] {
        return std::all_of(members.begin(), members.end(), [](const Member& member) { return member->waiting() > 1; });
    };
    const auto call_on = [&](std::size_t tenant) {
        while (total < grants) {
            const Result<GatePass> pass = members[tenant]->enter({});
            while (total < grants && !all_wait()) {
                std::this_thread::yield();
            }
            if (pass && total < grants) {
                ++total;
                ++counts[tenant];
            }
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t tenant = 0; tenant < shares.size(); ++tenant) {
            const auto callers = static_cast<std::size_t>(slots) + 2 + 5 * (tenant % 2);
            for (std::size_t i = 0; i < callers; ++i) {
                threads.emplace_back(call_on, tenant);
            }
        }
    }
    CHECK(gate.status().running == 0);
    CHECK(gate.status().waiting == 0);
    std::vector<double> result;
    for (const auto& count : counts) {
        result.push_back(static_cast<double>(count.load()));
    }
    return result;
}

// Threads that come, go, leave their queues and run out of time, while the gate changes around them.
class Storm {
  public:
    static constexpr std::int64_t k_most_slots = 5;
    static constexpr std::size_t k_threads = 10;

    Storm(bool changing, std::int64_t calls) : m_calls(calls), m_gate(first_settings(), m_clock) {
        for (int i = 0; i < 4; ++i) {
            m_members.push_back(m_gate.join(share_of(1 + i, i == 3 ? 1 : 0, 8)));
        }
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < k_threads; ++i) {
            threads.emplace_back([this, i] { run_calls(i); });
        }
        threads.emplace_back([this, changing] { disturb(changing); });
    }

    std::atomic<bool> too_many{false};          // calls ran than there are slots
    std::atomic<bool> waited_in_vain{false};    // somebody waited beside a free slot
    std::atomic<bool> wrong_answer{false};      // an error that nothing was the cause of
    std::array<std::atomic<int>, 4> answers{};  // passes, client_gone, timeout, busy

    [[nodiscard]] GateStatus status() const { return m_gate.status(); }

  private:
    static GateSettings first_settings() { return settings_of(k_most_slots, 4); }

    void run_calls(std::size_t thread) {
        std::mt19937_64 random(thread);
        for (std::int64_t i = 0; i < m_calls; ++i) {
            Context context;
            const bool timed = random() % 8 == 0;
            if (timed) {
                context.deadline_ns = m_clock.boot_ns() + static_cast<std::int64_t>(random() % 200'000);
            }
            std::stop_source client;
            {
                const std::scoped_lock lock(m_mutex);
                m_clients[thread] = client;
            }
            context.stop = client.get_token();
            const Result<GatePass> pass = m_members[random() % m_members.size()]->enter(context);
            judge(pass, timed, client.stop_requested());
            if (pass) {
                hold(random() % 8);
            }
        }
        ++m_ended;
    }

    void judge(const Result<GatePass>& pass, bool timed, bool stopped) {
        const Code code = pass ? Code::busy : pass.error().code;
        const bool right =
            code == Code::busy || (code == Code::timeout && timed) || (code == Code::client_gone && stopped);
        wrong_answer = wrong_answer || !right;
        ++answers[pass ? 0 : code == Code::client_gone ? 1 : code == Code::timeout ? 2 : 3];
    }

    void hold(std::uint64_t turns) {
        if (m_held.fetch_add(1) >= k_most_slots) {
            too_many = true;
        }
        for (std::uint64_t turn = 0; turn < turns; ++turn) {
            std::this_thread::yield();
        }
        m_held.fetch_sub(1);
    }

    void disturb(bool changing) {
        std::mt19937_64 random(99);
        while (m_ended < static_cast<int>(k_threads)) {
            std::stop_source client(std::nostopstate);
            {
                const std::scoped_lock lock(m_mutex);
                client = m_clients[random() % k_threads];
            }
            if (random() % 4 == 0) {
                client.request_stop();
            }
            if (changing && random() % 8 == 0) {
                GateSettings settings = first_settings();
                settings.slots = 1 + static_cast<std::int64_t>(random() % k_most_slots);
                m_gate.reconfigure(settings);
                const auto reserved = static_cast<std::int64_t>(random() % 3);
                m_members[random() % m_members.size()]->reconfigure(share_of(1, reserved, 8));
                const Member passer_by = m_gate.join(share_of(1, reserved));
            }
            const GateStatus status = m_gate.status();
            if (status.waiting > 0 && status.running < status.slots - status.reserved) {
                waited_in_vain = true;
            }
            std::this_thread::yield();
        }
    }

    const std::int64_t m_calls;
    const mt::SystemClock m_clock;
    FairGate m_gate;
    std::vector<Member> m_members;
    std::mutex m_mutex;
    std::array<std::stop_source, k_threads> m_clients;
    std::atomic<std::int64_t> m_held{0};
    std::atomic<int> m_ended{0};
};

}  // namespace

TEST_CASE("property: threads of equal tenants that always wait get equal numbers of slots") {
    const std::vector<double> counts = compete(4, std::vector<GateShare>(5, share_of(1)), 2000);
    double sum = 0;
    double squares = 0;
    for (const double count : counts) {
        sum += count;
        squares += count * count;
    }
    CHECK(sum * sum / (5 * squares) >= 0.99);
}

TEST_CASE("property: threads of tenants with weights 4 and 1 get slots 4 to 1") {
    const std::vector<double> counts = compete(3, {share_of(4), share_of(1)}, 2000);
    CHECK(counts[0] / counts[1] == doctest::Approx(4).epsilon(0.05));
}

TEST_CASE("property: in a storm never more calls run than there are slots, and nobody is forgotten") {
    for (const bool changing : {false, true}) {
        const Storm storm(changing, 2000);
        CHECK_FALSE(storm.too_many);
        CHECK_FALSE(storm.waited_in_vain);
        CHECK_FALSE(storm.wrong_answer);
        const GateStatus status = storm.status();
        CHECK(status.running == 0);
        CHECK(status.waiting == 0);
        CHECK(status.refused_timeout == 0);
        CHECK(status.refused_full == storm.answers[3]);
        for (const auto& count : storm.answers) {
            CHECK(count > 0);
        }
    }
}
