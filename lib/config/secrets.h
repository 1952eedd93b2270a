#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/config.h"

// Secrets that the configuration points to. They are read when something is about to run, not while the file is parsed,
// so that `tenant list` works without them. No message holds one.
namespace mt {

/// The key of a model: its variable, or the first line of its file, without blanks around; "" when it has none. Errors:
/// config, naming the variable or file (not set, not readable, empty, no visible ASCII).
Result<std::string> read_api_key(const ModelConfig& model, const Environment& environment);

/// The fields that a tool sends, each ${NAME} replaced by the variable NAME. Errors: config, naming the variable (not
/// set, or a value with control characters).
Result<std::vector<std::pair<std::string, std::string>>> expand_headers(const ToolConfig& tool,
                                                                        const Environment& environment);

/// The first line of a text as a key, without blanks around. Errors: invalid (empty, too long, no visible ASCII).
Result<std::string> parse_api_key(std::string_view text);

/// The first line of a file, without blanks around: a password or token. Errors: config (it cannot be read, is empty).
Result<std::string> read_secret_file(const std::string& path);

/// What read_api_key and expand_headers say of all models and tools, and read_shard_address of all shards; nothing when
/// all secrets are there.
std::vector<std::string> missing_secrets(const Config& config, const Environment& environment);

}  // namespace mt
