#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mt::api {

/// The shapes of paths that are answered.
enum class Surface {
    ask,            ///< /{tenant}
    tenant_stats,   ///< /{tenant}/stats
    sessions,       ///< /{tenant}/sessions
    session,        ///< /{tenant}/sessions/{id}
    stats,          ///< /stats
    metrics,        ///< /metrics
    health,         ///< /health
    live,           ///< /livez, /health/live
    ready,          ///< /readyz, /health/ready, /health/startup
    admin_tenants,  ///< /admin/tenants
    admin_tenant,   ///< /admin/tenants/{id}
    admin_keys,     ///< /admin/tenants/{id}/keys
    admin_key,      ///< /admin/tenants/{id}/keys/{key}
    admin_models,   ///< /admin/tenants/{id}/models
    admin_model,    ///< /admin/tenants/{id}/models/{name}
    chat,           ///< [/{tenant}]/v1/chat/completions
    models,         ///< [/{tenant}]/v1/models
    model,          ///< [/{tenant}]/v1/models/{model}
    openai_none,    ///< anything else under [/{tenant}]/v1: 404 in OpenAI's words
    none,           ///< nothing is answered here: 404
};

struct Route {
    Surface surface = Surface::none;
    std::vector<std::string> arguments;         ///< the {parts} in order, percent-decoded
    std::string_view name;                      ///< the shape as text, for logs: "/{tenant}"
    std::span<const std::string_view> methods;  ///< that are allowed

    /// The tenant that the path names, "" when it names none.
    [[nodiscard]] std::string tenant() const { return name.starts_with("/{tenant}") ? arguments.front() : ""; }
};

/// Tells the route by the path's shape alone, before any lookup. A part that cannot be decoded stays as it was sent and
/// matches nothing. Pure.
Route parse_route(std::string_view path);

}  // namespace mt::api
