// The language models of tenants' own. They are kept in the tenant's file alone; the registry holds who did what.

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "catalog/sqlite_catalog.h"
#include "catalog/tenant_file.h"

namespace mt {
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

}  // namespace

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
        const auto present = find_model(record->models, model.name);
        const bool there = present != record->models.end();
        if (there && !replace) {
            return Error{Code::already_exists,
                         fmt::format("tenant {} has a model {} already", quote(tenant), quote(model.name))};
        }
        if (!there && record->models.size() >= k_most_own_models) {
            return Error{Code::invalid, fmt::format("tenant {} has {} models of its own, more are not possible",
                                                    quote(tenant), k_most_own_models)};
        }
        record->generation += 1;
        if (Result<void> written = put_file_model(m_files, tenant, model, {record->generation, m_clock.wall(), who});
            !written) {
            return std::move(written).error();
        }
        registry.put(*record);
        registry.audit({m_clock.wall(), std::string(who), "model.add", record->id, model.name,
                        there ? model_text(*present) : "", model_text(model)});
        if (there) {
            *present = model;
        } else {
            const auto place = std::find_if(record->models.begin(), record->models.end(),
                                            [&](const TenantModel& other) { return other.name > model.name; });
            record->models.insert(place, model);
        }
        return record;
    });
}

Result<TenantRecord> SqliteCatalog::remove_model(std::string_view tenant, std::string_view name, std::string_view who) {
    return change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = with_file(registry, tenant);
        if (!record) {
            return record;
        }
        const auto present = find_model(record->models, name);
        if (present == record->models.end()) {
            return Error{Code::not_found, fmt::format("tenant {} has no model {}", quote(tenant), quote(name))};
        }
        if (const std::string_view setting = naming_setting(record->own, name); !setting.empty()) {
            return Error{Code::conflict, fmt::format("the setting {} of tenant {} names model {}: change that first",
                                                     setting, quote(tenant), quote(name))};
        }
        record->generation += 1;
        if (Result<void> written = erase_file_model(m_files, tenant, name, {record->generation, m_clock.wall(), who});
            !written) {
            return std::move(written).error();
        }
        registry.put(*record);
        registry.audit({m_clock.wall(), std::string(who), "model.remove", record->id, std::string(name),
                        model_text(*present), ""});
        record->models.erase(present);
        return record;
    });
}

}  // namespace mt
