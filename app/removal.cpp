#include "app/removal.h"

#include <fmt/core.h>

#include <thread>
#include <utility>

namespace mt::app {
namespace {

constexpr std::chrono::milliseconds k_poll{20};

// With the folder's lock held: nobody serves, so the slot and the file can go at once.
Result<void> erase_here(Workspace& workspace, const TenantRecord& record) {
    Result<std::unique_ptr<SlotFile>> slots = SlotFile::open(workspace.folder.slots(), workspace.clock);
    if (!slots) {
        return std::move(slots).error();
    }
    (*slots)->release(record.uid);
    return workspace.catalog->finish_removal(record.id);
}

}  // namespace

Result<void> remove_tenant(Workspace& workspace, const std::string& id, std::chrono::milliseconds patience) {
    Result<TenantRecord> row = workspace.catalog->row(id);
    if (!row) {
        return std::move(row).error();
    }
    if (row->status != TenantStatus::removing) {  // an earlier attempt that ran out of patience is taken up again
        if (Result<void> marked = workspace.catalog->begin_removal(id, system_user()); !marked) {
            return marked;
        }
    }
    const std::int64_t deadline = workspace.clock.boot_ns() + std::chrono::nanoseconds(patience).count();
    for (;;) {
        Result<TenantRecord> now = workspace.catalog->row(id);
        if (!now || now->status != TenantStatus::removing) {
            return now ? Result<void>{} : Result<void>{std::move(now).error()};
        }
        Result<FolderLock> lock = workspace.folder.lock();
        if (lock) {
            return erase_here(workspace, *now);
        }
        if (!workspace.folder.holder()) {
            return std::move(lock).error();  // nobody holds it: the lock itself cannot be had
        }
        if (workspace.clock.boot_ns() > deadline) {
            return Error{Code::busy,
                         fmt::format("tenant '{}' is refused from now on, but its last calls still run: the "
                                     "server erases it when they end",
                                     id)};
        }
        std::this_thread::sleep_for(k_poll);  // another process works; its only sign is the registry
    }
}

}  // namespace mt::app
