#include "app/trace_sender.h"

#include <fmt/core.h>

#include <memory>
#include <string>
#include <utility>

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
            return std::move(reply).error();
        }
        const int status = reply->status();
        if (Result<std::string> rest = reply->read_all(context, context.deadline_ns, k_longest_reply); !rest) {
            return std::move(rest).error();
        }
        if (status >= 200 && status < 300) {
            return {};
        }
        return Error{is_retryable(status) ? Code::unavailable : Code::upstream,
                     fmt::format("the collector answered {}", status)};
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
