#include "tenant/departures.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace mt {
namespace {

using std::chrono::nanoseconds;

// From the moment on when this process saw the mark; by then the others have seen it, too.
constexpr nanoseconds k_grace = std::chrono::seconds{5};
constexpr nanoseconds k_first_pause = std::chrono::seconds{1};  // doubled by each attempt
constexpr nanoseconds k_longest_pause = std::chrono::seconds{60};

}  // namespace

void Departures::add(const TenantRecord& record, const std::shared_ptr<TenantCounters>& counters) {
    const std::lock_guard lock(m_mutex);
    const bool known = std::any_of(m_leaving.begin(), m_leaving.end(),
                                   [&](const Leaving& gone) { return gone.record.uid == record.uid; });
    if (!known) {
        const std::int64_t due = m_catalog.shared() ? m_clock.boot_ns() + k_grace.count() : 0;
        m_leaving.push_back({record, counters, counters != nullptr, due});
    }
}

bool Departures::empty() const {
    const std::lock_guard lock(m_mutex);
    return m_leaving.empty();
}

// One whose time has come, now in work; the end when there is none.
Departures::Place Departures::next() {
    const std::int64_t now = m_clock.boot_ns();
    const std::lock_guard lock(m_mutex);
    const Place found = std::find_if(m_leaving.begin(), m_leaving.end(), [now](const Leaving& gone) {
        return !gone.in_work && gone.due_ns <= now && gone.ended();
    });
    if (found != m_leaving.end()) {
        found->in_work = true;
    }
    return found;
}

Result<void> Departures::erase_ended() {
    for (Place place = next(); place != m_leaving.end(); place = next()) {
        Result<void> outcome = erase(*place);
        const std::lock_guard lock(m_mutex);
        place->in_work = false;
        if (!outcome) {
            return outcome;
        }
        if (place->due_ns <= m_clock.boot_ns()) {  // not put off
            m_leaving.erase(place);
        }
    }
    return {};
}

// Puts it off, by its due_ns, when its data cannot be erased yet.
Result<void> Departures::erase(Leaving& gone) {
    const TenantRecord& record = gone.record;
    m_ledger.erase(record.id, record.uid);
    Result<bool> erased = erase_data(gone);
    if (!erased) {
        return std::move(erased).error();
    }
    if (!*erased) {
        gone.pause_ns = std::clamp(2 * gone.pause_ns, k_first_pause.count(), k_longest_pause.count());
        gone.due_ns = m_clock.boot_ns() + gone.pause_ns;
        return {};
    }
    if (Result<void> finished = m_catalog.finish_removal(record.id, record.uid); !finished) {
        return finished;
    }
    m_log.info(fmt::format("tenant '{}' is removed", record.id));
    return {};
}

// True when there is no data left. A life that is not marked any more was erased by another process; a call that was
// still running here may have stored something since.
Result<bool> Departures::erase_data(Leaving& gone) {
    if (!m_erase_data) {
        return true;
    }
    Result<TenantRecord> record = m_catalog.tenant(gone.record.id);
    if (!record && record.error().code != Code::not_found) {
        return std::move(record).error();
    }
    const bool marked = record && record->uid == gone.record.uid && record->status == TenantStatus::removing;
    if (!marked && !gone.served) {
        return true;
    }
    Result<void> erased = m_erase_data(marked ? *record : gone.record);
    if (!erased && !gone.is_told) {
        gone.is_told = true;
        m_log.error(fmt::format("the data of the removed tenant '{}' cannot be erased, it is tried again: {} {}",
                                gone.record.id, erased.error().message, erased.error().detail));
    }
    return erased.has_value();
}

}  // namespace mt
