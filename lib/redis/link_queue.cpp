#include "redis/link_queue.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>
#include <utility>

namespace mt::redis {
namespace {

// NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast, cppcoreguidelines-pro-type-vararg): futex(2)
// False: the time is over.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value, std::chrono::nanoseconds time) {
    const timespec relative{.tv_sec = static_cast<std::time_t>(time.count() / 1'000'000'000),
                            .tv_nsec = static_cast<long>(time.count() % 1'000'000'000)};
    std::uint32_t* place = reinterpret_cast<std::uint32_t*>(&word);
    return syscall(SYS_futex, place, FUTEX_WAIT_PRIVATE, value, &relative, nullptr, 0) == 0 || errno != ETIMEDOUT;
}

// The word may be gone by now: a wake-up for an address where nobody waits does nothing, and whoever waits for
// something else there looks again.
void futex_wake(std::atomic<std::uint32_t>* word) {
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}
// NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast, cppcoreguidelines-pro-type-vararg)

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

}  // namespace

bool LinkWaiter::wait_for(std::chrono::nanoseconds time, const Clock& clock) {
    const std::int64_t until_ns = clock.boot_ns() + time.count();
    bool in_time = true;
    for (std::int64_t left_ns = time.count(); state() == waiting; left_ns = until_ns - clock.boot_ns()) {
        if (!in_time || left_ns <= 0) {
            return false;
        }
        in_time = futex_wait(m_word, waiting, std::chrono::nanoseconds{left_ns});
    }
    return true;
}

bool LinkQueue::push(LinkWaiter& waiter) {
    const std::lock_guard lock(m_mutex);
    ++m_counts.runs;
    append(waiter.m_call, Entry{.waiter = &waiter});
    const bool idle = m_thread != Thread::working;
    m_thread = Thread::working;
    return idle;
}

bool LinkQueue::post(Call call) {
    auto posted = std::make_unique<Call>(std::move(call));
    const std::lock_guard lock(m_mutex);
    if (m_posted >= m_most_posted) {
        ++m_counts.dropped;
        return false;
    }
    ++m_counts.posts;
    ++m_posted;
    const Call& kept = *posted;
    append(kept, Entry{.posted = std::move(posted)});
    const bool asleep = m_thread == Thread::asleep;
    if (asleep) {
        m_thread = Thread::working;
    }
    return asleep;
}

std::optional<bool> LinkQueue::push(std::unique_ptr<LinkGuest> guest) {
    const std::lock_guard lock(m_mutex);
    if (!m_open) {
        return std::nullopt;
    }
    ++m_counts.runs;
    LinkWaiter* const waiter = guest.get();
    append(waiter->m_call, Entry{.waiter = waiter, .guest = std::move(guest)});
    return std::exchange(m_thread, Thread::working) != Thread::working;
}

void LinkQueue::withdraw(LinkWaiter& waiter) {
    const std::lock_guard lock(m_mutex);
    if (waiter.state() != LinkWaiter::waiting) {
        return;
    }
    m_entries[waiter.m_number - m_first].waiter = nullptr;
    waiter.m_word.store(LinkWaiter::late, std::memory_order_relaxed);
    ++m_counts.late;
}

bool LinkQueue::take(std::string& out, Thread idle) {
    const std::lock_guard lock(m_mutex);
    out.swap(m_bytes);
    m_unsent = 0;
    m_posted = 0;
    m_counts.batches += out.empty() ? 0 : 1;
    m_thread = m_entries.empty() ? idle : Thread::working;
    return !m_entries.empty();
}

void LinkQueue::wake_up() {
    const std::lock_guard lock(m_mutex);
    m_thread = Thread::working;
}

bool LinkQueue::deliver(std::vector<Answer>& answers, std::vector<std::string>& errors) {
    Told told;
    bool expected = true;
    {
        const std::lock_guard lock(m_mutex);
        for (Answer& answer : answers) {
            if (m_entries.size() == m_unsent) {
                expected = false;
                break;
            }
            Entry entry = std::move(m_entries.front());
            m_entries.pop_front();
            ++m_first;
            if (!entry.by_text && answer.error && meaning_of(*answer.error) == Meaning::unknown_sha) {
                resend(std::move(entry));
            } else if (entry.waiter != nullptr) {
                entry.waiter->m_answer = std::move(answer);
                Told::end(entry, LinkWaiter::answered, told);
            } else if (answer.error && entry.posted != nullptr) {
                errors.push_back(std::move(*answer.error));
            }
        }
    }
    told.tell();
    return expected;
}

void LinkQueue::open() {
    const std::lock_guard lock(m_mutex);
    m_open = true;
}

void LinkQueue::lose_all() {
    Told told;
    {
        const std::lock_guard lock(m_mutex);
        m_open = false;
        for (Entry& entry : m_entries) {
            m_counts.dropped += entry.posted != nullptr ? 1 : 0;
            if (entry.waiter != nullptr) {
                Told::end(entry, LinkWaiter::lost, told);
            }
        }
        m_first += m_entries.size();
        m_entries.clear();
        m_bytes.clear();
        m_unsent = 0;
        m_posted = 0;
    }
    told.tell();
}

// Guests have the same time to wait, and so end in the order in which they came.
void LinkQueue::expire(std::int64_t now_ns) {
    Told told;
    {
        const std::lock_guard lock(m_mutex);
        for (Entry& entry : m_entries) {
            if (entry.guest != nullptr && entry.guest->m_until_ns > now_ns) {
                break;
            }
            if (entry.guest != nullptr) {
                ++m_counts.late;
                Told::end(entry, LinkWaiter::late, told);
            }
        }
    }
    told.tell();
}

void LinkQueue::Told::end(Entry& entry, LinkWaiter::State state, Told& told) {
    LinkWaiter& waiter = *std::exchange(entry.waiter, nullptr);
    if (entry.guest != nullptr) {
        waiter.m_word.store(state, std::memory_order_relaxed);
        told.guests.push_back(std::move(entry.guest));
        return;
    }
    told.waiting.push_back(&waiter.m_word);
    waiter.m_word.store(state, std::memory_order_release);  // its last touch: whoever waited may be gone
}

void LinkQueue::Told::tell() const {
    for (std::atomic<std::uint32_t>* word : waiting) {
        futex_wake(word);
    }
    for (const std::unique_ptr<LinkGuest>& guest : guests) {
        guest->ended();
    }
}

LinkQueue::Counts LinkQueue::counts() const {
    const std::lock_guard lock(m_mutex);
    return m_counts;
}

void LinkQueue::count_dropped() {
    const std::lock_guard lock(m_mutex);
    ++m_counts.dropped;
}

void LinkQueue::append(const Call& call, Entry entry) {
    encode(m_bytes, call, entry.by_text);
    if (entry.waiter != nullptr) {
        entry.waiter->m_number = m_first + m_entries.size();
    }
    m_entries.push_back(std::move(entry));
    ++m_unsent;
}

// What nobody waits for any more is not sent again.
void LinkQueue::resend(Entry entry) {
    if (entry.waiter == nullptr && entry.posted == nullptr) {
        return;
    }
    entry.by_text = true;
    const Call& call = entry.posted != nullptr ? *entry.posted : entry.waiter->m_call;
    append(call, std::move(entry));
}

}  // namespace mt::redis
