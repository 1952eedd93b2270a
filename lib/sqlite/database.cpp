#include "sqlite/database.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/blocking.h"

namespace mt {
namespace {

// Long enough for a checkpoint or an integrity check of another connection, short enough to answer `busy`.
constexpr int k_busy_timeout_ms = 5000;

Error to_error(const SQLite::Exception& exception, const std::filesystem::path& path) {
    const std::string where = path.filename().string();
    switch (exception.getErrorCode() & 0xFF) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return {Code::busy, fmt::format("{} is locked by another process: try again", where)};
        case SQLITE_FULL:
            return {Code::storage_full, fmt::format("{}: the disk or the file's quota is full", where)};
        case SQLITE_CANTOPEN:
        case SQLITE_READONLY:
        case SQLITE_IOERR:
        case SQLITE_PERM:
            return {Code::unavailable, fmt::format("{}: {}", path.string(), exception.what())};
        default:
            return {Code::failed, fmt::format("{}: {}", path.string(), exception.what())};
    }
}

// Makes the file with 0600 before SQLite opens it: SQLite gives -wal and -shm the mode of the database.
Result<void> create_file(const std::filesystem::path& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0) {
        const Code code = errno == ENOSPC || errno == EDQUOT ? Code::storage_full : Code::unavailable;
        return Error{code, fmt::format("cannot create {}: {}", path.string(), std::generic_category().message(errno))};
    }
    ::close(fd);
    return {};
}

// Called by SQLite when somebody else holds a lock that it needs, for the `tries`th time: 1 to try again. This is where
// a thread begins to wait, so this is where another one takes its place.
int wait_for_lock(void* /*unused*/, int tries) {
    constexpr int k_pause_ms = 5;
    const Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region || tries * k_pause_ms >= k_busy_timeout_ms) {
        return 0;
    }
    sqlite3_sleep(k_pause_ms);
    return 1;
}

// Changing the mode of a file that somebody else is just making fails at once instead of waiting for the busy timeout.
void switch_to_wal(SQLite::Database& database) {
    constexpr int k_pause_ms = 10;
    for (int waited_ms = 0;; waited_ms += k_pause_ms) {
        try {
            database.execAndGet("PRAGMA journal_mode=WAL");
            return;
        } catch (const SQLite::Exception& exception) {
            if ((exception.getErrorCode() & 0xFF) != SQLITE_BUSY || waited_ms >= k_busy_timeout_ms) {
                throw;
            }
            const Result<BlockingRegion> region = BlockingRegion::enter();
            if (!region) {
                throw;
            }
            sqlite3_sleep(k_pause_ms);
        }
    }
}

}  // namespace

Query::~Query() {
    m_statement->tryReset();
    m_statement->clearBindings();
}

Query& Query::bind(int index, std::int64_t value) {
    m_statement->bind(index, value);
    return *this;
}

Query& Query::bind(int index, std::string_view value) {
    m_statement->bind(index, std::string(value));
    return *this;
}

Query& Query::bind_blob(int index, std::string_view value) {
    // A null pointer would bind NULL: an empty blob needs an address.
    m_statement->bind(index, static_cast<const void*>(value.empty() ? "" : value.data()),
                      static_cast<int>(value.size()));
    return *this;
}

Query& Query::bind_null(int index) {
    m_statement->bind(index);
    return *this;
}

bool Query::step() {
    return m_statement->executeStep();
}

int Query::execute() {
    return m_statement->exec();
}

std::int64_t Query::integer(int column) const {
    return m_statement->getColumn(column).getInt64();
}

std::string Query::text(int column) const {
    const SQLite::Column value = m_statement->getColumn(column);
    const auto* data = static_cast<const char*>(value.getBlob());
    return data == nullptr ? std::string{} : std::string(data, static_cast<std::size_t>(value.getBytes()));
}

bool Query::is_null(int column) const {
    return m_statement->getColumn(column).isNull();
}

struct Database::Handle {
    explicit Handle(const std::filesystem::path& path)
        : database(path.string(), SQLite::OPEN_READWRITE | SQLITE_OPEN_NOMUTEX) {
        sqlite3_busy_handler(database.getHandle(), wait_for_lock, nullptr);
    }

    SQLite::Database database;
    std::unordered_map<std::string, std::unique_ptr<SQLite::Statement>> statements;
};

