// What the PostgreSQL catalog has alone: many processes, and a server that may be away. The rest is in
// contract_test.cpp.

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "catalog/contract.h"

using namespace mt;
using namespace std::chrono_literals;
using test::CatalogBed;
using test::comes_true;
using test::PoolBed;
using test::PrivatePostgres;
using test::set_to;
using test::shared_postgres;

namespace {

// A process with the catalog.
struct Process {
    explicit Process(const PrivatePostgres& server) : Process(PoolBed::options_of(server)) {}
    explicit Process(const postgres::PoolOptions& options)
        : bed(options), opened(open_postgres_catalog(bed.pool, clock, {})) {
        REQUIRE_MESSAGE(opened, opened.error().message, " ", opened.error().detail);
    }
    Catalog* operator->() const { return opened->get(); }

    test::FakeClock clock;
    PoolBed bed;
    Result<std::unique_ptr<Catalog>> opened;
};

std::string ask(const std::string& sql) {
    return shared_postgres()->ask(sql);
}

// False where there is no PostgreSQL.
bool is_fresh() {
    if (shared_postgres() == nullptr) {
        return false;
    }
    static_cast<void>(ask("DROP SCHEMA IF EXISTS mtagent CASCADE"));
    return true;
}

struct Done {
    std::atomic<int> created{0};
    std::atomic<int> updated{0};
    std::atomic<int> rotated{0};
    std::atomic<int> wrong{0};
};

// One thread's share of the race: changes of every kind to three tenants.
void race(Catalog& catalog, int number, Done& done) {
    const std::array<std::string, 3> ids{"a", "b", "c"};
    for (const std::string& id : ids) {
        const auto made = catalog.create_tenant(id, {}, CatalogBed::anything, "x");
        done.created += made ? 1 : 0;
        done.wrong += made || made.error().code == Code::already_exists ? 0 : 1;
    }
    std::string key = catalog.create_key({ids[static_cast<std::size_t>(number) % 3]}, "x")->record.key_id;
    for (int i = 0; i < 24; ++i) {
        const std::string& id = ids[static_cast<std::size_t>(number + i) % 3];
        if (i % 3 == 0) {
            const Value value(std::int64_t{number * 1000 + i + 1});
            const bool ok =
                catalog.update_tenant(id, set_to("rate_limit", value), CatalogBed::anything, "x").has_value();
            ok ? ++done.updated : ++done.wrong;
        } else if (i % 3 == 1) {
            done.wrong += catalog.set_suspended(id, (number + i) % 2 == 0, "x") ? 0 : 1;
        } else {
            const auto fresh = catalog.rotate_key(key, 0s, "x");
            fresh ? ++done.rotated : ++done.wrong;
            key = fresh ? fresh->record.key_id : key;
        }
    }
}

int count(const std::vector<AuditEvent>& events, std::string_view action) {
    return static_cast<int>(
        std::count_if(events.begin(), events.end(), [&](const AuditEvent& event) { return event.action == action; }));
}

// Whether suspending and resuming take turns, as they do when each saw what the one before made.
bool take_turns(const std::vector<AuditEvent>& events) {
    std::string after = "active";
    bool fits = true;
    for (auto event = events.rbegin(); event != events.rend(); ++event) {
        if (event->subject == "status") {
            fits = fits && event->before == after;
            after = event->after;
        }
    }
    return fits;
}

// Follows the catalog by its changes alone, as a server does.
class Follower {
  public:
    explicit Follower(Catalog& catalog) : m_catalog(catalog) {}

    void step() {
        const Result<Changes> changes = m_catalog.changes_since(m_sequence);
        for (const std::string& id : changes ? changes->tenants : std::vector<std::string>{}) {
            const auto record = m_catalog.tenant(id);
            m_generations[id] = record ? record->generation : -1;
        }
        m_sequence = changes ? changes->sequence : m_sequence;
    }
    std::int64_t generation(const std::string& id) { return m_generations[id]; }

  private:
    Catalog& m_catalog;
    std::int64_t m_sequence = 0;
    std::map<std::string, std::int64_t> m_generations;
};

}  // namespace

