#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "base/blocking.h"
#include "base/context.h"
#include "base/result.h"

namespace mt::http {

/// The waiting of one request within one call: ends at once when its client leaves, ends in time, calls its idle hook,
/// and is a BlockingRegion from its first wait to the end of this object. Belongs to one thread, on its stack.
class Patience {
  public:
    /// `context` must outlive the object. `deadline_ns`: Clock::boot_ns; the context's holds, too.
    Patience(const Context& context, std::int64_t deadline_ns);
    Patience(const Patience&) = delete;
    Patience& operator=(const Patience&) = delete;
    ~Patience();

    /// Waits for `events` of poll(2) on `fd` (-1: for the time alone). False: `until_ns` or the deadline came first.
    /// Errors: client_gone, busy (BlockingRegion::enter).
    Result<bool> wait(int fd, short events, std::int64_t until_ns);
    /// The same until the deadline.
    Result<bool> wait(int fd, short events) { return wait(fd, events, m_deadline_ns); }

    /// Errors: client_gone.
    [[nodiscard]] Result<void> check() const;
    /// The deadline has passed.
    [[nodiscard]] bool late() const;

    [[nodiscard]] std::int64_t deadline_ns() const { return m_deadline_ns; }

  private:
    /// Runs in the thread that stops the request.
    struct Waker {
        int fd;
        void operator()() const noexcept;
    };

    Result<void> begin();
    [[nodiscard]] bool poll_once(int fd, short events, std::int64_t longest_ns) const;

    const Context& m_context;
    std::int64_t m_deadline_ns;
    std::int64_t m_next_idle_ns = 0;  ///< 0: has not waited yet
    int m_wake_fd = -1;               ///< readable once the request was stopped; the thread's
    std::optional<BlockingRegion> m_region{};
    std::optional<std::stop_callback<Waker>> m_waker{};
};

}  // namespace mt::http
