#include "api/route.h"

#include <array>
#include <cstddef>

#include "base/ids.h"
#include "http/message.h"

namespace mt::api {
namespace {

constexpr std::array<std::string_view, 2> k_look{"GET", "HEAD"};
constexpr std::array<std::string_view, 2> k_ask{"GET", "POST"};
constexpr std::array<std::string_view, 3> k_collection{"GET", "HEAD", "POST"};
constexpr std::array<std::string_view, 3> k_item{"GET", "HEAD", "DELETE"};
constexpr std::array<std::string_view, 4> k_editable{"GET", "HEAD", "PATCH", "DELETE"};
constexpr std::array<std::string_view, 1> k_erasable{"DELETE"};

struct Shape {
    // Segments; {x} takes any one segment, {tenant} any that is no reserved word, {x...} all that is left, even
    // nothing.
    std::string_view name;
    Surface surface;
    std::span<const std::string_view> methods;
};

constexpr std::array<std::string_view, 1> k_complete{"POST"};

constexpr std::array k_shapes{
    Shape{"/v1/chat/completions", Surface::chat, k_complete},
    Shape{"/{tenant}", Surface::ask, k_ask},
    Shape{"/{tenant}/stats", Surface::tenant_stats, k_look},
    Shape{"/{tenant}/sessions", Surface::sessions, k_look},
    Shape{"/{tenant}/sessions/{session}", Surface::session, k_item},
    Shape{"/stats", Surface::stats, k_look},
    Shape{"/metrics", Surface::metrics, k_look},
    Shape{"/health", Surface::health, k_look},
    Shape{"/livez", Surface::live, k_look},
    Shape{"/health/live", Surface::live, k_look},
    Shape{"/readyz", Surface::ready, k_look},
    Shape{"/health/ready", Surface::ready, k_look},
    Shape{"/health/startup", Surface::ready, k_look},
    Shape{"/admin/tenants", Surface::admin_tenants, k_collection},
    Shape{"/admin/tenants/{id}", Surface::admin_tenant, k_editable},
    Shape{"/admin/tenants/{id}/keys", Surface::admin_keys, k_collection},
    Shape{"/admin/tenants/{id}/keys/{key}", Surface::admin_key, k_erasable},
    Shape{"/admin/tenants/{id}/models", Surface::admin_models, k_collection},
    Shape{"/admin/tenants/{id}/models/{name}", Surface::admin_model, k_erasable},
    Shape{"/v1/models", Surface::models, k_look},
    Shape{"/v1/models/{model...}", Surface::model, k_look},
    Shape{"/v1", Surface::openai_none, {}},
    Shape{"/v1/{rest...}", Surface::openai_none, {}},
    Shape{"/{tenant}/v1/chat/completions", Surface::chat, k_complete},
    Shape{"/{tenant}/v1/models", Surface::models, k_look},
    Shape{"/{tenant}/v1/models/{model...}", Surface::model, k_look},
    Shape{"/{tenant}/v1", Surface::openai_none, {}},
    Shape{"/{tenant}/v1/{rest...}", Surface::openai_none, {}},
};

// Takes the first segment off "/a/b".
std::string_view next_segment(std::string_view& path) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    return segment;
}

std::string decoded(std::string_view segment) {
    if (segment.find('%') == std::string_view::npos) {
        return std::string(segment);
    }
    Result<std::string> text = http::percent_decode(segment, false);
    return text ? *std::move(text) : std::string(segment);
}

// Rules most shapes out by their first bytes.
bool has_place(const Shape& shape, std::string_view path) {
    return path.size() > 1 && (shape.name[1] == '{' || path[1] == shape.name[1]);
}

bool matches(std::string_view shape, std::string_view path, std::vector<std::string>& arguments) {
    while (!shape.empty() && !path.empty()) {
        const std::string_view wanted = next_segment(shape);
        const std::string_view rest = path.substr(1);
        const std::string_view given = next_segment(path);
        if (wanted.ends_with("...}")) {
            arguments.push_back(decoded(rest));
            return true;
        }
        if (wanted.front() != '{') {
            if (wanted != given) {
                return false;
            }
            continue;
        }
        std::string argument = decoded(given);
        if (argument.empty() || (wanted == "{tenant}" && is_reserved_segment(argument))) {
            return false;
        }
        arguments.push_back(std::move(argument));
    }
    return shape.empty() && path.empty();
}

}  // namespace

Route parse_route(std::string_view path) {
    if (path.empty() || path.front() != '/') {
        return {};
    }
    for (const Shape& shape : k_shapes) {
        std::vector<std::string> arguments;
        if (has_place(shape, path) && matches(shape.name, path, arguments)) {
            return {shape.surface, std::move(arguments), shape.name, shape.methods};
        }
    }
    return {};
}

}  // namespace mt::api
