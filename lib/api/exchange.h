#pragma once

#include <string>

#include "api/api.h"
#include "api/reply.h"
#include "api/route.h"
#include "http/message.h"

namespace mt::api {

/// One request on its way to one reply: what every endpoint gets. Belongs to one thread.
struct Exchange {
    const http::Request& request;
    http::Responder& responder;
    const Route& route;
    Services& services;
    std::string request_id;
    bool streamed = false;  ///< start_stream() was called: there is no reply to send any more

    /// Starts the reply as a stream, with the fields that every reply has. Once, instead of returning a reply. The
    /// writer lives as long as the responder.
    http::StreamWriter& start_stream(http::Response head);
};

/// Who may look at the numbers of all tenants, and who may change them.
enum class OperatorRight { look, change };

/// The API key of a request: Authorization: Bearer, or X-API-Key.
std::optional<std::string> presented_key(const http::Request& request);

/// Name of the operator who asks ("token" or the key's name), for the audit. Errors: unauthorized, forbidden (a
/// read-only key wants to change something).
Result<std::string> authorize_operator(const Exchange& exchange, OperatorRight right);

/// The same for /admin: GET and HEAD look, everything else changes.
Result<std::string> operator_of(const Exchange& exchange);

/// Brings what was changed through this connection into force before the reply.
void apply_now(const Exchange& exchange);

/// 204.
http::Response no_content();

/// For /stats and /metrics: open to whoever sits on this machine and is no web page from elsewhere (DESIGN 4.3), else
/// as authorize_operator.
Result<void> authorize_reader(const Exchange& exchange);

// Endpoints, one file per surface. Each returns the reply, which is dropped after start_stream(); Api::handle writes
// errors in the words of the surface.
Result<http::Response> ask(Exchange& exchange);
Result<http::Response> tenant_stats(Exchange& exchange);
Result<http::Response> sessions(Exchange& exchange);
Result<http::Response> session(Exchange& exchange);

Result<http::Response> chat_completions(Exchange& exchange);
Result<http::Response> models(Exchange& exchange);
Result<http::Response> model(Exchange& exchange);

Result<http::Response> stats(Exchange& exchange);
Result<http::Response> metrics(Exchange& exchange);
Result<http::Response> health(Exchange& exchange);
Result<http::Response> ready(Exchange& exchange);

Result<http::Response> admin_tenants(Exchange& exchange);
Result<http::Response> admin_tenant(Exchange& exchange);
Result<http::Response> admin_keys(Exchange& exchange);
Result<http::Response> admin_key(Exchange& exchange);
Result<http::Response> admin_models(Exchange& exchange);
Result<http::Response> admin_model(Exchange& exchange);

/// Reads a JSON object from the body. Errors: unsupported_media, invalid.
Result<Json> json_body(const http::Request& request);

/// A parameter of the query, empty when it is absent. Errors: invalid.
Result<std::string> optional_parameter(const http::Request& request, std::string_view name);

/// A whole number from the query, `otherwise` when absent. Errors: invalid (outside 1..most).
Result<std::int64_t> number_parameter(const http::Request& request, std::string_view name, std::int64_t otherwise,
                                      std::int64_t most);

}  // namespace mt::api
