#include "catalog/contract.h"

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

using namespace mt;
using namespace std::chrono_literals;
using test::CatalogBed;
using test::on_each_catalog;
using test::set_to;

TEST_CASE("a tenant is created once and read back") {
    on_each_catalog([](CatalogBed& bed) {
        const Settings own{{"name", "Acme Inc"}, {"plan", "professional"}, {"rate_limit", 7}};
        const Result<TenantRecord> made = bed.add("acme", own);
        REQUIRE(made);
        CHECK(made->uid.size() == 32);
        const Result<TenantRecord> read = bed.catalog->tenant("acme");
        REQUIRE(read);
        CHECK(read->own == own);
        CHECK(read->name == "Acme Inc");
        CHECK(read->plan == "professional");
        CHECK(read->created == bed.clock.wall());
        CHECK(bed.add("acme").error().code == Code::already_exists);
        CHECK(bed.add("Not-An-Id").error().code == Code::invalid);
        CHECK(bed.catalog->tenant("nobody").error().code == Code::not_found);
    });
}

TEST_CASE("settings that fail the check create nothing") {
    on_each_catalog([](CatalogBed& bed) {
        const auto refuse = [](const Settings&) -> Result<void> { return Error{Code::invalid, "no"}; };
        CHECK(bed.catalog->create_tenant("acme", {}, refuse, "tester").error().code == Code::invalid);
        CHECK(bed.catalog->tenant("acme").error().code == Code::not_found);
    });
}

TEST_CASE("changes merge, grow the generation, and leave history") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme", {{"rate_limit", 7}}));
        const auto changed = bed.catalog->update_tenant("acme", set_to("rate_limit", 8), CatalogBed::anything, "ann");
        REQUIRE(changed);
        CHECK(changed->generation == 2);
        const auto same = bed.catalog->update_tenant("acme", set_to("rate_limit", 8), CatalogBed::anything, "ann");
        CHECK(same->generation == 2);
        SettingChanges unset;
        unset.emplace("rate_limit", std::nullopt);
        CHECK(bed.catalog->update_tenant("acme", unset, CatalogBed::anything, "ann")->own.empty());
        const auto events = bed.catalog->history("acme", 10);
        REQUIRE(events->size() == 3);
        CHECK((*events)[0].before == "8");
        CHECK((*events)[0].after.empty());
        CHECK((*events)[1].who == "ann");
        CHECK((*events)[1].subject == "rate_limit");
        CHECK((*events)[2].action == "tenant.add");
    });
}

TEST_CASE("a refused change changes nothing") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme", {{"rate_limit", 7}}));
        const auto refuse = [](const Settings&) -> Result<void> { return Error{Code::invalid, "no"}; };
        CHECK(bed.catalog->update_tenant("acme", set_to("burst", 1), refuse, "ann").error().code == Code::invalid);
        CHECK(bed.catalog->tenant("acme")->generation == 1);
        CHECK(bed.catalog->tenant("acme")->own.size() == 1);
    });
}

TEST_CASE("suspending, resuming, listing") {
    on_each_catalog([](CatalogBed& bed) {
        for (const char* id : {"b", "a", "c"}) {
            REQUIRE(bed.add(id, {{"auth", std::string(id) == "c" ? "open" : "key"}}));
        }
        CHECK(bed.catalog->set_suspended("a", true, "ann")->status == TenantStatus::suspended);
        CHECK(bed.catalog->tenants("", 2)->size() == 2);
        CHECK(bed.catalog->tenants("", 2)->front().id == "a");
        CHECK(bed.catalog->tenants("b", 2)->size() == 1);
        CHECK(bed.catalog->set_suspended("a", false, "ann")->status == TenantStatus::active);
        CHECK(*bed.catalog->open_tenants(10) == std::vector<std::string>{"c"});
    });
}

