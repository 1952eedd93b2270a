#include <doctest/doctest.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/registry_schema.h"
#include "support/house.h"

using namespace mt;
using namespace std::chrono_literals;
using test::CatalogHouse;

namespace {

SettingChanges set(const std::string& field, Value value) {
    SettingChanges changes;
    changes.emplace(field, std::move(value));
    return changes;
}

}  // namespace

TEST_CASE("a tenant is created once and read back") {
    CatalogHouse house;
    const Settings own{{"name", "Acme Inc"}, {"plan", "professional"}, {"rate_limit", 7}};
    const Result<TenantRecord> made = house.add("acme", own);
    REQUIRE(made);
    CHECK(made->uid.size() == 32);
    const Result<TenantRecord> read = house.catalog->tenant("acme");
    REQUIRE(read);
    CHECK(read->own == own);
    CHECK(read->name == "Acme Inc");
    CHECK(read->plan == "professional");
    CHECK(read->created == house.clock.wall());
    CHECK(house.add("acme").error().code == Code::already_exists);
    CHECK(house.add("Not-An-Id").error().code == Code::invalid);
    CHECK(house.catalog->tenant("nobody").error().code == Code::not_found);
}

TEST_CASE("settings that fail the check create nothing") {
    CatalogHouse house;
    const auto refuse = [](const Settings&) -> Result<void> { return Error{Code::invalid, "no"}; };
    CHECK(house.catalog->create_tenant("acme", {}, refuse, "tester").error().code == Code::invalid);
    CHECK(house.catalog->tenant("acme").error().code == Code::not_found);
    CHECK_FALSE(house.files.exists("acme"));
}

TEST_CASE("changes merge, grow the generation, and leave history") {
    CatalogHouse house;
    REQUIRE(house.add("acme", {{"rate_limit", 7}}));
    const auto changed = house.catalog->update_tenant("acme", set("rate_limit", 8), CatalogHouse::anything, "ann");
    REQUIRE(changed);
    CHECK(changed->generation == 2);
    const auto same = house.catalog->update_tenant("acme", set("rate_limit", 8), CatalogHouse::anything, "ann");
    CHECK(same->generation == 2);
    SettingChanges unset;
    unset.emplace("rate_limit", std::nullopt);
    CHECK(house.catalog->update_tenant("acme", unset, CatalogHouse::anything, "ann")->own.empty());
    const auto events = house.catalog->history("acme", 10);
    REQUIRE(events->size() == 3);
    CHECK((*events)[0].before == "8");
    CHECK((*events)[0].after.empty());
    CHECK((*events)[1].who == "ann");
    CHECK((*events)[1].subject == "rate_limit");
    CHECK((*events)[2].action == "tenant.add");
}

TEST_CASE("a refused change changes nothing") {
    CatalogHouse house;
    REQUIRE(house.add("acme", {{"rate_limit", 7}}));
    const auto refuse = [](const Settings&) -> Result<void> { return Error{Code::invalid, "no"}; };
    CHECK(house.catalog->update_tenant("acme", set("burst", 1), refuse, "ann").error().code == Code::invalid);
    CHECK(house.catalog->tenant("acme")->generation == 1);
    CHECK(house.catalog->tenant("acme")->own.size() == 1);
}

TEST_CASE("suspending, resuming, listing") {
    CatalogHouse house;
    for (const char* id : {"b", "a", "c"}) {
        REQUIRE(house.add(id, {{"auth", std::string(id) == "c" ? "open" : "key"}}));
    }
    CHECK(house.catalog->set_suspended("a", true, "ann")->status == TenantStatus::suspended);
    CHECK(house.catalog->tenants("", 2)->size() == 2);
    CHECK(house.catalog->tenants("", 2)->front().id == "a");
    CHECK(house.catalog->tenants("b", 2)->size() == 1);
    CHECK(house.catalog->set_suspended("a", false, "ann")->status == TenantStatus::active);
    CHECK(*house.catalog->open_tenants(10) == std::vector<std::string>{"c"});
}

