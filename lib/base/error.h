#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mt {

/// Why something failed. What each code means outside (HTTP, exit status) stands in ONE table: describe().
enum class Code {
    invalid,             ///< the caller's input is wrong
    unauthorized,        ///< no, wrong, revoked or expired key; unknown or suspended tenant
    budget_spent,        ///< the tenant's token budget is used up
    forbidden,           ///< known caller, not allowed
    feature_required,    ///< the tenant's plan lacks a feature
    not_found,           ///< no such thing
    method_not_allowed,  ///< the route exists, the method does not
    request_timeout,     ///< the client sent its request too slowly
    already_exists,      ///< the thing to create is there
    conflict,            ///< somebody else changed it first
    too_large,           ///< body over the limit
    uri_too_long,        ///< request target over the limit
    unsupported_media,   ///< body type or coding that is not accepted
    expectation_failed,  ///< Expect asks for something that is not known
    head_too_large,      ///< header section over the limit
    rate_limited,        ///< a limit of the tenant refused
    client_gone,         ///< the client left before the answer
    internal,            ///< a bug of ours
    unsupported,         ///< the protocol feature is not implemented
    upstream,            ///< a server behind us answered wrongly
    unavailable,         ///< something needed is away for now
    busy,                ///< try again later: locked or overloaded
    timeout,             ///< something needed took too long
    storage_full,        ///< quota or disk full
    config,              ///< the configuration is wrong
    version_mismatch,    ///< data written by a newer version
    threshold_broken,    ///< a measured value is past its threshold (bench)
    failed,              ///< anything else that did not work
};

/// Outside meaning of a Code. Exit statuses follow sysexits(3) where DESIGN names none of its own.
struct CodeInfo {
    Code code;
    std::string_view name;         ///< stable word used in JSON, problem types and logs
    int http_status;               ///< RFC 9110, 402 budget, 499 client gone, 507 storage
    int exit_status;               ///< process exit status of the command line
    std::string_view title;        ///< RFC 9457 "title"
    std::string_view openai_type;  ///< "type" of OpenAI's error object
};

/// The table row of a code. Thread-safe, never fails.
const CodeInfo& describe(Code code);

/// A failure: its code, a message for a person (what was wrong, where, what would be right; never a secret),
/// which limit or feature refused, and how long to wait when waiting helps.
struct Error {
    Code code = Code::internal;
    std::string message;
    std::string reason{};                                   ///< closed set of words: a limit's or feature's name
    std::optional<std::chrono::nanoseconds> retry_after{};  ///< absent: waiting does not help or is unknown
    std::string param{};                                    ///< field of the request that is at fault, if one is
    std::string detail{};  ///< for the operator's log alone: addresses, words of other servers; never a secret
};

}  // namespace mt
