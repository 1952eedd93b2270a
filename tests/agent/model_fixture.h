#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/event_log.h"
#include "agent/openai_model.h"
#include "http/fd.h"
#include "support/chat_scripts.h"
#include "support/scripted_upstream.h"

namespace mt::test {

using std::chrono::milliseconds;

constexpr const char* k_key = "sk-secret-0123456789abcdef";

/// What came of one completion.
struct Completed {
    std::optional<Error> error{};
    Usage usage{};
    EventLog log{};

    [[nodiscard]] Code code() const {
        REQUIRE(error);
        return error->code;
    }
    [[nodiscard]] std::string text() const { return log.assembly.first().text; }
};

/// A model in front of a scripted server, with a key, two retries almost at once, and bounds that no test reaches
/// unless it sets them.
struct ModelFixture {
    explicit ModelFixture(Script script) : server(std::move(script)) {
        options.config.name = "scripted";
        options.config.model = "scripted-1";
        options.config.base_url = server.url("/v1");
        options.api_key = k_key;
        options.retry.first = milliseconds{2};
        options.retry.longest = milliseconds{4};
        request.messages = {{Role::user, "Hello"}};
        build();
    }

    /// Makes the model anew, after a change of `options`.
    void build() {
        Result<std::shared_ptr<OpenAiModel>> made = OpenAiModel::make(options, clock);
        REQUIRE(made);
        model = *made;
    }

    std::unique_ptr<Completed> complete(bool stream = false, const Context& context = {}) {
        auto completed = std::make_unique<Completed>();
        CompletionRequest asked = request;
        asked.stream = stream;
        const Result<void> done = model->complete(asked, completed->log, completed->usage, context);
        if (!done) {
            completed->error = done.error();
        }
        return completed;
    }

    std::unique_ptr<Completed> stream(const Context& context = {}) { return complete(true, context); }

    SystemClock clock;
    ScriptedUpstream server;
    OpenAiOptions options;
    std::shared_ptr<OpenAiModel> model;
    CompletionRequest request;
};

/// A port whose queue of connections is full: nobody gets through to it.
class FullPort {
  public:
    FullPort() : m_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(name);
        auto* address = static_cast<sockaddr*>(static_cast<void*>(&name));
        REQUIRE(bind(m_fd.get(), address, size) == 0);
        REQUIRE(listen(m_fd.get(), 0) == 0);
        REQUIRE(getsockname(m_fd.get(), address, &size) == 0);
        m_port = ntohs(name.sin_port);
        bool taken = true;
        while (taken) {
            http::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            connect(fd.get(), address, size);
            pollfd connecting{fd.get(), POLLOUT, 0};
            taken = poll(&connecting, 1, 100) == 1;
            m_queue.push_back(std::move(fd));
        }
    }

    [[nodiscard]] int port() const { return m_port; }

  private:
    http::UniqueFd m_fd;
    int m_port = 0;
    std::vector<http::UniqueFd> m_queue{};
};

/// Runs `work` in a thread of its own and stops its context as soon as `ready` has returned; when that was.
inline std::chrono::steady_clock::time_point stop_when(const std::function<bool()>& ready,
                                                       const std::function<void(const Context&)>& work) {
    std::stop_source source;
    Context context;
    context.stop = source.get_token();
    std::jthread worker([&] { work(context); });
    CHECK(ready());
    const auto stopped = std::chrono::steady_clock::now();
    source.request_stop();
    return stopped;
}

/// The machine may be busy with something else: what holds for the median holds for the code.
inline milliseconds median(std::vector<milliseconds> times) {
    REQUIRE_FALSE(times.empty());
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

}  // namespace mt::test
