#include "limit/bucket.h"

#include <algorithm>

namespace mt {

Scale request_scale(const LimitSettings& settings) {
    constexpr std::int64_t k_nanoseconds_per_minute = 60'000'000'000;
    constexpr std::int64_t k_longest_ns = std::int64_t{1} << 61;
    const std::int64_t interval = gcra::cost_ns(1, std::max<std::int64_t>(settings.rate_limit, 1));
    return {.unit = interval,
            .rate = k_nanoseconds_per_minute,
            .burst = std::clamp<std::int64_t>(settings.burst, 1, k_longest_ns / interval)};
}

Scale token_scale(const LimitSettings& settings) {
    const std::int64_t tokens = std::max<std::int64_t>(settings.tokens_per_minute, 0);
    return {.unit = 1, .rate = tokens, .burst = tokens};
}

gcra::Decision Bucket::decide(std::int64_t now, std::int64_t amount) {
    if (unlimited()) {
        return {.allowed = true, .possible = true, .tat_ns = 0, .retry_in_ns = 0};
    }
    const gcra::Decision decision = gcra::decide(tat(), now, units(amount), m_scale.rate, capacity());
    if (!decision.allowed) {
        store(decision.tat_ns);
    }
    return decision;
}

std::int64_t Bucket::give_back(std::int64_t mark, std::int64_t now, std::int64_t reserved, std::int64_t used) {
    if (unlimited()) {
        return 0;
    }
    const std::int64_t end = std::min(mark, tat());
    const std::int64_t given = end - gcra::refund(end, now, units(reserved), units(used), m_scale.rate);
    store(tat() - given);
    return given;
}

void Bucket::owe(std::int64_t now, std::int64_t amount) {
    if (!unlimited()) {
        store(gcra::owe(tat(), now, units(amount), m_scale.rate, capacity()));
    }
}

void Bucket::clamp(std::int64_t now) {
    if (!unlimited()) {
        store(std::min(tat(), now + gcra::cost_ns(capacity(), m_scale.rate)));
    }
}

void Bucket::reconfigure(std::int64_t now, const Scale& scale) {
    if (!unlimited() && scale.rate != 0) {
        store(convert(tat(), now, scale));
    }
    m_scale = scale;
    clamp(now);
}

std::int64_t Bucket::convert(std::int64_t time, std::int64_t now, const Scale& scale) const {
    if (unlimited() || scale.rate == 0) {
        return 0;
    }
    // One of the two steps changes nothing: the scales of a bucket differ in the unit or in the rate.
    return gcra::convert(gcra::convert(time, now, scale.unit, m_scale.unit), now, m_scale.rate, scale.rate);
}

std::int64_t Bucket::remaining(std::int64_t now) const {
    return gcra::remaining(tat(), now, m_scale.rate, capacity()) / m_scale.unit;
}

std::int64_t Bucket::units(std::int64_t amount) const {
    // Above the burst one amount is as impossible as another, and the product stays in range.
    return m_scale.unit == 1 ? amount : std::clamp<std::int64_t>(amount, 0, m_scale.burst + 1) * m_scale.unit;
}

void Bucket::store(std::int64_t time) {
    if (!unlimited()) {
        m_tat_ns.store(time, std::memory_order_relaxed);
    }
}

}  // namespace mt
