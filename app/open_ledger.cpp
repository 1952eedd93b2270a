#include "app/open_ledger.h"

#include <fmt/core.h>

#include <filesystem>
#include <functional>
#include <utility>

#include "app/console.h"
#include "stats/file_ledger.h"
#include "stats/postgres_ledger.h"

namespace mt::app {
namespace {

// What a slot file's place among the writers is. False: another has taken over its numbers.
using Entrance = std::function<Result<bool>(SlotFile& slots)>;

// One that may not count any more is set aside, and a new one begins.
Result<std::unique_ptr<SlotFile>> open_slots(const std::filesystem::path& path, const Entrance& enter,
                                             const Clock& clock, Log& log) {
    Result<std::unique_ptr<SlotFile>> slots = SlotFile::open(path, clock);
    if (!slots) {
        return slots;
    }
    if ((*slots)->was_set_aside()) {
        log.error(fmt::format("{} was damaged and is set aside: counts since the last flush are lost", path.string()));
    }
    Result<bool> entered = enter(**slots);
    if (entered && !*entered) {  // an old copy was put back, or its writer was silent for too long
        slots->reset();
        if (Result<void> moved = SlotFile::set_aside(path, "stale"); !moved) {
            return std::move(moved).error();
        }
        log.error(fmt::format("{} is older than the numbers that are written and is set aside", path.string()));
        slots = SlotFile::open(path, clock);
        if (slots) {
            entered = enter(**slots);
        }
    }
    if (!slots || !entered) {
        return slots ? std::move(entered).error() : std::move(slots).error();
    }
    return slots;
}

Result<OpenLedger> open_postgres_ledger(const LedgerPlaces& places, const Clock& clock, Log& log) {
    OpenLedger open;
    const Entrance enter = [&](SlotFile& slots) {
        auto store = std::make_unique<PostgresLedger>(*places.backends.catalog(), slots.writer(), clock);
        Result<bool> entered = store->enter();
        open.store = std::move(store);
        return entered;
    };
    Result<void> migrated = migrate_ledger(*places.backends.catalog());
    if (!migrated) {
        return std::move(migrated).error();
    }
    Result<std::unique_ptr<SlotFile>> slots = open_slots(places.folder.slots(), enter, clock, log);
    if (!slots) {
        return std::move(slots).error();
    }
    open.slots = *std::move(slots);
    return open;
}

Result<OpenLedger> open_file_ledger(const LedgerPlaces& places, const Clock& clock, Log& log) {
    const Entrance enter = [&](SlotFile& slots) -> Result<bool> {
        Result<LedgerWriter> place = places.catalog.note_writer(slots.writer());
        if (!place) {
            return std::move(place).error();
        }
        if (place->latest) {
            slots.set_complete_since(place->since);
        }
        return place->latest;
    };
    Result<std::unique_ptr<SlotFile>> slots = open_slots(places.folder.slots(), enter, clock, log);
    if (!slots) {
        return std::move(slots).error();
    }
    OpenLedger open;
    open.store = std::make_unique<FileLedger>(places.files, (*slots)->writer());
    open.slots = *std::move(slots);
    return open;
}

}  // namespace

Result<std::unique_ptr<Catalog>> open_catalog(Backends& backends, const DataFolder& folder, TenantFiles& files,
                                              const Clock& clock, const CatalogOptions& options) {
    if (postgres::Pool* pool = backends.catalog()) {
        return open_postgres_catalog(*pool, clock, {options.create});
    }
    return open_sqlite_catalog(folder, files, clock, options);
}

Result<OpenLedger> open_ledger(const LedgerPlaces& places, const Clock& clock, Log& log) {
    return places.backends.catalog() == nullptr ? open_file_ledger(places, clock, log)
                                                : open_postgres_ledger(places, clock, log);
}

std::unique_ptr<LedgerStore> read_ledger(Backends& backends, TenantFiles& files, const std::string& writer,
                                         const Clock& clock) {
    if (postgres::Pool* pool = backends.catalog()) {
        return std::make_unique<PostgresLedger>(*pool, writer, clock);
    }
    return std::make_unique<FileLedger>(files, writer);
}

Result<SecretBox> open_secret_box(Backends& backends, const DataFolder& folder) {
    const std::optional<std::string> named = environment("MTAGENT_SECRET_KEY_FILE");
    if (backends.catalog() != nullptr && named.value_or("").empty()) {
        return Error{Code::config,
                     "replicas that share a catalog need one key for tenants' secrets: name its file in "
                     "MTAGENT_SECRET_KEY_FILE, the same for all"};
    }
    return folder.secret_box(named);
}

}  // namespace mt::app
