#include "http/upstream_wait.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/clock.h"
#include "http/fd.h"

namespace mt::http {
namespace {

constexpr std::int64_t k_ns_per_ms = 1'000'000;

// One per thread, which waits for one thing at a time: making one per wait would cost three calls.
int wake_fd_of_thread() {
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
    thread_local UniqueFd t_wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    return t_wake.get();
}

Error client_gone() {
    return Error{Code::client_gone, "the client left before the answer"};
}

}  // namespace

void Patience::Waker::operator()() const noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof(one));
}

Patience::Patience(const Context& context, std::int64_t deadline_ns)
    : m_context(context), m_deadline_ns(std::min(deadline_ns, context.deadline_ns)) {}

Patience::~Patience() {
    m_waker.reset();  // from here on nobody writes
    if (m_wake_fd >= 0 && m_context.cancelled()) {
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = read(m_wake_fd, &count, sizeof(count));
    }
}

Result<void> Patience::check() const {
    return m_context.cancelled() ? Result<void>(client_gone()) : Result<void>();
}

bool Patience::late() const {
    return SystemClock{}.boot_ns() >= m_deadline_ns;
}

Result<void> Patience::begin() {
    Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region) {
        return std::move(region).error();
    }
    m_region.emplace(std::move(*region));
    m_next_idle_ns = SystemClock{}.boot_ns() + Context::k_idle_interval_ns;
    if (m_context.stop.stop_possible()) {
        m_wake_fd = wake_fd_of_thread();
        if (m_wake_fd >= 0) {
            m_waker.emplace(m_context.stop, Waker{m_wake_fd});
        }
    }
    return {};
}

Result<bool> Patience::wait(int fd, short events, std::int64_t until_ns) {
    if (!m_region) {
        if (Result<void> begun = begin(); !begun) {
            return std::move(begun).error();
        }
    }
    until_ns = std::min(until_ns, m_deadline_ns);
    for (;;) {
        const std::int64_t now_ns = SystemClock{}.boot_ns();
        if (m_context.idle != nullptr && now_ns >= m_next_idle_ns) {
            m_context.idle->on_idle();
            m_next_idle_ns = now_ns + Context::k_idle_interval_ns;
        }
        if (m_context.cancelled()) {
            return client_gone();
        }
        const std::int64_t wake_ns = m_context.idle != nullptr ? std::min(until_ns, m_next_idle_ns) : until_ns;
        const bool ready = poll_once(fd, events, std::max<std::int64_t>(wake_ns - now_ns, 0));
        if (ready || now_ns >= until_ns) {
            return ready;
        }
    }
}

bool Patience::poll_once(int fd, short events, std::int64_t longest_ns) const {
    constexpr std::int64_t k_longest_ns = 60'000 * k_ns_per_ms;
    constexpr std::int64_t k_slice_ns = 5 * k_ns_per_ms;  // without a descriptor to wake by
    const bool blind = m_wake_fd < 0 && m_context.stop.stop_possible();
    const std::int64_t time_ns = std::min(longest_ns, blind ? k_slice_ns : k_longest_ns);
    std::array<pollfd, 2> waiting{{{fd, events, 0}, {m_wake_fd, POLLIN, 0}}};
    poll(waiting.data(), waiting.size(), static_cast<int>((time_ns + k_ns_per_ms - 1) / k_ns_per_ms));
    return waiting[0].revents != 0;
}

}  // namespace mt::http
