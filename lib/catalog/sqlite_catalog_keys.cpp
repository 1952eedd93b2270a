#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "catalog/registry.h"
#include "catalog/sqlite_catalog.h"

namespace mt {
namespace {

Error no_key(std::string_view key_id) {
    return {Code::not_found, fmt::format("there is no key {}", quote(key_id))};
}

Result<KeyRecord> find_key(Registry& registry, std::string_view key_id) {
    std::optional<KeyRecord> key = registry.key(key_id);
    return key ? Result<KeyRecord>(*std::move(key)) : Result<KeyRecord>(no_key(key_id));
}

// What a key is for, and what it may.
std::string key_text(const KeyRecord& key) {
    std::vector<std::string> pieces;
    if (!key.name.empty()) {
        pieces.push_back(key.name);
    }
    if (key.read_only) {
        pieces.emplace_back("read-only");
    }
    if (key.expires) {
        pieces.push_back("until " + format_rfc3339(*key.expires));
    }
    return join(pieces, ", ");
}

}  // namespace

Result<NewKey> SqliteCatalog::create_key(const KeyRequest& request, std::string_view who) {
    if (Result<void> valid = check_key_request(request); !valid) {
        return std::move(valid).error();
    }
    NewKey key = generate_key();
    key.record.tenant = request.tenant;
    key.record.name = request.name;
    key.record.created = m_clock.wall();
    key.record.read_only = request.read_only;
    if (request.expires_in) {
        key.record.expires = key.record.created + *request.expires_in;
    }
    return change([&](Registry& registry) -> Result<NewKey> {
        if (Result<void> touched = touch_owner(registry, request.tenant); !touched) {
            return std::move(touched).error();
        }
        registry.put_key(key.record);
        registry.audit({m_clock.wall(), std::string(who), "key.create", request.tenant, key.record.key_id, "",
                        key_text(key.record)});
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
    return *owner ? Result<std::string>(**std::move(owner)) : Result<std::string>(no_key(key_id));
}

Result<KeyRecord> SqliteCatalog::revoke_key(std::string_view key_id, std::string_view who) {
    return change([&](Registry& registry) -> Result<KeyRecord> {
        Result<KeyRecord> key = find_key(registry, key_id);
        if (!key || (key->revoked && *key->revoked <= m_clock.wall())) {
            return key;
        }
        const std::string before = key_text(*key);
        key->revoked = m_clock.wall();
        registry.put_key(*key);
        registry.audit({m_clock.wall(), std::string(who), "key.revoke", key->tenant, key->key_id, before, ""});
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
        const WallTime now = m_clock.wall();
        if (!old->is_live(now)) {
            return Error{Code::conflict, fmt::format("key {} is revoked or expired", quote(key_id))};
        }
        NewKey fresh = generate_key();
        fresh.record.tenant = old->tenant;
        fresh.record.name = old->name;
        fresh.record.created = now;
        fresh.record.read_only = old->read_only;
        if (old->expires) {
            fresh.record.expires = now + (*old->expires - old->created);
        }
        old->revoked = old->revoked ? std::min(*old->revoked, now + grace) : now + grace;
        registry.put_key(*old);
        registry.put_key(fresh.record);
        registry.audit(
            {now, std::string(who), "key.rotate", old->tenant, old->key_id, old->key_id, fresh.record.key_id});
        Result<void> touched = touch_owner(registry, old->tenant);
        return touched ? Result<NewKey>(fresh) : Result<NewKey>(std::move(touched).error());
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
