#include "tenant/stats_reader.h"

#include <fmt/core.h>

#include <string>
#include <utility>

#include "base/text.h"
#include "stats/file_ledger.h"

namespace mt {

StatsReader::StatsReader(Catalog& catalog, TenantFiles& files, const SlotFile* slots, const TenantManager* manager)
    : m_catalog(catalog),
      m_own_store(std::make_unique<FileLedger>(files, slots == nullptr ? std::string{} : slots->writer())),
      m_store(*m_own_store),
      m_slots(slots),
      m_manager(manager) {}

// What the slots of loaded tenants say of things that change without a call.
void StatsReader::refresh_gauges() const {
    if (m_manager != nullptr) {
        for (const std::shared_ptr<const Tenant>& tenant : m_manager->loaded()) {
            tenant->update_gauges();
        }
    }
}

Result<std::vector<TenantSample>> StatsReader::all(std::vector<std::string>& faults) {
    refresh_gauges();
    Result<std::optional<std::map<std::string, StoredTotals>>> stored = m_store.all();
    if (!stored) {
        return std::move(stored).error();
    }
    std::vector<TenantSample> samples;
    Result<void> listed = for_each_tenant(m_catalog, [&](const TenantRecord& record) -> Result<void> {
        if (record.status == TenantStatus::removing) {
            return {};
        }
        if (*stored) {
            const auto row = (*stored)->find(record.uid);
            samples.push_back(sample(record, row == (*stored)->end() ? StoredTotals{} : row->second));
            return {};
        }
        Result<TenantSample> found = sample(record);
        if (found) {
            samples.push_back(*std::move(found));
        } else if (found.error().code != Code::not_found) {  // not found: removed in the meantime
            faults.push_back(fmt::format("tenant '{}': {}", record.id, found.error().message));
        }
        return {};
    });
    return listed ? Result<std::vector<TenantSample>>(std::move(samples))
                  : Result<std::vector<TenantSample>>(std::move(listed).error());
}

// Whether the slots alone say what the tenant has counted. One from before this slot file shows up in /metrics with its
// first call, which takes its numbers over: a zero now would make all of them look new then.
bool StatsReader::is_complete(const TenantRecord& record) const {
    const std::optional<WallTime> since = m_slots->complete_since();
    return m_slots->find(record.uid) != nullptr || (since && record.created >= *since);
}

std::vector<TenantSample> StatsReader::series(TenantSeries& series) {
    refresh_gauges();
    // A tenant that nobody has asked yet has a series, too: a rate needs the zero before the one.
    constexpr std::int64_t k_page = 256;
    std::string cursor;
    while (!series.full()) {
        Result<std::vector<TenantRecord>> page = m_catalog.tenants(cursor, k_page);
        if (!page) {
            break;  // this process's own counts need no catalog; that it is away is shown beside them
        }
        for (const TenantRecord& record : *page) {
            if (record.status != TenantStatus::removing && is_complete(record)) {
                series.see(record.id, record.uid);
            }
        }
        if (page->size() < k_page) {
            break;
        }
        cursor = page->back().id;
    }
    return series.samples();
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
    Result<Totals> totals = books(record).totals(record.created);
    if (!totals) {
        return std::move(totals).error();
    }
    const Slot* slot = m_slots == nullptr ? nullptr : m_slots->find(record.uid);
    return TenantSample{record.id, *totals, slot == nullptr ? Gauges{} : slot->gauges()};
}

TenantSample StatsReader::sample(const TenantRecord& record, const StoredTotals& stored) const {
    const Slot* slot = m_slots == nullptr ? nullptr : m_slots->find(record.uid);
    return {record.id, live_totals(stored, slot), slot == nullptr ? Gauges{} : slot->gauges()};
}

}  // namespace mt
