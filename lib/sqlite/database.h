#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace SQLite {  // NOLINT(readability-identifier-naming): SQLiteCpp's own
class Statement;
}  // namespace SQLite

namespace mt {

/// How to open a database file.
struct OpenOptions {
    bool create = false;           ///< make the file (0600) when it is missing
    bool full_sync = false;        ///< synchronous=FULL instead of NORMAL
    bool checkpoint = true;        ///< false: never move the WAL into the file (a server owns it)
    int page_size = 4096;          ///< bytes, for a new file
    std::int64_t cache_kib = 256;  ///< page cache
    std::int64_t max_bytes = 0;    ///< hard bound of the file by max_page_count, 0: none
};

/// A statement of a Database, to be bound from 1 and stepped. Resets itself at the end of its life. It throws
/// SQLite::Exception: use it inside Database::run only.
class Query {
  public:
    explicit Query(SQLite::Statement& statement) : m_statement(&statement) {}
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;
    ~Query();

    Query& bind(int index, std::int64_t value);
    Query& bind(int index, std::string_view value);       ///< as TEXT
    Query& bind_blob(int index, std::string_view value);  ///< as BLOB
    Query& bind_null(int index);

    /// True while there is a row.
    bool step();
    /// Runs a statement that returns no row; the number of changed rows.
    int execute();

    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] std::string text(int column) const;  ///< TEXT or BLOB, any bytes
    [[nodiscard]] bool is_null(int column) const;

  private:
    SQLite::Statement* m_statement;
};

/// One step of a schema: the SQL that leads from version N to N + 1.
struct SchemaPart {
    std::string_view name;  ///< "registry", "config", "store", "stats"
    std::span<const std::string_view> steps;
};

/// One connection with its prepared statements. Not thread-safe: whoever owns it serialises. Opened with busy_timeout
/// first, then WAL, foreign_keys=ON, trusted_schema=OFF (DESIGN section 2).
class Database {
  public:
    /// Errors: not_found (no file and !create), unavailable (permissions, not a folder), storage_full, failed (not a
    /// database, damaged).
    static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path, const OpenOptions& options);

    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    ~Database();

    /// Brings a part of the schema to the newest version, in one transaction. Errors: version_mismatch when the file
    /// was written by a newer program (nothing is changed).
    Result<void> migrate(const SchemaPart& part);

    /// Runs `work`, turning SQLite's exceptions into errors: busy, storage_full, unavailable, failed.
    Result<void> run(const std::function<Result<void>()>& work);

    /// The same with all reads from one moment.
    Result<void> snapshot(const std::function<Result<void>()>& work);

    /// The same as run() inside BEGIN IMMEDIATE ... COMMIT; rolled back when `work` fails.
    Result<void> transaction(const std::function<Result<void>()>& work);

    /// The prepared statement for `sql`, kept for the next time. Inside run() only: it throws.
    Query query(std::string_view sql);

    /// Executes SQL text with any number of statements. Inside run() only.
    void execute(const std::string& sql);

    /// PRAGMA integrity_check: "ok", or what is damaged.
    Result<std::string> integrity();

    [[nodiscard]] const std::filesystem::path& path() const { return m_path; }

  private:
    explicit Database(std::filesystem::path path);

    struct Handle;
    std::filesystem::path m_path;
    std::unique_ptr<Handle> m_handle;
};

}  // namespace mt
