#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "http/raw_client.h"
#include "http/server.h"

namespace mt::test {

/// Waits until `condition` holds, some seconds at most. For state that nobody announces.
template <class Condition>
bool eventually(const Condition& condition) {
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        never.wait_for(lock, std::chrono::milliseconds(1));
    }
    return true;
}

/// Something that happens once in one thread and that others wait for, some seconds at most.
class Event {
  public:
    void set() {
        const std::lock_guard lock(m_mutex);
        m_set = true;
        m_changed.notify_all();
    }
    bool wait() {
        std::unique_lock lock(m_mutex);
        return m_changed.wait_for(lock, std::chrono::seconds(10), [this] { return m_set; });
    }

  private:
    std::mutex m_mutex;
    std::condition_variable m_changed;
    bool m_set = false;
};

/// A server on a free port of loopback that answers refusals with the name of their code.
class TestServer {
  public:
    explicit TestServer(http::Handler handler, const http::ServerLimits& limits = {},
                        const http::Address& address = {"127.0.0.1", 0, ""},
                        const std::optional<http::TlsFiles>& tls = std::nullopt)
        : m_server({std::move(handler), encode, [this](const Error&) { ++m_refusals; }}, limits, m_log) {
        const Result<http::Address> bound = m_server.start(address, tls);
        REQUIRE(bound);
        m_address = *bound;
    }

    static http::Response encode(const Error& error) {
        const CodeInfo& info = describe(error.code);
        return {info.http_status, "text/plain", {{"X-Fault", "yes"}}, std::string(info.name)};
    }

    [[nodiscard]] RawClient connect() const {
        RawClient client(m_address);
        REQUIRE(client.connected());
        return client;
    }

    http::Server& server() { return m_server; }
    /// How often the transport told of a refusal.
    [[nodiscard]] int refusals() const { return m_refusals; }
    [[nodiscard]] const http::Address& address() const { return m_address; }

  private:
    Log m_log{LogLevel::off};
    std::atomic<int> m_refusals{0};
    http::Server m_server;
    http::Address m_address;
};

/// A GET of `target`, ready for the wire; `fields` are whole lines.
inline std::string get(const std::string& target, const std::string& fields = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
}

inline std::string post(const std::string& target, const std::string& body, const std::string& fields = "") {
    return "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n" + fields + "\r\n" + body;
}

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace mt::test
