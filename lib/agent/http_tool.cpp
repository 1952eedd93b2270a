#include "agent/http_tool.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "agent/arguments.h"
#include "agent/excerpt.h"
#include "agent/upstream_span.h"
#include "agent/url_template.h"
#include "base/text.h"
#include "base/units.h"
#include "http/grammar.h"

namespace mt {
namespace {

using Json = nlohmann::json;

bool sends_body(std::string_view method) {
    return method == "POST" || method == "PUT" || method == "PATCH";
}

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Strings as they are, everything else as JSON.
std::string text_of(const Json& value) {
    const std::string* text = value.get_ptr<const std::string*>();
    return text != nullptr ? *text : dump(value);
}

// The values of these hold no secret, but words that may well stand in a message.
bool is_public(std::string_view name) {
    constexpr std::array<std::string_view, 4> k_names{"Accept", "Accept-Language", "Content-Type", "User-Agent"};
    return std::any_of(k_names.begin(), k_names.end(),
                       [&](std::string_view known) { return http::equal_ignoring_case(known, name); });
}

bool has_field(const http::Fields& fields, std::string_view name) {
    return std::any_of(fields.begin(), fields.end(),
                       [&](const auto& field) { return http::equal_ignoring_case(field.first, name); });
}

// The configured fields without those that we write.
http::Fields own_fields(const ToolConfig& config, http::Fields headers) {
    std::erase_if(headers, [](const auto& field) {
        return http::equal_ignoring_case(field.first, "X-Tenant-ID") ||
               http::equal_ignoring_case(field.first, "X-Request-Id");
    });
    if (sends_body(config.method) && !has_field(headers, "Content-Type")) {
        headers.emplace_back("Content-Type", "application/json");
    }
    return headers;
}

http::UpstreamOptions upstream_options(const ToolConfig& config, http::AddressRule rule) {
    http::UpstreamOptions options;
    options.connect_timeout = std::min(options.connect_timeout, std::chrono::milliseconds{config.timeout_ms});
    options.rule = std::move(rule);
    return options;
}

class HttpTool final : public Tool {
  public:
    struct Address {
        http::Url url;
        UrlTemplate target;
    };

    HttpTool(const ToolConfig& config, Address address, const http::Fields& headers, http::AddressRule rule,
             const Clock& clock)
        : m_config(config),
          m_spec{config.name, config.description, config.parameters},
          m_target(std::move(address.target)),
          m_fields(own_fields(config, headers)),
          m_clock(clock),
          m_url(address.url),
          m_upstream(address.url, upstream_options(config, std::move(rule))) {
        constexpr std::size_t k_shortest_secret = 4;
        for (const auto& [name, value] : headers) {
            const std::string last_word = value.substr(value.rfind(' ') + 1);  // "Bearer SECRET"
            for (const std::string& secret : {value, last_word}) {
                if (!is_public(name) && secret.size() >= k_shortest_secret) {
                    m_secrets.push_back(secret);
                }
            }
        }
    }

    [[nodiscard]] const ToolSpec& spec() const override { return m_spec; }
    [[nodiscard]] bool pure() const override { return m_config.pure; }
    [[nodiscard]] std::string_view feature() const override { return ""; }

    Result<std::string> call(const std::string& arguments, const ToolEnvironment& /*environment*/,
                             const Context& context) override {
        const Result<Prepared> prepared = prepare(Json::parse(arguments, nullptr, false));
        if (!prepared) {
            return prepared.error();
        }
        Span span(context.trace, SpanKind::client, m_config.method);
        if (span.recording()) {
            span.set("http.request.method", m_config.method);
            set_server(span, m_url);
        }
        http::Fields fields = m_fields;
        fields.emplace_back("X-Tenant-ID", context.tenant);
        fields.emplace_back("X-Request-Id", context.request_id);
        add_trace_fields(fields, context);
        const std::int64_t deadline_ns =
            m_clock.boot_ns() + std::chrono::nanoseconds{std::chrono::milliseconds{m_config.timeout_ms}}.count();
        Result<http::UpstreamReply> reply = m_upstream.send(
            {m_config.method, prepared->target, std::move(fields), prepared->body}, context, deadline_ns);
        if (!reply) {
            span.fail(describe(reply.error().code).name);
            return judge(reply.error(), context);
        }
        const Result<Body> body = read_body(*reply, context, deadline_ns);
        note(span, reply->status(), body);
        return result_of(reply->status(), body, context);
    }

