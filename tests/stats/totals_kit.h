#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

#include "stats/totals.h"

namespace mt::test {

inline Totals served(std::int64_t count) {
    Totals totals;
    totals.counters[static_cast<std::size_t>(Counter::served)] = count;
    return totals;
}

inline Totals random_totals(std::mt19937& random) {
    std::uniform_int_distribution<std::int64_t> amount(0, 1000);
    Totals totals;
    for (std::size_t i = 0; i < k_values; ++i) {
        value_at(totals, i) = amount(random);
    }
    return totals;
}

}  // namespace mt::test
