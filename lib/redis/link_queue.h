#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "redis/protocol.h"

namespace mt::redis {

/// Somebody who waits for the answer of one script. Lives on the caller's stack.
class LinkWaiter {
  public:
    explicit LinkWaiter(const Call& call) : m_call(call) {}

    enum State : std::uint32_t { waiting, answered, lost, late };
    /// Waits until it is answered or lost. False: it took longer than `time`.
    bool wait_for(std::chrono::nanoseconds time, const Clock& clock);
    [[nodiscard]] State state() const { return static_cast<State>(m_word.load(std::memory_order_acquire)); }
    Answer& answer() { return m_answer; }  ///< once answered

  private:
    friend class LinkQueue;

    const Call& m_call;
    Answer m_answer{};
    std::uint64_t m_number = 0;  // guarded by the queue
    std::atomic<std::uint32_t> m_word{waiting};
};

/// Somebody who does not wait but is told. The queue owns it until then.
class LinkGuest : public LinkWaiter {
  public:
    /// `until_ns`: Clock::boot_ns, after which it is told that the answer is late.
    LinkGuest(Call call, std::int64_t until_ns) : LinkWaiter(m_own), m_own(std::move(call)), m_until_ns(until_ns) {}
    LinkGuest(const LinkGuest&) = delete;
    LinkGuest& operator=(const LinkGuest&) = delete;
    virtual ~LinkGuest() = default;

    /// Once, by the sending thread: it is answered, lost or late. Must not wait.
    virtual void ended() = 0;

  private:
    friend class LinkQueue;

    const Call m_own;
    const std::int64_t m_until_ns;
};

/// The commands of a link between callers and the one thread that sends them: encoded ones that wait to be sent, and
/// who waits for which answer, in the order of sending. Knows nothing of sockets. Thread-safe.
class LinkQueue {
  public:
    explicit LinkQueue(std::size_t most_posted) : m_most_posted(most_posted) {}

    /// What the sending thread does, and so who must wake it.
    enum class Thread { working, dozing, asleep };

    /// Both: true when the thread must be woken. The waiter stays where it is until it is answered, lost or withdrawn.
    bool push(LinkWaiter& waiter);
    bool post(Call call);
    /// Takes the guest in, and says whether the thread must be woken; nothing where there is no connection: the guest
    /// is gone.
    std::optional<bool> push(std::unique_ptr<LinkGuest> guest);

    /// The caller gives up: nobody touches the waiter any more. It is late then, unless it is answered or lost already.
    void withdraw(LinkWaiter& waiter);

    /// For the thread: swaps what is to be sent into `out`, which is empty. True when answers are awaited; without any,
    /// the thread is about to be in `idle` state.
    bool take(std::string& out, Thread idle);
    void wake_up();

    /// Gives answers to those who wait, in order. False: more came than were awaited. `errors` gets those of posts.
    bool deliver(std::vector<Answer>& answers, std::vector<std::string>& errors);
    /// There is a connection.
    void open();
    /// The connection is gone: everybody is told, and nothing is left.
    void lose_all();
    /// Tells guests whose time is over.
    void expire(std::int64_t now_ns);

    struct Counts {
        std::int64_t runs = 0;
        std::int64_t posts = 0;
        std::int64_t batches = 0;
        std::int64_t late = 0;
        std::int64_t dropped = 0;
    };
    [[nodiscard]] Counts counts() const;
    void count_dropped();

  private:
    struct Entry {
        LinkWaiter* waiter = nullptr;  // null: nobody waits, or not any more
        std::unique_ptr<LinkGuest> guest{};
        std::unique_ptr<Call> posted{};  // kept to be sent as text
        bool by_text = false;
    };

    // Those to be told once the lock is free.
    struct Told {
        std::vector<std::atomic<std::uint32_t>*> waiting{};
        std::vector<std::unique_ptr<LinkGuest>> guests{};

        static void end(Entry& entry, LinkWaiter::State state, Told& told);
        void tell() const;
    };

    void append(const Call& call, Entry entry);
    void resend(Entry entry);

    const std::size_t m_most_posted;
    mutable std::mutex m_mutex;  // guards everything below
    std::string m_bytes;         // to be sent
    std::deque<Entry> m_entries;
    std::uint64_t m_first = 0;  // number of the first entry
    std::size_t m_unsent = 0;   // entries at the end whose bytes are in m_bytes
    std::size_t m_posted = 0;   // posts among them
    bool m_open = false;
    Thread m_thread = Thread::working;
    Counts m_counts;
};

}  // namespace mt::redis
