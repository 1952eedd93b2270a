#include "http/resolver.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "http/fd.h"

namespace mt::http {
namespace {

Result<Endpoints> ask_system(const std::string& host, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* list = nullptr;
    const int fault = getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (fault != 0) {
        return Error{Code::unavailable, fmt::format("{} has no address: {}", quote(host), gai_strerror(fault))};
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(list, freeaddrinfo);
    Endpoints endpoints;
    for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
        endpoints.push_back(Endpoint::from(*at->ai_addr, at->ai_addrlen));
    }
    return endpoints;
}

}  // namespace

Endpoint Endpoint::from(const sockaddr& address, socklen_t size) {
    Endpoint endpoint;
    endpoint.size = size;
    std::memcpy(&endpoint.address, &address, size);
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.sa_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &endpoint.address, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    } else if (address.sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &endpoint.address, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    }
    endpoint.text = text.data();
    return endpoint;
}

void Endpoint::set_port(int port) {
    const in_port_t number = htons(static_cast<in_port_t>(port));
    // The port is at the same place in both families.
    static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
    std::memcpy(static_cast<char*>(static_cast<void*>(&address)) + offsetof(sockaddr_in, sin_port), &number,
                sizeof(number));
}

Result<Endpoints> look_up(const std::string& host) {
    return ask_system(host, 0);
}

/// Asked once; many wait for its answer.
struct Resolver::Question {
    UniqueFd answered{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};  ///< readable from then on
    std::atomic<bool> is_answered{false};                       ///< what follows does not change any more
    Result<Endpoints> answer{Endpoints{}};
    std::int64_t expires_ns = 0;
};

Resolver::Resolver(std::string host, const Clock& clock, LookUp look_up)
    : m_host(std::move(host)), m_clock(clock), m_look_up(std::move(look_up)) {
    if (Result<Endpoints> numeric = ask_system(m_host, AI_NUMERICHOST)) {
        m_numeric = std::move(*numeric);
    }
}

Resolver::~Resolver() = default;

Result<Endpoints> Resolver::resolve(Patience& patience, std::int64_t until_ns) {
    if (m_numeric) {
        return *m_numeric;
    }
    const std::shared_ptr<const Question> question = ask();
    if (!question) {
        return Error{Code::unavailable, fmt::format("the address of {} cannot be asked for: the system has no threads "
                                                    "or descriptors left",
                                                    quote(m_host))};
    }
    if (!question->is_answered.load(std::memory_order_acquire)) {
        const Result<bool> ready = patience.wait(question->answered.get(), POLLIN, until_ns);
        if (!ready) {
            return ready.error();
        }
        if (!question->is_answered.load(std::memory_order_acquire)) {
            return Error{Code::timeout, fmt::format("the address of {} was not found in time", quote(m_host))};
        }
    }
    return question->answer;
}

// The question that is being asked, or was answered a short while ago; else a new one. Null: impossible.
std::shared_ptr<const Resolver::Question> Resolver::ask() {
    const std::lock_guard lock(m_mutex);
    const bool pending = m_question && !m_question->is_answered.load(std::memory_order_acquire);
    if (pending || (m_question && m_clock.boot_ns() < m_question->expires_ns)) {
        return m_question;
    }
    auto question = std::make_shared<Question>();
    if (!question->answered) {
        return nullptr;
    }
    try {
        m_helper = std::jthread([this, question] { find(*question); });
    } catch (const std::system_error&) {
        return nullptr;
    }
    m_question = question;
    return question;
}

// Runs in the helper.
void Resolver::find(Question& question) {
    question.answer = m_look_up(m_host);
    const std::chrono::nanoseconds kept = question.answer ? k_remember : k_remember_failure;
    question.expires_ns = m_clock.boot_ns() + kept.count();
    question.is_answered.store(true, std::memory_order_release);
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(question.answered.get(), &one, sizeof(one));
}

}  // namespace mt::http
