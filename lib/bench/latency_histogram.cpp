#include "bench/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

namespace mt {
namespace {

constexpr std::int64_t k_unit_ns = 1000;
constexpr unsigned k_part_bits = 7;
constexpr std::uint64_t k_parts = 1ULL << k_part_bits;
constexpr std::size_t k_powers = 32;  // 2^32 microseconds are more than an hour
constexpr std::size_t k_buckets = k_powers * k_parts;

// Values below k_parts have a bucket each; above, the leading k_part_bits + 1 bits tell the bucket.
std::size_t bucket_of(std::uint64_t units) {
    const auto width = static_cast<unsigned>(std::bit_width(units));
    if (width <= k_part_bits) {
        return static_cast<std::size_t>(units);
    }
    const unsigned shift = width - k_part_bits - 1;
    const std::size_t bucket = (shift + 1) * k_parts + static_cast<std::size_t>((units >> shift) - k_parts);
    return std::min(bucket, k_buckets - 1);
}

// The largest value of a bucket.
std::uint64_t upper_bound_of(std::size_t bucket) {
    if (bucket < k_parts) {
        return bucket;
    }
    const std::size_t shift = bucket / k_parts - 1;
    return ((k_parts + bucket % k_parts + 1) << shift) - 1;
}

}  // namespace

LatencyHistogram::LatencyHistogram() : m_buckets(k_buckets) {}

void LatencyHistogram::record(std::chrono::nanoseconds latency) {
    const std::int64_t ns = std::max<std::int64_t>(latency.count(), 0);
    ++m_buckets[bucket_of(static_cast<std::uint64_t>(ns / k_unit_ns))];
    ++m_count;
    m_max_ns = std::max(m_max_ns, ns);
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
    std::transform(m_buckets.begin(), m_buckets.end(), other.m_buckets.begin(), m_buckets.begin(), std::plus<>());
    m_count += other.m_count;
    m_max_ns = std::max(m_max_ns, other.m_max_ns);
}

std::chrono::nanoseconds LatencyHistogram::percentile(double ratio) const {
    const auto rank = static_cast<std::int64_t>(std::ceil(ratio * static_cast<double>(m_count)));
    std::int64_t seen = 0;
    for (std::size_t i = 0; i < m_buckets.size(); ++i) {
        seen += m_buckets[i];
        if (m_buckets[i] > 0 && seen >= rank) {
            const auto bound = static_cast<std::int64_t>((upper_bound_of(i) + 1) * k_unit_ns);
            return std::chrono::nanoseconds{std::min(bound, m_max_ns)};
        }
    }
    return std::chrono::nanoseconds{0};
}

}  // namespace mt
