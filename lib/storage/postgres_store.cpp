#include <atomic>
#include <utility>

#include "postgres/pool.h"
#include "storage/backends.h"
#include "storage/postgres_life.h"
#include "storage/rules.h"

namespace mt {
namespace {

using postgres::Parameters;
using postgres::Rows;

// What a write's function says besides the outcome of its own.
constexpr std::string_view k_unclaimed = "unclaimed";
constexpr std::string_view k_foreign = "foreign";

// The tenant's entries in a schema of its own. One statement an operation: writes are functions of the schema
// (postgres_life.cpp), reads are guarded by the uid in the statement. Holds no state of the schema but whether its
// version was looked at, so any number of stores, in any number of processes, may stand on one.
class PostgresStore final : public Store {
  public:
    explicit PostgresStore(const StoreParams& params)
        : m_clock(params.clock),
          m_pool(*params.postgres),
          m_life(m_pool, params.tenant, params.uid),
          m_max_bytes(params.max_bytes),
          m_put("SELECT * FROM " + m_life.schema() + ".put($1, $2, $3, $4, $5, $6, $7, $8)"),
          m_erase("SELECT " + m_life.schema() + ".erase($1, $2, $3, $4)"),
          m_clear("SELECT " + m_life.schema() + ".clear($1, $2, $3)"),
          m_get(select("value, version", "kv.key = $4")),
          m_list(select("key, value, version", "kv.key >= $4 AND kv.key < $5 ORDER BY kv.key LIMIT $6")),
          m_list_back(
              "SELECT key, value, version, total FROM (SELECT key, value, version, count(*) OVER () AS total, "
              "sum(bytes) OVER (ORDER BY key DESC) - bytes AS above FROM (" +
              select("key, value, version, kv.bytes", "kv.key < $4 ORDER BY kv.key DESC LIMIT $5") +
              ") AS found) AS summed WHERE above < $6 ORDER BY key DESC"),
          m_bytes_used("SELECT life.bytes - (SELECT coalesce(sum(kv.bytes), 0) FROM " + m_life.schema() +
                       ".kv WHERE kv.expires_at_ms <= $2) FROM " + m_life.schema() + ".life WHERE life.uid = $1") {}

    Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                             const PutOptions& options) override {
        if (Result<void> valid = check_put(ns, key, options); !valid) {
            return std::move(valid).error();
        }
        const WallTime now = m_clock.wall();
        const std::int64_t max_bytes = m_max_bytes.load();
        Parameters parameters = start(now);
        parameters.integer(max_bytes).bytes(ns).bytes(key).bytes(value);
        add(parameters, expiry_ms(options, now));
        add(parameters, options.if_version);
        Result<Rows> rows = write(m_put, parameters, true);
        if (!rows) {
            return std::move(rows).error();
        }
        const std::string outcome = rows->text(0, 0);
        const std::optional<Replaced> old =
            rows->is_null(0, 2) ? std::nullopt : std::optional(Replaced{rows->integer(0, 1), rows->integer(0, 2)});
        if (outcome == "conflict") {
            return next_version(old, options);
        }
        if (outcome == "full") {
            return check_quota(old, entry_bytes(ns, key, value), rows->integer(0, 3), max_bytes).error();
        }
        return rows->integer(0, 1);
    }

    Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        Result<Rows> rows = read(m_get, start(m_clock.wall()).bytes(ns).bytes(key));
        if (!rows) {
            return std::move(rows).error();
        }
        return rows->empty() ? std::nullopt
                             : std::optional(Entry{std::string(key), rows->bytes(0, 0), rows->integer(0, 1)});
    }

    Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                      std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        const KeyRange range = range_of(prefix, cursor);
        Parameters parameters = start(m_clock.wall());
        parameters.bytes(ns).bytes(range.first).bytes(range.end).integer(limit + 1);  // one more tells of the end
        Result<Rows> rows = read(m_list, parameters);
        if (!rows) {
            return std::move(rows).error();
        }
        Page page;
        for (std::size_t row = 0; row < rows->size() && std::ssize(page.entries) < limit; ++row) {
            page.entries.push_back({rows->bytes(row, 0), rows->bytes(row, 1), rows->integer(row, 2)});
        }
        if (std::cmp_greater(rows->size(), limit)) {
            page.cursor = page.entries.back().key;
        }
        return page;
    }

    // What is beyond the bound in bytes does not leave the server; `total` counts it.
    Result<Page> list_back(std::string_view ns, std::string_view before, std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        Parameters parameters = start(m_clock.wall());
        parameters.bytes(ns).bytes(end_before(before)).integer(limit + 1).integer(k_back_page_bytes);
        Result<Rows> rows = read(m_list_back, parameters);
        if (!rows) {
            return std::move(rows).error();
        }
        Page page;
        for (std::size_t row = 0; row < rows->size() && std::ssize(page.entries) < limit; ++row) {
            page.entries.push_back({rows->bytes(row, 0), rows->bytes(row, 1), rows->integer(row, 2)});
        }
        if (!rows->empty() && std::ssize(page.entries) < rows->integer(0, 3)) {
            page.cursor = page.entries.back().key;
        }
        return page;
    }

    Result<bool> erase(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        Result<Rows> rows = write(m_erase, start(m_clock.wall()).bytes(ns).bytes(key), false);
        if (!rows) {
            return std::move(rows).error();
        }
        return rows->text(0, 0) == "erased";
    }

    Result<void> clear(std::string_view ns) override {
        if (Result<void> valid = check_namespace(ns); !valid) {
            return valid;
        }
        Result<Rows> rows = write(m_clear, start(m_clock.wall()).bytes(ns), false);
        return rows ? Result<void>() : Result<void>(std::move(rows).error());
    }

    Result<std::int64_t> bytes_used() override {
        Result<Rows> rows = read(m_bytes_used, start(m_clock.wall()));
        if (!rows) {
            return std::move(rows).error();
        }
        return rows->integer(0, 0);
    }

    void set_max_bytes(std::int64_t max_bytes) override { m_max_bytes = max_bytes; }

    [[nodiscard]] bool is_remote() const override { return true; }

  private:
    // What every statement begins with: $1 the life, $2 the time.
    [[nodiscard]] Parameters start(WallTime now) const {
        return Parameters().text(m_life.uid()).integer(now.time_since_epoch().count());
    }

    static void add(Parameters& parameters, const std::optional<std::int64_t>& value) {
        if (value) {
            parameters.integer(*value);
        } else {
            parameters.null();
        }
    }

    // `life` first: the order in which everybody locks.
    [[nodiscard]] std::string select(const std::string& columns, const std::string& condition) const {
        return "SELECT " + columns + " FROM " + m_life.schema() + ".life CROSS JOIN " + m_life.schema() +
               ".kv WHERE life.uid = $1 AND (kv.expires_at_ms IS NULL OR kv.expires_at_ms > $2) AND kv.ns = $3 AND " +
               condition;
    }

    // Nothing, where there is no schema yet.
    Result<Rows> read(const std::string& sql, const Parameters& parameters) {
        Result<Rows> rows = m_pool.query(sql, parameters);
        if (!rows && rows.error().code == Code::not_found) {
            return Rows();
        }
        return rows;
    }

    // Makes the schema where it is missing, if it is to be (`make`); otherwise there is nothing to change. It may be
    // dropped again at any time by those who erase a life.
    Result<Rows> write(const std::string& sql, const Parameters& parameters, bool make) {
        constexpr int k_attempts = 4;
        for (int attempt = 0; attempt < k_attempts; ++attempt) {
            if (Result<void> prepared = make ? prepare() : Result<void>(); !prepared) {
                return std::move(prepared).error();
            }
            Result<Rows> rows = read(sql, parameters);
            if (!rows) {
                return rows;
            }
            const std::string outcome = rows->text(0, 0);
            if (outcome == k_foreign) {
                return life_is_over();
            }
            const bool missing = rows->empty();
            if (!make || (!missing && outcome != k_unclaimed)) {
                return rows;
            }
            m_prepared = !missing;
            if (Result<void> claimed = missing ? Result<void>() : m_life.claim(); !claimed) {
                return std::move(claimed).error();
            }
        }
        return Error{Code::busy, "what this tenant stores is being removed and made: try again"};
    }

    Result<void> prepare() {
        if (m_prepared) {
            return {};
        }
        Result<void> prepared = m_life.prepare();
        m_prepared = prepared.has_value();
        return prepared;
    }

    const Clock& m_clock;
    postgres::Pool& m_pool;
    PostgresLife m_life;
    std::atomic<std::int64_t> m_max_bytes;
    std::atomic<bool> m_prepared{false};
    const std::string m_put;
    const std::string m_erase;
    const std::string m_clear;
    const std::string m_get;
    const std::string m_list;
    const std::string m_list_back;
    const std::string m_bytes_used;
};

Result<void> check_server(const StoreParams& params) {
    return params.postgres != nullptr ? Result<void>()
                                      : Result<void>(Error{Code::config, "storage_type postgres needs POSTGRES_URL"});
}

}  // namespace

Result<std::unique_ptr<Store>> open_postgres_store(const StoreParams& params) {
    if (Result<void> there = check_server(params); !there) {
        return std::move(there).error();
    }
    return std::unique_ptr<Store>(std::make_unique<PostgresStore>(params));
}

Result<void> erase_postgres_store(const StoreParams& params) {
    Result<void> there = check_server(params);
    return there ? PostgresLife(*params.postgres, params.tenant, params.uid).erase() : std::move(there);
}

}  // namespace mt
