// Language models of tenants' own, at rest.

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

TEST_CASE("models are added, read back in order, and removed") {
    ModelHouse house;
    const TenantModel b = model_of("b", std::string("\0\xff raw", 6));
    const Result<TenantRecord> added = house.put(b);
    REQUIRE(added);
    CHECK(added->models == std::vector<TenantModel>{b});
    const TenantModel a = model_of("a", "");
    const Result<TenantRecord> more = house.put(a);
    REQUIRE(more);
    CHECK(more->models == std::vector<TenantModel>{a, b});
    CHECK(house.models() == more->models);
    const Result<TenantRecord> removed = house.catalog->remove_model("acme", "b", "ann");
    REQUIRE(removed);
    CHECK(removed->models == std::vector<TenantModel>{a});
    CHECK(house.models() == removed->models);
}

TEST_CASE("a name is taken once, unless it is to be replaced") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a", "first")));
    CHECK(house.put(model_of("a", "second")).error().code == Code::already_exists);
    CHECK(house.models()[0].sealed_key == "first");
    const Result<TenantRecord> replaced = house.put(model_of("a", "second"), true);
    REQUIRE(replaced);
    CHECK(replaced->models.size() == 1);
    CHECK(house.models()[0].sealed_key == "second");
    CHECK(house.put(model_of("new"), true));
}

TEST_CASE("models of nobody, and models that are not there") {
    ModelHouse house;
    CHECK(house.catalog->put_model("nobody", model_of("a"), false, "ann").error().code == Code::not_found);
    CHECK(house.catalog->remove_model("nobody", "a", "ann").error().code == Code::not_found);
    CHECK(house.catalog->remove_model("acme", "a", "ann").error().code == Code::not_found);
    REQUIRE(house.catalog->begin_removal("acme", "ann"));
    CHECK(house.put(model_of("a")).error().code == Code::not_found);
}

TEST_CASE("a tenant has at most 32 models") {
    ModelHouse house;
    for (std::size_t i = 0; i < k_most_own_models; ++i) {
        REQUIRE(house.put(model_of("m" + std::to_string(i))));
    }
    CHECK(house.put(model_of("more")).error().code == Code::invalid);
    CHECK(house.put(model_of("m7", "other"), true));
    CHECK(house.models().size() == k_most_own_models);
}

TEST_CASE("a change of models is a change of the tenant, seen by every process") {
    ModelHouse house;
    TenantFiles other(house.folder.tenants(), {16, false});
    const std::unique_ptr<Catalog> beside = house.beside(other);
    const std::int64_t start = beside->changes_since(std::numeric_limits<std::int64_t>::max())->sequence;
    const std::int64_t before = beside->tenant("acme")->generation;
    REQUIRE(house.put(model_of("a")));
    const Result<Changes> changes = beside->changes_since(start);
    REQUIRE(changes);
    CHECK(changes->tenants == std::vector<std::string>{"acme"});
    CHECK(beside->tenant("acme")->generation == before + 1);
    CHECK(beside->tenant("acme")->models.size() == 1);
    REQUIRE(house.catalog->remove_model("acme", "a", "ann"));
    CHECK(beside->tenant("acme")->generation == before + 2);
    CHECK(beside->tenant("acme")->models.empty());
}

TEST_CASE("a change of settings leaves the models, and the other way round") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a")));
    SettingChanges changes;
    changes.emplace("rate_limit", Value(7));
    const Result<TenantRecord> changed = house.catalog->update_tenant("acme", changes, CatalogHouse::anything, "ann");
    REQUIRE(changed);
    CHECK(changed->models.size() == 1);
    CHECK(house.put(model_of("b"))->own.contains("rate_limit"));
    CHECK(house.models().size() == 2);
}

TEST_CASE("history tells of models, never of keys") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a", "sealed-one")));
    TenantModel moved = model_of("a", "sealed-two");
    moved.base_url = "https://other.example.com";
    REQUIRE(house.put(moved, true));
    REQUIRE(house.catalog->remove_model("acme", "a", "bob"));
    const Result<std::vector<AuditEvent>> events = house.catalog->history("acme", 10);
    REQUIRE(events);
    REQUIRE(events->size() == 4);
    CHECK((*events)[0].action == "model.remove");
    CHECK((*events)[0].who == "bob");
    CHECK((*events)[0].before == "gpt-x at https://other.example.com");
    CHECK((*events)[0].after.empty());
    CHECK((*events)[1].action == "model.add");
    CHECK((*events)[1].before == "gpt-x at https://llm.example.com/v1");
    CHECK((*events)[2].subject == "a");
    CHECK((*events)[2].before.empty());
    CHECK((*events)[2].after == "gpt-x at https://llm.example.com/v1");
    for (const AuditEvent& event : *events) {
        CHECK((event.before + event.after).find("sealed") == std::string::npos);
    }
}

TEST_CASE("the registry holds nothing of models but their history") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a", "sealed-mark")));
    for (const char* name : {"registry.db", "registry.db-wal"}) {
        std::ifstream in(house.folder.path() / name, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
        CHECK(bytes.find("sealed-mark") == std::string::npos);
    }
}

TEST_CASE("a model that settings name stays") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a")));
    REQUIRE(house.put(model_of("b")));
    SettingChanges changes;
    changes.emplace("model", Value(std::string("a")));
    changes.emplace("models", Value(std::vector<std::string>{"b"}));
    REQUIRE(house.catalog->update_tenant("acme", changes, CatalogHouse::anything, "ann"));
    for (const char* name : {"a", "b"}) {
        CHECK(house.catalog->remove_model("acme", name, "ann").error().code == Code::conflict);
    }
    CHECK(house.models().size() == 2);
}

TEST_CASE("a new life has none of the old one's models") {
    ModelHouse house;
    REQUIRE(house.put(model_of("a")));
    REQUIRE(house.catalog->begin_removal("acme", "ann"));
    REQUIRE(house.catalog->finish_removal("acme"));
    REQUIRE(house.add("acme"));
    CHECK(house.models().empty());
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
