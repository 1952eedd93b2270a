#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "sqlite/tenant_files.h"

namespace mt {

/// What a tenant's own file says of it.
struct FileIdentity {
    std::string uid;
    std::int64_t generation = 0;
    WallTime created{};
    Settings own{};
    std::vector<TenantModel> models{};
};

/// One change as it goes into the file's history.
struct FileChange {
    std::int64_t generation = 0;
    WallTime at{};
    std::string_view who;
};

/// Makes the file of a new life, replacing whatever was left of an old one.
Result<void> create_tenant_file(TenantFiles& files, std::string_view id, const FileIdentity& identity,
                                const FileChange& change);

Result<FileIdentity> read_tenant_file(TenantFiles& files, std::string_view id);

/// Writes differences with their history and the new generation, in one transaction.
Result<void> update_tenant_file(TenantFiles& files, std::string_view id, const SettingChanges& changes,
                                const FileChange& change);

/// Writes a model, or takes one out, with history and the new generation, in one transaction.
Result<void> put_file_model(TenantFiles& files, std::string_view id, const TenantModel& model,
                            const FileChange& change);
Result<void> erase_file_model(TenantFiles& files, std::string_view id, std::string_view name, const FileChange& change);

}  // namespace mt
