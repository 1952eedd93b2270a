#include "stats/file_ledger.h"

#include <utility>

#include "stats/history.h"

namespace mt {

Result<StoredTotals> FileLedger::totals(const Life& life) {
    return History(m_files, life.tenant, m_writer).totals();
}

Result<LedgerSnapshot> FileLedger::read(const Life& life, const TimeSpan& span, std::chrono::seconds step) {
    return History(m_files, life.tenant, m_writer).read(span, step);
}

Result<std::optional<std::map<std::string, StoredTotals>>> FileLedger::all() {
    return std::optional<std::map<std::string, StoredTotals>>{};
}

Result<Totals> FileLedger::take_over(const Life& life, const Totals& live, WallTime at) {
    History history(m_files, life.tenant, m_writer);
    Result<StoredTotals> stored = history.totals();
    if (!stored) {
        return std::move(stored).error();
    }
    return stored->others == Totals{} ? Result<Totals>(stored->own) : history.adopt(live, at);
}

Result<void> FileLedger::write(std::span<const Entry> entries, WallTime at) {
    for (const Entry& entry : entries) {
        if (Result<void> written = History(m_files, entry.life.tenant, m_writer).write(entry.now, at); !written) {
            return written;
        }
    }
    return {};
}

Result<void> FileLedger::fold(const Life& life, WallTime at) {
    return History(m_files, life.tenant, m_writer).fold(at, {});
}

Result<bool> FileLedger::tend(WallTime /*at*/) {
    return false;
}

Result<void> FileLedger::erase(const std::string& /*uid*/) {
    return {};
}

}  // namespace mt
