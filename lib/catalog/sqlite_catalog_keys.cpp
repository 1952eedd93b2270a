#include <utility>

#include "catalog/registry.h"
#include "catalog/sqlite_catalog.h"

namespace mt {
namespace {

Result<KeyRecord> find_key(Registry& registry, std::string_view key_id) {
    std::optional<KeyRecord> key = registry.key(key_id);
    return key ? Result<KeyRecord>(*std::move(key)) : Result<KeyRecord>(rules::no_key(key_id));
}

}  // namespace

Result<NewKey> SqliteCatalog::create_key(const KeyRequest& request, std::string_view who) {
    if (Result<void> valid = check_key_request(request); !valid) {
        return std::move(valid).error();
    }
    const NewKey key = rules::make_key(request, m_clock.wall());
    return change([&](Registry& registry) -> Result<NewKey> {
        if (Result<void> touched = touch_owner(registry, request.tenant); !touched) {
            return std::move(touched).error();
        }
        registry.put_key(key.record);
        registry.audit(rules::key_created(key.record, actor(who)));
        return key;
    });
}

Result<std::vector<KeyRecord>> SqliteCatalog::keys(std::string_view tenant) {
    std::vector<KeyRecord> records;
    return view(std::move(records),
                [&](Registry& registry, std::vector<KeyRecord>& found) { found = registry.keys(tenant); });
}

Result<std::string> SqliteCatalog::key_owner(std::string_view key_id) {
    Result<std::optional<std::string>> owner =
        view(std::optional<std::string>{},
             [&](Registry& registry, std::optional<std::string>& found) { found = registry.key_owner(key_id); });
    if (!owner) {
        return std::move(owner).error();
    }
    return *owner ? Result<std::string>(**std::move(owner)) : Result<std::string>(rules::no_key(key_id));
}

Result<KeyRecord> SqliteCatalog::revoke_key(std::string_view key_id, std::string_view who) {
    return change([&](Registry& registry) -> Result<KeyRecord> {
        Result<KeyRecord> key = find_key(registry, key_id);
        if (!key) {
            return key;
        }
        const std::optional<AuditEvent> event = rules::revoke(*key, actor(who));
        if (!event) {
            return key;
        }
        registry.put_key(*key);
        registry.audit(*event);
        Result<void> touched = touch_owner(registry, key->tenant);
        return touched ? key : Result<KeyRecord>(std::move(touched).error());
    });
}

Result<NewKey> SqliteCatalog::rotate_key(std::string_view key_id, std::chrono::milliseconds grace,
                                         std::string_view who) {
    return change([&](Registry& registry) -> Result<NewKey> {
        Result<KeyRecord> old = find_key(registry, key_id);
        if (!old) {
            return std::move(old).error();
        }
        Result<rules::Rotation> rotation = rules::rotate(*old, grace, actor(who));
        if (!rotation) {
            return std::move(rotation).error();
        }
        registry.put_key(*old);
        registry.put_key(rotation->fresh.record);
        registry.audit(rotation->event);
        Result<void> touched = touch_owner(registry, old->tenant);
        return touched ? Result<NewKey>(std::move(rotation->fresh)) : Result<NewKey>(std::move(touched).error());
    });
}

// Tells everybody that the keys of a tenant, or of the operators, have changed.
Result<void> SqliteCatalog::touch_owner(Registry& registry, std::string_view tenant) {
    if (tenant.empty()) {
        registry.touch_operator_keys();
        return {};
    }
    Result<TenantRecord> record = live(registry, tenant);
    if (!record) {
        return std::move(record).error();
    }
    registry.put(*record);
    return {};
}

}  // namespace mt
