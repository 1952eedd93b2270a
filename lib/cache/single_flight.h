#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"

namespace mt {

/// Computes identical requests of ONE tenant once while they are in flight. Thread-safe.
class SingleFlight {
  public:
    /// Computes the value. The token stops when the last caller waiting for it has left.
    using Compute = std::function<Result<std::string>(std::stop_token)>;

    struct Outcome {
        Result<std::string> value;
        bool shared = false;  ///< true: somebody else's computation delivered the value
    };

    /// `clock` must outlive this; it is what deadlines are told by. `most_waiting`: callers that may wait for others at
    /// the same time, over all keys, as each of them holds a thread; who comes then computes for itself.
    explicit SingleFlight(const Clock& clock, int most_waiting = std::numeric_limits<int>::max());
    SingleFlight(const SingleFlight&) = delete;
    SingleFlight& operator=(const SingleFlight&) = delete;
    ~SingleFlight();

    /// The first caller for `key` computes on its own thread; others wait and share a good value. An error is returned
    /// to its own caller only: one of the waiting callers then computes in turn. After a conflict (the
    /// value is none to share), timeout or busy each of them computes for itself, all at once. A caller whose context's
    /// token fires returns client_gone at once, and timeout when its deadline passes, unless it is the one computing,
    /// which stops when nobody waits any more. The context's idle hook is told while a caller waits.
    Outcome run(std::string_view key, const Context& context, const Compute& compute);

    /// Callers waiting for somebody else's computation of `key` right now.
    [[nodiscard]] int waiting(std::string_view key) const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
