#include "stats/tenant_counters.h"

namespace mt {

void TenantCounters::record(const CallRecord& call) {
    const auto add = [&](Counter counter, std::int64_t amount) {
        m_slot.counters[static_cast<std::size_t>(counter)].fetch_add(amount, std::memory_order_relaxed);
    };
    if (call.outcome == Counter::served) {
        add(Counter::latency_ns, call.latency.count());
        m_slot.buckets[bucket_of(call.latency)].fetch_add(1, std::memory_order_relaxed);
    }
    if (call.cache_hit) {
        add(*call.cache_hit ? Counter::cache_hits : Counter::cache_misses, 1);
    }
    if (call.tokens_in + call.tokens_out > 0) {
        add(Counter::tokens_in, call.tokens_in);
        add(Counter::tokens_out, call.tokens_out);
    }
    // In this order, and the other way round in settle(), so that no count is missed by both.
    m_slot.counters[static_cast<std::size_t>(call.outcome)].fetch_add(1);
    if (!m_changed.load() && !m_changed.exchange(true)) {
        m_on_change();
    }
}

Totals TenantCounters::settle() {
    m_changed.exchange(false);
    return m_slot.totals(std::memory_order_seq_cst);
}

}  // namespace mt
