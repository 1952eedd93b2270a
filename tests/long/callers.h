#pragma once

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "support/raw_lane.h"

namespace mt::test {

/// Callers of one tenant, each with one question at a time.
struct CallerGroup {
    std::string tenant;
    std::size_t callers = 1;
    std::chrono::nanoseconds period{0};  ///< from one question of a caller to its next; 0: at once, when answered
    std::chrono::nanoseconds start{0};   ///< of the first caller; the others are spread over the period
};

/// What became of a group's calls.
struct Heard {
    std::map<int, std::int64_t> statuses;  ///< 0: no reply came
    std::vector<double> served_ms;         ///< latency of calls with status 200
    std::int64_t served_on_time = 0;       ///< of them those whose reply came between warm-up and end
    std::int64_t overloads = 0;            ///< replies with status 503, Retry-After and the reason overload

    [[nodiscard]] std::int64_t served() const { return static_cast<std::int64_t>(served_ms.size()); }
    [[nodiscard]] bool only_served() const { return statuses.size() == 1 && statuses.begin()->first == 200; }
    /// Of the served ones; 0 without any.
    [[nodiscard]] double p99_ms() const {
        std::vector<double> sorted = served_ms;
        std::sort(sorted.begin(), sorted.end());
        return sorted.empty() ? 0 : sorted[sorted.size() * 99 / 100];
    }
};

/// Load in one thread: every caller has a connection of its own, and no question is asked twice. Not thread-safe.
class Callers {
  public:
    using Clock = std::chrono::steady_clock;

    explicit Callers(int port) : m_port(port) {}

    /// The group's number.
    std::size_t add(const CallerGroup& group) {
        for (std::size_t i = 0; i < group.callers; ++i) {
            const auto offset = group.start + group.period * i / group.callers;
            m_callers.push_back({m_groups.size(), offset, RawLane(m_port), {}, {}});
        }
        m_groups.push_back(group);
        return m_groups.size() - 1;
    }

    /// Calls begin for so long; ends with the last reply. What became of each group's calls.
    std::vector<Heard> run(std::chrono::milliseconds time, std::chrono::milliseconds warm_up = {}) {
        std::vector<Heard> heard(m_groups.size());
        const auto begin = Clock::now();
        m_warm = begin + warm_up;
        m_end = begin + time;
        for (Caller& caller : m_callers) {
            caller.next = begin + caller.offset;
        }
        while (work(heard)) {
        }
        return heard;
    }

  private:
    struct Caller {
        std::size_t group;
        std::chrono::nanoseconds offset;
        RawLane lane;
        Clock::time_point next;
        Clock::time_point asked;
    };

    // False: nobody has anything to do any more.
    bool work(std::vector<Heard>& heard) {
        const auto now = Clock::now();
        auto wake = m_end;
        std::vector<pollfd> waiting;
        std::vector<Caller*> whose;
        for (Caller& caller : m_callers) {
            if (caller.lane.cut()) {
                continue;
            }
            if (caller.lane.in_flight().empty() && caller.next <= now && now < m_end) {
                ask(caller);
            }
            if (!caller.lane.in_flight().empty()) {
                waiting.push_back({caller.lane.fd(), POLLIN, 0});
                whose.push_back(&caller);
            } else {
                wake = std::min(wake, caller.next);
            }
        }
        if (now >= m_end && waiting.empty()) {
            return false;
        }
        constexpr int k_patience_ms = 30'000;
        const auto pause = std::chrono::ceil<std::chrono::milliseconds>(wake - now).count();
        const int ready =
            poll(waiting.data(), waiting.size(), now < m_end ? std::max(0, static_cast<int>(pause)) : k_patience_ms);
        if (ready == 0 && now >= m_end) {
            for (const Caller* caller : whose) {
                ++heard[caller->group].statuses[0];
            }
            return false;
        }
        for (std::size_t i = 0; i < waiting.size(); ++i) {
            if (waiting[i].revents != 0) {
                listen(*whose[i], heard[whose[i]->group]);
            }
        }
        return true;
    }

    void ask(Caller& caller) {
        const CallerGroup& group = m_groups[caller.group];
        caller.asked = Clock::now();
        caller.next = std::max(caller.next + group.period, caller.asked);
        caller.lane.send("GET /" + group.tenant + "?q=question-" + std::to_string(++m_asked) +
                             " HTTP/1.1\r\nHost: localhost\r\n\r\n",
                         0);
        caller.lane.flush();
    }

    void listen(Caller& caller, Heard& heard) const {
        const std::optional<LaneReply> reply = caller.lane.reply_at_hand();
        if (!reply) {
            heard.statuses[0] += caller.lane.cut() ? 1 : 0;
            return;
        }
        const auto now = Clock::now();
        ++heard.statuses[reply->status];
        if (reply->status == 200) {
            heard.served_ms.push_back(std::chrono::duration<double, std::milli>(now - caller.asked).count());
            heard.served_on_time += now >= m_warm && now < m_end ? 1 : 0;
        }
        const bool overload = reply->body.find("\"reason\": \"overload\"") != std::string_view::npos;
        heard.overloads += reply->status == 503 && overload && !reply->field("Retry-After").empty() ? 1 : 0;
    }

    int m_port;
    std::vector<CallerGroup> m_groups;
    std::deque<Caller> m_callers;
    std::int64_t m_asked = 0;
    Clock::time_point m_warm;
    Clock::time_point m_end;
};

}  // namespace mt::test
