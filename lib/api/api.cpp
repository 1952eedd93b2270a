#include "api/api.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <exception>
#include <span>

#include "api/exchange.h"
#include "api/openai_error.h"
#include "base/text.h"
#include "base/units.h"

namespace mt::api {
namespace {

using Endpoint = Result<http::Response> (*)(Exchange&);

using ErrorEncoder = http::Response (*)(const Error&, std::string_view request_id);

struct Row {
    Surface surface;
    Endpoint endpoint;
    ErrorEncoder encode_error = problem_reply;
};

Result<http::Response> nothing_here(Exchange& exchange) {
    return Error{Code::not_found,
                 fmt::format("nothing is served at {} {}", exchange.request.method, quote(exchange.request.path))};
}

constexpr std::array k_endpoints{
    Row{Surface::ask, ask},
    Row{Surface::tenant_stats, tenant_stats},
    Row{Surface::sessions, sessions},
    Row{Surface::session, session},
    Row{Surface::chat, chat_completions, openai_error_reply},
    Row{Surface::models, models, openai_error_reply},
    Row{Surface::model, model, openai_error_reply},
    Row{Surface::openai_none, nothing_here, openai_error_reply},
    Row{Surface::stats, stats},
    Row{Surface::metrics, metrics},
    Row{Surface::health, health},
    Row{Surface::live, health},
    Row{Surface::ready, ready},
    Row{Surface::admin_tenants, admin_tenants},
    Row{Surface::admin_tenant, admin_tenant},
    Row{Surface::admin_keys, admin_keys},
    Row{Surface::admin_key, admin_key},
    Row{Surface::admin_models, admin_models},
    Row{Surface::admin_model, admin_model},
};

// Seen before anything is built: the parser keeps the order of the fields at a price that is quadratic in their number.
bool is_small_and_flat(std::string_view text) {
    constexpr int k_most_fields = 100;
    int fields = 0;
    int objects = 0;
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            i += c == '\\' ? 1U : 0U;
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        fields += c == ':' ? 1 : 0;
        objects += c == '{' ? 1 : 0;
        depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        if (fields > k_most_fields || objects > 1 || depth > 2) {
            return false;
        }
    }
    return true;
}

bool is_one_of(std::span<const std::string_view> methods, std::string_view method) {
    return std::find(methods.begin(), methods.end(), method) != methods.end();
}

// Replies of 4xx: they count as invalid requests.
bool is_callers_fault(Code code) {
    const int status = describe(code).http_status;
    return status >= 400 && status < 500;
}

const Row& row_of(Surface surface) {
    static constexpr Row k_none{Surface::none, nothing_here};
    const auto* row = std::find_if(k_endpoints.begin(), k_endpoints.end(),
                                   [surface](const Row& candidate) { return candidate.surface == surface; });
    return row == k_endpoints.end() ? k_none : *row;
}

http::Response answer(Exchange& exchange, const Row& row) {
    const auto& methods = exchange.route.methods;
    if (!methods.empty() && !is_one_of(methods, exchange.request.method)) {
        exchange.services.pipeline.invalid_requests.fetch_add(1, std::memory_order_relaxed);
        const std::string allowed = join(std::vector<std::string>(methods.begin(), methods.end()), ", ");
        http::Response reply = row.encode_error(
            {Code::method_not_allowed, fmt::format("this address takes {}", allowed)}, exchange.request_id);
        reply.fields.emplace_back("Allow", allowed);
        return reply;
    }
    Result<http::Response> reply = row.endpoint(exchange);
    if (reply) {
        return *std::move(reply);
    }
    const Error& fault = reply.error();
    if (describe(fault.code).http_status == 500) {
        exchange.services.log.error(fmt::format("{} {}: {} (request {})", exchange.request.method, exchange.route.name,
                                                fault.message, exchange.request_id));
    }
    if (is_callers_fault(fault.code)) {
        exchange.services.pipeline.invalid_requests.fetch_add(1, std::memory_order_relaxed);
    }
    return row.encode_error(fault, exchange.request_id);
}

void add_common_fields(http::Response& reply, const Exchange& exchange) {
    reply.fields.emplace_back("X-Request-Id", exchange.request_id);
    reply.fields.emplace_back("X-Content-Type-Options", "nosniff");
}

}  // namespace

