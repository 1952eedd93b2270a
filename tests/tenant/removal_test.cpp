// Removing tenants whose data lies elsewhere, and following a catalog that others share.

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "postgres/bed.h"
#include "support/service_house.h"

using namespace mt;
using namespace std::chrono_literals;
using test::comes_true;
using test::PoolBed;
using test::PrivatePostgres;
using test::ServiceHouse;
using test::shared_postgres;

namespace {

SettingChanges set_to(const std::string& field, Value value) {
    SettingChanges changes;
    changes.emplace(field, std::move(value));
    return changes;
}

// Data elsewhere that can be erased when it is told so.
struct Elsewhere {
    bool is_up = true;
    std::vector<TenantRecord> asked;

    [[nodiscard]] EraseData eraser() {
        return [this](const TenantRecord& record) -> Result<void> {
            asked.push_back(record);
            return is_up ? Result<void>{} : Error{Code::unavailable, "the data is away"};
        };
    }
};

// One of several servers on a catalog in PostgreSQL. What ServiceHouse has of its own catalog is not used.
struct Replica : ServiceHouse {
    explicit Replica(const PrivatePostgres& server)
        : bed(server),
          opened(open_postgres_catalog(bed.pool, clock, {})),
          shared(**opened),
          manager(shared, factory, ledger, std::make_shared<const Config>(*parse_config("", "")), log) {
        for (const char* id : {"acme", "loaded", "resting"}) {  // for the ledger, which is the folder's
            REQUIRE(files.create(id));
        }
    }

    [[nodiscard]] TenantStatus status(const std::string& id) const { return shared.row(id)->status; }
    [[nodiscard]] std::int64_t rate_limit(const std::string& id) {
        const auto tenant = manager.find(id);
        return tenant ? (*tenant)->config.rate_limit : -1;
    }

    PoolBed bed;
    Result<std::unique_ptr<Catalog>> opened;
    Catalog& shared;
    TenantManager manager;
};

bool is_fresh() {
    if (shared_postgres() == nullptr) {
        return false;
    }
    static_cast<void>(shared_postgres()->ask("DROP SCHEMA IF EXISTS mtagent CASCADE"));
    return true;
}

}  // namespace

TEST_CASE("data elsewhere is erased before the name is given back, and tried again while it is away") {
    ServiceHouse house;
    Elsewhere elsewhere;
    elsewhere.is_up = false;
    house.tenants.set_erase_data(elsewhere.eraser());
    REQUIRE(house.add_open("acme", {{"rate_limit", 7}}));
    REQUIRE(house.tenants.start());
    house.tenants.stop();
    REQUIRE(house.catalog->begin_removal("acme", "ann"));
    REQUIRE(house.tenants.refresh());  // a fault of one tenant's data is none of the server
    REQUIRE(house.tenants.refresh());
    REQUIRE(elsewhere.asked.size() == 1);
    CHECK(elsewhere.asked[0].own.contains("rate_limit"));
    CHECK(house.catalog->row("acme")->status == TenantStatus::removing);
    CHECK(house.add("acme").error().code == Code::busy);
    elsewhere.is_up = true;
    house.clock.advance(1s);
    REQUIRE(house.tenants.refresh());
    CHECK(elsewhere.asked.size() == 2);
    CHECK(house.catalog->row("acme")->status == TenantStatus::removed);
    CHECK(house.add("acme"));
}

TEST_CASE("with others on the catalog a tenant is dropped at once and erased when all have let go") {
    if (!is_fresh()) {
        return;
    }
    Replica one(*shared_postgres());
    Replica two(*shared_postgres());
    Elsewhere elsewhere;
    for (Replica* replica : {&one, &two}) {
        replica->manager.set_erase_data(elsewhere.eraser());
        REQUIRE(replica->manager.start());
        replica->manager.stop();
    }
    REQUIRE(one.shared.create_tenant("acme", {{"rate_limit", 7}}, ServiceHouse::anything, "ann"));
    REQUIRE(two.manager.find("acme"));
    auto running = *two.manager.find("acme");
    const std::string uid = running->record.uid;
    CHECK(one.rate_limit("acme") == 7);
    REQUIRE(one.shared.begin_removal("acme", "ann"));
    for (Replica* replica : {&one, &two}) {
        REQUIRE(replica->manager.refresh());
        CHECK(replica->manager.find("acme").error().code == Code::not_found);
    }
    one.clock.advance(4999ms);
    REQUIRE(one.manager.refresh());
    CHECK(one.status("acme") == TenantStatus::removing);
    CHECK(elsewhere.asked.empty());
    one.clock.advance(1ms);
    REQUIRE(one.manager.refresh());
    CHECK(one.status("acme") == TenantStatus::removed);
    REQUIRE(elsewhere.asked.size() == 1);
    CHECK(elsewhere.asked[0].own.contains("rate_limit"));
    // A new life is not touched by who lets go of the old one late.
    REQUIRE(one.shared.create_tenant("acme", {}, ServiceHouse::anything, "ann"));
    REQUIRE(one.shared.begin_removal("acme", "ann"));
    two.clock.advance(1h);
    CHECK(two.slots->find(uid) != nullptr);
    running.reset();
    REQUIRE(two.manager.refresh());
    CHECK(two.slots->find(uid) == nullptr);
    CHECK(two.status("acme") == TenantStatus::removing);
    // Its last call may have stored something after the other had erased.
    REQUIRE(elsewhere.asked.size() == 2);
    CHECK(elsewhere.asked[1].uid == uid);
}

