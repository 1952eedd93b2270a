#include "tenant/stats_reader.h"

#include <fmt/core.h>

#include <string>
#include <unordered_map>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

constexpr std::int64_t k_page = 1000;

TenantSample sample_of(const Tenant& tenant) {
    tenant.update_gauges();
    return {tenant.record.id, tenant.counters->totals(), tenant.counters->slot().gauges()};
}

}  // namespace

Result<std::vector<TenantSample>> StatsReader::all() {
    std::unordered_map<std::string, std::shared_ptr<const Tenant>> loaded;  // by uid
    if (m_manager != nullptr) {
        for (const std::shared_ptr<const Tenant>& tenant : m_manager->loaded()) {
            loaded.emplace(tenant->record.uid, tenant);
        }
    }
    std::vector<TenantSample> samples;
    std::string cursor;
    for (;;) {
        Result<std::vector<TenantRecord>> page = m_catalog.tenants(cursor, k_page);
        if (!page) {
            return std::move(page).error();
        }
        for (const TenantRecord& record : *page) {
            const auto found = loaded.find(record.uid);
            if (found != loaded.end()) {
                samples.push_back(sample_of(*found->second));
                continue;
            }
            if (record.status == TenantStatus::removing) {
                continue;
            }
            Result<TenantSample> stored = sample(record);
            if (!stored) {
                return std::move(stored).error();
            }
            samples.push_back(*std::move(stored));
        }
        if (page->size() < static_cast<std::size_t>(k_page)) {
            return samples;
        }
        cursor = page->back().id;
    }
}

Result<TenantSample> StatsReader::one(std::string_view id) {
    Result<TenantRecord> record = m_catalog.row(id);
    if (!record) {
        return std::move(record).error();
    }
    if (record->status == TenantStatus::removing || record->status == TenantStatus::removed) {
        return Error{Code::not_found, fmt::format("there is no tenant {}", quote(id))};
    }
    return sample(*record);
}

Result<TenantSample> StatsReader::sample(const TenantRecord& record) const {
    Result<Totals> totals = stored_totals(m_files, m_slots, record.id, record.uid);
    if (!totals) {
        return std::move(totals).error();
    }
    const Slot* slot = m_slots == nullptr ? nullptr : m_slots->find(record.uid);
    return TenantSample{record.id, *totals, slot == nullptr ? Gauges{} : slot->gauges()};
}

}  // namespace mt
