#include "app/removal.h"

#include <fmt/core.h>

#include <thread>
#include <utility>

namespace mt::app {
namespace {

constexpr std::chrono::milliseconds k_poll{20};

// With the folder's lock held: nobody serves, so data, slot and file can go at once.
Result<void> erase_here(Workspace& workspace, const TenantRecord& row) {
    if (!workspace.shards) {
        return workspace.shards;
    }
    const Result<TenantRecord> whole = workspace.catalog->tenant(row.id);
    const TenantRecord& record = whole ? *whole : row;  // what cannot be read any more is looked for where plans say
    const TenantConfig settings = workspace.config.resolve(record.id, record.own);
    if (Result<void> erased = erase_tenant_data(record, settings, *workspace.catalog, workspace.places()); !erased) {
        return erased;
    }
    Result<std::unique_ptr<SlotFile>> slots = SlotFile::open(workspace.folder.slots(), workspace.clock);
    if (!slots) {
        return std::move(slots).error();
    }
    (*slots)->release(record.uid);
    return workspace.catalog->finish_removal(record.id, record.uid);
}

// Marks the tenant; an earlier attempt that ran out of patience is taken up again.
Result<void> mark(Workspace& workspace, const std::string& id) {
    Result<TenantRecord> row = workspace.catalog->row(id);
    if (!row) {
        return std::move(row).error();
    }
    return row->status == TenantStatus::removing ? Result<void>{} : workspace.catalog->begin_removal(id, system_user());
}

// Erases the tenant where nobody serves. False: somebody does, and will.
Result<bool> erase_unserved(Workspace& workspace, const TenantRecord& row) {
    if (workspace.catalog->shared()) {
        return false;
    }
    Result<FolderLock> lock = workspace.folder.lock();
    if (lock) {
        Result<void> erased = erase_here(workspace, row);
        return erased ? Result<bool>(true) : Result<bool>(std::move(erased).error());
    }
    // Where nobody holds it the lock itself cannot be had.
    return workspace.folder.holder() ? Result<bool>(false) : Result<bool>(std::move(lock).error());
}

}  // namespace

Result<void> remove_tenant(Workspace& workspace, const std::string& id, std::chrono::milliseconds patience) {
    if (Result<void> marked = mark(workspace, id); !marked) {
        return marked;
    }
    const std::int64_t deadline = workspace.clock.boot_ns() + std::chrono::nanoseconds(patience).count();
    for (;;) {
        Result<TenantRecord> now = workspace.catalog->row(id);
        if (!now || now->status != TenantStatus::removing) {
            return now ? Result<void>{} : Result<void>{std::move(now).error()};
        }
        const Result<bool> erased = erase_unserved(workspace, *now);
        if (!erased || *erased) {
            return erased ? Result<void>{} : Result<void>{erased.error()};
        }
        if (workspace.clock.boot_ns() > deadline) {
            return Error{
                Code::busy,
                fmt::format("tenant '{}' is refused from now on. Its last calls may still run, or a server with "
                            "data of it be away: it is erased when they have ended and that is back",
                            id)};
        }
        std::this_thread::sleep_for(k_poll);  // another process works; its only sign is the registry
    }
}

}  // namespace mt::app
