#include "agent/session.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

using Json = nlohmann::json;

constexpr std::string_view k_index = "sessions";
constexpr int k_attempts = 1000;

// The index entry of a session. `next` numbers the turns and may skip; `turns` counts them.
struct Head {
    std::int64_t created_ms = 0;
    std::int64_t updated_ms = 0;
    std::int64_t turns = 0;
    std::int64_t next = 0;
};

struct StoredHead {
    Head head;
    std::int64_t version = 0;  ///< 0: not stored yet
};

std::string turns_of(std::string_view id) {
    return fmt::format("session:{}", id);
}

std::string turn_key(std::int64_t number) {
    return fmt::format("{:012}", number);
}

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string encode(const Head& head) {
    return dump(Json{
        {"created_ms", head.created_ms}, {"updated_ms", head.updated_ms}, {"turns", head.turns}, {"next", head.next}});
}

Error damaged(std::string_view id) {
    return Error{Code::failed, fmt::format("session {} is damaged in the store: erase it", quote(id))};
}

Result<Head> decode_head(std::string_view id, const std::string& text) {
    try {
        const Json json = Json::parse(text);
        return Head{json.at("created_ms").get<std::int64_t>(), json.at("updated_ms").get<std::int64_t>(),
                    json.at("turns").get<std::int64_t>(), json.at("next").get<std::int64_t>()};
    } catch (const Json::exception&) {
        return damaged(id);
    }
}

std::string encode(const std::vector<Message>& turn) {
    Json messages = Json::array();
    for (const Message& message : turn) {
        Json calls = Json::array();
        for (const ToolCall& call : message.tool_calls) {
            calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
        }
        messages.push_back({{"role", to_string(message.role)},
                            {"content", message.content},
                            {"tool_calls", std::move(calls)},
                            {"tool_call_id", message.tool_call_id}});
    }
    return dump(messages);
}

Result<std::vector<Message>> decode_turn(std::string_view id, const std::string& text) {
    try {
        std::vector<Message> turn;
        for (const Json& json : Json::parse(text)) {
            Message message;
            const std::optional<Role> role = parse_role(json.at("role").get<std::string>());
            if (!role) {
                return damaged(id);
            }
            message.role = *role;
            message.content = json.at("content").get<std::string>();
            message.tool_call_id = json.at("tool_call_id").get<std::string>();
            for (const Json& call : json.at("tool_calls")) {
                message.tool_calls.push_back({call.at("id").get<std::string>(), call.at("name").get<std::string>(),
                                              call.at("arguments").get<std::string>()});
            }
            turn.push_back(std::move(message));
        }
        return turn;
    } catch (const Json::exception&) {
        return damaged(id);
    }
}

SessionInfo info_of(std::string_view id, const Head& head) {
    return {std::string(id), WallTime{std::chrono::milliseconds{head.created_ms}},
            WallTime{std::chrono::milliseconds{head.updated_ms}}, head.turns};
}

Result<StoredHead> load_head(Store& store, std::string_view id) {
    const Result<std::optional<Entry>> entry = store.get(k_index, id);
    if (!entry) {
        return entry.error();
    }
    if (!*entry) {
        return StoredHead{};
    }
    const Result<Head> head = decode_head(id, (*entry)->value);
    if (!head) {
        return head.error();
    }
    return StoredHead{*head, (*entry)->version};
}

Error crowded(std::string_view id) {
    return Error{Code::busy, fmt::format("session {} is written to by too many requests at once", quote(id))};
}

// A turn that is stored, and the index entry as it was read before.
struct PlacedTurn {
    std::int64_t number = 0;
    StoredHead stored{};
};

// Puts the turn at the first free number. Whoever takes a number first has it.
Result<PlacedTurn> put_turn(Store& store, std::string_view id, const std::string& turn) {
    std::int64_t number = 0;
    for (int attempt = 0; attempt < k_attempts; ++attempt, ++number) {
        const Result<StoredHead> stored = load_head(store, id);
        if (!stored) {
            return stored.error();
        }
        number = std::max(number, stored->head.next);
        const Result<std::int64_t> put = store.put(turns_of(id), turn_key(number), turn, {.if_version = 0});
        if (put) {
            return PlacedTurn{number, *stored};
        }
        if (put.error().code != Code::conflict) {
            return put.error();
        }
    }
    return crowded(id);
}

// Counts the turn in the index entry, over whatever others have made of the entry meanwhile.
Result<void> count_turn(Store& store, std::string_view id, PlacedTurn turn, std::int64_t now_ms) {
    for (int attempt = 0; attempt < k_attempts; ++attempt) {
        Head& head = turn.stored.head;
        head.created_ms = turn.stored.version == 0 ? now_ms : head.created_ms;
        head.updated_ms = std::max(head.updated_ms, now_ms);
        head.next = std::max(head.next, turn.number + 1);
        ++head.turns;
        const Result<std::int64_t> put = store.put(k_index, id, encode(head), {.if_version = turn.stored.version});
        if (put) {
            return {};
        }
        if (put.error().code != Code::conflict) {
            return put.error();
        }
        Result<StoredHead> stored = load_head(store, id);
        if (!stored) {
            return std::move(stored).error();
        }
        turn.stored = *stored;
    }
    return crowded(id);
}

