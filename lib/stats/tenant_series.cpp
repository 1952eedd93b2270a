#include "stats/tenant_series.h"

namespace mt {
namespace {

Gauges& operator+=(Gauges& sum, const Gauges& other) {
    sum.in_flight += other.in_flight;
    sum.storage_bytes += other.storage_bytes;
    sum.cache_entries += other.cache_entries;
    return sum;  // budgets of different periods make no sum
}

}  // namespace

void TenantSeries::see(const std::string& tenant, const std::string& uid) {
    const std::lock_guard lock(m_mutex);
    Series* series = find_or_add(tenant);
    if (series != nullptr && series->uid.empty()) {
        series->uid = uid;
    }
}

void TenantSeries::begin(const std::string& tenant, const std::string& uid) {
    const std::lock_guard lock(m_mutex);
    if (Series* series = find_or_add(tenant)) {
        series->uid = uid;
    }
}

// nullptr: it belongs to the others.
TenantSeries::Series* TenantSeries::find_or_add(const std::string& tenant) {
    const auto found = m_by_tenant.find(tenant);
    if (found != m_by_tenant.end()) {
        return &m_series[found->second];
    }
    if (m_series.size() >= m_most) {
        return nullptr;
    }
    m_by_tenant.emplace(tenant, m_series.size());
    return &m_series.emplace_back(Series{tenant, {}, {}});
}

bool TenantSeries::full() const {
    const std::lock_guard lock(m_mutex);
    return m_series.size() >= m_most;
}

void TenantSeries::retire(const std::string& tenant, const std::string& uid) {
    const std::lock_guard lock(m_mutex);
    if (const Slot* slot = m_slots.find(uid)) {
        const auto found = m_by_tenant.find(tenant);
        const bool own = found != m_by_tenant.end() && m_series[found->second].uid == uid;
        (own ? m_series[found->second].former : m_former_others) += slot->totals();
        if (own) {
            m_series[found->second].uid.clear();
        }
    }
    m_slots.release(uid);
}

std::vector<TenantSample> TenantSeries::samples() const {
    const std::lock_guard lock(m_mutex);
    std::vector<TenantSample> samples;
    samples.reserve(m_series.size() + 1);
    std::unordered_map<std::string_view, TenantSample*> own;
    for (const Series& series : m_series) {
        samples.push_back({series.tenant, series.former, {}});
        own.emplace(series.uid, &samples.back());
    }
    TenantSample others{std::string(k_other), m_former_others, {}};
    m_slots.for_each([&](std::string_view uid, const Slot& slot) {
        const auto found = own.find(uid);
        TenantSample& sample = found == own.end() ? others : *found->second;
        sample.totals += slot.totals();
        if (found == own.end()) {
            sample.gauges += slot.gauges();
        } else {
            sample.gauges = slot.gauges();
        }
    });
    if (others.totals != Totals{} || m_series.size() >= m_most) {
        samples.push_back(std::move(others));
    }
    return samples;
}

}  // namespace mt
