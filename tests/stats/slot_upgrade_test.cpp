#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "base/ids.h"
#include "stats/slot_file.h"
#include "support/fake_clock.h"
#include "support/temp_folder.h"

using namespace mt;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t k_version_at = 8;
constexpr std::size_t k_chunk_at = 4096;

void put(std::string& bytes, std::size_t at, std::int64_t value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::int64_t version_of(const std::filesystem::path& path) {
    std::int64_t version = 0;
    std::memcpy(&version, bytes_of(path).data() + k_version_at, sizeof version);
    return version;
}

// A file as version 1 wrote it, byte by byte: a header of a page, and a chunk of 512 slots of 512 bytes each with uid,
// 14 counters, 20 latency buckets, 2 arrival times and 3 gauges. The number after another is one more, from `first` on.
void write_version_1(const std::filesystem::path& path, const Clock& clock, std::size_t slot, const std::string& uid,
                     std::int64_t first) {
    std::string bytes(4096 + 512 * 512, '\0');
    bytes.replace(0, 8, "MTSLOTS\n");
    put(bytes, k_version_at, 1);
    bytes.replace(16, 32, std::string(32, 'b'));
    bytes.replace(48, 40, std::string(40, 'x'));  // another boot
    put(bytes, 88, clock.wall().time_since_epoch().count() * 1'000'000 - clock.boot_ns());
    const std::size_t start = k_chunk_at + slot * 512;
    bytes.replace(start, 32, uid);
    for (std::size_t i = 0; i < 39; ++i) {
        put(bytes, start + 32 + i * 8, first + static_cast<std::int64_t>(i));
    }
    std::ofstream(path, std::ios::binary) << bytes;
}

void check_version_1(const Slot& slot, std::int64_t first) {
    CHECK(slot.totals().of(Counter::served) == first);
    CHECK(slot.totals().of(Counter::tokens_out) == first + 12);
    CHECK(slot.totals().of(Counter::latency_ns) == first + 13);
    CHECK(slot.totals().buckets[0] == first + 14);
    CHECK(slot.totals().buckets[k_buckets - 1] == first + 33);
    CHECK(slot.request_tat_ns == first + 34);
    CHECK(slot.token_tat_ns == first + 35);
    CHECK(slot.storage_bytes == first + 37);
    CHECK(slot.cache_entries == first + 38);
    CHECK(slot.budget_used == 0);
    CHECK(slot.budget_period_start == 0);
    CHECK(slot.budget_tokens == 0);
}

}  // namespace

TEST_CASE("a slot file of version 1 is converted with all of its numbers") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto path = folder.path() / "s";
    const std::string uid = random_hex(16);
    write_version_1(path, clock, 300, uid, 1000);
    for (int i = 0; i < 2; ++i) {  // the first time it is converted
        CAPTURE(i);
        const auto slots = *SlotFile::open(path, clock);
        CHECK_FALSE(slots->was_set_aside());
        CHECK(slots->writer() == std::string(32, 'b'));
        check_version_1(**slots->acquire(uid), 1000);
        CHECK(version_of(path) == 2);
    }
    CHECK((*(*SlotFile::open(path, clock))->acquire(random_hex(16)))->totals() == Totals{});
}

TEST_CASE("a reader shows a slot file of version 1 and leaves it as it is") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto path = folder.path() / "s";
    const std::string uid = random_hex(16);
    write_version_1(path, clock, 0, uid, 5);
    const std::string before = bytes_of(path);
    const auto slots = *SlotFile::open_read_only(path);
    REQUIRE(slots->find(uid) != nullptr);
    check_version_1(*slots->find(uid), 5);
    CHECK(bytes_of(path) == before);
}

TEST_CASE("versions before the first and after the present one are refused") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto path = folder.path() / "s";
    for (const std::int64_t version : {std::int64_t{-1}, std::int64_t{0}, std::int64_t{3}, std::int64_t{1} << 40}) {
        CAPTURE(version);
        write_version_1(path, clock, 0, random_hex(16), 5);
        std::string bytes = bytes_of(path);
        put(bytes, k_version_at, version);
        std::ofstream(path, std::ios::binary) << bytes;
        CHECK(SlotFile::open(path, clock).error().code == Code::version_mismatch);
        CHECK(SlotFile::open_read_only(path).error().code == Code::version_mismatch);
        CHECK(bytes_of(path) == bytes);
    }
}

TEST_CASE("the budget's state survives the process, and goes with the tenant's life") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto path = folder.path() / "s";
    const std::string uid = random_hex(16);
    {
        const auto slots = *SlotFile::open(path, clock);
        Slot* slot = *slots->acquire(uid);
        slot->budget_used = 77;
        slot->budget_period_start = 20'000;
        slot->budget_tokens = 100;
    }
    const auto slots = *SlotFile::open(path, clock);
    Slot* slot = *slots->acquire(uid);
    CHECK(slot->budget_used == 77);
    CHECK(slot->budget_period_start == 20'000);
    CHECK(slot->gauges().budget_tokens == 100);
    CHECK(slot->gauges().budget_used_tokens == 77);
    slots->release(uid);
    Slot* next = *slots->acquire(random_hex(16));
    CHECK(next == slot);
    CHECK(next->budget_used == 0);
    CHECK(next->budget_period_start == 0);
}