// The newest turns as long as they fit, one after the other, newest first.
class NewestTurns {
  public:
    NewestTurns(std::int64_t max_messages, std::int64_t max_tokens)
        : m_max_messages(max_messages), m_max_tokens(max_tokens) {}

    /// False when it does not fit: then no older one does, either.
    bool add(std::vector<Message> turn) {
        m_messages += std::ssize(turn);
        m_tokens += estimate_tokens(std::span<const Message>(turn));
        if (m_messages > m_max_messages || (m_max_tokens > 0 && m_tokens > m_max_tokens)) {
            return false;
        }
        m_turns.push_back(std::move(turn));
        return true;
    }

    /// Their messages, oldest first.
    std::vector<Message> take() {
        std::vector<Message> messages;
        std::reverse(m_turns.begin(), m_turns.end());
        for (std::vector<Message>& turn : m_turns) {
            std::move(turn.begin(), turn.end(), std::back_inserter(messages));
        }
        return messages;
    }

  private:
    std::int64_t m_max_messages;
    std::int64_t m_max_tokens;
    std::int64_t m_messages = 0;
    std::int64_t m_tokens = 0;
    std::vector<std::vector<Message>> m_turns{};
};

}  // namespace

Sessions::Sessions(Store& store, const Clock& clock) : m_store(store, clock), m_clock(clock) {}

Result<void> Sessions::check_id(std::string_view id) {
    constexpr std::string_view k_allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (id.empty() || id.size() > 64 || id.find_first_not_of(k_allowed) != std::string_view::npos) {
        return Error{Code::invalid,
                     fmt::format("{} is no session id: use 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'", quote(id))};
    }
    if (id == "." || id == "..") {
        return Error{Code::invalid, "'.' and '..' are no session ids: clients take them for folders of an address"};
    }
    return {};
}

Result<std::vector<Message>> Sessions::history(std::string_view id, std::int64_t max_messages,
                                               std::int64_t max_tokens) {
    if (const Result<void> good = check_id(id); !good) {
        return good.error();
    }
    const Result<StoredHead> stored = load_head(m_store, id);
    if (!stored) {
        return stored.error();
    }
    // A turn has a question and an answer at least, as a rule: so one page is enough, but for turns of single messages
    // and for many bytes. What is not counted yet comes at `next` or later.
    constexpr std::int64_t k_largest_page = 1000;
    const std::int64_t page_size = std::clamp<std::int64_t>(max_messages / 2 + 1, 1, k_largest_page);
    NewestTurns turns(max_messages, max_tokens);
    std::string before = stored->head.next > 0 && max_messages > 0 ? turn_key(stored->head.next) : "";
    while (!before.empty()) {
        const Result<Page> page = m_store.list_back(turns_of(id), before, page_size);
        if (!page) {
            return page.error();
        }
        for (const Entry& entry : page->entries) {
            Result<std::vector<Message>> turn = decode_turn(id, entry.value);
            if (!turn) {
                return turn.error();
            }
            if (!turns.add(std::move(*turn))) {
                return turns.take();
            }
        }
        before = page->cursor;
    }
    return turns.take();
}

Result<void> Sessions::append(std::string_view id, const std::vector<Message>& turn) {
    if (const Result<void> good = check_id(id); !good) {
        return good.error();
    }
    const Result<PlacedTurn> placed = put_turn(m_store, id, encode(turn));
    if (!placed) {
        return placed.error();
    }
    const Result<void> counted = count_turn(m_store, id, *placed, m_clock.wall().time_since_epoch().count());
    if (!counted) {
        // A turn that is not counted must not show up later; the first failure is what the caller is told.
        (void)m_store.erase(turns_of(id), turn_key(placed->number));
        return counted.error();
    }
    return {};
}

Result<SessionPage> Sessions::list(std::string_view cursor, std::int64_t limit) {
    const Result<Page> page = m_store.list(k_index, "", cursor, limit);
    if (!page) {
        return page.error();
    }
    SessionPage sessions{{}, page->cursor};
    for (const Entry& entry : page->entries) {
        const Result<Head> head = decode_head(entry.key, entry.value);
        if (!head) {
            return head.error();
        }
        sessions.sessions.push_back(info_of(entry.key, *head));
    }
    return sessions;
}

Result<SessionInfo> Sessions::info(std::string_view id) {
    if (const Result<void> good = check_id(id); !good) {
        return good.error();
    }
    const Result<StoredHead> stored = load_head(m_store, id);
    if (!stored) {
        return stored.error();
    }
    if (stored->version == 0) {
        return Error{Code::not_found, fmt::format("there is no session {}", quote(id))};
    }
    return info_of(id, stored->head);
}

Result<void> Sessions::erase(std::string_view id) {
    if (const Result<void> good = check_id(id); !good) {
        return good.error();
    }
    const Result<std::optional<Entry>> entry = m_store.get(k_index, id);
    if (!entry) {
        return entry.error();
    }
    if (!*entry) {
        return Error{Code::not_found, fmt::format("there is no session {}", quote(id))};
    }
    // The index entry goes after the turns, so that a stop in between leaves a session that can be erased again; the
    // second clearing takes a turn that came in between.
    Result<void> cleared = m_store.clear(turns_of(id));
    if (!cleared) {
        return cleared;
    }
    if (const Result<bool> erased = m_store.erase(k_index, id); !erased) {
        return erased.error();
    }
    return m_store.clear(turns_of(id));
}

}  // namespace mt
