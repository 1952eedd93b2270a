#include "stats/slot_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace mt {
namespace {

constexpr std::string_view k_magic = "MTSLOTS\n";
constexpr std::int64_t k_slot_version = 2;
constexpr std::int64_t k_oldest_version = 1;
constexpr std::size_t k_header_size = 4096;
constexpr std::size_t k_slot_size = 512;
constexpr std::size_t k_chunk_slots = 512;
constexpr std::size_t k_chunk_size = k_chunk_slots * k_slot_size;

static_assert(sizeof(Slot) <= k_slot_size);
static_assert(offsetof(Slot, budget_used) == 344, "version 1 ended here");
static_assert(std::atomic<std::int64_t>::is_always_lock_free, "slots are shared between processes");

struct Header {
    std::array<char, 8> magic;
    std::int64_t version;
    std::array<char, 32> writer;
    std::array<char, 40> boot_id;
    std::int64_t clock_offset_ns;    // wall minus boot clock when the file was opened last
    std::int64_t complete_since_ms;  // plus 1; 0: nobody has said
};
static_assert(sizeof(Header) <= k_header_size);

struct Uid {
    std::size_t operator()(const std::array<char, 32>& uid) const {
        return std::hash<std::string_view>()({uid.data(), uid.size()});
    }
};

Error system_error(std::string_view what, const std::filesystem::path& path) {
    const Code code = errno == ENOSPC || errno == EDQUOT ? Code::storage_full : Code::unavailable;
    return {code, fmt::format("cannot {} {}: {}", what, path.string(), std::generic_category().message(errno))};
}

std::string boot_id() {
    std::ifstream in("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(in, id);
    return id;
}

std::int64_t clock_offset_ns(const Clock& clock) {
    return clock.wall().time_since_epoch().count() * 1'000'000 - clock.boot_ns();
}

template <std::size_t N>
void assign(std::array<char, N>& target, std::string_view text) {
    target.fill('\0');
    std::copy_n(text.begin(), std::min(text.size(), N), target.begin());
}

// Keeps a stored arrival time at the same moment of wall time after the boot clock started anew.
void shift(std::atomic<std::int64_t>& tat_ns, std::int64_t by_ns) {
    const std::int64_t old = tat_ns.load();
    if (old != 0) {
        tat_ns.store(old + by_ns);
    }
}

}  // namespace

Totals Slot::totals(std::memory_order order) const {
    Totals copy;
    for (std::size_t i = 0; i < k_counters; ++i) {
        copy.counters[i] = counters[i].load(order);
    }
    for (std::size_t i = 0; i < k_buckets; ++i) {
        copy.buckets[i] = buckets[i].load(order);
    }
    return copy;
}

Gauges Slot::gauges() const {
    return {in_flight.load(), storage_bytes.load(), cache_entries.load(), budget_tokens.load(), budget_used.load()};
}

struct SlotFile::State {
    std::filesystem::path path;
    int fd = -1;
    bool read_only = false;
    bool set_aside = false;
    Header* header = nullptr;
    std::vector<char*> chunks;

    mutable std::mutex mutex;
    std::unordered_map<std::array<char, 32>, std::size_t, Uid> index;
    std::vector<std::size_t> free;

    ~State() {
        for (char* chunk : chunks) {
            munmap(chunk, k_chunk_size);
        }
        if (header != nullptr) {
            munmap(header, k_header_size);
        }
        if (fd >= 0) {
            ::close(fd);
        }
    }

    [[nodiscard]] Slot* slot(std::size_t number) const {
        char* place = chunks[number / k_chunk_slots] + (number % k_chunk_slots) * k_slot_size;
        return reinterpret_cast<Slot*>(place);  // NOLINT(cppcoreguidelines-pro-type-reinterpret-cast): mapped memory
    }

    [[nodiscard]] Result<char*> map(std::size_t offset, std::size_t size) const {
        const int rights = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
        void* place = mmap(nullptr, size, rights, MAP_SHARED, fd, static_cast<off_t>(offset));
        if (place == MAP_FAILED) {
            return system_error("map", path);
        }
        return static_cast<char*>(place);
    }

    Result<void> map_header() {
        Result<char*> mapped = map(0, k_header_size);
        if (!mapped) {
            return std::move(mapped).error();
        }
        header = reinterpret_cast<Header*>(*mapped);  // NOLINT(cppcoreguidelines-pro-type-reinterpret-cast)
        return {};
    }

