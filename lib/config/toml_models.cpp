#include <fmt/core.h>

#include <set>

#include "base/text.h"
#include "config/toml_section.h"
#include "config/url_rules.h"

namespace mt {
namespace {

using M = ModelConfig;
using K = FieldKind;
using ModelField = SectionField<ModelConfig>;

constexpr std::array<std::string_view, 2> k_providers{"builtin", "openai"};
constexpr std::int64_t k_day_ms = 86'400'000;
constexpr std::int64_t k_ten_million = 10'000'000;
constexpr std::string_view k_how = "models are written as [models.NAME]";

constexpr std::string_view k_openai = "openai";
constexpr std::string_view k_openai_url = "https://api.openai.com/v1";
constexpr std::string_view k_openai_model = "gpt-4o-mini";

Result<void> check_variable(const std::string& text) {
    const bool valid = text.find_first_of("= \t$") == std::string::npos;
    return valid ? Result<void>{} : Result<void>{Error{Code::invalid, "write the name of a variable, without $"}};
}

Result<void> check_line(const std::string& text) {
    const bool control =
        std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
    return control ? Result<void>{Error{Code::invalid, "this is one line of text"}} : Result<void>{};
}

const std::array k_model_fields{
    ModelField{{"provider", K::text, 1, 16, k_providers, nullptr, "who answers"}, &M::provider},
    ModelField{{"base_url", K::text, 1, 2048, {}, check_base_url, "upstream"}, &M::base_url},
    ModelField{{"api_key_env", K::text, 1, 256, {}, check_variable, "variable with the key"}, &M::api_key_env},
    ModelField{{"api_key_file", K::text, 1, 4096, {}, nullptr, "file with the key"}, &M::api_key_file},
    ModelField{{"model", K::text, 1, 256, {}, check_line, "its name at the upstream"}, &M::model},
    ModelField{{"connect_timeout", K::duration, 1, k_day_ms, {}, nullptr, "connecting"}, &M::connect_timeout_ms},
    ModelField{{"first_token_timeout", K::duration, 1, k_day_ms, {}, nullptr, "first byte"},
               &M::first_token_timeout_ms},
    ModelField{{"idle_timeout", K::duration, 1, k_day_ms, {}, nullptr, "between pieces"}, &M::idle_timeout_ms},
    ModelField{{"timeout", K::duration, 1, k_day_ms, {}, nullptr, "whole call"}, &M::timeout_ms},
    ModelField{{"retries", K::integer, 0, 10, {}, nullptr, "further attempts"}, &M::retries},
    ModelField{{"fallback", K::text, 1, 64, {}, nullptr, "model in its place"}, &M::fallback},
    ModelField{{"max_tokens", K::integer, 0, k_ten_million, {}, nullptr, "of an answer"}, &M::max_tokens},
};

class ModelReader {
  public:
    ModelReader(Config& config, TomlFaults& faults) : m_config(config), m_faults(faults) {}

    void read(const toml::node& node) {
        const toml::table* table = node.as_table();
        if (table == nullptr) {
            return m_faults.add(node.source(), k_how);
        }
        for (const auto& [key, value] : *table) {
            const toml::table* section = value.as_table();
            if (section == nullptr) {
                m_faults.add(key.source(), k_how);
            } else if (Result<void> named = check_model_name(key.str()); !named) {
                m_faults.add(key.source(), named.error().message);
            } else {
                read_model(key, *section);
            }
        }
    }

    // All models are there: who stands in for whom?
    void check_fallbacks(const toml::node& node) {
        const std::vector<std::string_view> names = m_config.model_names();
        for (const auto& [name, model] : m_config.models) {
            if (model.fallback.empty()) {
                continue;
            }
            const toml::source_region& where = node.as_table()->get(name)->as_table()->get("fallback")->source();
            if (!m_config.models.contains(model.fallback)) {
                m_faults.add(where, fmt::format("fallback: model {} does not exist{}", quote(model.fallback),
                                                suggestion(model.fallback, names)));
            } else if (is_in_cycle(model)) {
                m_faults.add(where, fmt::format("fallback: {} leads back to itself", quote(name)));
            }
        }
    }

