#include "config/secrets.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_longest_key = 4096;

std::optional<std::string> variable(const Environment& environment, const std::string& name) {
    return environment ? environment(name) : std::nullopt;
}

Result<std::string> first_line_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string line(2 * k_longest_key, '\0');
    in.read(line.data(), static_cast<std::streamsize>(line.size()));
    if (!in.is_open() || in.bad()) {
        return Error{Code::config, fmt::format("file {} cannot be read", quote(path))};
    }
    line.resize(static_cast<std::size_t>(in.gcount()));
    return line;
}

// A field's value: visible ASCII, blanks and tabs (RFC 9110 section 5.5).
bool is_field_value(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || (c >= ' ' && c < 0x7f); });
}

Result<std::string> expand(std::string_view text, const Environment& environment) {
    std::string expanded;
    while (!text.empty()) {
        const std::size_t open = std::min(text.find("${"), text.size());
        expanded += text.substr(0, open);
        text.remove_prefix(open);
        if (text.empty()) {
            break;
        }
        const std::size_t end = std::min(text.find('}'), text.size() - 1);  // the file is checked: there is one
        const std::string name(text.substr(2, end - 2));
        const std::optional<std::string> value = variable(environment, name);
        if (!value || value->empty()) {
            return Error{Code::config, fmt::format("variable {} is not set", name)};
        }
        if (!is_field_value(*value)) {
            return Error{Code::config, fmt::format("variable {} holds signs that no header field may hold", name)};
        }
        expanded += *value;
        text.remove_prefix(end + 1);
    }
    return expanded;
}

}  // namespace

Result<std::string> parse_api_key(std::string_view text) {
    const std::string_view key = trim(text.substr(0, text.find('\n')));
    if (key.empty()) {
        return Error{Code::invalid, "the key is empty"};
    }
    if (key.size() > k_longest_key) {
        return Error{Code::invalid, fmt::format("the key is longer than {} bytes", k_longest_key)};
    }
    if (std::any_of(key.begin(), key.end(), [](char c) { return c <= ' ' || c >= 0x7f; })) {
        return Error{Code::invalid, "the key holds blanks, or signs that are no visible ASCII"};
    }
    return std::string(key);
}

Result<std::string> read_api_key(const ModelConfig& model, const Environment& environment) {
    const auto fault = [&](const std::string& what) {
        return Error{Code::config, fmt::format("model {}: {}", quote(model.name), what)};
    };
    if (!model.api_key_env.empty()) {
        const std::optional<std::string> value = variable(environment, model.api_key_env);
        if (!value) {
            return fault(fmt::format("variable {} with its key is not set", model.api_key_env));
        }
        Result<std::string> key = parse_api_key(*value);
        return key ? key : fault(fmt::format("variable {}: {}", model.api_key_env, key.error().message));
    }
    if (model.api_key_file.empty()) {
        return std::string{};
    }
    const Result<std::string> text = first_line_of(model.api_key_file);
    if (!text) {
        return fault(text.error().message);
    }
    Result<std::string> key = parse_api_key(*text);
    return key ? key : fault(fmt::format("file {}: {}", quote(model.api_key_file), key.error().message));
}

Result<std::vector<std::pair<std::string, std::string>>> expand_headers(const ToolConfig& tool,
                                                                        const Environment& environment) {
    std::vector<std::pair<std::string, std::string>> fields;
    for (const auto& [name, text] : tool.headers) {
        Result<std::string> value = expand(text, environment);
        if (!value) {
            return Error{Code::config,
                         fmt::format("tool {}: header {}: {}", quote(tool.name), name, value.error().message)};
        }
        fields.emplace_back(name, *std::move(value));
    }
    return fields;
}

Result<std::string> read_secret_file(const std::string& path) {
    Result<std::string> text = first_line_of(path);
    if (!text) {
        return text;
    }
    std::string secret(trim(std::string_view(*text).substr(0, text->find('\n'))));
    if (secret.empty()) {
        return Error{Code::config, fmt::format("file {} is empty", quote(path))};
    }
    return secret;
}

std::vector<std::string> missing_secrets(const Config& config, const Environment& environment) {
    std::vector<std::string> missing;
    for (const auto& [name, model] : config.models) {
        if (const Result<std::string> key = read_api_key(model, environment); !key) {
            missing.push_back(key.error().message);
        }
    }
    for (const auto& [name, tool] : config.tools) {
        if (const auto fields = expand_headers(tool, environment); !fields) {
            missing.push_back(fields.error().message);
        }
    }
    for (const auto& [name, shard] : config.shards) {
        if (const Result<ServerAddress> address = read_shard_address(shard, environment); !address) {
            missing.push_back(address.error().message);
        }
    }
    return missing;
}

}  // namespace mt
