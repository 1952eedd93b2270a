#include "app/signals.h"

#include <algorithm>
#include <cstdint>
#include <ctime>

#include "base/clock.h"

namespace mt::app {

Signals::Signals() {
    std::signal(SIGPIPE, SIG_IGN);  // a log reader that goes away must not end the service
    sigemptyset(&m_ending);
    sigaddset(&m_ending, SIGTERM);
    sigaddset(&m_ending, SIGINT);
    m_all = m_ending;
    sigaddset(&m_all, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &m_all, nullptr);
}

int Signals::wait() const {
    int number = 0;
    sigwait(&m_all, &number);
    return number;
}

void Signals::let_end() const {
    pthread_sigmask(SIG_UNBLOCK, &m_ending, nullptr);
}

void Signals::pause(std::chrono::milliseconds duration) const {
    constexpr std::int64_t k_second_ns = 1'000'000'000;
    const SystemClock clock;
    const std::int64_t end_ns = clock.boot_ns() + std::chrono::nanoseconds(duration).count();
    sigset_t reload{};
    sigemptyset(&reload);
    sigaddset(&reload, SIGHUP);
    // A SIGHUP, or a stop and continue of the process, ends one wait; the rest of the time is waited for again.
    for (std::int64_t left_ns = end_ns - clock.boot_ns(); left_ns > 0; left_ns = end_ns - clock.boot_ns()) {
        const timespec rest{left_ns / k_second_ns, left_ns % k_second_ns};
        sigtimedwait(&reload, nullptr, &rest);
    }
}

}  // namespace mt::app
