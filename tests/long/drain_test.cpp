// A drain under load: whatever a client may count on arrives.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>
#include <vector>

#include "long/crowd.h"

namespace mt::test {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds k_patience{20};

// What became of the calls of one lane, or of all.
struct Tally {
    std::int64_t answered = 0;  ///< with 200
    std::int64_t refused = 0;   ///< with anything else
    int cut = 0;                ///< in the middle of a reply
    int ignored = 0;            ///< neither answered nor closed
    /// When each first call of a connection was sent that got no reply.
    std::vector<Steady::time_point> unanswered{};
    /// Somebody listened then, or later.
    Steady::time_point last_open{};

    void add(const Tally& other) {
        answered += other.answered;
        refused += other.refused;
        cut += other.cut;
        ignored += other.ignored;
        unanswered.insert(unanswered.end(), other.unanswered.begin(), other.unanswered.end());
        last_open = std::max(last_open, other.last_open);
    }

    // Sent while somebody listened, and in vain. A kept connection may be closed while a request is on its way (RFC
    // 9112 section 9.6), and so may a new one once nobody listens any more.
    [[nodiscard]] std::int64_t lost() const {
        return std::count_if(unanswered.begin(), unanswered.end(), [this](auto sent) { return sent < last_open; });
    }
};

// How one lane of clients calls.
struct Habit {
    int calls;              ///< sent at once, before the first reply is read
    int rounds;             ///< of such calls over one connection
    std::string_view text;  ///< of the question; a number follows
};

constexpr std::array k_habits{
    Habit{1, 1, "Hello"},         Habit{1, 1, "Hello"},
    Habit{1, 1, "Hello"},         Habit{1, 1, "remember that my color is"},
    Habit{1, 1'000'000, "Hello"}, Habit{1, 1'000'000, "remember that my color is"},
    Habit{8, 100, "Hello"},       Habit{8, 1, "Hello"},
};

// Calls until nobody listens any more.
class Lane {
  public:
    Lane(const http::Address& address, const Habit& habit, std::atomic<std::int64_t>& answered)
        : m_address(address), m_habit(habit), m_answered(answered) {}

    Tally run() {
        while (true) {
            const auto start = Steady::now();
            RawClient client(m_address);
            if (!client.connected()) {
                return m_tally;
            }
            m_tally.last_open = start;
            m_replies = 0;
            for (int i = 0; i < m_habit.rounds && call(client); ++i) {
            }
        }
    }

  private:
    // False: the connection has ended.
    bool call(RawClient& client) {
        std::string text;
        for (int i = 0; i < m_habit.calls; ++i) {
            text += get_text("/fast?q=" + http::percent_encode(m_habit.text) + "+" + std::to_string(++m_number));
        }
        if (!client.send(text)) {
            return false;
        }
        const auto sent = Steady::now();
        for (int i = 0; i < m_habit.calls; ++i) {
            if (!take_reply(client, sent)) {
                return false;
            }
        }
        return true;
    }

    bool take_reply(RawClient& client, Steady::time_point sent) {
        const RawReply reply = client.reply();
        if (reply.status == 0) {
            const bool nothing = client.surplus().empty();
            m_tally.ignored += client.closed_by_server() ? 0 : 1;
            m_tally.cut += nothing ? 0 : 1;
            if (nothing && m_replies == 0) {
                m_tally.unanswered.push_back(sent);
            }
            return false;
        }
        ++m_replies;
        m_tally.cut += reply.whole ? 0 : 1;
        (reply.status == 200 ? m_tally.answered : m_tally.refused) += reply.whole ? 1 : 0;
        m_answered += 1;
        return reply.whole && reply.head.find("Connection: close") == std::string::npos;
    }

    const http::Address& m_address;
    const Habit& m_habit;
    std::atomic<std::int64_t>& m_answered;
    Tally m_tally{};
    int m_replies = 0;  // over this connection
    int m_number = 0;
};

// Loads the server at `address` and tells it to end once `enough` calls are answered.
Tally drain_under_load(Process& process, const http::Address& address, std::int64_t enough) {
    std::atomic<std::int64_t> answered{0};
    std::vector<Tally> tallies(k_habits.size());
    {
        std::vector<std::jthread> lanes;
        for (std::size_t i = 0; i < k_habits.size(); ++i) {
            lanes.emplace_back([&, i] { tallies[i] = Lane(address, k_habits[i], answered).run(); });
        }
        CHECK(time_until([&] { return answered >= enough; }, k_patience));
        process.signal(SIGTERM);
    }
    Tally all;
    for (const Tally& tally : tallies) {
        all.add(tally);
    }
    return all;
}

// Drains several servers over one data folder; `listen` as in the command line.
void check_drains(const Site& site, const std::string& listen, int runs) {
    std::mt19937 random(17);
    Tally all;
    for (int i = 0; i < runs; ++i) {
        std::filesystem::remove(site.path("port"));
        Process process = site.start({"serve", "--no-access-log", "--listen", listen, "--port-file", "port"});
        REQUIRE(time_until([&] { return std::filesystem::exists(site.path("port")); }, k_patience));
        http::Address address = *http::parse_address(listen);
        address.port = std::stoi("0" + read_text(site.path("port")));
        const Tally tally = drain_under_load(process, address, 1000 + static_cast<std::int64_t>(random() % 1000));
        CHECK(process.wait().exit == 0);
        CHECK(tally.cut == 0);
        CHECK(tally.ignored == 0);
        CHECK(tally.refused == 0);
        CHECK(tally.lost() == 0);
        all.answered += tally.answered;
        all.unanswered.resize(all.unanswered.size() + tally.unanswered.size());
        // A call that was counted has been answered, and the other way round.
        CHECK(site.json({"stats", "fast"})["fast"]["allowed"].get<std::int64_t>() == all.answered);
    }
    MESSAGE(listen, ": ", runs, " drains, ", all.answered, " calls answered, ", all.unanswered.size(),
            " first calls came too late");
}

TEST_CASE("a drain under load loses no call that a client may count on") {
    const Site site(fast_tenant() + "storage_type = \"sqlite\"\n");
    check_drains(site, "127.0.0.1:0", 12);
}

TEST_CASE("a drain under load over a unix socket loses no call that a client may count on") {
    const Site site(fast_tenant() + "storage_type = \"sqlite\"\n");
    check_drains(site, "unix:" + site.path("socket").string(), 6);
}

}  // namespace
}  // namespace mt::test
