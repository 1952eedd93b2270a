#include "catalog/tenant_file.h"

#include <fmt/core.h>

#include "catalog/registry_schema.h"
#include "config/tenant_config.h"

namespace mt {
namespace {

std::int64_t to_ms(WallTime time) {
    return time.time_since_epoch().count();
}

void put_setting(Database& database, std::string_view field, const std::optional<Value>& value,
                 const FileChange& change) {
    std::optional<std::string> before;
    {
        Query old = database.query("SELECT value FROM config WHERE field = ?");
        if (old.bind(1, field).step()) {
            before = old.text(0);
        }
    }
    const std::optional<std::string> after = value ? std::optional(setting_text(field, *value)) : std::nullopt;
    if (after) {
        database.query("INSERT INTO config VALUES(?, ?) ON CONFLICT(field) DO UPDATE SET value = excluded.value")
            .bind(1, field)
            .bind(2, *after)
            .execute();
    } else {
        database.query("DELETE FROM config WHERE field = ?").bind(1, field).execute();
    }
    Query history = database.query(
        "INSERT INTO config_history(generation, at_ms, who, field, before, after) VALUES(?, ?, ?, ?, ?, ?)");
    history.bind(1, change.generation).bind(2, to_ms(change.at)).bind(3, change.who).bind(4, field);
    before ? history.bind(5, *before) : history.bind_null(5);
    after ? history.bind(6, *after) : history.bind_null(6);
    history.execute();
}

}  // namespace

std::string setting_text(std::string_view field, const Value& value) {
    const TenantField* known = find_tenant_field(field);
    return known == nullptr ? std::string{} : format_value(known->rule, value);
}

Result<void> create_tenant_file(TenantFiles& files, std::string_view id, const FileIdentity& identity,
                                const FileChange& change) {
    if (Result<void> removed = files.remove(id); !removed) {
        return removed;
    }
    if (Result<void> created = files.create(id); !created) {
        return created;
    }
    return files.write(id, k_config_part, [&](Database& database) -> Result<void> {
        database.query("INSERT INTO identity VALUES(1, ?, ?, ?)")
            .bind(1, identity.uid)
            .bind(2, identity.generation)
            .bind(3, to_ms(identity.created))
            .execute();
        for (const auto& [field, value] : identity.own) {
            put_setting(database, field, value, change);
        }
        return {};
    });
}

Result<FileIdentity> read_tenant_file(TenantFiles& files, std::string_view id) {
    FileIdentity identity;
    Result<void> read = files.read(id, k_config_part, [&](Database& database) -> Result<void> {
        Query row = database.query("SELECT uid, generation, created_ms FROM identity");
        if (!row.step()) {
            return Error{Code::failed, fmt::format("the file of tenant '{}' has no identity", id)};
        }
        identity.uid = row.text(0);
        identity.generation = row.integer(1);
        identity.created = WallTime{std::chrono::milliseconds{row.integer(2)}};
        Query settings = database.query("SELECT field, value FROM config");
        while (settings.step()) {
            const TenantField* field = find_tenant_field(settings.text(0));
            if (field == nullptr) {
                continue;  // written by a newer version: kept in the file, without effect here
            }
            Result<Value> value = parse_value(field->rule, settings.text(1));
            if (!value) {
                return Error{Code::failed, fmt::format("the file of tenant '{}': {}", id, value.error().message)};
            }
            identity.own.emplace(field->rule.name, *std::move(value));
        }
        return {};
    });
    return read ? Result<FileIdentity>(std::move(identity)) : Result<FileIdentity>(std::move(read).error());
}

Result<void> update_tenant_file(TenantFiles& files, std::string_view id, const SettingChanges& changes,
                                const FileChange& change) {
    return files.write(id, k_config_part, [&](Database& database) -> Result<void> {
        for (const auto& [field, value] : changes) {
            put_setting(database, field, value, change);
        }
        database.query("UPDATE identity SET generation = ?").bind(1, change.generation).execute();
        return {};
    });
}

}  // namespace mt
