#include "support/lanes.h"

#include <charconv>
#include <random>
#include <string_view>
#include <utility>

namespace mt::test {
namespace {

using Json = nlohmann::json;

// Questions are told apart over all lanes and servers of a process.
std::string next_question() {
    static std::atomic<std::uint64_t> asked{0};
    return std::to_string(++asked);
}

std::string request_to(const Target& target, std::uint64_t random) {
    const std::string question =
        target.questions == 0 ? next_question() : "again-" + std::to_string(random % target.questions);
    return "GET /" + target.id + "?q=Hello-" + question +
           " HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n" +
           (target.key.empty() ? "" : "X-API-Key: " + target.key + "\r\n") + "\r\n";
}

// The value of a member anywhere in a text of JSON, "" where there is none.
std::string_view member(std::string_view json, std::string_view name) {
    const std::string quoted = "\"" + std::string(name) + "\": ";
    const std::size_t at = json.find(quoted);
    if (at == std::string_view::npos) {
        return {};
    }
    json.remove_prefix(at + quoted.size());
    return json.substr(0, json.find_first_of(",\n"));
}

std::int64_t number(std::string_view json, std::string_view name) {
    const std::string_view text = member(json, name);
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

Counter outcome_of(const LaneReply& reply) {
    switch (reply.status) {
        case 200:
            return Counter::served;
        case 401:
            return Counter::unauthorized;
        case 402:
            return Counter::denied_budget;
        case 403:
            return Counter::denied_feature;
        case 429: {
            const std::string_view reason = member(reply.body, "reason");
            return reason == "\"tokens\""        ? Counter::denied_tokens
                   : reason == "\"concurrency\"" ? Counter::denied_concurrency
                                                 : Counter::denied_requests;
        }
        case 503:
            return Counter::denied_overload;
        default:
            return Counter::failed;
    }
}

void note(const LaneReply& reply, const Target& target, Seen& seen) {
    if (reply.status == 503 && member(reply.body, "reason") != "\"overload\"") {
        ++seen.refused;
        return;
    }
    const auto count = [&](Counter counter) -> std::int64_t& { return seen.counts[index_of(counter)]; };
    ++count(outcome_of(reply));
    if (reply.status == 200) {
        count(Counter::cache_hits) += reply.field("X-Cache") == "HIT" ? 1 : 0;
        count(Counter::cache_misses) += target.cacheable && reply.field("X-Cache") == "MISS" ? 1 : 0;
        count(Counter::tokens_in) += number(reply.body, "tokens_in");
        count(Counter::tokens_out) += number(reply.body, "tokens_out");
    }
}

}  // namespace

Counts counts_of(const Json& numbers) {
    Counts counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const std::string name(k_counter_names[i]);
        constexpr std::string_view k_denied = "denied_";
        counts[i] = name == "failed" ? numbers.at("errors").get<std::int64_t>()
                    : name.starts_with(k_denied)
                        ? numbers.at("denied_by_reason").at(name.substr(k_denied.size())).get<std::int64_t>()
                        : numbers.at(name).get<std::int64_t>();
    }
    return counts;
}

std::string disagreement(const Counts& before, const Counts& after, const Counts& seen, std::int64_t unknown) {
    std::string wrong;
    std::int64_t seen_sum = 0;
    std::int64_t stored_sum = 0;
    const auto judge = [&](std::string_view name, std::int64_t seen_now, std::int64_t stored, bool bounded) {
        if (stored < seen_now || (bounded && stored > seen_now + unknown)) {
            wrong += " " + std::string(name) + ": seen " + std::to_string(seen_now) + ", stored " +
                     std::to_string(stored) + ", unknown " + std::to_string(unknown) + ";";
        }
    };
    for (std::size_t i = 0; i < seen.size(); ++i) {
        const bool tokens = i == index_of(Counter::tokens_in) || i == index_of(Counter::tokens_out);
        judge(k_counter_names[i], seen[i], after[i] - before[i], !tokens || unknown == 0);
        seen_sum += i < k_outcomes ? seen[i] : 0;
        stored_sum += i < k_outcomes ? after[i] - before[i] : 0;
    }
    judge("all outcomes", seen_sum, stored_sum, true);
    return wrong;
}

Lanes::Lanes(int port, const std::vector<Target>& targets) : m_port(port), m_targets(targets), m_seen(targets.size()) {}

void Lanes::start(LanePlan plan) {
    const std::uint64_t seed = m_threads.size() + 1;
    m_threads.emplace_back([this, plan = std::move(plan), seed] { run(plan, seed); });
}

std::vector<Seen> Lanes::join() {
    m_threads.clear();
    return m_seen;
}

void Lanes::run(const LanePlan& plan, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<Seen> seen(m_targets.size());
    RawLane lane(m_port);
    std::int64_t asked = 0;
    while (!lane.cut() && (asked < plan.calls || !lane.in_flight().empty())) {
        for (; asked < plan.calls && lane.in_flight().size() < plan.depth; ++asked) {
            const std::size_t target = plan.targets[random() % plan.targets.size()];
            lane.send(request_to(m_targets[target], random()), target);
        }
        if (const std::optional<LaneReply> reply = lane.reply()) {
            note(*reply, m_targets[reply->mark], seen[reply->mark]);
            ++m_replies;
        }
    }
    for (const std::size_t target : lane.in_flight()) {
        ++seen[target].in_flight;
    }
    m_timed_out = m_timed_out || lane.timed_out();
    const std::lock_guard lock(m_mutex);
    for (std::size_t i = 0; i < seen.size(); ++i) {
        for (std::size_t counter = 0; counter < seen[i].counts.size(); ++counter) {
            m_seen[i].counts[counter] += seen[i].counts[counter];
        }
        m_seen[i].in_flight += seen[i].in_flight;
        m_seen[i].refused += seen[i].refused;
    }
}

}  // namespace mt::test
