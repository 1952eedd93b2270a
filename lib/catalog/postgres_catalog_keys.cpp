#include <utility>

#include "catalog/postgres_catalog.h"

namespace mt {

// The tenant first, as every other change does; what is known of the key is read once the tenant's row is held.
Result<KeyRecord> PostgresCatalog::lock_key(PostgresRegistry& registry, std::string_view key_id,
                                            std::optional<TenantRecord>& owner) {
    Result<std::optional<TenantRecord>> locked = registry.lock_owner(key_id);
    if (!locked) {
        return std::move(locked).error();
    }
    owner = *std::move(locked);
    Result<std::optional<KeyRecord>> key = registry.lock_key(key_id);
    if (!key) {
        return std::move(key).error();
    }
    return *key ? Result<KeyRecord>(**std::move(key)) : Result<KeyRecord>(rules::no_key(key_id));
}

Result<void> PostgresCatalog::publish_key(PostgresRegistry& registry, const std::optional<TenantRecord>& owner,
                                          const AuditEvent& event) {
    if (event.tenant.empty()) {
        return registry.publish_operator_keys(event);
    }
    return owner && rules::can_change(*owner) ? registry.publish(*owner, {event})
                                              : Result<void>(rules::no_tenant(event.tenant));
}

Result<NewKey> PostgresCatalog::create_key(const KeyRequest& request, std::string_view who) {
    if (Result<void> valid = check_key_request(request); !valid) {
        return std::move(valid).error();
    }
    const rules::Actor by = actor(who);
    const NewKey key = rules::make_key(request, by.at);
    return change([&](PostgresRegistry& registry) -> Result<NewKey> {
        std::optional<TenantRecord> owner;
        if (!request.tenant.empty()) {
            Result<TenantRecord> locked = lock_live(registry, request.tenant);
            if (!locked) {
                return std::move(locked).error();
            }
            owner = *std::move(locked);
        }
        Result<void> done = registry.add_key(key.record);
        if (done) {
            done = publish_key(registry, owner, rules::key_created(key.record, by));
        }
        return done ? Result<NewKey>(key) : Result<NewKey>(std::move(done).error());
    });
}

Result<std::vector<KeyRecord>> PostgresCatalog::keys(std::string_view tenant) {
    return view([&](PostgresRegistry& registry) { return registry.keys(tenant); });
}

Result<std::string> PostgresCatalog::key_owner(std::string_view key_id) {
    Result<std::optional<std::string>> owner =
        view([&](PostgresRegistry& registry) { return registry.key_owner(key_id); });
    if (!owner) {
        return std::move(owner).error();
    }
    return *owner ? Result<std::string>(**std::move(owner)) : Result<std::string>(rules::no_key(key_id));
}

Result<KeyRecord> PostgresCatalog::revoke_key(std::string_view key_id, std::string_view who) {
    return change([&](PostgresRegistry& registry) -> Result<KeyRecord> {
        std::optional<TenantRecord> owner;
        Result<KeyRecord> key = lock_key(registry, key_id, owner);
        const std::optional<AuditEvent> event = key ? rules::revoke(*key, actor(who)) : std::nullopt;
        if (!event) {
            return key;
        }
        Result<void> done = registry.end_key(*key);
        if (done) {
            done = publish_key(registry, owner, *event);
        }
        return done ? key : Result<KeyRecord>(std::move(done).error());
    });
}

Result<NewKey> PostgresCatalog::rotate_key(std::string_view key_id, std::chrono::milliseconds grace,
                                           std::string_view who) {
    return change([&](PostgresRegistry& registry) -> Result<NewKey> {
        std::optional<TenantRecord> owner;
        Result<KeyRecord> old = lock_key(registry, key_id, owner);
        if (!old) {
            return std::move(old).error();
        }
        Result<rules::Rotation> rotation = rules::rotate(*old, grace, actor(who));
        if (!rotation) {
            return std::move(rotation).error();
        }
        Result<void> done = registry.end_key(*old);
        if (done) {
            done = registry.add_key(rotation->fresh.record);
        }
        if (done) {
            done = publish_key(registry, owner, rotation->event);
        }
        return done ? Result<NewKey>(std::move(rotation->fresh)) : Result<NewKey>(std::move(done).error());
    });
}

}  // namespace mt
