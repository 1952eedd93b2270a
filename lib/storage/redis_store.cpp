#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "base/units.h"
#include "redis/pool.h"
#include "storage/backends.h"
#include "storage/redis_scripts.h"
#include "storage/rules.h"

namespace mt {
namespace {

// Lua counts in doubles: an entry that expires later than this, in 285,000 years, does not.
constexpr std::int64_t k_last_expiry_ms = (std::int64_t{1} << 53) - 1;

// Every key of one life of a tenant. No id holds a brace, so that no tenant's prefix is the start of another's; what
// stands in braces is what a cluster would shard by.
std::string prefix_of(const StoreParams& params) {
    return fmt::format("mtagent:{{{}}}:{}:kv:", params.tenant, params.uid);
}

std::string escaped_glob(std::string_view text) {
    std::string out;
    for (const char byte : text) {
        if (std::string_view("*?[]\\^").find(byte) != std::string_view::npos) {
            out += '\\';
        }
        out += byte;
    }
    return out;
}

Error strange_reply() {
    return Error{Code::failed, "Redis holds entries that this version does not know"};
}

struct Stored {
    std::int64_t version = 0;
    std::int64_t expiry_ms = k_last_expiry_ms;
    std::string_view value{};
};

// "<version>:<expiry or nothing>:<value>"
std::optional<Stored> unpack(std::string_view packed) {
    const std::size_t first = packed.find(':');
    const std::size_t second = first == std::string_view::npos ? first : packed.find(':', first + 1);
    if (second == std::string_view::npos) {
        return std::nullopt;
    }
    Stored stored{.value = packed.substr(second + 1)};
    const Result<std::int64_t> version = parse_integer(packed.substr(0, first));
    const std::string_view expiry = packed.substr(first + 1, second - first - 1);
    const Result<std::int64_t> expiry_ms =
        expiry.empty() ? Result<std::int64_t>(k_last_expiry_ms) : parse_integer(expiry);
    if (!version || !expiry_ms) {
        return std::nullopt;
    }
    stored.version = *version;
    stored.expiry_ms = *expiry_ms;
    return stored;
}

// The tenant's entries in Redis, where each operation is one script. Holds no state of them, so any number of stores
// in any number of processes may stand on one Redis.
class RedisStore final : public Store {
  public:
    explicit RedisStore(const StoreParams& params)
        : m_prefix(prefix_of(params)),
          m_clock(params.clock),
          m_pool(*params.redis),
          m_database(params.redis_database),
          m_max_bytes(params.max_bytes) {}

    Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                             const PutOptions& options) override {
        if (Result<void> valid = check_put(ns, key, options); !valid) {
            return std::move(valid).error();
        }
        const std::int64_t max_bytes = m_max_bytes.load();
        const std::optional<std::int64_t> expiry = expiry_ms(options, m_clock.wall());
        redis::Call call = call_of(RedisScripts::all().put(), ns);
        call.arguments.insert(call.arguments.end(), {std::string(key), std::string(value)});
        call.arguments.push_back(expiry && *expiry < k_last_expiry_ms ? std::to_string(*expiry) : "");
        call.arguments.push_back(options.if_version ? std::to_string(*options.if_version) : "");
        call.arguments.push_back(std::to_string(max_bytes));
        const Result<redis::Reply> reply = m_pool.run(m_database, call);
        if (!reply) {
            return reply.error();
        }
        const std::vector<redis::Reply>& words = reply->list;
        if (words.size() == 2 && words[0].integer == 0) {
            return words[1].integer;
        }
        if (words.size() == 2) {
            return refusal(next_version(replaced(words[1].integer, 0), options));
        }
        if (words.size() == 3) {
            const std::int64_t bytes = entry_bytes(ns, key, value);
            return refusal(
                check_quota(replaced(words[1].integer, words[1].integer), bytes, words[2].integer, max_bytes));
        }
        return strange_reply();
    }

    Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        const redis::Command command{"HGET", values_of(ns), std::string(key)};
        const Result<redis::Reply> reply = m_pool.run(m_database, command);
        if (!reply) {
            return reply.error();
        }
        if (reply->kind == redis::Reply::Kind::nil) {
            return std::optional<Entry>();
        }
        const std::optional<Stored> stored = unpack(reply->text);
        if (!stored) {
            return strange_reply();
        }
        if (stored->expiry_ms <= now_ms()) {
            return std::optional<Entry>();
        }
        return std::optional(Entry{std::string(key), std::string(stored->value), stored->version});
    }

    Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                      std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        const KeyRange range = range_of(prefix, cursor);
        Page page;
        std::string from = "[" + range.first;
        while (!from.empty() && std::ssize(page.entries) <= limit) {  // one more tells whether this is the end
            redis::Call call{.script = &RedisScripts::all().list(), .keys = keys_of(ns)};
            const std::int64_t missing = limit + 1 - std::ssize(page.entries);
            call.arguments = {m_prefix, std::to_string(now_ms()), from, "(" + range.end, std::to_string(missing)};
            Result<std::string> next = list_part(call, page);
            if (!next) {
                return std::move(next).error();
            }
            from = next->empty() ? "" : "(" + *next;
        }
        if (std::ssize(page.entries) > limit) {
            page.entries.resize(static_cast<std::size_t>(limit));
            page.cursor = page.entries.back().key;
        }
        return page;
    }

    Result<Page> list_back(std::string_view ns, std::string_view before, std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        redis::Call call = call_of(RedisScripts::all().list_back(), ns);
        call.arguments.push_back("(" + end_before(before));
        call.arguments.push_back(std::to_string(limit));
        call.arguments.push_back(std::to_string(k_back_page_bytes));
        Page page;
        Result<std::string> next = list_part(call, page);
        if (!next) {
            return std::move(next).error();
        }
        page.cursor = *std::move(next);
        return page;
    }

    Result<bool> erase(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        redis::Call call = call_of(RedisScripts::all().erase(), ns);
        call.arguments.emplace_back(key);
        const Result<redis::Reply> reply = m_pool.run(m_database, call);
        return reply ? Result<bool>(reply->integer == 1) : Result<bool>(reply.error());
    }

    Result<void> clear(std::string_view ns) override {
        if (Result<void> valid = check_namespace(ns); !valid) {
            return valid;
        }
        const Result<redis::Reply> reply = m_pool.run(m_database, call_of(RedisScripts::all().clear(), ns));
        return reply ? Result<void>() : Result<void>(reply.error());
    }

    Result<std::int64_t> bytes_used() override {
        const redis::Call call{.script = &RedisScripts::all().used(),
                               .keys = {m_prefix + "usage", m_prefix + "expiry"},
                               .arguments = {m_prefix, std::to_string(now_ms())}};
        const Result<redis::Reply> reply = m_pool.run(m_database, call);
        return reply ? Result<std::int64_t>(reply->integer) : Result<std::int64_t>(reply.error());
    }

    void set_max_bytes(std::int64_t max_bytes) override { m_max_bytes = max_bytes; }

    [[nodiscard]] bool is_remote() const override { return true; }

  private:
    // What rules.h says of the entry that the script met.
    static std::optional<Replaced> replaced(std::int64_t version, std::int64_t bytes) {
        return version == 0 ? std::nullopt : std::optional(Replaced{version, bytes});
    }
    template <class T>
    static Error refusal(Result<T> judged) {
        return judged ? strange_reply() : std::move(judged).error();
    }

    [[nodiscard]] std::string values_of(std::string_view ns) const { return m_prefix + "v:" + std::string(ns); }
    [[nodiscard]] std::vector<std::string> keys_of(std::string_view ns) const {
        return {m_prefix + "usage", m_prefix + "expiry", m_prefix + "k:" + std::string(ns), values_of(ns)};
    }
    [[nodiscard]] redis::Call call_of(const redis::Script& script, std::string_view ns) const {
        return {&script, keys_of(ns), {m_prefix, std::to_string(now_ms()), std::string(ns)}};
    }

    // Adds what one call of the script finds; the key after which to go on, empty at the end.
    Result<std::string> list_part(const redis::Call& call, Page& page) {
        Result<redis::Reply> reply = m_pool.run(m_database, call);
        if (!reply) {
            return std::move(reply).error();
        }
        std::vector<redis::Reply>& words = reply->list;
        for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
            const std::optional<Stored> stored = unpack(words[i + 1].text);
            if (!stored) {
                return strange_reply();
            }
            page.entries.push_back({std::move(words[i].text), std::string(stored->value), stored->version});
        }
        return words.empty() ? Result<std::string>(strange_reply()) : std::move(words[0].text);
    }

    [[nodiscard]] std::int64_t now_ms() const { return m_clock.wall().time_since_epoch().count(); }

    const std::string m_prefix;
    const Clock& m_clock;
    redis::Pool& m_pool;
    const int m_database;
    std::atomic<std::int64_t> m_max_bytes;
};

Error no_server() {
    return Error{Code::config, "storage_type redis needs REDIS_URL"};
}

}  // namespace

Result<std::unique_ptr<Store>> open_redis_store(const StoreParams& params) {
    if (params.redis == nullptr) {
        return no_server();
    }
    return std::unique_ptr<Store>(std::make_unique<RedisStore>(params));
}

Result<void> erase_redis_store(const StoreParams& params) {
    if (params.redis == nullptr) {
        return no_server();
    }
    const std::string pattern = escaped_glob(prefix_of(params)) + "*";
    std::string cursor = "0";
    do {
        Result<redis::Reply> found =
            params.redis->run(params.redis_database, redis::Command{"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"});
        if (!found) {
            return std::move(found).error();
        }
        if (found->list.size() != 2) {
            return strange_reply();
        }
        cursor = found->list[0].text;
        redis::Command unlink{"UNLINK"};
        for (redis::Reply& key : found->list[1].list) {
            unlink.push_back(std::move(key.text));
        }
        if (unlink.size() > 1) {
            if (Result<redis::Reply> gone = params.redis->run(params.redis_database, unlink); !gone) {
                return std::move(gone).error();
            }
        }
    } while (cursor != "0");
    return {};
}

}  // namespace mt