TEST_CASE("a removed tenant leaves a tombstone, and a new life has nothing of the old one") {
    CatalogHouse house;
    REQUIRE(house.add("acme", {{"rate_limit", 7}}));
    const auto key = house.catalog->create_key({"acme", "k"}, "ann");
    REQUIRE(key);
    const std::string old_uid = house.catalog->tenant("acme")->uid;
    REQUIRE(house.catalog->begin_removal("acme", "ann"));
    CHECK(house.catalog->begin_removal("acme", "ann").error().code == Code::not_found);
    CHECK(house.add("acme").error().code == Code::busy);
    CHECK(house.catalog->removing()->size() == 1);
    CHECK(house.files.exists("acme"));
    REQUIRE(house.catalog->finish_removal("acme"));
    CHECK_FALSE(house.files.exists("acme"));
    CHECK(house.catalog->tenant("acme").error().code == Code::not_found);
    CHECK(house.catalog->row("acme")->status == TenantStatus::removed);
    CHECK(house.catalog->tenants("", 10)->empty());
    const auto again = house.add("acme");
    REQUIRE(again);
    CHECK(again->uid != old_uid);
    CHECK(again->generation > 1);
    CHECK(house.catalog->tenant("acme")->own.empty());
    CHECK(house.catalog->keys("acme")->empty());
}

TEST_CASE("keys: only the hash is kept, and every way to end one works") {
    CatalogHouse house;
    REQUIRE(house.add("acme"));
    const auto key = house.catalog->create_key({"acme", "laptop", 10s}, "ann");
    REQUIRE(key);
    CHECK(key->text.starts_with("mta_" + key->record.key_id + "_"));
    CHECK(key->text.size() == 4 + 12 + 1 + 64);
    CHECK(*key_id_of(key->text) == key->record.key_id);
    auto kept = house.catalog->keys("acme")->front();
    CHECK(kept.hash == sha256(key->text));
    CHECK(matches(kept, key->text));
    std::string wrong = key->text;
    wrong.back() = wrong.back() == '0' ? '1' : '0';
    CHECK_FALSE(matches(kept, wrong));
    CHECK(kept.is_live(house.clock.wall()));
    CHECK_FALSE(kept.is_live(house.clock.wall() + 10s));
    house.clock.advance(1ms);  // keys are listed by their time
    const auto fresh = house.catalog->rotate_key(kept.key_id, 5s, "ann");
    REQUIRE(fresh);
    CHECK(fresh->record.name == "laptop");
    house.clock.advance(1ms);
    kept = house.catalog->keys("acme")->front();
    CHECK(kept.is_live(house.clock.wall() + 4s));
    CHECK_FALSE(kept.is_live(house.clock.wall() + 5s));
    CHECK(house.catalog->keys("acme")->back().key_id == fresh->record.key_id);
    REQUIRE(house.catalog->revoke_key(fresh->record.key_id, "ann"));
    CHECK(house.catalog->rotate_key(fresh->record.key_id, 0s, "ann").error().code == Code::conflict);
    CHECK(house.catalog->revoke_key("nobodyskey22", "ann").error().code == Code::not_found);
    CHECK(house.catalog->create_key({"nobody"}, "ann").error().code == Code::not_found);
}

TEST_CASE("texts that have not the shape of a key") {
    const std::string good = generate_key().text;
    CHECK(key_id_of(good));
    for (const std::string& bad : {std::string(), std::string("mta_"), good + "0", good.substr(1),
                                   "MTA" + good.substr(3), good.substr(0, 16) + "-" + good.substr(17)}) {
        CHECK_MESSAGE(!key_id_of(bad), bad);
    }
}

