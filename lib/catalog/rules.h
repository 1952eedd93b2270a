#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "catalog/api_key.h"
#include "catalog/catalog.h"
#include "config/fields.h"

/// What all catalogs decide alike: what a change makes of a record, what history says of it, and how things are
/// written down. Nothing here reads or writes; all functions are pure but for new uids and keys. Thread-safe.
namespace mt::rules {

/// Who changes something, and when.
struct Actor {
    std::string_view who;
    WallTime at{};
};

inline std::int64_t to_ms(WallTime time) {
    return time.time_since_epoch().count();
}

inline WallTime from_ms(std::int64_t ms) {
    return WallTime{std::chrono::milliseconds{ms}};
}

/// Of a text that to_string() made.
TenantStatus to_status(std::string_view text);

Error no_tenant(std::string_view id);
Error no_key(std::string_view key_id);

// Tenants: rules.cpp

/// Whether a name that somebody had may be given to a new life. Errors: busy, already_exists.
Result<void> check_vacant(std::string_view id, TenantStatus former);
/// A new life of the first generation.
TenantRecord new_life(std::string_view id, const Settings& own, WallTime now);
/// False of one that is being removed or gone.
bool can_change(const TenantRecord& record);
/// Takes name, plan and auth, as listings show them, from the settings.
void set_shown(TenantRecord& record);
/// Ids of the keys that stand in the settings themselves, each once, in order.
std::vector<std::string> configured_keys(const Settings& settings);

/// The text under which a setting is kept; "" of a field that is not known.
std::string setting_text(std::string_view field, const Value& value);
/// Adds a setting by its kept text; one that a newer version wrote is left out. Errors: invalid.
Result<void> read_setting(Settings& settings, const std::string& field, const std::string& text);

/// Settings that changed, and what history says: nothing when there is no difference.
struct SettingsUpdate {
    SettingChanges different;
    std::vector<AuditEvent> events;
};
/// Changes the settings of a record that has them, with the next generation. Errors: what `check` says.
Result<SettingsUpdate> change_settings(TenantRecord& record, const SettingChanges& changes, const SettingsCheck& check,
                                       const Actor& actor);

AuditEvent added(const TenantRecord& record, const Actor& actor);
/// Nothing when it is so already. The generation of the settings stays.
std::optional<AuditEvent> suspend(TenantRecord& record, bool suspended, const Actor& actor);
/// Marks for removal, with the next generation.
AuditEvent mark_removing(TenantRecord& record, const Actor& actor);

// Models and keys: rules_parts.cpp

/// What history says of a model: where it is and its name there, never its key.
std::string model_text(const TenantModel& model);
/// Gives a record that has its models another one, with the next generation. Errors: already_exists, invalid.
Result<AuditEvent> put_model(TenantRecord& record, const TenantModel& model, bool replace, const Actor& actor);
/// Takes one out, with the next generation. Errors: not_found, conflict.
Result<AuditEvent> take_model(TenantRecord& record, std::string_view name, const Actor& actor);

NewKey make_key(const KeyRequest& request, WallTime now);
AuditEvent key_created(const KeyRecord& key, const Actor& actor);
/// Nothing when it is revoked already.
std::optional<AuditEvent> revoke(KeyRecord& key, const Actor& actor);

struct Rotation {
    NewKey fresh;
    AuditEvent event;
};
/// Ends `old` after `grace`. Errors: conflict (it is revoked or expired).
Result<Rotation> rotate(KeyRecord& old, std::chrono::milliseconds grace, const Actor& actor);

}  // namespace mt::rules
