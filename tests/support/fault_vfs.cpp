#include "support/fault_vfs.h"

#include <cstring>

namespace mt::test {
namespace {

// What SQLite is given to hold; the real file follows in the same piece of memory.
struct FaultFile {
    sqlite3_file base;
    FaultVfs* vfs;  // null: faults do not concern this file
    sqlite3_file* real;
};

FaultFile& self(sqlite3_file* file) {
    return *reinterpret_cast<FaultFile*>(file);  // NOLINT(cppcoreguidelines-pro-type-reinterpret-cast): SQLite's way
}

sqlite3_file* real(sqlite3_file* file) {
    return self(file).real;
}

int verdict(sqlite3_file* file) {
    return self(file).vfs == nullptr ? SQLITE_OK : self(file).vfs->verdict();
}

int close(sqlite3_file* file) {
    return real(file)->pMethods->xClose(real(file));
}
int read(sqlite3_file* file, void* to, int amount, sqlite3_int64 offset) {
    return real(file)->pMethods->xRead(real(file), to, amount, offset);
}
int write(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
    const int code = verdict(file);
    return code != SQLITE_OK ? code : real(file)->pMethods->xWrite(real(file), from, amount, offset);
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
    return real(file)->pMethods->xTruncate(real(file), size);
}
int sync(sqlite3_file* file, int flags) {
    const int code = verdict(file);
    return code != SQLITE_OK ? code : real(file)->pMethods->xSync(real(file), flags);
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
    return real(file)->pMethods->xFileSize(real(file), size);
}
int lock(sqlite3_file* file, int level) {
    return real(file)->pMethods->xLock(real(file), level);
}
int unlock(sqlite3_file* file, int level) {
    return real(file)->pMethods->xUnlock(real(file), level);
}
int check_reserved_lock(sqlite3_file* file, int* held) {
    return real(file)->pMethods->xCheckReservedLock(real(file), held);
}
int file_control(sqlite3_file* file, int operation, void* argument) {
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}
int sector_size(sqlite3_file* file) {
    return real(file)->pMethods->xSectorSize(real(file));
}
int characteristics(sqlite3_file* file) {
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}
int shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** to) {
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, to);
}
int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
    return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}
void shm_barrier(sqlite3_file* file) {
    real(file)->pMethods->xShmBarrier(real(file));
}
int shm_unmap(sqlite3_file* file, int erase) {
    return real(file)->pMethods->xShmUnmap(real(file), erase);
}

const sqlite3_io_methods k_methods{2,
                                   close,
                                   read,
                                   write,
                                   truncate,
                                   sync,
                                   file_size,
                                   lock,
                                   unlock,
                                   check_reserved_lock,
                                   file_control,
                                   sector_size,
                                   characteristics,
                                   shm_map,
                                   shm_lock,
                                   shm_barrier,
                                   shm_unmap,
                                   nullptr,
                                   nullptr};

int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out_flags) {
    auto& faults = *static_cast<FaultVfs*>(vfs->pAppData);
    FaultFile& made = self(file);
    std::memset(&made, 0, sizeof made);
    made.vfs = faults.concerns(path) ? &faults : nullptr;
    made.real = reinterpret_cast<sqlite3_file*>(&made + 1);  // NOLINT(cppcoreguidelines-pro-type-reinterpret-cast)
    const int code = faults.real().xOpen(&faults.real(), path, made.real, flags, out_flags);
    made.base.pMethods = code == SQLITE_OK ? &k_methods : nullptr;
    return code;
}

}  // namespace

FaultVfs::FaultVfs(std::string part) : m_part(std::move(part)), m_real(sqlite3_vfs_find(nullptr)), m_vfs(*m_real) {
    m_vfs.zName = "fault";
    m_vfs.pNext = nullptr;
    m_vfs.pAppData = this;
    m_vfs.szOsFile = static_cast<int>(sizeof(FaultFile)) + m_real->szOsFile;
    m_vfs.xOpen = open;
    sqlite3_vfs_register(&m_vfs, 1);
}

FaultVfs::~FaultVfs() {
    sqlite3_vfs_unregister(&m_vfs);
    sqlite3_vfs_register(m_real, 1);
}

void FaultVfs::fail_after(int count, int code) {
    m_left = count;
    m_code = code;
}

int FaultVfs::verdict() {
    const int code = m_code;
    if (code == SQLITE_OK || m_left-- > 0) {
        return SQLITE_OK;
    }
    ++m_failures;
    return code;
}

bool FaultVfs::concerns(const char* path) const {
    return path != nullptr && std::strstr(path, m_part.c_str()) != nullptr;
}

}  // namespace mt::test
