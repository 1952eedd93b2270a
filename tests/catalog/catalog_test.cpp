// What the SQLite catalog has alone: files beside its registry. The rest is in contract_test.cpp.

#include <doctest/doctest.h>

#include "catalog/catalog.h"
#include "catalog/registry_schema.h"
#include "support/house.h"

using namespace mt;
using namespace std::chrono_literals;
using test::CatalogHouse;

TEST_CASE("texts that have not the shape of a key") {
    const std::string good = generate_key().text;
    CHECK(key_id_of(good));
    for (const std::string& bad : {std::string(), std::string("mta_"), good + "0", good.substr(1),
                                   "MTA" + good.substr(3), good.substr(0, 16) + "-" + good.substr(17)}) {
        CHECK_MESSAGE(!key_id_of(bad), bad);
    }
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
