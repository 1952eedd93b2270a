#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "clients.h"
#include "http/event_stream.h"
#include "http/upstream.h"
#include "upstream.h"

namespace mt::bench {

namespace {

/// One connection's part of the work. Used by one thread.
class Reader {
  public:
    Reader(const ChatTarget& target, const StreamOptions& options)
        : m_target(target), m_options(options), m_upstream(target.url, {}), m_body(target.body) {
        m_body.insert(1, k_stream_field);
        m_fields = target.fields;
        m_fields.emplace_back("Content-Type", "application/json");
    }

    Result<void> run(std::chrono::nanoseconds until) {
        while (stamp_now() < until) {
            const Result<void> done = read_one();
            if (!done) {
                return done.error();
            }
            ++m_report.streams;
        }
        return {};
    }

    [[nodiscard]] const StreamReport& report() const { return m_report; }

  private:
    Result<void> read_one() {
        constexpr std::int64_t k_patience_ns = 30'000'000'000;
        const std::int64_t deadline_ns = SystemClock().boot_ns() + k_patience_ns;
        const Context context;
        Result<http::UpstreamReply> reply =
            m_upstream.send({"POST", m_target.url.path, m_fields, m_body}, context, deadline_ns);
        if (!reply) {
            return reply.error();
        }
        http::EventStream events;
        m_pieces = 0;
        for (;;) {
            const Result<std::string_view> bytes = reply->read(context, deadline_ns);
            if (!bytes) {
                return bytes.error();
            }
            if (bytes->empty()) {
                return check_end(reply->status());
            }
            const Result<void> taken = take(events, *bytes, stamp_now());
            if (!taken) {
                return taken.error();
            }
        }
    }

    Result<void> take(http::EventStream& events, std::string_view bytes, std::chrono::nanoseconds arrived) {
        events.feed(bytes);
        for (;;) {
            const Result<std::optional<std::string_view>> event = events.next();
            if (!event) {
                return event.error();
            }
            if (!*event) {
                return {};
            }
            const Result<std::optional<std::chrono::nanoseconds>> sent = read_stamp(**event);
            if (!sent) {
                return sent.error();
            }
            if (*sent) {
                record(arrived - **sent);
            }
        }
    }

    void record(std::chrono::nanoseconds delay) {
        if (m_pieces == 0) {
            m_report.first.record(delay);
        }
        m_report.all.record(delay);
        ++m_pieces;
    }

    Result<void> check_end(int status) const {
        if (status != 200 || m_pieces != m_options.deltas) {
            return Error{Code::upstream, "a stream with status " + std::to_string(status) + " had " +
                                             std::to_string(m_pieces) + " pieces, not " +
                                             std::to_string(m_options.deltas)};
        }
        return {};
    }

    const ChatTarget& m_target;
    const StreamOptions& m_options;
    http::Upstream m_upstream;
    std::string m_body;
    http::Fields m_fields{};
    StreamReport m_report{};
    int m_pieces = 0;  ///< of the stream that is being read
};

}  // namespace

Result<StreamReport> read_streams(const ChatTarget& target, const StreamOptions& options) {
    StreamReport all;
    std::optional<Error> failure;
    std::mutex mutex;
    const std::chrono::nanoseconds until = stamp_now() + options.duration;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < options.streams; ++i) {
            threads.emplace_back([&] {
                Reader reader(target, options);
                const Result<void> done = reader.run(until);
                const std::lock_guard lock(mutex);
                if (!done) {
                    failure = done.error();
                }
                all.first.merge(reader.report().first);
                all.all.merge(reader.report().all);
                all.streams += reader.report().streams;
            });
        }
    }
    if (failure) {
        return *failure;
    }
    return all;
}

}  // namespace mt::bench
