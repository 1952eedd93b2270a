#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/agent.h"
#include "agent/openai_model.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/secret_box.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "stats/metrics.h"

namespace mt {

/// What equipment is made with. `clock` and `log` must outlive it.
struct EquipmentParts {
    Environment environment{};                        ///< where keys are read from
    std::function<Result<SecretBox>()> secret_box{};  ///< opens the keys of tenants' own models
    const Clock& clock;
    Log& log;
};

/// The models and tools that agents work with: those of the configuration, shared by all tenants, and, made for one
/// tenant, its own. Immutable; a changed configuration makes a new one, which keeps what has not changed (connections,
/// breakers). Thread-safe.
class Equipment {
  public:
    /// `previous` may be null; it is returned when nothing has changed. Errors: config (a key is missing, an address or
    /// schema is none).
    static Result<std::shared_ptr<const Equipment>> make(const Config& config, const EquipmentParts& parts,
                                                         const std::shared_ptr<const Equipment>& previous = nullptr);

    /// The models of a tenant, its default first. Those beside the default need the feature custom-models. A model that
    /// is not there any more, or whose key cannot be opened, fails each call; that is logged.
    [[nodiscard]] std::vector<NamedModel> models_of(const TenantRecord& record, const TenantConfig& config,
                                                    const AgentProfile& profile) const;

    [[nodiscard]] const std::shared_ptr<const ToolBox>& tools() const { return m_tools; }

    /// Of the configuration's models, by name.
    [[nodiscard]] std::vector<UpstreamSample> samples() const;

  private:
    using HeaderFields = std::vector<std::pair<std::string, std::string>>;

    // Everything that this is made from, secrets read.
    struct Declared {
        std::map<std::string, ModelConfig, std::less<>> models;
        std::map<std::string, std::string, std::less<>> keys;  ///< of models
        std::map<std::string, ToolConfig, std::less<>> tools;
        std::map<std::string, HeaderFields, std::less<>> headers;  ///< of tools
        std::vector<std::string> private_upstreams;

        friend bool operator==(const Declared&, const Declared&) = default;
    };

    static Result<Declared> declared(const Config& config, const Environment& environment);
    Equipment(Declared declared, http::AddressRule own_rule, const EquipmentParts& parts);
    Result<void> add_models(const Equipment* previous);
    Result<void> add_tools();
    [[nodiscard]] std::shared_ptr<Model> find(const std::string& name, const AgentProfile& profile) const;
    [[nodiscard]] std::shared_ptr<Model> own_model(const TenantRecord& record, const TenantModel& model) const;

    EquipmentParts m_parts;
    Declared m_declared;
    http::AddressRule m_own_rule;
    std::map<std::string, std::shared_ptr<OpenAiModel>, std::less<>> m_servers{};
    std::shared_ptr<const ToolBox> m_tools{};
};

}  // namespace mt
