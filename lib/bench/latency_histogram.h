#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace mt {

/// Latencies in buckets of at most 1% width, from 1 microsecond to an hour, in the manner of HdrHistogram: powers of
/// two divided into 128 equal parts. Constant memory. Not thread-safe: one per thread, merged at the end.
class LatencyHistogram {
  public:
    LatencyHistogram();

    void record(std::chrono::nanoseconds latency);
    void merge(const LatencyHistogram& other);

    /// Latency that the share `ratio` (0..1) of the recorded ones did not pass; 0 without any.
    [[nodiscard]] std::chrono::nanoseconds percentile(double ratio) const;
    [[nodiscard]] std::chrono::nanoseconds max() const { return std::chrono::nanoseconds{m_max_ns}; }
    [[nodiscard]] std::int64_t count() const { return m_count; }

  private:
    std::vector<std::int64_t> m_buckets;
    std::int64_t m_count = 0;
    std::int64_t m_max_ns = 0;
};

}  // namespace mt
