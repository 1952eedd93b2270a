#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "http/net.h"
#include "http/test_server.h"
#include "http/upstream.h"
#include "support/scripted_upstream.h"

namespace mt::test {

using std::chrono::milliseconds;

constexpr milliseconds k_long{10'000};  ///< longer than anything takes

/// Clock::boot_ns in that time from now.
inline std::int64_t in(milliseconds time) {
    return SystemClock{}.boot_ns() + std::chrono::nanoseconds{time}.count();
}

inline http::Url url_to(int port, const std::string& scheme = "http://127.0.0.1:") {
    const Result<http::Url> url = http::parse_url(scheme + std::to_string(port));
    REQUIRE(url);
    return *url;
}

/// What came of one request.
struct Outcome {
    std::optional<Error> error{};
    int status = 0;
    std::string body{};
};

/// A request and its whole reply.
inline Outcome ask(http::Upstream& upstream, const http::UpstreamRequest& request = {}, const Context& context = {},
                   milliseconds patience = k_long) {
    const std::int64_t deadline_ns = in(patience);
    Result<http::UpstreamReply> reply = upstream.send(request, context, deadline_ns);
    if (!reply) {
        return {reply.error()};
    }
    const Result<std::string> body = reply->read_all(context, deadline_ns, 1UL << 30U);
    return body ? Outcome{std::nullopt, reply->status(), *body} : Outcome{body.error(), reply->status()};
}

inline Code code_of(const Outcome& outcome) {
    REQUIRE(outcome.error);
    return outcome.error->code;
}

/// A script that sends exactly these bytes and closes.
inline Script raw(std::string bytes) {
    return [bytes = std::move(bytes)](const Recorded&, ScriptedReply& out) {
        out.raw(bytes);
        out.cut();
    };
}

inline Script reply_with(std::string body) {
    return [body = std::move(body)](const Recorded&, ScriptedReply& out) { out.send(200, body); };
}

inline void keep_silent(const Recorded&, ScriptedReply& out) {
    out.keep_silent();
}

/// Runs `work` in a thread with a context, stops the context once `ready` holds, and returns how long after that the
/// work has come back.
inline milliseconds cancel_when(const std::function<bool()>& ready, const std::function<void(const Context&)>& work) {
    std::stop_source source;
    Context context;
    context.stop = source.get_token();
    std::chrono::steady_clock::time_point back;
    std::thread worker([&] {
        work(context);
        back = std::chrono::steady_clock::now();
    });
    const bool came = ready();
    const auto stopped = std::chrono::steady_clock::now();
    source.request_stop();
    worker.join();
    CHECK(came);
    return std::chrono::duration_cast<milliseconds>(back - stopped);
}

/// A port that lets connections into its queue and never answers, or, with the queue full, does not even do that.
class DeafPort {
  public:
    explicit DeafPort(bool full) : m_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(name);
        auto* address = static_cast<sockaddr*>(static_cast<void*>(&name));
        REQUIRE(bind(m_fd.get(), address, size) == 0);
        REQUIRE(listen(m_fd.get(), full ? 0 : 100) == 0);
        REQUIRE(getsockname(m_fd.get(), address, &size) == 0);
        m_port = ntohs(name.sin_port);
        while (full) {
            http::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            connect(fd.get(), address, size);
            pollfd connecting{fd.get(), POLLOUT, 0};
            full = poll(&connecting, 1, 100) == 1;
            m_queue.push_back(std::move(fd));
        }
    }

    [[nodiscard]] int port() const { return m_port; }

    /// The next connection of the queue is reset within some seconds; an end without that does not count.
    [[nodiscard]] bool next_is_reset() const {
        const http::UniqueFd fd(accept(m_fd.get(), nullptr, nullptr));
        pollfd waiting{fd.get(), 0, 0};
        return poll(&waiting, 1, static_cast<int>(k_long.count())) == 1;
    }

  private:
    http::UniqueFd m_fd;
    int m_port = 0;
    std::vector<http::UniqueFd> m_queue{};
};

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count;
}

}  // namespace mt::test