  private:
    struct Prepared {
        std::string target;
        std::string body;
    };
    struct Body {
        std::string text;
        bool whole = true;
    };

    [[nodiscard]] Result<Prepared> prepare(Json arguments) const {
        if (!arguments.is_object()) {
            return Error{Code::invalid, "the arguments must be a JSON object"};
        }
        TextArguments placed;
        for (const std::string& name : m_target.names()) {
            if (const auto found = arguments.find(name); found != arguments.end() && !found->is_null()) {
                placed.emplace_back(name, text_of(*found));
            }
        }
        for (const std::string& name : m_target.names()) {
            arguments.erase(name);
        }
        Result<std::string> target = m_target.fill(placed);
        if (!target) {
            return target.error();
        }
        if (sends_body(m_config.method)) {
            return Prepared{std::move(*target), dump(arguments)};
        }
        char separator = m_target.has_query() ? '&' : '?';
        for (const auto& [name, value] : arguments.items()) {
            if (!value.is_null()) {
                *target += separator + percent_encode(name) + '=' + percent_encode(text_of(value));
                separator = '&';
            }
        }
        return Prepared{std::move(*target), ""};
    }

    // By the conventions a status of 4xx or 5xx is itself the type of the error.
    static void note(Span& span, int status, const Result<Body>& body) {
        constexpr int k_first_fault = 400;
        span.set("http.response.status_code", std::int64_t{status});
        if (status >= k_first_fault) {
            span.fail(std::to_string(status));
        } else if (!body || !body->whole) {
            span.fail(describe(body ? Code::too_large : body.error().code).name);
        }
    }

    [[nodiscard]] Result<std::string> result_of(int status, const Result<Body>& body, const Context& context) const {
        constexpr int k_first_good = 200;
        constexpr int k_first_bad = 300;
        constexpr std::size_t k_longest_words = 500;
        if (!body && judge(body.error(), context).code != Code::invalid) {
            return judge(body.error(), context);
        }
        if (status < k_first_good || status >= k_first_bad) {
            const std::string words = without_secrets(body ? body->text : "");
            return Error{Code::invalid, fmt::format("the tool {} answered with status {}{}{}", m_config.name, status,
                                                    words.empty() ? "" : ": ", excerpt(words, k_longest_words))};
        }
        if (!body) {
            return judge(body.error(), context);
        }
        if (!body->whole) {
            return Error{Code::invalid, fmt::format("the reply of the tool {} is larger than {}", m_config.name,
                                                    format_size(m_config.max_size))};
        }
        return valid_utf8(without_secrets(body->text));
    }

    // Servers like to repeat what they were sent.
    [[nodiscard]] std::string without_secrets(std::string text) const {
        for (const std::string& secret : m_secrets) {
            text = without_secret(std::move(text), secret);
        }
        return text;
    }

    Result<Body> read_body(http::UpstreamReply& reply, const Context& context, std::int64_t deadline_ns) const {
        Body body;
        while (true) {
            const Result<std::string_view> piece = reply.read(context, deadline_ns);
            if (!piece) {
                return piece.error();
            }
            if (piece->empty()) {
                return body;
            }
            const std::size_t room = static_cast<std::size_t>(m_config.max_size) - body.text.size();
            body.text += piece->substr(0, room);
            if (piece->size() > room) {
                body.whole = false;
                return body;
            }
        }
    }

