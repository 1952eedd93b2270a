#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "stats/books.h"
#include "stats/history.h"
#include "stats/ledger.h"
#include "stats/metrics.h"
#include "stats/slot_file.h"
#include "support/fake_clock.h"
#include "support/temp_folder.h"

using namespace mt;
using namespace std::chrono_literals;

namespace {

CallRecord served(std::chrono::nanoseconds latency, bool hit = false) {
    CallRecord call;
    call.latency = latency;
    call.tokens_in = 2;
    call.tokens_out = 3;
    call.cache_hit = hit;
    return call;
}

CallRecord denied(Counter reason) {
    CallRecord call;
    call.outcome = reason;
    return call;
}

// A data folder with one tenant file, and everything that counts.
struct Office {
    Office() : files(temp.path(), {8, true}), log(LogLevel::off) {
        REQUIRE(files.create("acme"));
        reopen();
    }
    // As after a restart of the process.
    void reopen() {
        counters.reset();
        ledger.reset();
        slots.reset();
        slots = *SlotFile::open(temp.path() / "stats.slots", clock);
        ledger = std::make_unique<Ledger>(*slots, files, clock, log);
        counters = *ledger->open("acme", uid);
    }
    [[nodiscard]] Totals stored() { return History(files, "acme", slots->writer()).totals()->own; }
    [[nodiscard]] Books views() { return {files, slots.get(), "acme", uid}; }

    test::TempFolder temp;
    test::FakeClock clock;
    TenantFiles files;
    Log log;
    std::string uid = random_hex(16);
    std::unique_ptr<SlotFile> slots;
    std::unique_ptr<Ledger> ledger;
    std::shared_ptr<TenantCounters> counters;
};

}  // namespace

TEST_CASE("requests are allowed plus denied, and the mean is over served calls") {
    Office books;
    books.counters->record(served(2ms));
    books.counters->record(served(4ms, true));
    books.counters->record(denied(Counter::denied_requests));
    books.counters->record(denied(Counter::denied_feature));
    books.counters->record(denied(Counter::failed));
    books.counters->record(denied(Counter::unauthorized));
    const Totals totals = books.counters->totals();
    CHECK(totals.requests() == 5);
    CHECK(totals.allowed() == 3);
    CHECK(totals.denied() == 2);
    CHECK(totals.average_latency_ms() == doctest::Approx(3.0));
    CHECK(totals.of(Counter::cache_hits) == 1);
    CHECK(totals.of(Counter::cache_misses) == 1);
    CHECK(totals.of(Counter::tokens_in) == 4);
    CHECK(totals.of(Counter::unauthorized) == 1);
}

TEST_CASE("a killed process loses no count") {
    Office books;
    books.counters->record(served(1ms));
    REQUIRE(books.ledger->flush());
    books.counters->record(served(1ms));  // in the slot, not in the file
    CHECK(books.stored().of(Counter::served) == 1);
    books.reopen();
    CHECK(books.counters->totals().of(Counter::served) == 2);
    REQUIRE(books.ledger->flush());
    CHECK(books.stored().of(Counter::served) == 2);
    CHECK(books.views().verify()->faults.empty());
    CHECK(books.views().verify()->faults.empty());
}

TEST_CASE("a lost slot file starts a new writer; totals are the sum over writers") {
    Office books;
    books.counters->record(served(1ms));
    REQUIRE(books.ledger->flush());
    std::filesystem::remove(books.temp.path() / "stats.slots");
    books.reopen();
    books.counters->record(served(1ms));
    CHECK(books.counters->totals().of(Counter::served) == 2);
    REQUIRE(books.ledger->flush());
    CHECK(books.stored().of(Counter::served) == 2);
    CHECK(books.views().verify()->faults.empty());
    CHECK(books.views().totals({})->of(Counter::served) == 2);
}

TEST_CASE("property: what many threads count while it is written is all written in the end") {
    constexpr int k_threads = 4;
    constexpr int k_calls = 20'000;
    Office office;
    {
        std::vector<std::jthread> callers;
        for (int i = 0; i < k_threads; ++i) {
            callers.emplace_back([&] {
                for (int call = 0; call < k_calls; ++call) {
                    office.counters->record(call % 3 == 0 ? denied(Counter::denied_requests) : served(1ms));
                }
            });
        }
        while (office.counters->totals().requests() < std::int64_t{k_threads} * k_calls) {
            REQUIRE(office.ledger->flush());
        }
    }
    REQUIRE(office.ledger->flush());  // whoever came last has said so
    CHECK(office.stored() == office.counters->totals());
    CHECK(office.stored().requests() == std::int64_t{k_threads} * k_calls);
    CHECK(office.views().verify()->faults.empty());
}

TEST_CASE("minutes hold the differences, by the wall clock") {
    Office books;
    books.counters->record(served(1ms));
    REQUIRE(books.ledger->flush());
    books.clock.advance(10min);
    books.counters->record(served(1ms));
    books.counters->record(served(1ms));
    REQUIRE(books.ledger->flush());
    REQUIRE(books.ledger->flush());  // nothing new: nothing written
    const WallTime now = books.clock.wall();
    CHECK(books.views().counted_in({now - 5min}, now)->of(Counter::served) == 2);
    CHECK(books.views().counted_in({now - 1h}, now)->of(Counter::served) == 3);
}

TEST_CASE("a proof sees books that do not add up") {
    Office books;
    books.counters->record(served(1ms));
    REQUIRE(books.ledger->flush());
    constexpr std::array<std::string_view, 2> k_known{"", ""};
    REQUIRE(books.files.write("acme", {"stats", k_known}, [](Database& database) -> Result<void> {
        database.query("UPDATE ledger_totals SET served = served + 5").execute();
        return {};
    }));
    CHECK(books.views().verify()->faults.size() == 2);
}