TEST_CASE("a removed tenant leaves a tombstone, and a new life has nothing of the old one") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme", {{"rate_limit", 7}}));
        const auto key = bed.catalog->create_key({"acme", "k"}, "ann");
        REQUIRE(key);
        const std::string old_uid = bed.catalog->tenant("acme")->uid;
        REQUIRE(bed.catalog->begin_removal("acme", "ann"));
        CHECK(bed.catalog->begin_removal("acme", "ann").error().code == Code::not_found);
        CHECK(bed.add("acme").error().code == Code::busy);
        CHECK(bed.catalog->removing()->size() == 1);
        REQUIRE(bed.catalog->finish_removal("acme", bed.uid("acme")));
        CHECK(bed.catalog->tenant("acme").error().code == Code::not_found);
        CHECK(bed.catalog->row("acme")->status == TenantStatus::removed);
        CHECK(bed.catalog->tenants("", 10)->empty());
        const auto again = bed.add("acme");
        REQUIRE(again);
        CHECK(again->uid != old_uid);
        CHECK(again->generation > 1);
        CHECK(bed.catalog->tenant("acme")->own.empty());
        CHECK(bed.catalog->keys("acme")->empty());
    });
}

TEST_CASE("keys: only the hash is kept, and every way to end one works") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        const auto key = bed.catalog->create_key({"acme", "laptop", 10s}, "ann");
        REQUIRE(key);
        CHECK(key->text.starts_with("mta_" + key->record.key_id + "_"));
        CHECK(key->text.size() == 4 + 12 + 1 + 64);
        CHECK(*key_id_of(key->text) == key->record.key_id);
        auto kept = bed.catalog->keys("acme")->front();
        CHECK(kept.hash == sha256(key->text));
        CHECK(matches(kept, key->text));
        std::string wrong = key->text;
        wrong.back() = wrong.back() == '0' ? '1' : '0';
        CHECK_FALSE(matches(kept, wrong));
        CHECK(kept.is_live(bed.clock.wall()));
        CHECK_FALSE(kept.is_live(bed.clock.wall() + 10s));
        bed.clock.advance(1ms);  // keys are listed by their time
        const auto fresh = bed.catalog->rotate_key(kept.key_id, 5s, "ann");
        REQUIRE(fresh);
        CHECK(fresh->record.name == "laptop");
        bed.clock.advance(1ms);
        kept = bed.catalog->keys("acme")->front();
        CHECK(kept.is_live(bed.clock.wall() + 4s));
        CHECK_FALSE(kept.is_live(bed.clock.wall() + 5s));
        CHECK(bed.catalog->keys("acme")->back().key_id == fresh->record.key_id);
        REQUIRE(bed.catalog->revoke_key(fresh->record.key_id, "ann"));
        CHECK(bed.catalog->rotate_key(fresh->record.key_id, 0s, "ann").error().code == Code::conflict);
        CHECK(bed.catalog->revoke_key("nobodyskey22", "ann").error().code == Code::not_found);
        CHECK(bed.catalog->create_key({"nobody"}, "ann").error().code == Code::not_found);
    });
}

TEST_CASE("changes are seen from another process, by tenant and for operators' keys") {
    on_each_catalog([](CatalogBed& bed) {
        const auto beside = bed.beside();
        const std::int64_t start = bed.catalog->changes_since(std::numeric_limits<std::int64_t>::max())->sequence;
        REQUIRE(beside->create_tenant("acme", {}, CatalogBed::anything, "ann"));
        auto changes = bed.catalog->changes_since(start);
        CHECK(changes->tenants == std::vector<std::string>{"acme"});
        CHECK_FALSE(changes->operator_keys);
        REQUIRE(beside->create_key({"", "ci"}, "ann"));
        changes = bed.catalog->changes_since(changes->sequence);
        CHECK(changes->operator_keys);
        CHECK(changes->tenants.empty());
        REQUIRE(beside->create_key({"acme"}, "ann"));
        CHECK(bed.catalog->changes_since(changes->sequence)->tenants.size() == 1);
        CHECK(bed.catalog->tenant("acme"));
    });
}

TEST_CASE("many adders of one id: exactly one wins") {
    on_each_catalog([](CatalogBed& bed) {
        std::vector<std::unique_ptr<Catalog>> processes;
        for (int t = 0; t < 6; ++t) {
            processes.push_back(bed.beside());
        }
        std::atomic<int> made{0};
        std::atomic<int> refused{0};
        {
            std::vector<std::jthread> threads;
            for (const std::unique_ptr<Catalog>& catalog : processes) {
                threads.emplace_back([&] {
                    const auto result = catalog->create_tenant("acme", {}, CatalogBed::anything, "ann");
                    made += result ? 1 : 0;
                    refused += !result && result.error().code == Code::already_exists ? 1 : 0;
                });
            }
        }
        CHECK(made == 1);
        CHECK(refused == 5);
        CHECK(bed.catalog->tenant("acme"));
        CHECK(bed.catalog->history("acme", 10)->size() == 1);
    });
}

