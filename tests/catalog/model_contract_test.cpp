// Language models of tenants' own, in every catalog.

#include "catalog/contract.h"

#include <limits>
#include <string>

using namespace mt;
using test::CatalogBed;
using test::on_each_catalog;

namespace {

TenantModel model_of(const std::string& name, const std::string& sealed = "sealed-text") {
    return {name, "https://llm.example.com/v1", "gpt-x", sealed, WallTime{std::chrono::milliseconds{1234}}};
}

// To the tenant acme.
Result<TenantRecord> put(const CatalogBed& bed, const TenantModel& model, bool replace = false) {
    return bed.catalog->put_model("acme", model, replace, "ann");
}

std::vector<TenantModel> models_of(const CatalogBed& bed) {
    return bed.catalog->tenant("acme")->models;
}

}  // namespace

TEST_CASE("models are added, read back in order, and removed") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        const TenantModel b = model_of("b", std::string("\0\xff raw", 6));
        const Result<TenantRecord> added = put(bed, b);
        REQUIRE(added);
        CHECK(added->models == std::vector<TenantModel>{b});
        const TenantModel a = model_of("a", "");
        const Result<TenantRecord> more = put(bed, a);
        REQUIRE(more);
        CHECK(more->models == std::vector<TenantModel>{a, b});
        CHECK(models_of(bed) == more->models);
        const Result<TenantRecord> removed = bed.catalog->remove_model("acme", "b", "ann");
        REQUIRE(removed);
        CHECK(removed->models == std::vector<TenantModel>{a});
        CHECK(models_of(bed) == removed->models);
    });
}

TEST_CASE("a name is taken once, unless it is to be replaced") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        REQUIRE(put(bed, model_of("a", "first")));
        CHECK(put(bed, model_of("a", "second")).error().code == Code::already_exists);
        CHECK(models_of(bed)[0].sealed_key == "first");
        const Result<TenantRecord> replaced = put(bed, model_of("a", "second"), true);
        REQUIRE(replaced);
        CHECK(replaced->models.size() == 1);
        CHECK(models_of(bed)[0].sealed_key == "second");
        CHECK(put(bed, model_of("new"), true));
    });
}

TEST_CASE("models of nobody, and models that are not there") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        CHECK(bed.catalog->put_model("nobody", model_of("a"), false, "ann").error().code == Code::not_found);
        CHECK(bed.catalog->remove_model("nobody", "a", "ann").error().code == Code::not_found);
        CHECK(bed.catalog->remove_model("acme", "a", "ann").error().code == Code::not_found);
        REQUIRE(bed.catalog->begin_removal("acme", "ann"));
        CHECK(put(bed, model_of("a")).error().code == Code::not_found);
    });
}

TEST_CASE("a tenant has at most 32 models") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        for (std::size_t i = 0; i < k_most_own_models; ++i) {
            REQUIRE(put(bed, model_of("m" + std::to_string(i))));
        }
        CHECK(put(bed, model_of("more")).error().code == Code::invalid);
        CHECK(put(bed, model_of("m7", "other"), true));
        CHECK(models_of(bed).size() == k_most_own_models);
    });
}

TEST_CASE("a change of models is a change of the tenant, seen by every process") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        const std::unique_ptr<Catalog> beside = bed.beside();
        const std::int64_t start = beside->changes_since(std::numeric_limits<std::int64_t>::max())->sequence;
        const std::int64_t before = beside->tenant("acme")->generation;
        REQUIRE(put(bed, model_of("a")));
        const Result<Changes> changes = beside->changes_since(start);
        REQUIRE(changes);
        CHECK(changes->tenants == std::vector<std::string>{"acme"});
        CHECK(beside->tenant("acme")->generation == before + 1);
        CHECK(beside->tenant("acme")->models.size() == 1);
        REQUIRE(bed.catalog->remove_model("acme", "a", "ann"));
        CHECK(beside->tenant("acme")->generation == before + 2);
        CHECK(beside->tenant("acme")->models.empty());
    });
}

TEST_CASE("a change of settings leaves the models, and the other way round") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        REQUIRE(put(bed, model_of("a")));
        SettingChanges changes;
        changes.emplace("rate_limit", Value(7));
        const Result<TenantRecord> changed = bed.catalog->update_tenant("acme", changes, CatalogBed::anything, "ann");
        REQUIRE(changed);
        CHECK(changed->models.size() == 1);
        CHECK(put(bed, model_of("b"))->own.contains("rate_limit"));
        CHECK(models_of(bed).size() == 2);
    });
}

TEST_CASE("history tells of models, never of keys") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        REQUIRE(put(bed, model_of("a", "sealed-one")));
        TenantModel moved = model_of("a", "sealed-two");
        moved.base_url = "https://other.example.com";
        REQUIRE(put(bed, moved, true));
        REQUIRE(bed.catalog->remove_model("acme", "a", "bob"));
        const Result<std::vector<AuditEvent>> events = bed.catalog->history("acme", 10);
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
    });
}

TEST_CASE("a model that settings name stays") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        REQUIRE(put(bed, model_of("a")));
        REQUIRE(put(bed, model_of("b")));
        SettingChanges changes;
        changes.emplace("model", Value(std::string("a")));
        changes.emplace("models", Value(std::vector<std::string>{"b"}));
        REQUIRE(bed.catalog->update_tenant("acme", changes, CatalogBed::anything, "ann"));
        for (const char* name : {"a", "b"}) {
            CHECK(bed.catalog->remove_model("acme", name, "ann").error().code == Code::conflict);
        }
        CHECK(models_of(bed).size() == 2);
    });
}

TEST_CASE("a new life has none of the old one's models") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        REQUIRE(put(bed, model_of("a")));
        REQUIRE(bed.catalog->begin_removal("acme", "ann"));
        REQUIRE(bed.catalog->finish_removal("acme", bed.uid("acme")));
        REQUIRE(bed.add("acme"));
        CHECK(models_of(bed).empty());
    });
}
