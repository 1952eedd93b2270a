#include <utility>

#include "catalog/postgres_catalog.h"

namespace mt {

Result<TenantRecord> PostgresCatalog::put_model(std::string_view tenant, const TenantModel& model, bool replace,
                                                std::string_view who) {
    return change([&](PostgresRegistry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = lock_whole(registry, tenant);
        if (!record) {
            return record;
        }
        const rules::Actor by = actor(who);
        Result<AuditEvent> event = rules::put_model(*record, model, replace, by);
        if (!event) {
            return std::move(event).error();
        }
        Result<void> written = registry.put_model(*record, model, by);
        if (written) {
            written = registry.publish(*record, {*std::move(event)});
        }
        return written ? record : Result<TenantRecord>(std::move(written).error());
    });
}

Result<TenantRecord> PostgresCatalog::remove_model(std::string_view tenant, std::string_view name,
                                                   std::string_view who) {
    return change([&](PostgresRegistry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = lock_whole(registry, tenant);
        if (!record) {
            return record;
        }
        const rules::Actor by = actor(who);
        Result<AuditEvent> event = rules::take_model(*record, name, by);
        if (!event) {
            return std::move(event).error();
        }
        Result<void> written = registry.erase_model(*record, name, by);
        if (written) {
            written = registry.publish(*record, {*std::move(event)});
        }
        return written ? record : Result<TenantRecord>(std::move(written).error());
    });
}

}  // namespace mt
