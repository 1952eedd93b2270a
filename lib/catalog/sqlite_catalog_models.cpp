// The language models of tenants' own. They are kept in the tenant's file alone; the registry holds who did what.

#include <algorithm>
#include <utility>

#include "catalog/sqlite_catalog.h"
#include "catalog/tenant_file.h"

namespace mt {

Result<TenantRecord> SqliteCatalog::with_file(Registry& registry, std::string_view id) {
    Result<TenantRecord> record = live(registry, id);
    if (!record) {
        return record;
    }
    Result<FileIdentity> identity = read_tenant_file(m_files, id);
    if (!identity) {
        return std::move(identity).error();
    }
    record->own = std::move(identity->own);
    record->models = std::move(identity->models);
    record->generation = std::max(record->generation, identity->generation);
    return record;
}

Result<TenantRecord> SqliteCatalog::put_model(std::string_view tenant, const TenantModel& model, bool replace,
                                              std::string_view who) {
    return change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = with_file(registry, tenant);
        if (!record) {
            return record;
        }
        Result<AuditEvent> event = rules::put_model(*record, model, replace, actor(who));
        if (!event) {
            return std::move(event).error();
        }
        Result<void> written = put_file_model(m_files, tenant, model, {record->generation, event->at, who});
        if (!written) {
            return std::move(written).error();
        }
        registry.put(*record);
        registry.audit(*event);
        return record;
    });
}

Result<TenantRecord> SqliteCatalog::remove_model(std::string_view tenant, std::string_view name, std::string_view who) {
    return change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = with_file(registry, tenant);
        if (!record) {
            return record;
        }
        Result<AuditEvent> event = rules::take_model(*record, name, actor(who));
        if (!event) {
            return std::move(event).error();
        }
        Result<void> written = erase_file_model(m_files, tenant, name, {record->generation, event->at, who});
        if (!written) {
            return std::move(written).error();
        }
        registry.put(*record);
        registry.audit(*event);
        return record;
    });
}

}  // namespace mt