http::StreamWriter& Exchange::start_stream(http::Response head) {
    add_common_fields(head, *this);
    streamed = true;
    return responder.start_stream(std::move(head));
}

void Api::handle(const http::Request& request, http::Responder& responder) {
    const Route route = parse_route(request.path);
    const Row& row = row_of(route.surface);
    Exchange exchange{request, responder, route, m_services, make_request_id()};
    http::Response reply;
    try {
        reply = answer(exchange, row);
    } catch (const std::exception& fault) {  // a bug, or no memory: this request fails, the service goes on
        m_services.log.error(fmt::format("{} {}: exception: {}", request.method, route.name, fault.what()));
        reply = row.encode_error({Code::internal, fault.what()}, exchange.request_id);
    }
    const Parking* parking = responder.parking();
    const bool parked = parking != nullptr && parking->parked();
    if (!exchange.streamed && !parked) {
        add_common_fields(reply, exchange);
        responder.send(std::move(reply));
    }
}

http::Response Api::fault(const Error& error) {
    const std::string request_id = make_request_id();
    http::Response reply = problem_reply(error, request_id);
    reply.fields.emplace_back("X-Request-Id", request_id);
    return reply;
}

void Api::refused(const Error& error) {
    m_services.refusals.count(error.code);
    if (is_callers_fault(error.code)) {
        m_services.pipeline.invalid_requests.fetch_add(1, std::memory_order_relaxed);
    }
}

bool Api::is_urgent(const http::Request& request) {
    constexpr std::string_view k_longest = "/health/startup";
    if (request.path.size() > k_longest.size()) {
        return false;
    }
    const Route route = parse_route(request.path);
    const bool health =
        route.surface == Surface::health || route.surface == Surface::live || route.surface == Surface::ready;
    return health && is_one_of(route.methods, request.method);
}

void Refusals::count(Code code) {
    const auto place =
        static_cast<std::size_t>(std::find(k_reasons.begin(), k_reasons.end(), code) - k_reasons.begin());
    m_counts[place].fetch_add(1, std::memory_order_relaxed);
}

std::vector<std::pair<std::string, std::int64_t>> Refusals::list() const {
    std::vector<std::pair<std::string, std::int64_t>> list;
    for (std::size_t i = 0; i < m_counts.size(); ++i) {
        const std::string_view name = i < k_reasons.size() ? describe(k_reasons[i]).name : "other";
        list.emplace_back(name, m_counts[i].load(std::memory_order_relaxed));
    }
    return list;
}

Result<Json> json_body(const http::Request& request) {
    const std::string type = to_lower(request.field("Content-Type").value_or(""));
    if (trim(type.substr(0, type.find(';'))) != "application/json") {
        return Error{Code::unsupported_media, "the body is to be JSON: Content-Type: application/json"};
    }
    if (!is_small_and_flat(request.body)) {
        return Error{Code::invalid, "the body is to be one JSON object of at most 100 fields, without objects inside"};
    }
    Json body = Json::parse(request.body, nullptr, false);
    if (!body.is_object()) {
        return Error{Code::invalid, body.is_discarded() ? "the body is no valid JSON" : "the body is no JSON object"};
    }
    return body;
}

Result<std::string> optional_parameter(const http::Request& request, std::string_view name) {
    Result<std::string> value = request.parameter(name);
    return !value && value.error().code == Code::not_found ? Result<std::string>(std::string{}) : value;
}

Result<std::int64_t> number_parameter(const http::Request& request, std::string_view name, std::int64_t otherwise,
                                      std::int64_t most) {
    Result<std::string> text = request.parameter(name);
    if (!text) {
        return text.error().code == Code::not_found ? Result<std::int64_t>(otherwise)
                                                    : Result<std::int64_t>(std::move(text).error());
    }
    Result<std::int64_t> number = parse_integer(*text);
    if (!number || *number < 1 || *number > most) {
        return Error{Code::invalid, fmt::format("{}: {} is no number from 1 to {}", name, quote(*text), most)};
    }
    return number;
}

}  // namespace mt::api
