#include "app/sparkline.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace mt::app {
namespace {

constexpr std::array<std::string_view, 8> k_blocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

}  // namespace

SparkSteps::SparkSteps(std::chrono::milliseconds period, WallTime now) {
    const std::int64_t minutes = std::chrono::ceil<std::chrono::minutes>(period).count();
    const std::int64_t per_step = std::max<std::int64_t>(1, (minutes + k_most_steps - 1) / k_most_steps);
    // The begin of a short while lies inside a minute of its own.
    const std::int64_t steps = minutes < k_most_steps ? minutes + 1 : (minutes + per_step - 1) / per_step;
    width = std::chrono::minutes{per_step};
    count = static_cast<std::size_t>(steps);
    const std::int64_t last = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch() / width;
    first = WallTime{width * (last - steps + 1)};
}

std::vector<std::int64_t> SparkSteps::requests(const std::vector<Period>& periods) const {
    std::vector<std::int64_t> values(count);
    for (const Period& period : periods) {
        const std::int64_t step = (period.start - first) / width;
        if (period.start >= first && step < static_cast<std::int64_t>(count)) {
            values[static_cast<std::size_t>(step)] += period.totals.requests();
        }
    }
    return values;
}

std::string sparkline(std::span<const std::int64_t> values) {
    std::int64_t most = 0;
    for (const std::int64_t value : values) {
        most = std::max(most, value);
    }
    std::string line;
    for (const std::int64_t value : values) {
        if (value <= 0) {
            line += ' ';
            continue;
        }
        const double share = static_cast<double>(value) / static_cast<double>(most);
        const auto height = static_cast<std::size_t>(share * static_cast<double>(k_blocks.size()));
        line += k_blocks[std::min(height, k_blocks.size() - 1)];
    }
    return line;
}

}  // namespace mt::app
