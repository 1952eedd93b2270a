#include "catalog/tenant_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "catalog/registry_schema.h"
#include "catalog/rules.h"

namespace mt {
namespace {

using rules::model_text;
using rules::to_ms;

struct Texts {
    std::optional<std::string> before;
    std::optional<std::string> after;
};

void add_history(Database& database, std::string_view field, const Texts& texts, const FileChange& change) {
    Query history = database.query(
        "INSERT INTO config_history(generation, at_ms, who, field, before, after) VALUES(?, ?, ?, ?, ?, ?)");
    history.bind(1, change.generation).bind(2, to_ms(change.at)).bind(3, change.who).bind(4, field);
    texts.before ? history.bind(5, *texts.before) : history.bind_null(5);
    texts.after ? history.bind(6, *texts.after) : history.bind_null(6);
    history.execute();
}

void set_generation(Database& database, std::int64_t generation) {
    database.query("UPDATE identity SET generation = ?").bind(1, generation).execute();
}

std::vector<TenantModel> read_models(Database& database) {
    Query row = database.query("SELECT name, base_url, model, sealed_key, created_ms FROM models ORDER BY name");
    std::vector<TenantModel> models;
    while (row.step()) {
        models.push_back(
            {row.text(0), row.text(1), row.text(2), row.text(3), WallTime{std::chrono::milliseconds{row.integer(4)}}});
    }
    return models;
}

std::optional<std::string> present_model(Database& database, std::string_view name) {
    const std::vector<TenantModel> models = read_models(database);
    const auto found =
        std::find_if(models.begin(), models.end(), [&](const TenantModel& model) { return model.name == name; });
    return found == models.end() ? std::nullopt : std::optional(model_text(*found));
}

std::string history_field(std::string_view model) {
    return fmt::format("models.{}", model);
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
    const std::optional<std::string> after = value ? std::optional(rules::setting_text(field, *value)) : std::nullopt;
    if (after) {
        database.query("INSERT INTO config VALUES(?, ?) ON CONFLICT(field) DO UPDATE SET value = excluded.value")
            .bind(1, field)
            .bind(2, *after)
            .execute();
    } else {
        database.query("DELETE FROM config WHERE field = ?").bind(1, field).execute();
    }
    add_history(database, field, {before, after}, change);
}

}  // namespace

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
    bool has_models = false;
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
            Result<void> known = rules::read_setting(identity.own, settings.text(0), settings.text(1));
            if (!known) {
                return Error{Code::failed, fmt::format("the file of tenant '{}': {}", id, known.error().message)};
            }
        }
        has_models = database.query("SELECT 1 FROM schema_parts WHERE name = 'models'").step();
        return {};
    });
    if (read && has_models) {  // asked for by its part only then: most tenants have none, and no table for them
        read = files.read(id, k_models_part, [&](Database& database) -> Result<void> {
            identity.models = read_models(database);
            return {};
        });
    }
    return read ? Result<FileIdentity>(std::move(identity)) : Result<FileIdentity>(std::move(read).error());
}

Result<void> update_tenant_file(TenantFiles& files, std::string_view id, const SettingChanges& changes,
                                const FileChange& change) {
    return files.write(id, k_config_part, [&](Database& database) -> Result<void> {
        for (const auto& [field, value] : changes) {
            put_setting(database, field, value, change);
        }
        set_generation(database, change.generation);
        return {};
    });
}

Result<void> put_file_model(TenantFiles& files, std::string_view id, const TenantModel& model,
                            const FileChange& change) {
    return files.write(id, k_models_part, [&](Database& database) -> Result<void> {
        const std::optional<std::string> before = present_model(database, model.name);
        database
            .query(
                "INSERT INTO models VALUES(?, ?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET base_url = "
                "excluded.base_url, model = excluded.model, sealed_key = excluded.sealed_key, created_ms = "
                "excluded.created_ms")
            .bind(1, model.name)
            .bind(2, model.base_url)
            .bind(3, model.model)
            .bind_blob(4, model.sealed_key)
            .bind(5, to_ms(model.created))
            .execute();
        add_history(database, history_field(model.name), {before, model_text(model)}, change);
        set_generation(database, change.generation);
        return {};
    });
}

Result<void> erase_file_model(TenantFiles& files, std::string_view id, std::string_view name,
                              const FileChange& change) {
    return files.write(id, k_models_part, [&](Database& database) -> Result<void> {
        const std::optional<std::string> before = present_model(database, name);
        database.query("DELETE FROM models WHERE name = ?").bind(1, name).execute();
        add_history(database, history_field(name), {before, std::nullopt}, change);
        set_generation(database, change.generation);
        return {};
    });
}

}  // namespace mt
