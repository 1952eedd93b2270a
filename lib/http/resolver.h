#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "http/upstream_wait.h"

namespace mt::http {

/// One address of a host, still without a port.
struct Endpoint {
    sockaddr_storage address{};
    socklen_t size = 0;
    std::string text{};  ///< numeric

    /// The text of families other than IPv4 and IPv6 is empty.
    static Endpoint from(const sockaddr& address, socklen_t size);
    void set_port(int port);
};
using Endpoints = std::vector<Endpoint>;

/// Asks the system (getaddrinfo(3)), which may take seconds. Errors: unavailable, saying why.
Result<Endpoints> look_up(const std::string& host);

/// Finds the addresses of one host, off the threads of requests: a helper thread asks when somebody wants to know, and
/// ends with the answer. An answer is remembered for 30 s, that there is none for 1 s. Numeric addresses need no
/// thread. Thread-safe. The destructor waits for a question that is being asked.
class Resolver {
  public:
    using LookUp = std::function<Result<Endpoints>(const std::string& host)>;

    static constexpr std::chrono::seconds k_remember{30};
    static constexpr std::chrono::seconds k_remember_failure{1};

    /// `clock` must outlive the object.
    Resolver(std::string host, const Clock& clock, LookUp look_up = http::look_up);
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    ~Resolver();

    /// In the order in which they should be tried, at least one. Waits until `until_ns` (Clock::boot_ns) when nothing
    /// is remembered. Errors: unavailable, timeout, client_gone, busy.
    Result<Endpoints> resolve(Patience& patience, std::int64_t until_ns);

  private:
    struct Question;

    std::shared_ptr<const Question> ask();
    void find(Question& question);

    std::string m_host;
    const Clock& m_clock;
    LookUp m_look_up;
    std::optional<Endpoints> m_numeric{};

    std::mutex m_mutex{};
    std::shared_ptr<Question> m_question{};  ///< the latest; guarded by m_mutex, as is m_helper
    std::jthread m_helper{};                 ///< last: ends before the rest
};

}  // namespace mt::http