    // Allocates on disk first: touching a hole on a full disk would be SIGBUS.
    Result<void> grow() {
        const std::size_t end = k_header_size + (chunks.size() + 1) * k_chunk_size;
        if (const int fault = posix_fallocate(fd, 0, static_cast<off_t>(end)); fault != 0) {
            errno = fault;
            return system_error("grow", path);
        }
        return add_chunk();
    }

    Result<void> add_chunk() {
        Result<char*> mapped = map(k_header_size + chunks.size() * k_chunk_size, k_chunk_size);
        if (!mapped) {
            return std::move(mapped).error();
        }
        chunks.push_back(*mapped);
        for (std::size_t i = k_chunk_slots; i-- > 0;) {
            const std::size_t number = (chunks.size() - 1) * k_chunk_slots + i;
            Slot* found = slot(number);
            if (found->uid[0] == '\0') {
                free.push_back(number);
                continue;
            }
            index.emplace(found->uid, number);
            if (!read_only && found->in_flight.load() != 0) {
                found->in_flight.store(0);  // of a process that died
            }
        }
        return {};
    }

    Result<void> map_all() {
        if (Result<void> mapped = map_header(); !mapped) {
            return mapped;
        }
        struct stat status {};
        if (fstat(fd, &status) != 0) {
            return system_error("look at", path);
        }
        const std::size_t size = static_cast<std::size_t>(status.st_size);
        const std::size_t count = size < k_header_size ? 0 : (size - k_header_size) / k_chunk_size;
        while (chunks.size() < count) {
            if (Result<void> added = add_chunk(); !added) {
                return added;
            }
        }
        return {};
    }

    void start_new_file(const Clock& clock) const {
        assign(header->writer, random_hex(16));
        assign(header->boot_id, boot_id());
        header->clock_offset_ns = clock_offset_ns(clock);
        header->version = k_slot_version;
        assign(header->magic, k_magic);
    }

