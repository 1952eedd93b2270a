#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/secret_box.h"

namespace mt {

/// The lock of a data folder; gives it back at the end of its life.
class FolderLock {
  public:
    explicit FolderLock(int fd) : m_fd(fd) {}
    FolderLock(FolderLock&& other) noexcept;
    FolderLock& operator=(FolderLock&& other) noexcept;
    ~FolderLock();

    /// Leaves word for others: who holds the lock ("pid 123, http://127.0.0.1:8080").
    Result<void> describe(const std::string& holder);

  private:
    int m_fd = -1;
};

/// The one folder with everything at rest (DESIGN section 2): 0700, its files 0600. Immutable, thread-safe.
class DataFolder {
  public:
    /// Errors: not_found (missing and !create), unavailable (cannot be made, entered or written).
    static Result<DataFolder> open(const std::filesystem::path& path, bool create);

    /// Takes the folder for this process alone. Errors: unavailable, naming the holder.
    [[nodiscard]] Result<FolderLock> lock() const;
    /// What the holder of the lock says of itself, or nothing when nobody holds it.
    [[nodiscard]] std::optional<std::string> holder() const;

    /// Reads the operator's token, making it at first. Errors: unavailable, storage_full.
    [[nodiscard]] Result<std::string> operator_token() const;

    /// The key that seals tenants' own secrets: the file `named` (MTAGENT_SECRET_KEY_FILE), else secret.key of the
    /// folder, which is made when somebody asks for the first time. Who loses it loses what it sealed. Errors: config
    /// (the file is no key, or open to others), unavailable, storage_full.
    [[nodiscard]] Result<SecretBox> secret_box(const std::optional<std::string>& named) const;

    [[nodiscard]] const std::filesystem::path& path() const { return m_path; }
    [[nodiscard]] std::filesystem::path registry() const { return m_path / "registry.db"; }
    [[nodiscard]] std::filesystem::path tenants() const { return m_path / "tenants"; }
    [[nodiscard]] std::filesystem::path slots() const { return m_path / "stats.slots"; }

  private:
    explicit DataFolder(std::filesystem::path path) : m_path(std::move(path)) {}

    std::filesystem::path m_path;
};

}  // namespace mt