    // What the model is told, or what ends the request: the client left, its time is over, we are overloaded.
    [[nodiscard]] Error judge(const Error& error, const Context& context) const {
        const auto tell = [](std::string message) { return Error{Code::invalid, std::move(message)}; };
        switch (error.code) {
            case Code::client_gone:
            case Code::busy:
                return error;
            case Code::timeout:
                return m_clock.boot_ns() >= context.deadline_ns
                           ? Error{Code::timeout, "the time for this request is over"}
                           : tell(fmt::format("the tool {} did not answer within {}", m_config.name,
                                              format_duration(std::chrono::milliseconds{m_config.timeout_ms})));
            case Code::forbidden:
                return tell("this tool's address is not allowed");
            case Code::unavailable:
                return tell(fmt::format("the server of the tool {} cannot be reached", m_config.name));
            case Code::invalid:
                return tell(fmt::format("the tool {} cannot be asked this", m_config.name));
            default:
                return tell(fmt::format("the server of the tool {} gave no usable reply", m_config.name));
        }
    }

    ToolConfig m_config;
    ToolSpec m_spec;
    UrlTemplate m_target;
    http::Fields m_fields;
    std::vector<std::string> m_secrets{};
    const Clock& m_clock;
    http::Url m_url;
    http::Upstream m_upstream;
};

// Everything that could fail at each call for a reason of the configuration fails at the start instead.
Result<void> check_schema_of(const ToolConfig& config, const UrlTemplate& target) {
    const Json schema = Json::parse(config.parameters, nullptr, false);
    if (!schema.is_object() || schema.value("type", Json{}) != "object") {
        return Error{Code::config, R"(parameters: it must be a JSON schema of "type": "object")"};
    }
    if (const Result<void> checked = check_schema(config.parameters, "{}");
        !checked && checked.error().code != Code::invalid) {
        return Error{Code::config, fmt::format("parameters: {}", checked.error().message)};
    }
    const Json properties = schema.value("properties", Json::object());
    for (const std::string& name : target.names()) {
        if (!properties.contains(name)) {
            return Error{Code::config, fmt::format("url: {} is no property of the parameters", quote(name))};
        }
    }
    return {};
}

Result<void> check_request_of(const ToolConfig& config, const http::Fields& headers) {
    constexpr std::array<std::string_view, 5> k_methods{"GET", "DELETE", "POST", "PUT", "PATCH"};
    constexpr std::array<std::string_view, 3> k_transport{"Host", "Content-Length", "Transfer-Encoding"};
    if (std::find(k_methods.begin(), k_methods.end(), config.method) == k_methods.end()) {
        return Error{Code::config,
                     fmt::format("method: {} is none of GET, POST, PUT, PATCH, DELETE", quote(config.method))};
    }
    for (const auto& field : headers) {
        const bool ours = std::any_of(k_transport.begin(), k_transport.end(), [&](std::string_view name) {
            return http::equal_ignoring_case(field.first, name);
        });
        if (ours || !http::is_token(field.first) || !http::is_field_value(field.second)) {
            return Error{Code::config,
                         fmt::format("headers: {} {}", quote(field.first),
                                     ours ? "is not to be given" : "is no header field, or has a line end in it")};
        }
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Tool>> make_http_tool(const ToolConfig& config,
                                             const std::vector<std::pair<std::string, std::string>>& headers,
                                             http::AddressRule rule, const Clock& clock) {
    const auto fail = [&](std::string_view field, const Error& error) {
        return Error{Code::config, fmt::format("tool {}: {}{}", quote(config.name), field, error.message)};
    };
    Result<http::Url> url = http::parse_url(config.url);
    if (!url) {
        return fail("url: ", url.error());
    }
    Result<UrlTemplate> target = UrlTemplate::parse(url->path);
    if (!target) {
        return fail("url: ", target.error());
    }
    if (url->host.find_first_of("{}") != std::string::npos) {
        return fail("url: ", {Code::config, "the server's name takes no arguments"});
    }
    if (const Result<void> good = check_request_of(config, headers); !good) {
        return fail("", good.error());
    }
    ToolConfig complete = config;
    if (complete.parameters.empty()) {
        complete.parameters = R"({"type":"object","properties":{}})";
    }
    if (const Result<void> good = check_schema_of(complete, *target); !good) {
        return fail("", good.error());
    }
    return std::unique_ptr<Tool>(std::make_unique<HttpTool>(
        complete, HttpTool::Address{std::move(*url), std::move(*target)}, headers, std::move(rule), clock));
}

}  // namespace mt
