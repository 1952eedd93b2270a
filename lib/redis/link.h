#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "redis/address.h"
#include "redis/reply.h"

namespace mt::redis {

struct LinkOptions {
    std::string name = "limiter";  ///< in logs, metrics and /readyz
    Address address;
    std::chrono::milliseconds connect_timeout{500};
    std::chrono::milliseconds silence{250};  ///< without any reply while some are awaited: the connection is dead
    int failures = 5;                        ///< late or lost replies in a row, after which Redis counts as away
    std::size_t most_posted = 100'000;       ///< commands that wait to be sent without anybody waiting for them
};

/// ONE connection that carries the commands of many threads at once, pipelined: for decisions that each request waits
/// for. Whatever has come together while the last batch was under way goes out in one send. Made without touching the
/// network; a thread of its own connects, sends, reads, and connects again. While Redis is away (Backend) calls are
/// refused at once. Thread-safe.
class Link {
  public:
    /// `clock` and `log` must outlive the link.
    Link(LinkOptions options, const Clock& clock, Log& log);
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;
    ~Link();

    /// Runs a script and waits for its answer, in a BlockingRegion, at most `budget`. Past it the caller gets
    /// unavailable at once, and a reply that still comes is dropped; the script may then have run. EVALSHA, and EVAL
    /// where Redis answers NOSCRIPT. Errors: as redis::Pool.
    Result<Reply> run(const Call& call, std::chrono::milliseconds budget);

    using Done = std::function<void(Result<Reply>)>;
    /// Begins what run() does without waiting: `done` gets the result, once, on the link's thread; it must neither wait
    /// nor throw. False: there is no connection now, nothing was begun, and run() says why. Whoever begins something
    /// outlives its end.
    bool begin(Call call, std::chrono::milliseconds budget, Done done);

    /// Sends a script without waiting: with the next batch, a millisecond later at most. Errors of it are counted in
    /// the status alone. What cannot be sent because Redis is away, or too much waits already, is dropped and counted.
    void post(Call call);

    [[nodiscard]] BackendStatus status() const;

    struct Counts {
        std::int64_t runs = 0;     ///< scripts waited for
        std::int64_t posts = 0;    ///< scripts not waited for
        std::int64_t batches = 0;  ///< sends
        std::int64_t late = 0;     ///< runs given up for their budget
        std::int64_t dropped = 0;  ///< posts never sent
    };
    [[nodiscard]] Counts counts() const;

  private:
    struct State;
    class Guest;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::redis
