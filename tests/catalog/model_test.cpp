// Language models of tenants' own, at rest in SQLite.

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "catalog/catalog.h"
#include "catalog/registry_schema.h"
#include "support/house.h"

using namespace mt;
using test::CatalogHouse;

namespace {

TenantModel model_of(const std::string& name, const std::string& sealed = "sealed-text") {
    return {name, "https://llm.example.com/v1", "gpt-x", sealed, WallTime{std::chrono::milliseconds{1234}}};
}

// A house with the tenant acme.
struct ModelHouse : CatalogHouse {
    ModelHouse() { REQUIRE(add("acme")); }

    Result<TenantRecord> put(const TenantModel& model, bool replace = false) {
        return catalog->put_model("acme", model, replace, "ann");
    }
    std::vector<TenantModel> models() { return catalog->tenant("acme")->models; }
};

}  // namespace

TEST_CASE("the registry holds nothing of models but their history") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a", "sealed-mark")));
    for (const char* name : {"registry.db", "registry.db-wal"}) {
        std::ifstream in(house.folder.path() / name, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
        CHECK(bytes.find("sealed-mark") == std::string::npos);
    }
}

TEST_CASE("a process that dies between file and registry loses no model") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a")));
    const std::int64_t generation = house.catalog->tenant("acme")->generation;
    // The file as it is after the first of the two commits.
    REQUIRE(house.files.write("acme", k_models_part, [&](Database& database) -> Result<void> {
        database.execute("INSERT INTO models VALUES('late', 'http://h', 'm', x'', 5)");
        database.query("UPDATE identity SET generation = ?").bind(1, generation + 1).execute();
        return {};
    }));
    const Result<TenantRecord> repaired = house.catalog->tenant("acme");
    REQUIRE(repaired);
    CHECK(repaired->models.size() == 2);
    CHECK(repaired->generation == generation + 1);
    CHECK(house.catalog->row("acme")->generation == generation + 1);
}

TEST_CASE("models written by a newer program are refused, not misread") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a")));
    REQUIRE(house.files.write("acme", k_models_part, [](Database& database) -> Result<void> {
        database.execute("UPDATE schema_parts SET version = 9 WHERE name = 'models'");
        return {};
    }));
    TenantFiles other(house.folder.tenants(), {16, false});
    CHECK(house.beside(other)->tenant("acme").error().code == Code::version_mismatch);
}

TEST_CASE("a tenant without models has no table for them") {
    ModelHouse house;
    CHECK(house.models().empty());
    bool there = true;
    REQUIRE(house.files.read("acme", k_config_part, [&](Database& database) -> Result<void> {
        there = database.query("SELECT 1 FROM sqlite_schema WHERE name = 'models'").step();
        return {};
    }));
    CHECK_FALSE(there);
}
