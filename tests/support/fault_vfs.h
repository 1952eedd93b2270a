#pragma once

#include <sqlite3.h>

#include <atomic>
#include <string>

namespace mt::test {

/// SQLite on a disk that fails on command: while this lives, every database that is opened goes through it. Faults hit
/// writes and syncs of files whose path contains `part` (the file itself, its -wal and -shm). Thread-safe; one at a
/// time.
class FaultVfs {
  public:
    explicit FaultVfs(std::string part);
    FaultVfs(const FaultVfs&) = delete;
    FaultVfs& operator=(const FaultVfs&) = delete;
    ~FaultVfs();

    /// From now on writes end with this code: SQLITE_FULL, SQLITE_IOERR_WRITE, ...; SQLITE_OK: the disk is well again.
    void fail(int code) { m_code = code; }
    /// Lets `count` more writes through before `code`, so that a fault can hit any point of a transaction.
    void fail_after(int count, int code);

    /// Writes and syncs that were let fail.
    [[nodiscard]] int failures() const { return m_failures; }

    // For the file methods.
    [[nodiscard]] int verdict();
    [[nodiscard]] bool concerns(const char* path) const;
    [[nodiscard]] sqlite3_vfs& real() const { return *m_real; }

  private:
    std::string m_part;
    std::atomic<int> m_code{SQLITE_OK};
    std::atomic<int> m_left{0};
    std::atomic<int> m_failures{0};
    sqlite3_vfs* m_real;
    sqlite3_vfs m_vfs;
};

}  // namespace mt::test
