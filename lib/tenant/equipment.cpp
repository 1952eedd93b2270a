#include "tenant/equipment.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/fallback_model.h"
#include "agent/http_tool.h"
#include "base/text.h"
#include "config/secrets.h"
#include "tenant/own_model.h"

namespace mt {
namespace {

// Stands for a model that cannot be asked: rather no answer than one of another model.
class MissingModel final : public Model {
  public:
    explicit MissingModel(std::string why) : m_why(std::move(why)) {}
    Result<void> complete(const CompletionRequest& /*request*/, Sink& /*sink*/, Usage& /*usage*/,
                          const Context& /*context*/) override {
        return Error{Code::upstream, m_why, "model_missing"};
    }
    [[nodiscard]] bool deterministic() const override { return false; }

  private:
    std::string m_why;
};

bool is_named(const std::vector<NamedModel>& models, std::string_view name) {
    return std::any_of(models.begin(), models.end(), [&](const NamedModel& model) { return model.name == name; });
}

}  // namespace

Equipment::Equipment(Declared declared, http::AddressRule own_rule, const EquipmentParts& parts)
    : m_parts(parts), m_declared(std::move(declared)), m_own_rule(std::move(own_rule)) {}

Result<Equipment::Declared> Equipment::declared(const Config& config, const Environment& environment) {
    Declared declared{config.models, {}, config.tools, {}, config.server.private_upstreams};
    for (const auto& [name, model] : config.models) {
        Result<std::string> key = read_api_key(model, environment);
        if (!key) {
            return std::move(key).error();
        }
        declared.keys.emplace(name, *std::move(key));
    }
    for (const auto& [name, tool] : config.tools) {
        Result<HeaderFields> headers = expand_headers(tool, environment);
        if (!headers) {
            return std::move(headers).error();
        }
        declared.headers.emplace(name, *std::move(headers));
    }
    return declared;
}

Result<std::shared_ptr<const Equipment>> Equipment::make(const Config& config, const EquipmentParts& parts,
                                                         const std::shared_ptr<const Equipment>& previous) {
    Result<Declared> wanted = declared(config, parts.environment);
    if (!wanted) {
        return std::move(wanted).error();
    }
    if (previous && previous->m_declared == *wanted) {
        return previous;
    }
    std::shared_ptr<Equipment> equipment(new Equipment(*std::move(wanted), own_address_rule(config), parts));
    if (Result<void> added = equipment->add_models(previous.get()); !added) {
        return std::move(added).error();
    }
    if (Result<void> added = equipment->add_tools(); !added) {
        return std::move(added).error();
    }
    return std::shared_ptr<const Equipment>(std::move(equipment));
}

Result<void> Equipment::add_models(const Equipment* previous) {
    for (const auto& [name, model] : m_declared.models) {
        if (model.provider == k_builtin_model) {
            continue;
        }
        const std::string& key = m_declared.keys.at(name);
        if (previous != nullptr && previous->m_servers.contains(name) &&
            previous->m_declared.models.at(name) == model && previous->m_declared.keys.at(name) == key) {
            m_servers.emplace(name, previous->m_servers.at(name));
            continue;
        }
        Result<std::shared_ptr<OpenAiModel>> made = OpenAiModel::make({model, key}, m_parts.clock);
        if (!made) {
            return std::move(made).error();
        }
        m_servers.emplace(name, *std::move(made));
    }
    return {};
}

Result<void> Equipment::add_tools() {
    std::vector<std::unique_ptr<Tool>> tools = make_builtin_tools();
    for (const auto& [name, tool] : m_declared.tools) {
        Result<std::unique_ptr<Tool>> made =
            make_http_tool(tool, m_declared.headers.at(name), m_own_rule, m_parts.clock);
        if (!made) {
            return std::move(made).error();
        }
        tools.push_back(*std::move(made));
    }
    m_tools = std::make_shared<const ToolBox>(std::move(tools));
    return {};
}

std::vector<NamedModel> Equipment::models_of(const TenantRecord& record, const TenantConfig& config,
                                             const AgentProfile& profile) const {
    std::vector<NamedModel> models;
    const bool may_choose = config.has_feature("custom-models");
    const auto add = [&](const std::string& name) {
        if (is_named(models, name)) {
            return;
        }
        const auto own = std::find_if(record.models.begin(), record.models.end(),
                                      [&](const TenantModel& model) { return model.name == name; });
        if (may_choose && own != record.models.end()) {
            models.push_back({name, own_model(record, *own), 0, "tenant"});
            return;
        }
        std::shared_ptr<Model> model = find(name, profile);
        if (!model) {
            m_parts.log.warning(fmt::format("tenant '{}': its model {} does not exist", record.id, quote(name)));
            model = std::make_shared<MissingModel>(fmt::format("the model {} is not configured", quote(name)));
        }
        const auto known = m_declared.models.find(name);
        const bool builtin = known != m_declared.models.end() && known->second.provider == k_builtin_model;
        models.push_back({name, std::move(model), known == m_declared.models.end() ? 0 : known->second.max_tokens,
                          builtin ? "mtagent" : "operator"});
    };
    add(config.model);
    if (may_choose) {
        std::for_each(config.models.begin(), config.models.end(), add);
        for (const TenantModel& own : record.models) {
            add(own.name);
        }
    }
    return models;
}

// Null when there is none of that name. The configuration has no cycles of fallbacks.
std::shared_ptr<Model> Equipment::find(const std::string& name, const AgentProfile& profile) const {
    const auto known = m_declared.models.find(name);
    if (known == m_declared.models.end()) {
        return nullptr;
    }
    if (known->second.provider == k_builtin_model) {
        return make_builtin_model(profile);
    }
    const std::shared_ptr<OpenAiModel>& server = m_servers.at(name);
    std::shared_ptr<Model> fallback = known->second.fallback.empty() ? nullptr : find(known->second.fallback, profile);
    return fallback ? with_fallback(server, std::move(fallback), &server->counters().fallbacks) : server;
}

std::shared_ptr<Model> Equipment::own_model(const TenantRecord& record, const TenantModel& model) const {
    const auto missing = [&](const Error& why) {
        m_parts.log.error(
            fmt::format("tenant '{}': its model {} cannot be used: {}", record.id, quote(model.name), why.message));
        return std::make_shared<MissingModel>(fmt::format("the model {} cannot be used", quote(model.name)));
    };
    OpenAiOptions options;
    options.config.name = model.name;
    options.config.base_url = model.base_url;
    options.config.model = model.model;
    options.rule = m_own_rule;
    if (!model.sealed_key.empty()) {
        const Result<SecretBox> box = m_parts.secret_box();
        Result<std::string> key = box ? open_own_key(record, model, *box) : Result<std::string>(box.error());
        if (!key) {
            return missing(key.error());
        }
        options.api_key = *std::move(key);
    }
    Result<std::shared_ptr<OpenAiModel>> made = OpenAiModel::make(options, m_parts.clock);
    if (!made) {
        return missing(made.error());
    }
    return *std::move(made);
}

std::vector<UpstreamSample> Equipment::samples() const {
    std::vector<UpstreamSample> samples;
    for (const auto& [name, server] : m_servers) {
        const UpstreamCounters& counters = server->counters();
        UpstreamSample sample;
        sample.model = name;
        sample.breaker_state = static_cast<int>(server->breaker_state());
        sample.requests_ok = counters.ok.load();
        sample.requests_failed = counters.failed.load();
        sample.rejected = counters.rejected.load();
        sample.retries = counters.retries.load();
        sample.fallbacks = counters.fallbacks.load();
        sample.first_token_count = counters.first_tokens.load();
        sample.first_token_seconds = static_cast<double>(counters.first_token_ns.load()) / 1e9;
        samples.push_back(std::move(sample));
    }
    return samples;
}

}  // namespace mt
