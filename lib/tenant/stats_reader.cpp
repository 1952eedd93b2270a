#include "tenant/stats_reader.h"

#include <fmt/core.h>

#include <string>
#include <unordered_map>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

TenantSample sample_of(const Tenant& tenant) {
    tenant.update_gauges();
    return {tenant.record.id, tenant.counters->totals(), tenant.counters->slot().gauges()};
}

}  // namespace

Result<std::vector<TenantSample>> StatsReader::all(std::vector<std::string>& faults) {
    std::unordered_map<std::string, std::shared_ptr<const Tenant>> loaded;  // by uid
    if (m_manager != nullptr) {
        for (const std::shared_ptr<const Tenant>& tenant : m_manager->loaded()) {
            loaded.emplace(tenant->record.uid, tenant);
        }
    }
    std::vector<TenantSample> samples;
    Result<void> listed = for_each_tenant(m_catalog, [&](const TenantRecord& record) -> Result<void> {
        const auto found = loaded.find(record.uid);
        if (found != loaded.end()) {
            samples.push_back(sample_of(*found->second));
            return {};
        }
        if (record.status == TenantStatus::removing) {
            return {};
        }
        Result<TenantSample> stored = sample(record);
        if (stored) {
            samples.push_back(*std::move(stored));
        } else if (stored.error().code != Code::not_found) {  // not found: removed in the meantime
            faults.push_back(fmt::format("tenant '{}': {}", record.id, stored.error().message));
        }
        return {};
    });
    return listed ? Result<std::vector<TenantSample>>(std::move(samples))
                  : Result<std::vector<TenantSample>>(std::move(listed).error());
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