TEST_CASE("changes are seen from another process, by tenant and for operators' keys") {
    CatalogHouse house;
    TenantFiles other(house.folder.tenants(), {4, false});
    const auto beside = house.beside(other);
    const std::int64_t start = house.catalog->changes_since(std::numeric_limits<std::int64_t>::max())->sequence;
    REQUIRE(beside->create_tenant("acme", {}, CatalogHouse::anything, "ann"));
    auto changes = house.catalog->changes_since(start);
    CHECK(changes->tenants == std::vector<std::string>{"acme"});
    CHECK_FALSE(changes->operator_keys);
    REQUIRE(beside->create_key({"", "ci"}, "ann"));
    changes = house.catalog->changes_since(changes->sequence);
    CHECK(changes->operator_keys);
    CHECK(changes->tenants.empty());
    REQUIRE(beside->create_key({"acme"}, "ann"));
    CHECK(house.catalog->changes_since(changes->sequence)->tenants.size() == 1);
    CHECK(house.catalog->tenant("acme"));
}

TEST_CASE("a newer generation in the file repairs the registry") {
    CatalogHouse house;
    REQUIRE(house.add("acme"));
    REQUIRE(house.files.write("acme", k_config_part, [](Database& database) -> Result<void> {
        database.query("INSERT INTO config VALUES('name', 'Changed')").execute();
        database.query("UPDATE identity SET generation = 5").execute();
        return {};
    }));
    const auto read = house.catalog->tenant("acme");
    CHECK(read->generation == 5);
    CHECK(read->name == "Changed");
    CHECK(house.catalog->row("acme")->generation == 5);
    CHECK(house.catalog->tenants("", 1)->front().name == "Changed");
}

TEST_CASE("a file of another life, a missing file and a newer schema are told, not served") {
    CatalogHouse house;
    REQUIRE(house.add("acme"));
    REQUIRE(house.files.write("acme", k_config_part, [](Database& database) -> Result<void> {
        database.query("UPDATE identity SET uid = 'other'").execute();
        return {};
    }));
    CHECK(house.catalog->tenant("acme").error().code == Code::failed);
    REQUIRE(house.add("gone"));
    REQUIRE(house.files.remove("gone"));
    CHECK(house.catalog->tenant("gone").error().code == Code::failed);
    REQUIRE(house.add("newer"));
    REQUIRE(house.files.write("newer", k_config_part, [](Database& database) -> Result<void> {
        database.query("UPDATE schema_parts SET version = 99").execute();
        return {};
    }));
    TenantFiles fresh(house.folder.tenants(), {4, true});
    const auto later = *open_sqlite_catalog(house.folder, fresh, house.clock, {});
    CHECK(later->tenant("newer").error().code == Code::version_mismatch);
}

TEST_CASE("a file left by a crash before its registration does not hinder the next") {
    CatalogHouse house;
    REQUIRE(house.files.create("acme"));
    REQUIRE(house.add("acme", {{"rate_limit", 3}}));
    CHECK(house.catalog->tenant("acme")->own.size() == 1);
}

TEST_CASE("many adders of one id: exactly one wins") {
    CatalogHouse house;
    std::atomic<int> made{0};
    std::atomic<int> refused{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 6; ++t) {
            threads.emplace_back([&] {
                TenantFiles files(house.folder.tenants(), {4, false});
                const auto catalog = house.beside(files);
                const auto result = catalog->create_tenant("acme", {}, CatalogHouse::anything, "ann");
                (result ? made : refused) += 1;
            });
        }
    }
    CHECK(made == 1);
    CHECK(refused == 5);
    CHECK(house.catalog->tenant("acme"));
}

TEST_CASE("the first writer counts since ever, a later one since it came, and only the last one goes on") {
    CatalogHouse house;
    CHECK(house.catalog->note_writer("first")->since == WallTime{});
    CHECK(house.catalog->note_writer("first")->latest);
    house.clock.advance(std::chrono::hours{1});
    const WallTime later = house.clock.wall();
    CHECK(house.catalog->note_writer("second")->since == later);
    house.clock.advance(std::chrono::hours{1});
    CHECK(house.catalog->note_writer("second")->since == later);
    CHECK(house.catalog->note_writer("second")->latest);
    CHECK_FALSE(house.catalog->note_writer("first")->latest);
}
