#include "sqlite/tenant_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/blocking.h"

namespace mt {
namespace {

constexpr int k_page_size = 1024;  // most tenants are small: a file costs a few KB, not a few tens

// One tenant's file; the mutex is held by the one thread that uses it.
struct OpenFile {
    std::mutex mutex;
    std::unique_ptr<Database> database;
    std::vector<std::string_view> migrated;  // names of the parts that are known to be current
};

bool is_migrated(const OpenFile& file, std::string_view part) {
    return std::find(file.migrated.begin(), file.migrated.end(), part) != file.migrated.end();
}

}  // namespace

struct TenantFiles::State {
    std::filesystem::path folder;
    Options options;

    mutable std::mutex mutex;       // guards everything below, never held while a file is used
    std::list<std::string> recent;  // most recently used first
    struct Slot {
        std::shared_ptr<OpenFile> file;
        std::list<std::string>::iterator place;
    };
    std::unordered_map<std::string, Slot> files;
    std::unordered_map<std::string, std::int64_t> max_bytes;

    std::shared_ptr<OpenFile> lease(const std::string& tenant) {
        std::vector<std::shared_ptr<OpenFile>> closing;  // after the lock: closing may checkpoint
        const std::lock_guard lock(mutex);
        const auto found = files.find(tenant);
        if (found != files.end()) {
            recent.splice(recent.begin(), recent, found->second.place);
            return found->second.file;
        }
        recent.push_front(tenant);
        auto file = std::make_shared<OpenFile>();
        files[tenant] = Slot{file, recent.begin()};
        evict(closing);
        return file;
    }

    // Closes the least recently used files that nobody uses right now.
    void evict(std::vector<std::shared_ptr<OpenFile>>& closing) {
        auto candidate = recent.end();
        while (files.size() > options.max_open && candidate != recent.begin()) {
            --candidate;
            const auto found = files.find(*candidate);
            if (found->second.file.use_count() == 1) {
                closing.push_back(std::move(found->second.file));
                files.erase(found);
                candidate = recent.erase(candidate);
            }
        }
    }

    std::int64_t bound_of(const std::string& tenant) const {
        const std::lock_guard lock(mutex);
        const auto found = max_bytes.find(tenant);
        return found == max_bytes.end() ? 0 : found->second;
    }

    Result<void> ensure_open(OpenFile& file, const std::string& tenant, const SchemaPart& part) {
        if (!file.database) {
            OpenOptions open;
            open.page_size = k_page_size;
            open.cache_kib = 64;
            open.checkpoint = options.checkpoint;
            open.max_bytes = bound_of(tenant);
            Result<std::unique_ptr<Database>> database = Database::open(folder / (tenant + ".db"), open);
            if (!database) {
                return std::move(database).error();
            }
            file.database = *std::move(database);
            file.migrated.clear();
        }
        if (is_migrated(file, part.name)) {
            return {};
        }
        Result<void> migrated = file.database->migrate(part);
        if (migrated) {
            file.migrated.push_back(part.name);
        }
        return migrated;
    }

    Result<void> use(std::string_view tenant, const SchemaPart& part, bool writing, const Work& work) {
        const std::string id(tenant);
        const std::shared_ptr<OpenFile> file = lease(id);
        Result<std::unique_lock<std::mutex>> lock = lock_patiently(file->mutex);
        if (!lock) {
            return std::move(lock).error();
        }
        if (Result<void> ready = ensure_open(*file, id, part); !ready) {
            return ready;
        }
        Database& database = *file->database;
        const auto run = [&]() -> Result<void> { return work(database); };
        return writing ? database.transaction(run) : database.run(run);
    }

    void forget(const std::string& tenant) {
        const std::lock_guard lock(mutex);
        const auto found = files.find(tenant);
        if (found != files.end()) {
            recent.erase(found->second.place);
            files.erase(found);
        }
        max_bytes.erase(tenant);
    }
};

TenantFiles::TenantFiles(std::filesystem::path folder, const Options& options) : m_state(std::make_unique<State>()) {
    m_state->folder = std::move(folder);
    m_state->options = options;
}

TenantFiles::~TenantFiles() = default;

Result<void> TenantFiles::read(std::string_view tenant, const SchemaPart& part, const Work& work) {
    return m_state->use(tenant, part, false, work);
}

Result<void> TenantFiles::write(std::string_view tenant, const SchemaPart& part, const Work& work) {
    return m_state->use(tenant, part, true, work);
}

Result<void> TenantFiles::create(std::string_view tenant) {
    OpenOptions open;
    open.create = true;
    open.page_size = k_page_size;
    open.checkpoint = m_state->options.checkpoint;
    Result<std::unique_ptr<Database>> database = Database::open(path_of(tenant), open);
    return database ? Result<void>{} : Result<void>{std::move(database).error()};
}

Result<void> TenantFiles::remove(std::string_view tenant) {
    const std::string id(tenant);
    const std::shared_ptr<OpenFile> file = m_state->lease(id);
    {
        const std::lock_guard lock(file->mutex);
        file->database.reset();
        for (const char* suffix : {"", "-wal", "-shm"}) {
            std::error_code fault;
            std::filesystem::path path = path_of(tenant);
            path += suffix;
            std::filesystem::remove(path, fault);
            if (fault) {
                return Error{Code::unavailable, fmt::format("cannot remove {}: {}", path.string(), fault.message())};
            }
        }
    }
    m_state->forget(id);
    return {};
}

void TenantFiles::set_max_bytes(std::string_view tenant, std::int64_t max_bytes) {
    const std::string id(tenant);
    std::shared_ptr<OpenFile> open;
    {
        const std::lock_guard lock(m_state->mutex);
        if (std::exchange(m_state->max_bytes[id], max_bytes) == max_bytes) {
            return;
        }
        const auto found = m_state->files.find(id);
        if (found != m_state->files.end()) {
            open = found->second.file;
        }
    }
    if (open) {  // closed here, reopened with the new bound at its next use
        const std::lock_guard lock(open->mutex);
        open->database.reset();
    }
}

Result<void> TenantFiles::checkpoint_leftovers() {
    constexpr SchemaPart k_no_part{"", {}};
    constexpr std::string_view k_suffix = ".db-wal";
    std::error_code fault;
    Result<void> outcome;
    const std::filesystem::directory_iterator end;
    for (auto entry = std::filesystem::directory_iterator(m_state->folder, fault); !fault && entry != end;
         entry.increment(fault)) {
        std::string name = entry->path().filename().string();
        if (!name.ends_with(k_suffix)) {
            continue;
        }
        name.resize(name.size() - k_suffix.size());
        if (!exists(name)) {
            continue;  // a log without its file: nothing to move it into
        }
        // A connection that has never read does not checkpoint when it closes.
        Result<void> touched = read(name, k_no_part, [](Database& database) -> Result<void> {
            database.query("SELECT count(*) FROM sqlite_schema").step();
            return {};
        });
        if (!touched && outcome) {
            outcome = std::move(touched);
        }
    }
    if (fault) {
        return Error{Code::unavailable, fmt::format("cannot list {}: {}", m_state->folder.string(), fault.message())};
    }
    return outcome;
}

bool TenantFiles::exists(std::string_view tenant) const {
    std::error_code ignored;  // unreadable counts as missing: opening it will say why
    return std::filesystem::exists(path_of(tenant), ignored);
}

std::filesystem::path TenantFiles::path_of(std::string_view tenant) const {
    return m_state->folder / (std::string(tenant) + ".db");
}

std::size_t TenantFiles::open_count() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->files.size();
}

}  // namespace mt
