#include "app/trace_sender.h"

#include <fmt/core.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/units.h"
#include "http/upstream.h"

namespace mt::app {
namespace {

constexpr std::size_t k_longest_reply = 64UL * 1024;

// A collector says with these that it wants the same again (OTLP, retryable response codes).
bool is_retryable(int status) {
    constexpr int k_too_many = 429;
    constexpr int k_bad_gateway = 502;
    constexpr int k_unavailable = 503;
    constexpr int k_gateway_timeout = 504;
    return status == k_too_many || status == k_bad_gateway || status == k_unavailable || status == k_gateway_timeout;
}

// Nothing was answered: worth another try, whatever the reason (OTLP, "If the client cannot connect").
Error not_delivered(Error error) {
    if (error.code == Code::client_gone) {
        return {Code::unavailable, "the collector has not answered before the end"};
    }
    error.code = error.code == Code::upstream ? Code::unavailable : error.code;
    return error;
}

// In whole seconds, as collectors write it.
std::optional<std::chrono::nanoseconds> retry_after(const http::UpstreamReply& reply) {
    constexpr std::int64_t k_most = 3600;
    const Result<std::int64_t> seconds = parse_integer(reply.field("Retry-After").value_or(""));
    const bool usable = seconds && *seconds >= 0 && *seconds <= k_most;
    return usable ? std::optional<std::chrono::nanoseconds>(std::chrono::seconds{*seconds}) : std::nullopt;
}

class Sender {
  public:
    Sender(const http::Url& url, const TraceSettings& settings, const Clock& clock)
        : m_upstream(url, {}), m_target(url.path), m_timeout_ms(settings.timeout_ms), m_clock(clock) {
        m_fields = {{"Content-Type", "application/json"}};
        m_fields.insert(m_fields.end(), settings.headers.begin(), settings.headers.end());
    }

    Result<void> send(const std::string& body, const std::stop_token& stop) {
        Context context;
        context.stop = stop;
        context.deadline_ns = m_clock.boot_ns() + m_timeout_ms * 1'000'000;
        Result<http::UpstreamReply> reply =
            m_upstream.send({"POST", m_target, m_fields, body}, context, context.deadline_ns);
        if (!reply) {
            return not_delivered(reply.error());
        }
        const int status = reply->status();
        std::optional<std::chrono::nanoseconds> wait = retry_after(*reply);
        // Read so that the connection can be kept; whatever becomes of it, the head has said how it went.
        const Result<std::string> rest = reply->read_all(context, context.deadline_ns, k_longest_reply);
        static_cast<void>(rest);
        if (status >= 200 && status < 300) {
            return {};
        }
        return Error{is_retryable(status) ? Code::unavailable : Code::upstream,
                     fmt::format("the collector answered {}", status),
                     {},
                     wait};
    }

  private:
    http::Upstream m_upstream;
    std::string m_target;
    std::int64_t m_timeout_ms;
    const Clock& m_clock;
    http::Fields m_fields;
};

}  // namespace

Result<TraceExporter::Send> make_trace_sender(const TraceSettings& settings, const Clock& clock) {
    Result<http::Url> url = http::parse_url(settings.endpoint);
    if (!url) {
        return Error{Code::config, fmt::format("the traces' endpoint: {}", url.error().message)};
    }
    auto sender = std::make_shared<Sender>(*url, settings, clock);
    return TraceExporter::Send(
        [sender](const std::string& body, const std::stop_token& stop) { return sender->send(body, stop); });
}

}  // namespace mt::app