TEST_CASE("a removal that others finished unseen leaves nothing of the tenant here") {
    if (!is_fresh()) {
        return;
    }
    Replica here(*shared_postgres());
    REQUIRE(here.manager.start());
    here.manager.stop();
    REQUIRE(here.shared.create_tenant("acme", {}, ServiceHouse::anything, "ann"));
    REQUIRE(here.manager.find("acme"));
    const std::string uid = (*here.manager.find("acme"))->record.uid;
    REQUIRE(here.shared.begin_removal("acme", "ann"));
    REQUIRE(here.shared.finish_removal("acme", uid));
    REQUIRE(here.manager.refresh());
    CHECK(here.manager.find("acme").error().code == Code::not_found);
    here.clock.advance(5s);
    REQUIRE(here.manager.refresh());
    CHECK(here.slots->find(uid) == nullptr);
}

TEST_CASE("a change by another process is obeyed within a second") {
    if (!is_fresh()) {
        return;
    }
    Replica here(*shared_postgres());
    Replica other(*shared_postgres());
    REQUIRE(here.manager.start());
    REQUIRE(other.shared.create_tenant("acme", {{"rate_limit", 1}}, ServiceHouse::anything, "ann"));
    const auto key = *other.shared.create_key({"acme"}, "ann");
    REQUIRE(here.manager.find_by_key(key.text));
    for (int limit = 2; limit < 12; ++limit) {
        REQUIRE(other.shared.update_tenant("acme", set_to("rate_limit", limit), ServiceHouse::anything, "ann"));
        CHECK(comes_true([&] { return here.rate_limit("acme") == limit; }, 1s));
    }
    REQUIRE(other.shared.revoke_key(key.record.key_id, "ann"));
    CHECK(comes_true([&] { return (*here.manager.find("acme"))->keys[0].revoked.has_value(); }, 1s));
}

TEST_CASE("while the catalog is away loaded tenants are served, and what was missed is applied after") {
    if (shared_postgres() == nullptr) {
        return;
    }
    PrivatePostgres server({"synchronous_commit = on"});
    Replica here(server);
    Replica other(server);
    for (const char* id : {"loaded", "resting"}) {
        REQUIRE(here.shared.create_tenant(id, {{"rate_limit", 1}}, ServiceHouse::anything, "ann"));
    }
    REQUIRE(here.manager.start());
    CHECK(here.rate_limit("loaded") == 1);
    server.kill();
    CHECK(comes_true([&] { return here.manager.fault().has_value(); }, 5s));
    CHECK(here.rate_limit("loaded") == 1);
    CHECK(here.manager.find("resting").error().code == Code::unavailable);
    CHECK(here.manager.find_by_key(generate_key().text).error().code == Code::unavailable);
    CHECK(here.manager.reconfigure(here.manager.config()).error().code == Code::unavailable);
    CHECK(here.rate_limit("loaded") == 1);
    server.start();
    const auto change = [&] {
        return other.shared.update_tenant("loaded", set_to("rate_limit", 2), ServiceHouse::anything, "ann").has_value();
    };
    REQUIRE(comes_true(change, 5s));
    CHECK(comes_true([&] { return here.rate_limit("loaded") == 2; }, 5s));
    CHECK(comes_true([&] { return !here.manager.fault().has_value(); }, 5s));
    CHECK(here.rate_limit("resting") == 1);
}

TEST_CASE("the thread that follows the catalog can be stopped and started again") {
    if (!is_fresh()) {
        return;
    }
    Replica here(*shared_postgres());
    for (int i = 0; i < 3; ++i) {
        REQUIRE(here.manager.start());
        here.manager.stop();
    }
}
