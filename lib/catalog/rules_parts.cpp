// Rules of what belongs to a tenant: language models of its own, and keys.

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "catalog/rules.h"

namespace mt::rules {
namespace {

auto find_model(std::vector<TenantModel>& models, std::string_view name) {
    return std::find_if(models.begin(), models.end(), [&](const TenantModel& model) { return model.name == name; });
}

// The setting that names the model, or "".
std::string_view naming_setting(const Settings& own, std::string_view name) {
    const auto model = own.find("model");
    const auto* text = model == own.end() ? nullptr : std::get_if<std::string>(&model->second);
    if (text != nullptr && *text == name) {
        return "model";
    }
    const auto models = own.find("models");
    const auto* list = models == own.end() ? nullptr : std::get_if<std::vector<std::string>>(&models->second);
    return list != nullptr && std::find(list->begin(), list->end(), name) != list->end() ? "models" : "";
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

std::string model_text(const TenantModel& model) {
    return fmt::format("{} at {}", model.model, model.base_url);
}

Result<AuditEvent> put_model(TenantRecord& record, const TenantModel& model, bool replace, const Actor& actor) {
    const auto present = find_model(record.models, model.name);
    const bool there = present != record.models.end();
    if (there && !replace) {
        return Error{Code::already_exists,
                     fmt::format("tenant {} has a model {} already", quote(record.id), quote(model.name))};
    }
    if (!there && record.models.size() >= k_most_own_models) {
        return Error{Code::invalid, fmt::format("tenant {} has {} models of its own, more are not possible",
                                                quote(record.id), k_most_own_models)};
    }
    AuditEvent event{
        actor.at,         std::string(actor.who), "model.add", record.id, model.name, there ? model_text(*present) : "",
        model_text(model)};
    if (there) {
        *present = model;
    } else {
        const auto place = std::find_if(record.models.begin(), record.models.end(),
                                        [&](const TenantModel& other) { return other.name > model.name; });
        record.models.insert(place, model);
    }
    record.generation += 1;
    return event;
}

Result<AuditEvent> take_model(TenantRecord& record, std::string_view name, const Actor& actor) {
    const auto present = find_model(record.models, name);
    if (present == record.models.end()) {
        return Error{Code::not_found, fmt::format("tenant {} has no model {}", quote(record.id), quote(name))};
    }
    if (const std::string_view setting = naming_setting(record.own, name); !setting.empty()) {
        return Error{Code::conflict, fmt::format("the setting {} of tenant {} names model {}: change that first",
                                                 setting, quote(record.id), quote(name))};
    }
    AuditEvent event{
        actor.at, std::string(actor.who), "model.remove", record.id, std::string(name), model_text(*present), ""};
    record.models.erase(present);
    record.generation += 1;
    return event;
}

Error no_key(std::string_view key_id) {
    return {Code::not_found, fmt::format("there is no key {}", quote(key_id))};
}

NewKey make_key(const KeyRequest& request, WallTime now) {
    NewKey key = generate_key();
    key.record.tenant = request.tenant;
    key.record.name = request.name;
    key.record.created = now;
    key.record.read_only = request.read_only;
    if (request.expires_in) {
        key.record.expires = now + *request.expires_in;
    }
    return key;
}

AuditEvent key_created(const KeyRecord& key, const Actor& actor) {
    return {actor.at, std::string(actor.who), "key.create", key.tenant, key.key_id, "", key_text(key)};
}

std::optional<AuditEvent> revoke(KeyRecord& key, const Actor& actor) {
    if (key.revoked && *key.revoked <= actor.at) {
        return std::nullopt;
    }
    key.revoked = actor.at;
    return AuditEvent{actor.at, std::string(actor.who), "key.revoke", key.tenant, key.key_id, key_text(key), ""};
}

Result<Rotation> rotate(KeyRecord& old, std::chrono::milliseconds grace, const Actor& actor) {
    if (!old.is_live(actor.at)) {
        return Error{Code::conflict, fmt::format("key {} is revoked or expired", quote(old.key_id))};
    }
    KeyRequest request{old.tenant, old.name, std::nullopt, old.read_only};
    if (old.expires) {
        request.expires_in = *old.expires - old.created;
    }
    Rotation rotation{make_key(request, actor.at), {}};
    const WallTime end = actor.at + grace;
    old.revoked = old.revoked ? std::min(*old.revoked, end) : end;
    rotation.event = {actor.at,   std::string(actor.who),      "key.rotate", old.tenant, old.key_id,
                      old.key_id, rotation.fresh.record.key_id};
    return rotation;
}

}  // namespace mt::rules
