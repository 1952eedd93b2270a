#include "sqlite/data_folder.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/ids.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr mode_t k_private_file = S_IRUSR | S_IWUSR;

Error system_error(const std::string& what) {
    const Code code = errno == ENOSPC || errno == EDQUOT ? Code::storage_full : Code::unavailable;
    return {code, fmt::format("{}: {}", what, std::generic_category().message(errno))};
}

struct flock whole_file(short type) {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    return range;
}

std::string read_all(int fd) {
    std::array<char, 512> buffer{};
    const ssize_t count = pread(fd, buffer.data(), buffer.size(), 0);
    return count > 0 ? std::string(buffer.data(), static_cast<std::size_t>(count)) : std::string{};
}

Result<void> make_private_folder(const std::filesystem::path& path) {
    if (mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
        return system_error(fmt::format("cannot create folder {}", path.string()));
    }
    return {};
}

// Makes a file of this text unless there is one. Written under another name and linked, so that nobody ever reads half
// of it and racing processes agree; and it is on the disk before anybody relies on it.
Result<void> make_private_file(const std::filesystem::path& path, const std::string& text) {
    if (access(path.c_str(), F_OK) == 0) {
        return {};
    }
    const std::filesystem::path fresh = path.string() + "." + random_hex(4);
    const int out = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, k_private_file);
    const bool written =
        out >= 0 && write(out, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(out) == 0;
    const bool linked = written && (link(fresh.c_str(), path.c_str()) == 0 || errno == EEXIST);
    Error fault = system_error(fmt::format("cannot write {}", path.string()));
    if (out >= 0) {
        ::close(out);
        unlink(fresh.c_str());
    }
    if (const int folder = linked ? ::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        folder >= 0) {
        fsync(folder);  // the name, too; where a file system cannot, nothing is lost that the next asker would not make
        ::close(folder);
    }
    return linked ? Result<void>{} : Result<void>{std::move(fault)};
}

}  // namespace

FolderLock::FolderLock(FolderLock&& other) noexcept : m_fd(std::exchange(other.m_fd, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
    std::swap(m_fd, other.m_fd);
    return *this;
}

FolderLock::~FolderLock() {
    if (m_fd >= 0) {
        ::close(m_fd);  // an open-file-description lock goes with its descriptor
    }
}

Result<void> FolderLock::describe(const std::string& holder) {
    if (ftruncate(m_fd, 0) != 0 || pwrite(m_fd, holder.data(), holder.size(), 0) < 0) {
        return system_error("cannot write the lock file");
    }
    return {};
}

Result<DataFolder> DataFolder::open(const std::filesystem::path& path, bool create) {
    std::error_code ignored;  // a folder that cannot be looked at fails below
    const bool there = std::filesystem::is_directory(path, ignored);
    if (!there && !create) {
        return Error{Code::not_found, fmt::format("there is no data folder {}: start `mtagent serve`, add a tenant, or "
                                                  "name another folder with --data",
                                                  path.string())};
    }
    if (!there) {
        std::filesystem::create_directories(path.parent_path(), ignored);
        if (Result<void> made = make_private_folder(path); !made) {
            return std::move(made).error();
        }
    }
    DataFolder folder(path);
    if (Result<void> made = create ? make_private_folder(folder.tenants()) : Result<void>{}; !made) {
        return std::move(made).error();
    }
    if (access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
        return system_error(fmt::format("data folder {} is not writable", path.string()));
    }
    return folder;
}

Result<FolderLock> DataFolder::lock() const {
    const std::filesystem::path path = m_path / "lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, k_private_file);
    if (fd < 0) {
        return system_error(fmt::format("cannot open {}", path.string()));
    }
    FolderLock lock(fd);
    struct flock range = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &range) != 0) {
        return Error{Code::unavailable, fmt::format("data folder {} is in use by {}: stop it, or name another folder "
                                                    "with --data",
                                                    m_path.string(), read_all(fd))};
    }
    if (Result<void> described = lock.describe(fmt::format("pid {}", getpid())); !described) {
        return std::move(described).error();
    }
    return lock;
}

std::optional<std::string> DataFolder::holder() const {
    const int fd = ::open((m_path / "lock").c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return std::nullopt;
    }
    struct flock range = whole_file(F_WRLCK);
    const bool held = fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
    const std::string text = held ? read_all(fd) : std::string{};
    ::close(fd);
    return held ? std::optional(text) : std::nullopt;
}

Result<std::string> DataFolder::operator_token() const {
    const std::filesystem::path path = m_path / "operator.token";
    if (Result<void> made = make_private_file(path, random_hex(32) + "\n"); !made) {
        return std::move(made).error();
    }
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return system_error(fmt::format("cannot read {}", path.string()));
    }
    std::string token(trim(read_all(fd)));
    ::close(fd);
    if (token.size() < 32) {
        return Error{Code::config, fmt::format("{} holds no token of at least 32 characters: remove it, and the next "
                                               "start makes a new one",
                                               path.string())};
    }
    return token;
}

Result<SecretBox> DataFolder::secret_box(const std::optional<std::string>& named) const {
    if (named && !named->empty()) {
        return SecretBox::from_key_file(*named);
    }
    const std::filesystem::path path = m_path / "secret.key";
    if (Result<void> made = make_private_file(path, random_hex(SecretBox::k_key_size) + "\n"); !made) {
        return std::move(made).error();
    }
    return SecretBox::from_key_file(path);
}

}  // namespace mt
