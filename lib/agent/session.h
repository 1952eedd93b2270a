#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model.h"
#include "base/clock.h"
#include "base/result.h"
#include "storage/call_store.h"
#include "storage/store.h"

namespace mt {

/// What a listing of sessions shows.
struct SessionInfo {
    std::string id;
    WallTime created{};
    WallTime updated{};
    std::int64_t turns = 0;
};

struct SessionPage {
    std::vector<SessionInfo> sessions;
    std::string cursor;  ///< empty at the end
};

/// The conversations of ONE tenant, kept in its store, as ONE request works with them: a turn is everything from a
/// question to its answer. Two requests that add to the same session at once both get in, one after the other. A
/// history takes two calls of the store and a new turn three, however long the session is (but 1 MiB of turns a call);
/// together they are bounded as CallStore says. Thread-safe.
class Sessions {
  public:
    /// `store` and `clock` must outlive this.
    Sessions(Store& store, const Clock& clock);

    /// A session id: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', and neither "." nor "..". Errors: invalid.
    static Result<void> check_id(std::string_view id);

    /// The newest messages of whole turns, oldest first, at most `max_messages` and (by estimate_tokens) `max_tokens`,
    /// 0 for no bound; empty for a new session.
    Result<std::vector<Message>> history(std::string_view id, std::int64_t max_messages, std::int64_t max_tokens = 0);

    /// Adds one turn. Errors: storage_full, what the store says.
    Result<void> append(std::string_view id, const std::vector<Message>& turn);

    Result<SessionPage> list(std::string_view cursor, std::int64_t limit);
    /// Errors: not_found.
    Result<SessionInfo> info(std::string_view id);
    /// Erases a session and its turns. Errors: not_found.
    Result<void> erase(std::string_view id);

    /// The store as this request uses it, for what else it does there.
    [[nodiscard]] Store& store() { return m_store; }

  private:
    CallStore m_store;
    const Clock& m_clock;
};

}  // namespace mt
