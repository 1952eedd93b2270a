#include "http/client.h"

#include <fmt/core.h>
#include <httplib.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "base/units.h"
#include "http/grammar.h"

namespace mt::http {
namespace {

constexpr std::size_t k_largest_body = 256UL * 1024 * 1024;  // bytes of a reply; more is an error, not an empty memory

Error bad_url(std::string_view text) {
    return Error{Code::invalid,
                 fmt::format("{} is no address: write http://HOST:PORT/PATH, HOST:PORT or unix:PATH", quote(text))};
}

// What stands for the server in Host; a unix socket has no name of its own.
std::string host_field(const Url& url) {
    if (!url.unix_path.empty()) {
        return "localhost";
    }
    const std::string host = url.host.find(':') == std::string::npos ? url.host : fmt::format("[{}]", url.host);
    return url.port == 80 ? host : fmt::format("{}:{}", host, url.port);
}

std::string name_of(const Url& url) {
    return url.unix_path.empty() ? fmt::format("{}:{}", url.host, url.port) : fmt::format("unix:{}", url.unix_path);
}

// httplib writes whatever it is given: a line end in a field would start a second one.
Result<void> check_request(std::string_view method, std::string_view target, const Fields& fields) {
    if (!is_token(method) || !is_visible(target)) {
        return Error{Code::invalid, fmt::format("{} {} is no request", quote(method), quote(target))};
    }
    for (const auto& [name, value] : fields) {
        if (!is_token(name) || !is_field_value(value)) {
            return Error{Code::invalid, fmt::format("header field {} holds bytes that no field may hold", quote(name))};
        }
    }
    return {};
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
    constexpr std::string_view k_http = "http://";
    constexpr std::string_view k_unix = "unix:";
    if (text.substr(0, k_unix.size()) == k_unix) {
        if (text.size() == k_unix.size()) {
            return bad_url(text);
        }
        return Url{"", 0, "/", std::string(text.substr(k_unix.size()))};
    }
    std::string_view rest = text;
    if (equal_ignoring_case(rest.substr(0, k_http.size()), k_http)) {
        rest.remove_prefix(k_http.size());
    } else if (equal_ignoring_case(rest.substr(0, 8), "https://")) {
        return Error{Code::invalid, fmt::format("{}: https is not spoken here, only http", quote(text))};
    }
    const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
    const std::string_view authority = rest.substr(0, end);
    if (!is_authority(authority) || authority.back() == ':' || !is_visible(rest) ||
        rest.find('#') != std::string_view::npos) {
        return bad_url(text);
    }
    Url url;
    url.path = rest.substr(end);
    if (url.path.empty() || url.path.front() != '/') {
        url.path.insert(0, "/");
    }
    const std::size_t bracket = authority.front() == '[' ? authority.find(']') : 0;
    const std::size_t colon = std::min(authority.find(':', bracket), authority.size());
    url.host = bracket == 0 ? authority.substr(0, colon) : authority.substr(1, bracket - 1);
    if (colon + 1 < authority.size()) {
        // is_authority() has checked that the port is a number up to 65535.
        url.port = static_cast<int>(*parse_integer(authority.substr(colon + 1)));
    }
    return url;
}

struct Client::State {
    State(const Url& url, std::chrono::milliseconds limit)
        : name(name_of(url)),
          host(host_field(url)),
          timeout(limit),
          client(url.unix_path.empty() ? url.host : url.unix_path, url.port) {
        if (!url.unix_path.empty()) {
            client.set_address_family(AF_UNIX);
        }
        client.set_keep_alive(true);
        client.set_tcp_nodelay(true);
        client.set_follow_location(false);
        client.set_decompress(false);
        client.set_url_encode(false);
        client.set_connection_timeout(limit);
        client.set_read_timeout(limit);
        client.set_write_timeout(limit);
    }

    httplib::Request make_request(std::string_view method, std::string_view target, const Fields& fields,
                                  std::string_view body) const;
    [[nodiscard]] Error explain(httplib::Error fault, std::int64_t quiet_ns) const;

    std::string name;
    std::string host;
    std::chrono::milliseconds timeout;
    httplib::Client client;
};

httplib::Request Client::State::make_request(std::string_view method, std::string_view target, const Fields& fields,
                                             std::string_view body) const {
    httplib::Request request;
    request.method = method;
    request.path = target;
    request.body = body;
    for (const auto& [name_of_field, value] : fields) {
        request.headers.emplace(name_of_field, value);
    }
    if (!request.has_header("Host")) {
        request.headers.emplace("Host", host);
    }
    return request;
}

// httplib says "Read" for a cut reply, for no HTTP and for a timeout: only the time tells them apart.
Error Client::State::explain(httplib::Error fault, std::int64_t quiet_ns) const {
    const bool waited = quiet_ns >= std::chrono::nanoseconds{timeout}.count();
    switch (fault) {
        case httplib::Error::Connection:
        case httplib::Error::BindIPAddress:
            return Error{Code::unavailable, fmt::format("cannot connect to {}", name)};
        case httplib::Error::ConnectionTimeout:
            return Error{Code::timeout, fmt::format("no connection to {} within {}", name, format_duration(timeout))};
        case httplib::Error::Canceled:
            return Error{Code::upstream, fmt::format("the reply of {} is larger than {}", name,
                                                     format_size(static_cast<std::int64_t>(k_largest_body)))};
        default:
            break;
    }
    if (waited) {
        return Error{Code::timeout, fmt::format("{} did not answer within {}", name, format_duration(timeout))};
    }
    return Error{Code::upstream, fmt::format("the reply of {} is cut or no HTTP", name)};
}

Client::Client(const Url& url, std::chrono::milliseconds timeout) : m_state(std::make_unique<State>(url, timeout)) {
    // httplib's client writes without MSG_NOSIGNAL: a server that closes first would kill the process.
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the same value every time
    std::signal(SIGPIPE, SIG_IGN);
}

Client::~Client() = default;

Result<Response> Client::send(std::string_view method, std::string_view target, const Fields& fields,
                              std::string_view body) {
    if (Result<void> checked = check_request(method, target, fields); !checked) {
        return std::move(checked.error());
    }
    const SystemClock clock;
    httplib::Request request = m_state->make_request(method, target, fields, body);
    std::string content;
    std::int64_t last_ns = clock.boot_ns();
    request.content_receiver = [&](const char* bytes, std::size_t size, std::uint64_t, std::uint64_t) {
        last_ns = clock.boot_ns();
        content.append(bytes, std::min(size, k_largest_body - content.size()));
        return content.size() < k_largest_body;
    };
    httplib::Response raw;
    httplib::Error fault = httplib::Error::Success;
    if (!m_state->client.send(request, raw, fault)) {
        return m_state->explain(fault, clock.boot_ns() - last_ns);
    }
    Response response{raw.status, raw.get_header_value("Content-Type"), {}, std::move(content)};
    for (auto& [name, value] : raw.headers) {
        response.fields.emplace_back(name, value);
    }
    return response;
}

}  // namespace mt::http
