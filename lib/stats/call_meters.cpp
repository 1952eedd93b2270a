#include "stats/call_meters.h"

#include <algorithm>

namespace mt {

void Histogram::record(std::chrono::nanoseconds duration) {
    m_buckets[bucket_of(duration)].fetch_add(1, std::memory_order_relaxed);
    m_sum_ns.fetch_add(duration.count(), std::memory_order_relaxed);
}

HistogramSample Histogram::sample() const {
    HistogramSample copy;
    for (std::size_t i = 0; i < k_buckets; ++i) {
        copy.buckets[i] = m_buckets[i].load(std::memory_order_relaxed);
    }
    copy.sum_s = static_cast<double>(m_sum_ns.load(std::memory_order_relaxed)) / 1e9;
    return copy;
}

void CallMeters::count_error(Code code) {
    const auto place =
        static_cast<std::size_t>(std::find(k_reasons.begin(), k_reasons.end(), code) - k_reasons.begin());
    m_errors[place].fetch_add(1, std::memory_order_relaxed);
}

std::vector<std::pair<std::string_view, std::int64_t>> CallMeters::errors() const {
    std::vector<std::pair<std::string_view, std::int64_t>> list;
    for (std::size_t i = 0; i < m_errors.size(); ++i) {
        const std::string_view reason = i < k_reasons.size() ? describe(k_reasons[i]).name : "other";
        list.emplace_back(reason, m_errors[i].load(std::memory_order_relaxed));
    }
    return list;
}

}  // namespace mt
