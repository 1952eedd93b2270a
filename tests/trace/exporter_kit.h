#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "trace/exporter.h"

namespace mt::test {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using Sampler = TraceSettings::Sampler;

constexpr milliseconds k_long{10'000};  ///< what no test waits for

/// A collector that plays by a function, and remembers what it has taken.
class Collector {
  public:
    using Play = std::function<Result<void>(int call, const std::stop_token& stop)>;

    explicit Collector(Play play = {}) : m_play(std::move(play)) {}

    TraceExporter::Send send() {
        return [this](const std::string& body, const std::stop_token& stop) { return receive(body, stop); };
    }

    /// Whether that many bodies have come, delivered or not.
    [[nodiscard]] bool wait_for_calls(int count) {
        std::unique_lock lock(m_mutex);
        return m_changed.wait_for(lock, k_long, [&] { return m_calls >= count; });
    }

    /// Spans are named by numbers.
    [[nodiscard]] std::vector<int> spans() {
        const std::lock_guard lock(m_mutex);
        return m_spans;
    }
    [[nodiscard]] std::vector<std::size_t> sizes() {
        const std::lock_guard lock(m_mutex);
        return m_sizes;
    }
    [[nodiscard]] int calls() {
        const std::lock_guard lock(m_mutex);
        return m_calls;
    }

  private:
    Result<void> receive(const std::string& body, const std::stop_token& stop) {
        int call = 0;
        {
            const std::lock_guard lock(m_mutex);
            call = m_calls++;
            m_changed.notify_all();
        }
        if (Result<void> played = m_play ? m_play(call, stop) : Result<void>{}; !played) {
            return played;
        }
        const Json request = Json::parse(body);
        const std::lock_guard lock(m_mutex);
        const Json& spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"];
        m_sizes.push_back(spans.size());
        for (const Json& span : spans) {
            m_spans.push_back(std::stoi(span["name"].get<std::string>()));
        }
        return {};
    }

    Play m_play;
    std::mutex m_mutex{};
    std::condition_variable m_changed{};
    int m_calls = 0;
    std::vector<int> m_spans{};
    std::vector<std::size_t> m_sizes{};
};

/// Blocks until opened, or until the token fires.
class Gate {
  public:
    void open() {
        const std::lock_guard lock(m_mutex);
        m_open = true;
        m_changed.notify_all();
    }
    Result<void> pass(const std::stop_token& stop) {
        std::unique_lock lock(m_mutex);
        const bool opened = m_changed.wait_for(lock, stop, k_long, [this] { return m_open; });
        return opened ? Result<void>{} : Result<void>{Error{Code::unavailable, "the exporter ends"}};
    }

  private:
    std::mutex m_mutex{};
    std::condition_variable_any m_changed{};
    bool m_open = false;
};

/// Lines of standard error while it lives.
class ErrorLines {
  public:
    ErrorLines() : m_before(dup(STDERR_FILENO)) {
        REQUIRE(pipe2(m_ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
        dup2(m_ends[1], STDERR_FILENO);
    }
    ErrorLines(const ErrorLines&) = delete;
    ErrorLines& operator=(const ErrorLines&) = delete;
    ~ErrorLines() {
        dup2(m_before, STDERR_FILENO);
        for (const int fd : {m_before, m_ends[0], m_ends[1]}) {
            close(fd);
        }
    }

    /// Each with its level and message.
    [[nodiscard]] std::vector<Json> read_all() const {
        std::string text;
        std::array<char, 4096> bytes{};
        for (ssize_t got = 0; (got = read(m_ends[0], bytes.data(), bytes.size())) > 0;) {
            text.append(bytes.data(), static_cast<std::size_t>(got));
        }
        std::vector<Json> lines;
        std::size_t start = 0;
        for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
            lines.push_back(Json::parse(text.substr(start, end - start)));
        }
        return lines;
    }

  private:
    int m_before;
    std::array<int, 2> m_ends{};
};

inline TraceSettings settings_with(Sampler sampler = Sampler::always_on, double ratio = 1, bool parent_based = true) {
    TraceSettings settings;
    settings.endpoint = "http://127.0.0.1:4318/v1/traces";
    settings.sampler = sampler;
    settings.ratio = ratio;
    settings.parent_based = parent_based;
    return settings;
}

/// Sends at once, tries again at once.
inline TraceExporter::Bounds fast() {
    return {8192, 512, milliseconds{0}, milliseconds{1}, milliseconds{4}, k_long};
}

inline std::vector<SpanRecord> spans(int first, int count) {
    std::vector<SpanRecord> made(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
        made[static_cast<std::size_t>(i)].name = std::to_string(first + i);
    }
    return made;
}

inline std::vector<int> numbers(int count) {
    std::vector<int> all(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
        all[static_cast<std::size_t>(i)] = i;
    }
    return all;
}

inline std::int64_t sum(const TraceCounts& counts) {
    return counts.dropped + counts.exported + counts.queued;
}

inline void wait_until(const std::function<bool()>& done) {
    const auto patience = std::chrono::steady_clock::now() + k_long;
    while (!done() && std::chrono::steady_clock::now() < patience) {
        std::this_thread::yield();
    }
    CHECK(done());
}

inline Log& silent() {
    static Log log(LogLevel::off);
    return log;
}

}  // namespace mt::test