Database::Database(std::filesystem::path path) : m_path(std::move(path)) {}

Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path, const OpenOptions& options) {
    std::error_code ignored;  // a folder that cannot be read shows as a missing file, or fails below
    if (!std::filesystem::exists(path, ignored)) {
        if (!options.create) {
            return Error{Code::not_found, fmt::format("{} does not exist", path.string())};
        }
        if (Result<void> created = create_file(path); !created) {
            return std::move(created).error();
        }
    }
    std::unique_ptr<Database> database(new Database(path));
    Result<void> opened = database->run([&]() -> Result<void> {
        database->m_handle = std::make_unique<Handle>(path);
        SQLite::Database& db = database->m_handle->database;
        db.exec(fmt::format("PRAGMA page_size={}", options.page_size));
        switch_to_wal(db);
        db.exec(fmt::format("PRAGMA synchronous={}", options.full_sync ? "FULL" : "NORMAL"));
        db.exec("PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF");
        db.exec(fmt::format("PRAGMA cache_size=-{}", options.cache_kib));
        if (!options.checkpoint) {
            db.execAndGet("PRAGMA wal_autocheckpoint=0");
            sqlite3_db_config(db.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
        }
        if (options.max_bytes > 0) {
            const std::int64_t page_size = db.execAndGet("PRAGMA page_size").getInt64();
            db.execAndGet(fmt::format("PRAGMA max_page_count={}", options.max_bytes / page_size + 1));
        }
        return {};
    });
    if (!opened) {
        return std::move(opened).error();
    }
    return database;
}

Result<void> Database::migrate(const SchemaPart& part) {
    const auto newest = static_cast<std::int64_t>(part.steps.size());
    std::int64_t version = 0;
    const auto read_version = [&]() -> Result<void> {
        version = 0;
        Query query = this->query("SELECT version FROM schema_parts WHERE name = ?");
        if (query.bind(1, part.name).step()) {
            version = query.integer(0);
        }
        if (version > newest) {
            return Error{Code::version_mismatch,
                         fmt::format("{} was written by a newer mtagent ({} schema {}, this program knows {}): "
                                     "use that version",
                                     m_path.string(), part.name, version, newest)};
        }
        return {};
    };
    const auto has_table = [&] { return query("SELECT 1 FROM sqlite_schema WHERE name = 'schema_parts'").step(); };
    // The usual case takes no write lock.
    Result<void> current = run([&]() -> Result<void> { return has_table() ? read_version() : Result<void>{}; });
    if (!current || version == newest) {
        return current;
    }
    return transaction([&]() -> Result<void> {
        execute("CREATE TABLE IF NOT EXISTS schema_parts(name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT");
        if (Result<void> again = read_version(); !again) {
            return again;
        }
        for (std::int64_t step = version; step < newest; ++step) {
            execute(std::string(part.steps[static_cast<std::size_t>(step)]));
        }
        query("INSERT INTO schema_parts VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET version = excluded.version")
            .bind(1, part.name)
            .bind(2, newest)
            .execute();
        return {};
    });
}

Result<void> Database::run(const std::function<Result<void>()>& work) {
    try {
        return work();
    } catch (const SQLite::Exception& exception) {
        return to_error(exception, m_path);
    }
}

Result<void> Database::snapshot(const std::function<Result<void>()>& work) {
    return run([&]() -> Result<void> {
        const SQLite::Transaction transaction(m_handle->database, SQLite::TransactionBehavior::DEFERRED);
        return work();  // nothing to commit
    });
}

Result<void> Database::transaction(const std::function<Result<void>()>& work) {
    return run([&]() -> Result<void> {
        SQLite::Transaction transaction(m_handle->database, SQLite::TransactionBehavior::IMMEDIATE);
        Result<void> done = work();
        if (done) {
            transaction.commit();
        }
        return done;
    });
}

Query Database::query(std::string_view sql) {
    std::unique_ptr<SQLite::Statement>& statement = m_handle->statements[std::string(sql)];
    if (!statement) {
        statement = std::make_unique<SQLite::Statement>(m_handle->database, std::string(sql));
    }
    return Query(*statement);
}

void Database::execute(const std::string& sql) {
    m_handle->database.exec(sql);
}

Result<std::string> Database::integrity() {
    std::string verdict;
    Result<void> done = run([&]() -> Result<void> {
        Query pragma = query("PRAGMA integrity_check(10)");
        while (pragma.step()) {
            verdict += (verdict.empty() ? "" : "; ") + pragma.text(0);
        }
        return {};
    });
    if (!done) {
        return std::move(done).error();
    }
    return verdict;
}

}  // namespace mt
