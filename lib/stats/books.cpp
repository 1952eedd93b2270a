#include "stats/books.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "stats/file_ledger.h"

namespace mt {
namespace {

constexpr std::chrono::seconds k_ever{std::int64_t{1} << 60};  // all of time is one step

Totals sum_of(const std::vector<Period>& periods) {
    Totals sum;
    for (const Period& period : periods) {
        sum += period.totals;
    }
    return sum;
}

}  // namespace

Totals live_totals(const StoredTotals& stored, const Slot* slot) {
    Totals all = slot == nullptr || stored.folded ? stored.own : at_least(slot->totals(), stored.own);
    all += stored.others;
    return all;
}

Books::Books(LedgerStore& store, const SlotFile* slots, Life life)
    : m_slots(slots), m_life(std::move(life)), m_store(store) {}

Books::Books(TenantFiles& files, const SlotFile* slots, std::string_view tenant, std::string_view uid)
    : m_slots(slots),
      m_life{std::string(tenant), std::string(uid)},
      m_own_store(std::make_unique<FileLedger>(files, slots == nullptr ? std::string{} : slots->writer())),
      m_store(*m_own_store) {}

const Slot* Books::slot() const {
    return m_slots == nullptr ? nullptr : m_slots->find(m_life.uid);
}

// Read after the store: whoever counts only ever adds in between.
Totals Books::unwritten(const StoredTotals& stored) const {
    const Slot* present = stored.folded ? nullptr : slot();
    Totals ahead = present == nullptr ? stored.own : present->totals();
    ahead -= stored.own;
    return ahead;
}

Result<Totals> Books::totals(WallTime created) {
    if (!m_store.is_shared()) {
        // Whoever has a slot has taken all former writers' numbers into it (Ledger::open).
        if (const Slot* present = slot()) {
            return present->totals();
        }
        const std::optional<WallTime> complete = m_slots == nullptr ? std::nullopt : m_slots->complete_since();
        if (complete && created >= *complete) {
            return Totals{};
        }
    }
    Result<StoredTotals> stored = m_store.totals(m_life);
    if (!stored) {
        return std::move(stored).error();
    }
    return live_totals(*stored, m_store.is_shared() ? slot() : nullptr);
}

Result<Totals> Books::counted_in(const TimeSpan& span, WallTime now) {
    Result<std::vector<Period>> periods = series(span, k_ever, now);
    if (!periods) {
        return std::move(periods).error();
    }
    return sum_of(*periods);
}

Result<std::vector<Period>> Books::series(const TimeSpan& span, std::chrono::seconds step, WallTime now) {
    Result<LedgerSnapshot> snapshot = m_store.read(m_life, span, step);
    if (!snapshot) {
        return std::move(snapshot).error();
    }
    std::vector<Period>& periods = snapshot->periods;
    Totals ahead = unwritten(snapshot->stored);
    for (std::size_t i = 0; i < k_values; ++i) {  // a slot that is behind is verify()'s to tell
        value_at(ahead, i) = std::max<std::int64_t>(value_at(ahead, i), 0);
    }
    if (ahead == Totals{} || now < span.from || now >= span.to) {
        return std::move(periods);
    }
    const std::int64_t seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
    const WallTime start{std::chrono::seconds{seconds / step.count() * step.count()}};
    if (periods.empty() || periods.back().start < start) {
        periods.push_back({start, {}});
    }
    periods.back().totals += ahead;
    return std::move(periods);
}

Result<Books::Verdict> Books::verify() {
    Result<LedgerSnapshot> snapshot = m_store.read(m_life, {}, k_ever);
    if (!snapshot) {
        return std::move(snapshot).error();
    }
    Totals all = snapshot->stored.own;
    all += snapshot->stored.others;
    const Totals counted = sum_of(snapshot->periods);
    Verdict verdict{{}, unwritten(snapshot->stored)};
    for (std::size_t i = 0; i < k_values; ++i) {
        if (value_at(all, i) != value_at(counted, i)) {
            verdict.faults.push_back(fmt::format("tenant '{}': {} is {} in all but {} over its history", m_life.tenant,
                                                 value_name(i), value_at(all, i), value_at(counted, i)));
        }
        if (value_at(verdict.unwritten, i) < 0) {
            const std::int64_t stored = value_at(snapshot->stored.own, i);
            verdict.faults.push_back(fmt::format("tenant '{}': {} is {} in its slot but {} in {}", m_life.tenant,
                                                 value_name(i), stored + value_at(verdict.unwritten, i), stored,
                                                 m_store.is_shared() ? "the database" : "its file"));
        }
    }
    return verdict;
}

}  // namespace mt