  private:
    void read_model(const toml::key& key, const toml::table& section) {
        ModelConfig model;
        model.name = key.str();
        const std::string title = fmt::format("[models.{}]", key.str());
        const std::size_t before = m_faults.count();
        read_section<ModelConfig>(section, {title, k_model_fields}, model, m_faults);
        if (before == m_faults.count()) {
            check_model(key, section, model);
        }
        if (model.model.empty()) {
            model.model = model.name;
        }
        model.base_url = without_last_slashes(std::move(model.base_url));
        m_config.models[model.name] = std::move(model);  // also with a fault: tenants that name it have none
    }

    void check_model(const toml::key& key, const toml::table& section, const ModelConfig& model) {
        if (model.provider == k_builtin_model) {
            for (const auto& [name, value] : section) {
                if (name.str() != "provider") {
                    m_faults.add(name.source(), fmt::format("{} is of no use to provider = \"builtin\"", name.str()));
                }
            }
            return;
        }
        if (model.name == k_builtin_model) {
            m_faults.add(key.source(), "the model 'builtin' is always there: give this one another name");
        }
        if (model.base_url.empty()) {
            m_faults.add(key.source(),
                         fmt::format("[models.{}] needs base_url, such as \"http://127.0.0.1:11434/v1\"", key.str()));
        }
        if (!model.api_key_env.empty() && !model.api_key_file.empty()) {
            m_faults.add(section.get("api_key_file")->source(),
                         "api_key_env and api_key_file both tell where the key is: name one");
        }
    }

    [[nodiscard]] bool is_in_cycle(const ModelConfig& start) const {
        std::set<std::string_view> seen;
        for (auto next = m_config.models.find(start.fallback); next != m_config.models.end();
             next = m_config.models.find(next->second.fallback)) {
            if (next->first == start.name) {
                return true;
            }
            if (!seen.insert(next->first).second) {
                return false;  // a cycle of others, told there
            }
        }
        return false;
    }

    Config& m_config;
    TomlFaults& m_faults;
};

std::string variable(const Environment& environment, const char* name, std::string_view otherwise) {
    const std::optional<std::string> value = environment ? environment(name) : std::nullopt;
    return value && !value->empty() ? *value : std::string(otherwise);
}

// The model that needs no file: OPENAI_API_KEY or OPENAI_BASE_URL is enough, and whoever sets one wants it used.
void add_openai(const Environment& environment, Config& config, TomlFaults& faults) {
    const bool has_key = !variable(environment, "OPENAI_API_KEY", "").empty();
    if (!has_key && variable(environment, "OPENAI_BASE_URL", "").empty()) {
        return;
    }
    config.default_model = k_openai;
    if (config.models.contains(k_openai)) {
        return;
    }
    ModelConfig model;
    model.name = k_openai;
    model.base_url = variable(environment, "OPENAI_BASE_URL", k_openai_url);
    model.api_key_env = has_key ? "OPENAI_API_KEY" : "";
    model.model = variable(environment, "OPENAI_MODEL", k_openai_model);
    if (Result<void> valid = check_base_url(model.base_url); !valid) {
        faults.add("OPENAI_BASE_URL: " + valid.error().message);
    }
    if (Result<void> valid = check_line(model.model); !valid) {
        faults.add("OPENAI_MODEL: " + valid.error().message);
    }
    model.base_url = without_last_slashes(std::move(model.base_url));
    config.models[model.name] = std::move(model);
}

}  // namespace

void read_models(const toml::node* node, const Environment& environment, Config& config, TomlFaults& faults) {
    ModelConfig builtin;
    builtin.name = builtin.model = builtin.provider = k_builtin_model;
    config.models[builtin.name] = std::move(builtin);
    ModelReader reader(config, faults);
    if (node != nullptr) {
        reader.read(*node);
    }
    add_openai(environment, config, faults);
    if (node != nullptr && node->is_table()) {
        reader.check_fallbacks(*node);
    }
}

}  // namespace mt
