#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mt {

/// Everything that is counted of one tenant, each call exactly once (DESIGN 4.4). Order is the layout of a slot: append
/// only, and raise k_slot_version when it changes.
enum class Counter : std::size_t {
    served,
    failed,
    denied_requests,
    denied_tokens,
    denied_concurrency,
    denied_budget,
    denied_feature,
    denied_overload,
    unauthorized,
    cache_hits,
    cache_misses,
    tokens_in,
    tokens_out,
    latency_ns,  ///< sum over served; the last one
};

inline constexpr std::size_t k_counters = static_cast<std::size_t>(Counter::latency_ns) + 1;

/// Names as they stand in files, JSON and metrics.
inline constexpr std::array<std::string_view, k_counters> k_counter_names{
    "served",        "failed",         "denied_requests", "denied_tokens", "denied_concurrency",
    "denied_budget", "denied_feature", "denied_overload", "unauthorized",  "cache_hits",
    "cache_misses",  "tokens_in",      "tokens_out",      "latency_ns"};

/// Upper bounds of the latency buckets in microseconds; the last bucket has no bound.
inline constexpr std::array<std::int64_t, 19> k_bucket_bounds_us{
    50,      100,     250,     500,       1'000,     2'500,     5'000,      10'000,     25'000,    50'000,
    100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000};
inline constexpr std::size_t k_buckets = k_bucket_bounds_us.size() + 1;

/// Index of the bucket for a latency.
std::size_t bucket_of(std::chrono::nanoseconds latency);

/// A copy of all counters of one tenant. A plain value.
struct Totals {
    std::array<std::int64_t, k_counters> counters{};
    std::array<std::int64_t, k_buckets> buckets{};  ///< latency of served calls

    [[nodiscard]] std::int64_t of(Counter counter) const { return counters[static_cast<std::size_t>(counter)]; }
    [[nodiscard]] std::int64_t allowed() const { return of(Counter::served) + of(Counter::failed); }
    [[nodiscard]] std::int64_t denied() const;
    [[nodiscard]] std::int64_t requests() const { return allowed() + denied(); }
    /// Mean latency of served calls in milliseconds, 0 without any.
    [[nodiscard]] double average_latency_ms() const;

    /// Latency in milliseconds below which the share `ratio` (0..1) of served calls stayed, linear inside its bucket;
    /// past the last bound that bound; 0 without any.
    [[nodiscard]] double latency_percentile_ms(double ratio) const;

    Totals& operator+=(const Totals& other);
    Totals& operator-=(const Totals& other);
    friend bool operator==(const Totals&, const Totals&) = default;
};

/// All that a Totals holds, by name; latency buckets are "latency_le_<bound in us>" and "latency_le_inf".
inline constexpr std::size_t k_values = k_counters + k_buckets;
const std::string& value_name(std::size_t value);
std::int64_t& value_at(Totals& totals, std::size_t value);
std::int64_t value_at(const Totals& totals, std::size_t value);
/// `format` for each value, with its name in the place of every '@'.
std::string for_each_value(std::string_view format, std::string_view separator = ", ");

/// Of each value the greater one: counts never go back, and a slot that has lost some is behind what is stored.
Totals at_least(const Totals& now, const Totals& stored);

/// What is there right now, beside the totals.
struct Gauges {
    std::int64_t in_flight = 0;
    std::int64_t storage_bytes = 0;
    std::int64_t cache_entries = 0;
    std::int64_t budget_tokens = 0;       ///< budget of the present period, 0: none
    std::int64_t budget_used_tokens = 0;  ///< of it by calls that have ended
};

}  // namespace mt
