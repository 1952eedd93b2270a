#include "catalog/rules.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/ids.h"
#include "base/text.h"
#include "config/tenant_config.h"

namespace mt {
namespace {

constexpr std::array<std::string_view, 4> k_statuses{"active", "suspended", "removing", "removed"};

std::string text_of(const Settings& settings, std::string_view field, std::string_view otherwise) {
    const auto found = settings.find(field);
    const auto* text = found == settings.end() ? nullptr : std::get_if<std::string>(&found->second);
    return text == nullptr ? std::string(otherwise) : *text;
}

// Applies changes to settings and returns those that make a difference.
SettingChanges merge(Settings& settings, const SettingChanges& changes) {
    SettingChanges different;
    for (const auto& [field, value] : changes) {
        const auto present = settings.find(field);
        if (value ? present != settings.end() && present->second == *value : present == settings.end()) {
            continue;
        }
        different.emplace(field, value);
        if (value) {
            settings[field] = *value;
        } else {
            settings.erase(present);
        }
    }
    return different;
}

std::string kept_text(const Settings& settings, const std::string& field) {
    const auto found = settings.find(field);
    return found == settings.end() ? std::string{} : rules::setting_text(field, found->second);
}

// The plan, and what of its own a new tenant has.
std::string first_settings(const TenantRecord& record) {
    std::string text = record.plan;
    for (const auto& [field, value] : record.own) {
        if (field != "plan") {
            text += fmt::format(", {} = {}", field, rules::setting_text(field, value));
        }
    }
    return text;
}

}  // namespace

std::string_view to_string(TenantStatus status) {
    return k_statuses[static_cast<std::size_t>(status)];
}

namespace rules {

TenantStatus to_status(std::string_view text) {
    return static_cast<TenantStatus>(std::find(k_statuses.begin(), k_statuses.end(), text) - k_statuses.begin());
}

Error no_tenant(std::string_view id) {
    return {Code::not_found, fmt::format("there is no tenant {}", quote(id))};
}

Result<void> check_vacant(std::string_view id, TenantStatus former) {
    if (former == TenantStatus::removing) {
        return Error{Code::busy, fmt::format("tenant {} is still being removed: try again", quote(id))};
    }
    if (former != TenantStatus::removed) {
        return Error{Code::already_exists, fmt::format("tenant {} exists already", quote(id))};
    }
    return {};
}

TenantRecord new_life(std::string_view id, const Settings& own, WallTime now) {
    TenantRecord record;
    record.id = std::string(id);
    record.uid = random_hex(16);
    record.generation = 1;
    record.created = now;
    record.own = own;
    set_shown(record);
    return record;
}

bool can_change(const TenantRecord& record) {
    return record.status == TenantStatus::active || record.status == TenantStatus::suspended;
}

void set_shown(TenantRecord& record) {
    record.name = text_of(record.own, "name", record.id);
    record.plan = text_of(record.own, "plan", "basic");
    record.auth = text_of(record.own, "auth", "key");
}

std::vector<std::string> configured_keys(const Settings& settings) {
    std::vector<std::string> ids;
    const auto found = settings.find("key_hashes");
    const auto* list = found == settings.end() ? nullptr : std::get_if<std::vector<std::string>>(&found->second);
    for (const std::string& text : list == nullptr ? std::vector<std::string>{} : *list) {
        if (Result<KeyHash> parsed = parse_key_hash(text)) {
            ids.push_back(std::move(parsed->key_id));
        }
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

std::string setting_text(std::string_view field, const Value& value) {
    const TenantField* known = find_tenant_field(field);
    return known == nullptr ? std::string{} : format_value(known->rule, value);
}

Result<void> read_setting(Settings& settings, const std::string& field, const std::string& text) {
    const TenantField* known = find_tenant_field(field);
    if (known == nullptr) {
        return {};
    }
    Result<Value> value = parse_value(known->rule, text);
    if (!value) {
        return std::move(value).error();
    }
    settings.emplace(known->rule.name, *std::move(value));
    return {};
}

Result<SettingsUpdate> change_settings(TenantRecord& record, const SettingChanges& changes, const SettingsCheck& check,
                                       const Actor& actor) {
    SettingsUpdate update;
    Settings merged = record.own;
    update.different = merge(merged, changes);
    if (update.different.empty()) {
        return update;
    }
    if (Result<void> valid = check(merged); !valid) {
        return std::move(valid).error();
    }
    for (const auto& [field, value] : update.different) {
        update.events.push_back({actor.at, std::string(actor.who), "tenant.config", record.id, field,
                                 kept_text(record.own, field), kept_text(merged, field)});
    }
    record.own = std::move(merged);
    record.generation += 1;
    set_shown(record);
    return update;
}

AuditEvent added(const TenantRecord& record, const Actor& actor) {
    return {actor.at, std::string(actor.who), "tenant.add", record.id, "", "", first_settings(record)};
}

std::optional<AuditEvent> suspend(TenantRecord& record, bool suspended, const Actor& actor) {
    const TenantStatus wanted = suspended ? TenantStatus::suspended : TenantStatus::active;
    if (record.status == wanted) {
        return std::nullopt;
    }
    const std::string before(to_string(record.status));
    record.status = wanted;
    return AuditEvent{
        actor.at, std::string(actor.who),        suspended ? "tenant.suspend" : "tenant.resume", record.id, "status",
        before,   std::string(to_string(wanted))};
}

AuditEvent mark_removing(TenantRecord& record, const Actor& actor) {
    record.status = TenantStatus::removing;
    record.generation += 1;
    return {actor.at, std::string(actor.who), "tenant.remove", record.id, "", record.plan, ""};
}

}  // namespace rules
}  // namespace mt
