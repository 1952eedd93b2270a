#pragma once

// Inside this room only: how a section of tenants.toml is read strictly. toml++'s own value_or would swallow wrong
// types and typos.

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config/config.h"
#include "config/fields.h"

namespace mt {

/// The faults of a file, in the order in which they were found.
class TomlFaults {
  public:
    /// `file` is for messages; empty: tenants.toml.
    explicit TomlFaults(std::string file);

    /// Adds "file:line: message".
    void add(const toml::source_region& where, std::string_view message);
    /// Adds a fault that stands in no file.
    void add(std::string message) { m_lines.push_back(std::move(message)); }

    [[nodiscard]] std::size_t count() const { return m_lines.size(); }
    /// One a line.
    [[nodiscard]] std::string text() const;

  private:
    std::string m_file;
    std::vector<std::string> m_lines{};
};

/// The value of a node by its rule; a fault is added and gives nothing.
std::optional<Value> checked_value(const FieldRule& rule, const toml::node& node, TomlFaults& faults);

/// "unknown key 'x' in [server] (did you mean 'y'?)".
std::string unknown_key(std::string_view key, std::string_view section, std::span<const std::string_view> names);

/// A rule and the member it sets.
template <class T>
struct SectionField {
    FieldRule rule;
    std::variant<std::int64_t T::*, bool T::*, std::string T::*, std::vector<std::string> T::*> member;
};

/// The keys of one kind of section.
template <class T>
struct SectionRules {
    std::string name;                            ///< for messages: "[server]"
    std::span<const SectionField<T>> fields;     ///< read into members
    std::span<const std::string_view> others{};  ///< further keys, read elsewhere
};

/// Reads the keys of a table into `target`; unknown keys and wrong values are added to the faults.
template <class T>
void read_section(const toml::table& table, const SectionRules<T>& rules, T& target, TomlFaults& faults) {
    std::vector<std::string_view> names;
    for (const SectionField<T>& field : rules.fields) {
        names.push_back(field.rule.name);
    }
    names.insert(names.end(), rules.others.begin(), rules.others.end());
    for (const auto& [key, node] : table) {
        const auto found = static_cast<std::size_t>(std::find(names.begin(), names.end(), key.str()) - names.begin());
        if (found == names.size()) {
            faults.add(key.source(), unknown_key(key.str(), rules.name, names));
        }
        if (found >= rules.fields.size()) {
            continue;
        }
        const SectionField<T>& field = rules.fields[found];
        if (const std::optional<Value> value = checked_value(field.rule, node, faults)) {
            std::visit(
                [&](auto member) {
                    using Member = std::remove_reference_t<decltype(target.*member)>;
                    target.*member = std::get<Member>(*value);
                },
                field.member);
        }
    }
}

/// [server].
void read_server(const toml::node& node, ServerConfig& server, TomlFaults& faults);

/// [models.NAME], the model of OPENAI_API_KEY and OPENAI_BASE_URL, and the rules between models. `node`: null when
/// there is no such section.
void read_models(const toml::node* node, const Environment& environment, Config& config, TomlFaults& faults);

/// [tools.NAME].
void read_tools(const toml::node& node, Config& config, TomlFaults& faults);

/// [shards] and [shards.NAME].
void read_shards(const toml::node& node, const Environment& environment, Config& config, TomlFaults& faults);

/// The JSON text of a tool's parameters, which are written as JSON or as a table; nothing after a fault.
std::optional<std::string> read_parameters(const toml::node& node, TomlFaults& faults);

/// The names under "properties" of such a text.
std::vector<std::string> property_names(const std::string& parameters);

}  // namespace mt
