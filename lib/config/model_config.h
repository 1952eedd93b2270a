#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mt {

/// [models.NAME]: a language model behind the agents. Where the key lies is configured, never the key itself.
struct ModelConfig {
    std::string name;
    std::string provider = "openai";  ///< builtin | openai
    std::string base_url;             ///< "http://127.0.0.1:11434/v1": what comes before /chat/completions
    std::string api_key_env;          ///< variable that holds the key, or
    std::string api_key_file;         ///< file whose first line it is; both empty: none is sent
    std::string model;                ///< its name at the upstream
    std::int64_t connect_timeout_ms = 5'000;
    std::int64_t first_token_timeout_ms = 120'000;  ///< from the request to the first byte of an answer
    std::int64_t idle_timeout_ms = 60'000;          ///< between two pieces of a stream
    std::int64_t timeout_ms = 300'000;              ///< for one call of the model, retries included
    std::int64_t retries = 2;                       ///< further attempts at the same upstream
    std::string fallback;                           ///< another model, asked when this one fails; empty: none
    std::int64_t max_tokens = 0;                    ///< of an answer when the caller names none; 0: not sent

    friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// [tools.NAME]: a function of the operator's own product that agents may call over HTTP.
struct ToolConfig {
    std::string name;
    std::string description;
    std::string parameters;  ///< JSON schema of the arguments, as text: an object of type "object"
    std::string method = "POST";
    std::string url;  ///< "{name}" takes the argument of that name, percent-encoded
    std::vector<std::pair<std::string, std::string>> headers{};  ///< "${NAME}" in a value takes the variable NAME
    std::int64_t timeout_ms = 10'000;
    std::int64_t max_size = 64LL * 1024;  ///< bytes of a reply
    bool pure = false;                    ///< the result depends on the arguments alone

    friend bool operator==(const ToolConfig&, const ToolConfig&) = default;
};

/// The model that is always there and needs no network.
inline constexpr std::string_view k_builtin_model = "builtin";

/// A model's name, in the file or a tenant's own: 1 to 64 of a-z, A-Z, 0-9 and "._:-", and not "default", which stands
/// for the tenant's default model on the wire. Errors: invalid.
Result<void> check_model_name(std::string_view name);

}  // namespace mt