    // After a reboot CLOCK_BOOTTIME counts from zero again.
    void adopt_boot(const Clock& clock) {
        const std::string now = boot_id();
        const std::int64_t offset = clock_offset_ns(clock);
        if (std::string_view(header->boot_id.data(), std::min(now.size(), header->boot_id.size())) != now) {
            for (const auto& [uid, number] : index) {
                shift(slot(number)->request_tat_ns, header->clock_offset_ns - offset);
                shift(slot(number)->token_tat_ns, header->clock_offset_ns - offset);
            }
            assign(header->boot_id, now);
        }
        header->clock_offset_ns = offset;
    }
};

SlotFile::SlotFile() : m_state(std::make_unique<State>()) {}

SlotFile::~SlotFile() = default;

namespace {

enum class Kind { empty, slots, newer, foreign };

Kind kind_of(int fd) {
    Header header{};
    const ssize_t count = pread(fd, &header, sizeof header, 0);
    if (count == 0 || (count > 0 && header.magic[0] == '\0')) {
        return Kind::empty;
    }
    if (count != static_cast<ssize_t>(sizeof header) ||
        std::string_view(header.magic.data(), header.magic.size()) != k_magic) {
        return Kind::foreign;
    }
    return header.version >= k_oldest_version && header.version <= k_slot_version ? Kind::slots : Kind::newer;
}

Error newer_version(const std::filesystem::path& path) {
    return {Code::version_mismatch,
            fmt::format("{} was written by another version of mtagent: use that version, or move the file away "
                        "(counts since the last flush would be lost)",
                        path.string())};
}

}  // namespace

Result<std::unique_ptr<SlotFile>> SlotFile::open(const std::filesystem::path& path, const Clock& clock) {
    std::unique_ptr<SlotFile> file(new SlotFile());
    State& state = *file->m_state;
    state.path = path;
    state.fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (state.fd < 0) {
        return system_error("open", path);
    }
    Kind kind = kind_of(state.fd);
    if (kind == Kind::newer) {
        return newer_version(path);
    }
    if (kind == Kind::foreign) {
        ::close(std::exchange(state.fd, -1));
        if (Result<void> moved = set_aside(path, "damaged"); !moved) {
            return std::move(moved).error();
        }
        state.set_aside = true;
        state.fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
        kind = Kind::empty;
    }
    if (kind == Kind::empty) {
        if (Result<void> grown = state.grow(); !grown) {
            return std::move(grown).error();
        }
        if (Result<void> mapped = state.map_header(); !mapped) {
            return std::move(mapped).error();
        }
        state.start_new_file(clock);
        return file;
    }
    if (Result<void> mapped = state.map_all(); !mapped) {
        return std::move(mapped).error();
    }
    state.adopt_boot(clock);
    // All of a slot's bytes are zero until a version writes them, so newer members are already what they should be.
    state.header->version = k_slot_version;
    return file;
}

Result<std::unique_ptr<SlotFile>> SlotFile::open_read_only(const std::filesystem::path& path) {
    std::unique_ptr<SlotFile> file(new SlotFile());
    State& state = *file->m_state;
    state.path = path;
    state.read_only = true;
    state.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (state.fd < 0) {
        return errno == ENOENT ? Error{Code::not_found, fmt::format("{} does not exist", path.string())}
                               : system_error("open", path);
    }
    const Kind kind = kind_of(state.fd);
    if (kind == Kind::newer) {
        return newer_version(path);
    }
    if (kind == Kind::empty) {  // a first server is just making it
        return Error{Code::not_found, fmt::format("{} holds nothing yet", path.string())};
    }
    if (kind != Kind::slots) {
        return Error{Code::failed, fmt::format("{} holds no slots", path.string())};
    }
    Result<void> mapped = state.map_all();
    return mapped ? Result<std::unique_ptr<SlotFile>>(std::move(file))
                  : Result<std::unique_ptr<SlotFile>>(std::move(mapped).error());
}

Result<Slot*> SlotFile::acquire(std::string_view uid) {
    const std::lock_guard lock(m_state->mutex);
    std::array<char, 32> key{};
    assign(key, uid);
    const auto found = m_state->index.find(key);
    if (found != m_state->index.end()) {
        return m_state->slot(found->second);
    }
    if (m_state->free.empty()) {
        if (Result<void> grown = m_state->grow(); !grown) {
            return std::move(grown).error();
        }
    }
    const std::size_t number = m_state->free.back();
    m_state->free.pop_back();
    m_state->index.emplace(key, number);
    m_state->slot(number)->uid = key;
    return m_state->slot(number);
}

const Slot* SlotFile::find(std::string_view uid) const {
    const std::lock_guard lock(m_state->mutex);
    std::array<char, 32> key{};
    assign(key, uid);
    const auto found = m_state->index.find(key);
    return found == m_state->index.end() ? nullptr : m_state->slot(found->second);
}

void SlotFile::release(std::string_view uid) {
    const std::lock_guard lock(m_state->mutex);
    std::array<char, 32> key{};
    assign(key, uid);
    const auto found = m_state->index.find(key);
    if (found != m_state->index.end()) {
        std::memset(static_cast<void*>(m_state->slot(found->second)), 0, k_slot_size);
        m_state->free.push_back(found->second);
        m_state->index.erase(found);
    }
}

void SlotFile::for_each(const std::function<void(std::string_view uid, const Slot& slot)>& visit) const {
    std::vector<const Slot*> taken;
    {
        const std::lock_guard lock(m_state->mutex);
        taken.reserve(m_state->index.size());
        for (const auto& [uid, number] : m_state->index) {
            taken.push_back(m_state->slot(number));
        }
    }
    for (const Slot* slot : taken) {
        const std::array<char, 32> uid = slot->uid;
        if (uid[0] != '\0') {
            visit({uid.data(), uid.size()}, *slot);
        }
    }
}

std::optional<WallTime> SlotFile::complete_since() const {
    const std::int64_t stored = m_state->header->complete_since_ms;
    return stored == 0 ? std::nullopt : std::optional(WallTime{std::chrono::milliseconds{stored - 1}});
}

void SlotFile::set_complete_since(WallTime since) {
    m_state->header->complete_since_ms = since.time_since_epoch().count() + 1;
}

Result<void> SlotFile::set_aside(const std::filesystem::path& path, std::string_view why) {
    std::filesystem::path aside = path;
    aside += fmt::format(".{}", why);
    if (std::rename(path.c_str(), aside.c_str()) != 0) {
        return system_error("set aside", path);
    }
    return {};
}

bool SlotFile::was_set_aside() const {
    return m_state->set_aside;
}

std::string SlotFile::writer() const {
    return {m_state->header->writer.data(), m_state->header->writer.size()};
}

}  // namespace mt
