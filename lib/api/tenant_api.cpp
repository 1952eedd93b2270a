// The surface of one tenant: asking its agent, its own numbers and its conversations.

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "api/calls.h"
#include "api/exchange.h"
#include "api/json_views.h"
#include "base/text.h"
#include "base/units.h"

namespace mt::api {
namespace {

// Quality of one media type in an Accept field (RFC 9110 12.5.1), -1 when it is not named; `place` gets its position.
double quality_of(std::string_view accept, std::string_view type, std::size_t& place) {
    const std::vector<std::string> ranges = split_list(accept);
    for (place = 0; place < ranges.size(); ++place) {
        const std::vector<std::string> parts = split_list(ranges[place], ';');
        if (parts.empty() || to_lower(parts[0]) != type) {
            continue;
        }
        double quality = 1;
        for (const std::string& part : parts) {
            if (part.starts_with("q=")) {
                const Result<double> given = parse_ratio(std::string_view(part).substr(2));
                quality = given ? *given : 0;
            }
        }
        return quality;
    }
    return -1;
}

bool wants_json(const http::Request& request) {
    const std::string_view accept = request.field("Accept").value_or("");
    std::size_t json_place = 0;
    std::size_t text_place = 0;
    const double json = quality_of(accept, "application/json", json_place);
    const double text = quality_of(accept, "text/plain", text_place);
    return json > 0 && (json > text || (json == text && json_place < text_place));
}

Result<std::string> text_field(const Json& body, std::string_view name, bool needed) {
    const auto found = body.find(name);
    if (found == body.end() && !needed) {
        return std::string{};
    }
    if (found == body.end() || !found->is_string()) {
        return Error{Code::invalid, fmt::format("the field '{}' is to be a text", name)};
    }
    return found->get<std::string>();
}

Result<Question> question_from_json(const http::Request& request, const std::string& from_query) {
    constexpr std::array<std::string_view, 2> k_fields{"message", "session"};
    Result<Json> body = json_body(request);
    if (!body) {
        return std::move(body).error();
    }
    for (const auto& [name, value] : body->items()) {
        if (std::find(k_fields.begin(), k_fields.end(), name) == k_fields.end()) {
            return Error{Code::invalid, fmt::format("unknown field {}{}", quote(name), suggestion(name, k_fields))};
        }
    }
    Result<std::string> message = text_field(*body, "message", true);
    Result<std::string> session = text_field(*body, "session", false);
    if (!message || !session) {
        return message ? std::move(session).error() : std::move(message).error();
    }
    if (!from_query.empty() && !session->empty() && from_query != *session) {
        return Error{Code::invalid, "the session is named twice, in the address and in the body, and differs"};
    }
    return Question{*std::move(message), session->empty() ? from_query : *session};
}

Result<Question> question_of(const http::Request& request) {
    Result<std::string> session = optional_parameter(request, "session");
    if (!session) {
        return std::move(session).error();
    }
    if (request.method == "GET") {
        Result<std::string> text = request.parameter("q");
        if (!text) {
            return text.error().code == Code::not_found
                       ? Error{Code::invalid, "the question is missing: send it as ?q=TEXT"}
                       : std::move(text).error();
        }
        return Question{*std::move(text), *std::move(session)};
    }
    const std::string type = to_lower(request.field("Content-Type").value_or("text/plain"));
    const std::string_view media = trim(std::string_view(type).substr(0, type.find(';')));
    if (media == "application/json") {
        return question_from_json(request, *session);
    }
    if (media != "text/plain") {
        return Error{Code::unsupported_media, fmt::format("the body is {}: send text/plain, or JSON {{\"message\", "
                                                          "\"session\"}} as application/json",
                                                          quote(media))};
    }
    return Question{request.body, *std::move(session)};
}

Json answer_json(const Call& call) {
    Json json{{"tenant", call.tenant->record.id}, {"answer", call.answer.choice.text}};
    if (!call.question->session.empty()) {
        json["session"] = call.question->session;
    }
    json["tools"] = call.answer.tools_used;
    json["cached"] = call.cache == CacheUse::hit;
    const Usage used = call.cache == CacheUse::hit ? Usage{} : call.answer.usage;
    json["usage"] = {{"tokens_in", used.tokens_in}, {"tokens_out", used.tokens_out}, {"estimated", used.estimated}};
    return json;
}

}  // namespace

Result<http::Response> ask(Exchange& exchange) {
    Services& services = exchange.services;
    Silent nobody;
    Call call(nobody);
    fill_call(call, exchange, exchange.route.arguments[0]);
    call.question = question_of(exchange.request);
    const Result<void> outcome = run_pipeline(call, services.pipeline);
    http::Response reply;
    if (call.parked()) {
        return reply;
    }
    constexpr std::size_t k_most_fields = 12;
    reply.fields.reserve(k_most_fields);
    if (!outcome) {
        reply = problem_reply(outcome.error(), exchange.request_id);
    } else if (wants_json(exchange.request)) {
        reply = json_reply(200, answer_json(call));
    } else {
        reply.body = call.answer.choice.text + "\n";
    }
    add_call_fields(reply, call, !outcome && outcome.error().code == Code::unauthorized);
    if (outcome) {
        reply.fields.emplace_back("X-Cache", call.cache == CacheUse::hit ? "HIT" : "MISS");
        reply.fields.emplace_back("Cache-Control", "no-store");
        reply.fields.emplace_back("Vary", "Accept, Authorization, X-API-Key");
    }
    if (call.limit) {
        add_limit_fields(reply, *call.limit);
    }
    return reply;
}

Result<http::Response> sessions(Exchange& exchange) {
    Result<std::shared_ptr<const Tenant>> tenant = own_tenant(exchange, exchange.route.arguments[0]);
    if (!tenant) {
        return std::move(tenant).error();
    }
    Result<std::int64_t> limit = number_parameter(exchange.request, "limit", 100, 1000);
    Result<std::string> cursor = optional_parameter(exchange.request, "cursor");
    if (!limit || !cursor) {
        return limit ? std::move(cursor).error() : std::move(limit).error();
    }
    Result<SessionPage> page = (*tenant)->agent->sessions().list(*cursor, *limit);
    if (!page) {
        return std::move(page).error();
    }
    Json json{{"sessions", Json::array()}};
    for (const SessionInfo& session : page->sessions) {
        json["sessions"].push_back(session_json(session));
    }
    json["next_cursor"] = page->cursor.empty() ? Json(nullptr) : Json(page->cursor);
    return json_reply(200, json);
}

Result<http::Response> session(Exchange& exchange) {
    Result<std::shared_ptr<const Tenant>> tenant = own_tenant(exchange, exchange.route.arguments[0]);
    if (!tenant) {
        return std::move(tenant).error();
    }
    const std::string& id = exchange.route.arguments[1];
    Sessions conversations = (*tenant)->agent->sessions();
    if (Result<void> checked = Sessions::check_id(id); !checked) {
        return Error{Code::not_found, fmt::format("there is no session {}", quote(id))};
    }
    if (exchange.request.method == "DELETE") {
        Result<void> erased = conversations.erase(id);
        http::Response nothing;
        nothing.status = 204;
        return erased ? Result<http::Response>(nothing) : Result<http::Response>(std::move(erased).error());
    }
    constexpr std::int64_t k_usual_messages = 100;
    constexpr std::int64_t k_most_messages = 200;
    Result<std::int64_t> limit = number_parameter(exchange.request, "limit", k_usual_messages, k_most_messages);
    if (!limit) {
        return std::move(limit).error();
    }
    Result<SessionInfo> info = conversations.info(id);
    if (!info) {
        return std::move(info).error();
    }
    Result<std::vector<Message>> messages = conversations.history(id, *limit);
    if (!messages) {
        return std::move(messages).error();
    }
    Json json = session_json(*info);
    json["messages"] = Json::array();
    for (const Message& message : *messages) {
        json["messages"].push_back(message_json(message));
    }
    return json_reply(200, json);
}

}  // namespace mt::api