TEST_CASE("a fault of writing is shown, nothing is lost, and it heals") {
    Office books;
    books.counters->record(served(1ms));
    REQUIRE(books.files.remove("acme"));
    CHECK_FALSE(books.ledger->flush());
    CHECK_FALSE(books.ledger->health().fault);  // one tenant's own damage leaves the service ready
    REQUIRE(books.files.create("acme"));
    books.files.set_max_bytes("acme", 1);  // as on a full disk
    CHECK_FALSE(books.ledger->flush());
    REQUIRE(books.ledger->health().fault);
    CHECK(books.ledger->health().fault->code == Code::storage_full);
    books.files.set_max_bytes("acme", 0);
    CHECK(books.ledger->flush());
    CHECK_FALSE(books.ledger->health().fault);
    CHECK(books.stored().of(Counter::served) == 1);
}

TEST_CASE("slots: found again, cleared on release, grown without moving") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto slots = *SlotFile::open(folder.path() / "s", clock);
    const std::string first = random_hex(16);
    Slot* slot = *slots->acquire(first);
    slot->counters[0] = 7;
    for (int i = 0; i < 2000; ++i) {
        REQUIRE(slots->acquire(random_hex(16)));
    }
    CHECK(*slots->acquire(first) == slot);
    CHECK(slots->find(first)->totals().of(Counter::served) == 7);
    const auto reader = *SlotFile::open_read_only(folder.path() / "s");
    CHECK(reader->find(first)->totals().of(Counter::served) == 7);
    CHECK(reader->writer() == slots->writer());
    slots->release(first);
    CHECK(slots->find(first) == nullptr);
    CHECK((*slots->acquire(random_hex(16)))->totals() == Totals{});
}

TEST_CASE("a foreign file is set aside, another version is refused") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto path = folder.path() / "s";
    std::ofstream(path) << std::string(8192, 'x');
    CHECK(SlotFile::open_read_only(path).error().code == Code::failed);
    CHECK(SlotFile::open(path, clock));
    CHECK(std::filesystem::exists(folder.path() / "s.damaged"));
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8);
    file.put(99);
    file.close();
    CHECK(SlotFile::open(path, clock).error().code == Code::version_mismatch);
    CHECK(SlotFile::open_read_only(path).error().code == Code::version_mismatch);
    CHECK(SlotFile::open_read_only(folder.path() / "none").error().code == Code::not_found);
}

TEST_CASE("after a reboot limiter state keeps its moment of wall time") {
    const test::TempFolder folder;
    test::FakeClock clock;
    const auto path = folder.path() / "s";
    const std::string uid = random_hex(16);
    (*(*SlotFile::open(path, clock))->acquire(uid))->request_tat_ns = clock.boot_ns() + 30'000'000'000;
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8 + 8 + 32);  // the boot id in the header
    file.put('?');
    file.close();
    clock.step_wall(10s);  // ten seconds of wall time that the boot clock does not know
    const auto slots = *SlotFile::open(path, clock);
    CHECK((*slots->acquire(uid))->request_tat_ns == clock.boot_ns() + 20'000'000'000);
}

TEST_CASE("a full disk refuses a new slot instead of killing the process") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto slots = *SlotFile::open(folder.path() / "s", clock);
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto old = std::signal(SIGXFSZ, SIG_IGN);
    rlimit tight{300 * 1024, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    Result<Slot*> slot = slots->acquire(random_hex(16));
    for (int i = 0; i < 600 && slot; ++i) {
        slot = slots->acquire(random_hex(16));
    }
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, old);
    REQUIRE_FALSE(slot);
    CHECK(slots->acquire(random_hex(16)));
}

TEST_CASE("latencies fall into their buckets and percentiles lie between the bounds") {
    CHECK(bucket_of(50us) == 0);
    CHECK(bucket_of(51us) == 1);
    CHECK(bucket_of(10min) == k_buckets - 1);
    Totals totals;
    CHECK(totals.latency_percentile_ms(0.5) == 0);
    totals.buckets[bucket_of(1ms)] = 90;
    totals.buckets[bucket_of(100ms)] = 10;
    CHECK(totals.latency_percentile_ms(0.5) > 0.5);
    CHECK(totals.latency_percentile_ms(0.5) <= 1.0);
    CHECK(totals.latency_percentile_ms(0.99) > 50);
    CHECK(totals.latency_percentile_ms(0.99) <= 100);
}

TEST_CASE("metrics name the tenant and the status") {
    TenantSample sample;
    sample.tenant = "acme";
    sample.totals.counters[static_cast<std::size_t>(Counter::served)] = 5;
    sample.totals.counters[static_cast<std::size_t>(Counter::denied_tokens)] = 2;
    sample.totals.counters[static_cast<std::size_t>(Counter::denied_requests)] = 1;
    const std::string text = render_metrics(std::array{sample}, {});
    CHECK(text.find("# TYPE tenant_requests_total counter") != std::string::npos);
    CHECK(text.find("tenant_requests_total{tenant_id=\"acme\",status=\"allowed\"} 5") != std::string::npos);
    CHECK(text.find("tenant_requests_total{tenant_id=\"acme\",status=\"denied\"} 3") != std::string::npos);
    CHECK(text.find("mtagent_tenant_denied_total{tenant_id=\"acme\",reason=\"tokens\"} 2") != std::string::npos);
}
