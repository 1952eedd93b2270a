#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "stats/totals.h"

namespace mt {

/// A copy of a histogram: how many values fell into each of totals.h's latency buckets, and their sum.
struct HistogramSample {
    std::array<std::int64_t, k_buckets> buckets{};
    double sum_s = 0;
};

/// Durations by size. Thread-safe, without locks.
class Histogram {
  public:
    void record(std::chrono::nanoseconds duration);
    [[nodiscard]] HistogramSample sample() const;

  private:
    std::array<std::atomic<std::int64_t>, k_buckets> m_buckets{};
    std::atomic<std::int64_t> m_sum_ns{0};
};

/// What is measured over all calls of this process. Thread-safe, without locks.
struct CallMeters {
    Histogram request;      ///< admitted calls, from the wire to the end of the answer
    Histogram first_token;  ///< served calls, until the first piece of the answer
    Histogram upstream;     ///< each request to a model's server or an HTTP tool
    Histogram overhead;     ///< admitted calls that went upstream: what of their duration was not spent there

    void count_error(Code code);
    /// All reasons with their counts, also those that have not happened yet.
    [[nodiscard]] std::vector<std::pair<std::string_view, std::int64_t>> errors() const;

  private:
    static constexpr std::array k_reasons{Code::client_gone, Code::internal,     Code::upstream, Code::timeout,
                                          Code::unavailable, Code::storage_full, Code::busy};
    std::array<std::atomic<std::int64_t>, k_reasons.size() + 1> m_errors{};  // the last: any other
};

}  // namespace mt