TEST_CASE("two processes see each other's changes, and hear of them at once") {
    if (!is_fresh()) {
        return;
    }
    const Process one(*shared_postgres());
    const Process two(*shared_postgres());
    two->await_change(10s);  // ends when it begins to hear
    std::int64_t sequence = two->changes_since(0)->sequence;
    std::atomic<int> seen{0};
    std::atomic<bool> is_over{false};
    std::jthread ears([&] {
        while (!is_over) {
            two->await_change(1h);
            const auto changes = two->changes_since(sequence);
            if (changes && changes->sequence != sequence) {
                CHECK(changes->tenants == std::vector<std::string>{"acme"});
                sequence = changes->sequence;
                ++seen;
            }
        }
    });
    REQUIRE(one->create_tenant("acme", {}, CatalogBed::anything, "ann"));
    CHECK(comes_true([&] { return seen == 1; }, 1s));
    REQUIRE(one->begin_removal("acme", "ann"));
    CHECK(comes_true([&] { return seen == 2; }, 1s));
    is_over = true;
    two->wake();
}

TEST_CASE("eight processes at once: no change is lost, none counts twice, none is overlooked") {
    if (!is_fresh()) {
        return;
    }
    const Process watching(*shared_postgres());
    Follower follower(**watching.opened);
    Done done;
    std::atomic<int> running{8};
    {
        std::vector<std::jthread> threads;
        for (int number = 0; number < 8; ++number) {
            threads.emplace_back([&, number] {
                const Process process(PoolBed::options_of(*shared_postgres(), 2));
                race(**process.opened, number, done);
                --running;
            });
        }
        while (running > 0) {
            follower.step();
        }
    }
    follower.step();
    CHECK(done.wrong == 0);
    CHECK(done.created == 3);
    const auto all = *watching->history("", 10'000);
    CHECK(count(all, "tenant.config") == done.updated);
    CHECK(count(all, "key.rotate") == done.rotated);
    CHECK(watching->changes_since(0)->sequence == std::ssize(all));  // each change has one event here
    for (const char* id : {"a", "b", "c"}) {
        const auto events = *watching->history(id, 10'000);
        CHECK(watching->tenant(id)->generation == 1 + count(events, "tenant.config"));
        CHECK(follower.generation(id) == watching->tenant(id)->generation);
        CHECK(take_turns(events));
    }
    CHECK(*watching->integrity() == "ok");
    CHECK(ask("SELECT count(*) FROM mtagent.config_history") == std::to_string(done.updated));
}

TEST_CASE("a change that waited for another one comes after it") {
    if (!is_fresh()) {
        return;
    }
    const Process process(*shared_postgres());
    REQUIRE(process->create_tenant("acme", {}, CatalogBed::anything, "ann"));
    const std::int64_t before = process->changes_since(0)->sequence;
    PoolBed other(*shared_postgres());
    std::jthread waiter;
    const auto held = other.pool.with([&](postgres::Session& session) {
        return session.transaction([&]() -> Result<void> {
            const auto counted = session.query("UPDATE mtagent.counters SET value = value + 10 WHERE name = 'change'");
            waiter = std::jthread([&] { CHECK(process->set_suspended("acme", true, "ann")); });
            CHECK(comes_true([] { return ask("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"; }, 1500ms));
            return counted ? Result<void>{} : Result<void>{counted.error()};
        });
    });
    REQUIRE(held);
    waiter.join();
    const auto changes = process->changes_since(before + 10);
    CHECK(changes->sequence == before + 11);
    CHECK(changes->tenants == std::vector<std::string>{"acme"});
}

TEST_CASE("first starts that race make one catalog, and one creator of a tenant wins") {
    if (!is_fresh()) {
        return;
    }
    std::atomic<int> made{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 6; ++i) {
            threads.emplace_back([&] {
                const Process process(PoolBed::options_of(*shared_postgres(), 2));
                made += process->create_tenant("acme", {{"rate_limit", 5}}, CatalogBed::anything, "x") ? 1 : 0;
            });
        }
    }
    CHECK(made == 1);
    CHECK(ask("SELECT value FROM mtagent.counters WHERE name = 'change'") == "1");
}

TEST_CASE("a role without rights is told so") {
    if (!is_fresh()) {
        return;
    }
    static_cast<void>(ask("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN"));
    postgres::PoolOptions options = PoolBed::options_of(*shared_postgres());
    options.url.replace(options.url.find("mtagent@"), 8, "guest@");
    PoolBed guest(options);
    test::FakeClock clock;
    const auto cannot_make = open_postgres_catalog(guest.pool, clock, {});
    REQUIRE_FALSE(cannot_make);
    CHECK(cannot_make.error().code == Code::failed);
    CHECK(cannot_make.error().message.find("CREATE") != std::string::npos);
    const Process owner(*shared_postgres());
    const auto cannot_read = open_postgres_catalog(guest.pool, clock, {});
    REQUIRE_FALSE(cannot_read);
    CHECK(cannot_read.error().code == Code::failed);
    CHECK(cannot_read.error().message.find("mtagent") != std::string::npos);
}

TEST_CASE("a catalog that is not there, or made by a newer program, is not opened") {
    if (!is_fresh()) {
        return;
    }
    PoolBed bed(*shared_postgres());
    test::FakeClock clock;
    CHECK(open_postgres_catalog(bed.pool, clock, {.create = false}).error().code == Code::not_found);
    CHECK(open_postgres_catalog(bed.pool, clock, {}));
    CHECK(open_postgres_catalog(bed.pool, clock, {.create = false}));
    static_cast<void>(ask("UPDATE mtagent.schema_parts SET version = 99 WHERE name = 'catalog'"));
    CHECK(open_postgres_catalog(bed.pool, clock, {}).error().code == Code::version_mismatch);
}

TEST_CASE("a missing table is a fault, not an unknown tenant") {
    if (!is_fresh()) {
        return;
    }
    const Process process(*shared_postgres());
    REQUIRE(process->create_tenant("acme", {}, CatalogBed::anything, "ann"));
    static_cast<void>(ask("DROP TABLE mtagent.config"));
    CHECK(process->tenant("acme").error().code == Code::failed);
    CHECK(process->row("acme"));
}

TEST_CASE("rows of nobody and a counter that is behind are told") {
    if (!is_fresh()) {
        return;
    }
    const Process process(*shared_postgres());
    REQUIRE(process->create_tenant("acme", {}, CatalogBed::anything, "ann"));
    static_cast<void>(ask("INSERT INTO mtagent.config VALUES('nobody', 'rate_limit', '7')"));
    CHECK(process->integrity()->find("mtagent.config has 1 rows of no tenant, the first of 'nobody'") == 0);
    static_cast<void>(ask("DELETE FROM mtagent.config; UPDATE mtagent.counters SET value = 0"));
    CHECK(process->integrity()->find("behind") != std::string::npos);
}

TEST_CASE("a server that lost the last changes makes everything read again") {
    if (!is_fresh()) {
        return;
    }
    const Process process(*shared_postgres());
    for (const char* id : {"a", "b"}) {
        REQUIRE(process->create_tenant(id, {}, CatalogBed::anything, "ann"));
    }
    const auto changes = process->changes_since(7);  // of the server that was
    CHECK(changes->sequence == 2);
    CHECK(changes->tenants.size() == 2);
    CHECK(changes->operator_keys);
}

TEST_CASE("a server that is killed is unavailable for every method, and works again once it is back") {
    if (shared_postgres() == nullptr) {
        return;
    }
    PrivatePostgres server({"synchronous_commit = on"});
    const Process process(server);
    REQUIRE(process->create_tenant("acme", {{"rate_limit", 7}}, CatalogBed::anything, "ann"));
    const auto key = process->create_key({"acme"}, "ann");
    server.kill();
    std::vector<std::optional<Error>> errors;
    const auto note = [&](const auto& result) {
        errors.push_back(result ? std::nullopt : std::optional(result.error()));
    };
    note(process->row("acme"));
    note(process->tenant("acme"));
    note(process->tenants("", 10));
    note(process->removing());
    note(process->open_tenants(10));
    note(process->key_owner("nobodyskey22"));
    note(process->keys("acme"));
    note(process->history("", 10));
    note(process->changes_since(0));
    note(process->integrity());
    note(process->create_tenant("other", {}, CatalogBed::anything, "ann"));
    note(process->update_tenant("acme", set_to("rate_limit", 8), CatalogBed::anything, "ann"));
    note(process->set_suspended("acme", true, "ann"));
    note(process->begin_removal("acme", "ann"));
    note(process->finish_removal("acme", "uid"));
    note(process->create_key({"acme"}, "ann"));
    note(process->revoke_key(key->record.key_id, "ann"));
    note(process->rotate_key(key->record.key_id, 0s, "ann"));
    note(process->put_model("acme", {"m", "http://h", "m", "", {}}, false, "ann"));
    note(process->remove_model("acme", "m", "ann"));
    for (std::size_t i = 0; i < errors.size(); ++i) {
        CAPTURE(i);
        REQUIRE(errors[i]);
        CHECK(errors[i]->code == Code::unavailable);
        CHECK((i == 0 || errors[i]->retry_after));  // the first one may have been under way
    }
    process->await_change(1h);  // comes back all the same: nothing can be heard
    server.start();
    REQUIRE(comes_true([&] { return process->tenant("acme").has_value(); }, 5s));
    CHECK(process->tenant("acme")->own.size() == 1);
    CHECK(process->set_suspended("acme", true, "ann")->status == TenantStatus::suspended);
}
