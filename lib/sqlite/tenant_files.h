#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sqlite/database.h"

namespace mt {

/// The one file per tenant: data/tenants/<id>.db. Opens lazily, closes the least recently used past `max_open`, and
/// lets ONE thread at a time use a file. Rooms above add their own tables by naming their SchemaPart at each use, which
/// costs nothing after the first. Thread-safe.
class TenantFiles {
  public:
    struct Options {
        std::size_t max_open = 128;  ///< files kept open, each costs up to 3 descriptors
        bool checkpoint = true;      ///< false beside a running server
    };

    /// `folder` is data/tenants; it must exist.
    TenantFiles(std::filesystem::path folder, const Options& options);
    TenantFiles(const TenantFiles&) = delete;
    TenantFiles& operator=(const TenantFiles&) = delete;
    ~TenantFiles();

    using Work = std::function<Result<void>(Database&)>;

    /// Runs `work` with the tenant's file, migrated for `part`, without a transaction. Errors: not_found (no file),
    /// what the database and `work` say.
    Result<void> read(std::string_view tenant, const SchemaPart& part, const Work& work);

    /// The same inside BEGIN IMMEDIATE ... COMMIT.
    Result<void> write(std::string_view tenant, const SchemaPart& part, const Work& work);

    /// Makes the file when it is missing (0600). Errors: storage_full, unavailable.
    Result<void> create(std::string_view tenant);

    /// Closes the file and unlinks it with its -wal and -shm. Errors: unavailable. A missing file is no error.
    Result<void> remove(std::string_view tenant);

    /// Bounds the file's size by max_page_count, for this and every later opening in this process.
    void set_max_bytes(std::string_view tenant, std::int64_t max_bytes);

    /// Opens the files that commands beside the server have left with a write-ahead log, so that closing them moves it
    /// in: after a clean stop each tenant is one file. Errors: the first that a file says.
    Result<void> checkpoint_leftovers();

    [[nodiscard]] bool exists(std::string_view tenant) const;
    [[nodiscard]] std::filesystem::path path_of(std::string_view tenant) const;
    /// Files open right now.
    [[nodiscard]] std::size_t open_count() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