TEST_CASE("the end of a removal is the end of that life only, however often and by whomever") {
    on_each_catalog([](CatalogBed& bed) {
        const auto beside = bed.beside();
        REQUIRE(bed.add("acme", {{"rate_limit", 7}}));
        const std::string old_uid = bed.uid("acme");
        REQUIRE(bed.catalog->finish_removal("acme", old_uid));  // not marked: nothing happens
        CHECK(bed.catalog->row("acme")->status == TenantStatus::active);
        REQUIRE(bed.catalog->begin_removal("acme", "ann"));
        const auto leaving = beside->tenant("acme");
        REQUIRE(leaving);
        CHECK(leaving->status == TenantStatus::removing);
        CHECK(leaving->own.contains("rate_limit"));
        REQUIRE(bed.catalog->finish_removal("acme", "another life"));
        CHECK(bed.catalog->row("acme")->status == TenantStatus::removing);
        REQUIRE(beside->finish_removal("acme", old_uid));
        REQUIRE(bed.catalog->finish_removal("acme", old_uid));
        REQUIRE(bed.add("acme"));
        REQUIRE(bed.catalog->begin_removal("acme", "ann"));
        REQUIRE(beside->finish_removal("acme", old_uid));
        CHECK(bed.catalog->row("acme")->status == TenantStatus::removing);
        CHECK(bed.catalog->finish_removal("nobody", old_uid).error().code == Code::not_found);
        const auto events = bed.catalog->history("acme", 10);
        REQUIRE(events->size() == 4);
        CHECK(events->back().after.empty());  // of the first life stays who did what
        CHECK(events->front().before == "basic");
    });
}

TEST_CASE("whose a key is: of those made here and of those in settings, as long as they stand there") {
    on_each_catalog([](CatalogBed& bed) {
        const NewKey key = generate_key();
        const std::string& key_id = key.record.key_id;
        const std::vector<std::string> hashes{key_id + ":" + to_hex(key.record.hash)};
        for (const char* id : {"b", "a"}) {
            CHECK(bed.catalog->key_owner(key_id).error().code == Code::not_found);
            REQUIRE(bed.add(id));
        }
        const auto give = [&](const char* id) {
            return bed.catalog->update_tenant(id, set_to("key_hashes", hashes), CatalogBed::anything, "ann")
                .has_value();
        };
        REQUIRE(give("b"));
        CHECK(*bed.catalog->key_owner(key_id) == "b");
        REQUIRE(give("a"));
        CHECK(*bed.catalog->key_owner(key_id) == "a");
        REQUIRE(bed.catalog->update_tenant("b", set_to("rate_limit", 3), CatalogBed::anything, "ann"));
        SettingChanges unset;
        unset.emplace("key_hashes", std::nullopt);
        REQUIRE(bed.catalog->update_tenant("a", unset, CatalogBed::anything, "ann"));
        CHECK(*bed.catalog->key_owner(key_id) == "b");
        REQUIRE(bed.catalog->begin_removal("b", "ann"));
        REQUIRE(bed.catalog->finish_removal("b", bed.uid("b")));
        CHECK(bed.catalog->key_owner(key_id).error().code == Code::not_found);
        const auto made = bed.catalog->create_key({"a"}, "ann");
        CHECK(*bed.catalog->key_owner(made->record.key_id) == "a");
        const auto operators = bed.catalog->create_key({""}, "ann");
        CHECK(bed.catalog->key_owner(operators->record.key_id).error().code == Code::not_found);
    });
}

