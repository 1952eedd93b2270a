#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <utility>

#include "sqlite/tenant_files.h"
#include "storage/backends.h"
#include "storage/rules.h"

namespace mt {
namespace {

// Blobs compare by memcmp and hold NUL bytes. `bytes` stands in the index of expiries so that what has expired, but is
// still there, is summed up without touching the rows. kv_usage counts every row that is there.
constexpr std::array<std::string_view, 1> k_steps{R"(
CREATE TABLE kv(
    ns BLOB NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    expires_at_ms INTEGER,
    bytes INTEGER NOT NULL CHECK(bytes = length(ns) + length(key) + length(value)),
    PRIMARY KEY(ns, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kv_expiry ON kv(expires_at_ms, bytes) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE kv_usage(id INTEGER PRIMARY KEY CHECK(id = 1), bytes INTEGER NOT NULL) STRICT;
INSERT INTO kv_usage VALUES(1, 0);
)"};
constexpr SchemaPart k_part{"store", k_steps};

// A write sweeps away at most this many expired entries: enough to keep up, few enough to delay nobody.
constexpr int k_sweep = 256;

void add_usage(Database& database, std::int64_t bytes) {
    database.query("UPDATE kv_usage SET bytes = bytes + ?").bind(1, bytes).execute();
}

// One statement and so one snapshot, whoever writes meanwhile.
std::int64_t live_bytes(Database& database, std::int64_t now_ms) {
    Query query = database.query(
        "SELECT (SELECT bytes FROM kv_usage) - coalesce(sum(bytes), 0) FROM kv WHERE expires_at_ms <= ?");
    query.bind(1, now_ms).step();
    return query.integer(0);
}

void sweep(Database& database, std::int64_t now_ms) {
    std::int64_t freed = 0;
    {
        Query query = database.query(
            "DELETE FROM kv WHERE (ns, key) IN (SELECT ns, key FROM kv WHERE expires_at_ms <= ? LIMIT ?) "
            "RETURNING bytes");
        query.bind(1, now_ms).bind(2, std::int64_t{k_sweep});
        while (query.step()) {
            freed += query.integer(0);
        }
    }
    if (freed > 0) {
        add_usage(database, -freed);
    }
}

// Removes a row whether or not it has expired; true when it was still to be seen. The expiry is judged here because
// SQLite 3.40 answers `expires_at_ms IS NULL` wrongly in RETURNING.
bool remove(Database& database, std::string_view ns, std::string_view key, std::int64_t now_ms) {
    std::int64_t bytes = 0;
    bool seen = false;
    {
        Query query = database.query("DELETE FROM kv WHERE ns = ? AND key = ? RETURNING bytes, expires_at_ms");
        if (!query.bind_blob(1, ns).bind_blob(2, key).step()) {
            return false;
        }
        bytes = query.integer(0);
        seen = query.is_null(1) || query.integer(1) > now_ms;
    }
    add_usage(database, -bytes);
    return seen;
}

std::optional<Replaced> replaced(Database& database, std::string_view ns, std::string_view key, std::int64_t now_ms) {
    Query query = database.query(
        "SELECT version, bytes FROM kv WHERE ns = ? AND key = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)");
    if (!query.bind_blob(1, ns).bind_blob(2, key).bind(3, now_ms).step()) {
        return std::nullopt;
    }
    return Replaced{query.integer(0), query.integer(1)};
}

// The tenant's entries in its own file. TenantFiles lets one thread at a time use it and owns the connection; this
// class holds no state of the file, so any number of stores may stand on one.
class SqliteStore final : public Store {
  public:
    explicit SqliteStore(const StoreParams& params)
        : m_tenant(params.tenant), m_clock(params.clock), m_files(params.files) {
        apply_max_bytes(params.max_bytes);
    }

    Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                             const PutOptions& options) override {
        if (Result<void> valid = check_put(ns, key, options); !valid) {
            return std::move(valid).error();
        }
        std::int64_t version = 0;
        Result<void> done = write([&](Database& database, WallTime now) -> Result<void> {
            const std::int64_t now_ms = now.time_since_epoch().count();
            const std::int64_t bytes = entry_bytes(ns, key, value);
            const std::optional<Replaced> old = replaced(database, ns, key, now_ms);
            Result<std::int64_t> next = next_version(old, options);
            if (!next) {
                return std::move(next).error();
            }
            const std::int64_t used = live_bytes(database, now_ms);
            if (Result<void> fits = check_quota(old, bytes, used, m_max_bytes.load()); !fits) {
                return fits;
            }
            remove(database, ns, key, now_ms);
            Query query = database.query("INSERT INTO kv VALUES(?, ?, ?, ?, ?, ?)");
            query.bind_blob(1, ns).bind_blob(2, key).bind_blob(3, value).bind(4, *next).bind(6, bytes);
            if (const std::optional<std::int64_t> expiry = expiry_ms(options, now)) {
                query.bind(5, *expiry);
            }
            query.execute();
            add_usage(database, bytes);
            version = *next;
            return {};
        });
        if (!done) {
            return std::move(done).error();
        }
        return version;
    }

    Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        std::optional<Entry> entry;
        Result<void> done = m_files.read(m_tenant, k_part, [&](Database& database) -> Result<void> {
            Query query = database.query(
                "SELECT value, version FROM kv "
                "WHERE ns = ? AND key = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)");
            if (query.bind_blob(1, ns).bind_blob(2, key).bind(3, now_ms()).step()) {
                entry = Entry{std::string(key), query.text(0), query.integer(1)};
            }
            return {};
        });
        if (!done) {
            return std::move(done).error();
        }
        return entry;
    }

    Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                      std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        const KeyRange range = range_of(prefix, cursor);
        Page page;
        Result<void> done = m_files.read(m_tenant, k_part, [&](Database& database) -> Result<void> {
            Query query = database.query(
                "SELECT key, value, version FROM kv WHERE ns = ? AND key >= ? AND key < ? "
                "AND (expires_at_ms IS NULL OR expires_at_ms > ?) ORDER BY key LIMIT ?");
            query.bind_blob(1, ns).bind_blob(2, range.first).bind_blob(3, range.end).bind(4, now_ms());
            query.bind(5, limit + 1);  // one more tells whether this is the end
            while (query.step() && page.cursor.empty()) {
                if (std::ssize(page.entries) == limit) {
                    page.cursor = page.entries.back().key;
                } else {
                    page.entries.push_back({query.text(0), query.text(1), query.integer(2)});
                }
            }
            return {};
        });
        if (!done) {
            return std::move(done).error();
        }
        return page;
    }

