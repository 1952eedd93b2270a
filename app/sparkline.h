#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "stats/history.h"

namespace mt::app {

/// How a while until now is cut for a spark line: at most k_most_steps steps of whole minutes, the last of which is the
/// one that `now` is in. Steps begin at whole multiples of their width since 1970, as those of History::read do. A
/// plain value.
struct SparkSteps {
    static constexpr std::int64_t k_most_steps = 30;

    /// `period`: how long before `now` the while begins; shorter ones than k_most_steps minutes have fewer steps.
    SparkSteps(std::chrono::milliseconds period, WallTime now);

    std::chrono::seconds width{};
    WallTime first{};  ///< when the first step begins
    std::size_t count = 0;

    /// The requests in each step. Periods outside of the steps are left out.
    [[nodiscard]] std::vector<std::int64_t> requests(const std::vector<Period>& periods) const;
};

/// A character for each value: a blank for 0, else one of eight blocks as high as the value's share of the largest one.
std::string sparkline(std::span<const std::int64_t> values);

}  // namespace mt::app