TEST_CASE("operators' keys are made, renewed and ended like others") {
    on_each_catalog([](CatalogBed& bed) {
        const auto key = bed.catalog->create_key({"", "ci", 60s, true}, "ann");
        REQUIRE(key);
        const std::int64_t start = bed.now();
        const auto fresh = bed.catalog->rotate_key(key->record.key_id, 5s, "ann");
        REQUIRE(fresh);
        CHECK(fresh->record.read_only);
        CHECK(fresh->record.expires == key->record.expires);
        CHECK(bed.catalog->changes_since(start)->operator_keys);
        REQUIRE(bed.catalog->revoke_key(fresh->record.key_id, "bob"));
        REQUIRE(bed.catalog->revoke_key(fresh->record.key_id, "bob"));
        CHECK(bed.catalog->keys("")->size() == 2);
        const auto events = bed.catalog->history("", 10);
        REQUIRE(events->size() == 3);
        CHECK((*events)[0].action == "key.revoke");
        CHECK((*events)[1].after == fresh->record.key_id);
        CHECK((*events)[2].after.find("read-only") != std::string::npos);
    });
}

TEST_CASE("keys of a tenant that is being removed change no more") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme"));
        const auto key = bed.catalog->create_key({"acme"}, "ann");
        REQUIRE(bed.catalog->begin_removal("acme", "ann"));
        const std::int64_t start = bed.now();
        CHECK(bed.catalog->revoke_key(key->record.key_id, "ann").error().code == Code::not_found);
        CHECK(bed.catalog->rotate_key(key->record.key_id, 1s, "ann").error().code == Code::not_found);
        CHECK(bed.catalog->create_key({"acme"}, "ann").error().code == Code::not_found);
        CHECK(bed.catalog->set_suspended("acme", true, "ann").error().code == Code::not_found);
        CHECK(bed.catalog->keys("acme")->size() == 1);
        CHECK_FALSE(bed.catalog->keys("acme")->front().revoked);
        CHECK(bed.now() == start);
    });
}

TEST_CASE("names that no tenant can have belong to nobody") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("b"));
        for (const std::string& id :
             {std::string("\xff\xfe"), std::string("b\0", 2), std::string("b'; --"), std::string()}) {
            CHECK(bed.catalog->row(id).error().code == Code::not_found);
            CHECK(bed.catalog->tenant(id).error().code == Code::not_found);
            CHECK(bed.catalog->key_owner(id).error().code == Code::not_found);
            CHECK(bed.catalog->revoke_key(id, "ann").error().code == Code::not_found);
            CHECK(bed.catalog->begin_removal(id, "ann").error().code == Code::not_found);
            CHECK(bed.catalog->keys(id)->empty());
        }
        CHECK(bed.catalog->history(std::string("\xff"), 10)->empty());
        REQUIRE(bed.add("a-b"));
        REQUIRE(bed.add("a_b"));  // the order is that of the bytes
        CHECK(bed.catalog->tenants("", 10)->front().id == "a-b");
        CHECK(bed.catalog->tenants("a-b", 10)->size() == 2);
        CHECK(bed.catalog->tenants(std::string("a\xff"), 10)->size() == 1);
        CHECK(bed.catalog->tenants(std::string("a\0z", 3), 10)->size() == 3);
        CHECK(bed.catalog->tenants("b", 10)->empty());
    });
}

TEST_CASE("ids of 48 characters that share 47 are two tenants") {
    on_each_catalog([](CatalogBed& bed) {
        const std::string one = std::string(47, 'x') + "1";
        const std::string two = std::string(47, 'x') + "2";
        REQUIRE(bed.add(one, {{"rate_limit", 1}}));
        REQUIRE(bed.add(two, {{"rate_limit", 2}}));
        REQUIRE(bed.catalog->create_key({one}, "ann"));
        CHECK(bed.catalog->tenant(one)->own != bed.catalog->tenant(two)->own);
        CHECK(bed.catalog->keys(two)->empty());
        CHECK(bed.catalog->history(two, 10)->size() == 1);
    });
}

TEST_CASE("waiting for a change ends when somebody wakes it, also before it begins") {
    on_each_catalog([](CatalogBed& bed) {
        bed.catalog->wake();
        bed.catalog->await_change(std::chrono::hours{1});
        std::jthread waiter([&] { bed.catalog->await_change(std::chrono::hours{1}); });
        bed.catalog->wake();
    });
}

TEST_CASE("a catalog in order says so") {
    on_each_catalog([](CatalogBed& bed) {
        REQUIRE(bed.add("acme", {{"rate_limit", 7}}));
        CHECK(*bed.catalog->integrity() == "ok");
    });
}