    Result<Page> list_back(std::string_view ns, std::string_view before, std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        BackPage page(limit);
        Result<void> done = m_files.read(m_tenant, k_part, [&](Database& database) -> Result<void> {
            Query query = database.query(
                "SELECT key, value, version, bytes FROM kv WHERE ns = ? AND key < ? "
                "AND (expires_at_ms IS NULL OR expires_at_ms > ?) ORDER BY key DESC");
            query.bind_blob(1, ns).bind_blob(2, end_before(before)).bind(3, now_ms());
            while (query.step() && page.add({query.text(0), query.text(1), query.integer(2)}, query.integer(3))) {
            }
            return {};
        });
        if (!done) {
            return std::move(done).error();
        }
        return page.take();
    }

    Result<bool> erase(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        bool erased = false;
        Result<void> done = write([&](Database& database, WallTime now) -> Result<void> {
            erased = remove(database, ns, key, now.time_since_epoch().count());
            return {};
        });
        if (!done) {
            return std::move(done).error();
        }
        return erased;
    }

    Result<void> clear(std::string_view ns) override {
        if (Result<void> valid = check_namespace(ns); !valid) {
            return valid;
        }
        return write([&](Database& database, WallTime) -> Result<void> {
            std::int64_t freed = 0;
            {
                Query query = database.query("SELECT coalesce(sum(bytes), 0) FROM kv WHERE ns = ?");
                query.bind_blob(1, ns).step();
                freed = query.integer(0);
            }
            database.query("DELETE FROM kv WHERE ns = ?").bind_blob(1, ns).execute();
            add_usage(database, -freed);
            return {};
        });
    }

    Result<std::int64_t> bytes_used() override {
        std::int64_t used = 0;
        Result<void> done = m_files.read(m_tenant, k_part, [&](Database& database) -> Result<void> {
            used = live_bytes(database, now_ms());
            return {};
        });
        if (!done) {
            return std::move(done).error();
        }
        return used;
    }

    void set_max_bytes(std::int64_t max_bytes) override { apply_max_bytes(max_bytes); }

  private:
    using Work = std::function<Result<void>(Database&, WallTime)>;

    // Runs `work` in a transaction that sweeps first, at one time for both.
    Result<void> write(const Work& work) {
        return m_files.write(m_tenant, k_part, [&](Database& database) -> Result<void> {
            const WallTime now = m_clock.wall();
            sweep(database, now.time_since_epoch().count());
            return work(database, now);
        });
    }

    void apply_max_bytes(std::int64_t max_bytes) {
        constexpr std::int64_t k_spare = 64LL * 1024 * 1024;
        constexpr std::int64_t k_most = (std::numeric_limits<std::int64_t>::max() - k_spare) / 2;
        m_max_bytes = max_bytes;
        m_files.set_max_bytes(m_tenant, 2 * std::clamp<std::int64_t>(max_bytes, 0, k_most) + k_spare);
    }

    [[nodiscard]] std::int64_t now_ms() const { return m_clock.wall().time_since_epoch().count(); }

    const std::string m_tenant;
    const Clock& m_clock;
    TenantFiles& m_files;
    std::atomic<std::int64_t> m_max_bytes{0};
};

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const StoreParams& params) {
    return std::unique_ptr<Store>(std::make_unique<SqliteStore>(params));
}

}  // namespace mt
