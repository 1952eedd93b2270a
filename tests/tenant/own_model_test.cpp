// What a tenant's own model may be, and where its key is.

#include "tenant/own_model.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "support/house.h"

using namespace mt;

namespace {

const std::string k_key = "sk-hunter2-secret";

SecretBox box_of(std::uint8_t byte) {
    SecretBox::Key key{};
    key.fill(byte);
    return SecretBox(key);
}

TenantRecord enterprise() {
    TenantRecord record;
    record.id = "acme";
    record.uid = "0123456789abcdef";
    record.own = {{"plan", "enterprise"}};
    return record;
}

OwnModel wanted(const std::string& base_url) {
    return {"mine", base_url, "gpt-x", k_key};
}

Config parsed(const std::string& toml) {
    return *parse_config(toml, "tenants.toml");
}

Result<void> check(const OwnModel& model, const std::string& toml = "") {
    return check_own_model(enterprise(), model, parsed(toml));
}

}  // namespace

TEST_CASE("a public address will do") {
    for (const char* url : {"https://llm.example.com/v1", "http://llm.example.com:8080", "https://93.184.216.34/v1",
                            "https://[2606:4700::1111]:444/v1/"}) {
        CHECK_MESSAGE(check(wanted(url)), url);
    }
}

TEST_CASE("private addresses are refused, however they are spelled") {
    for (const char* url :
         {"http://127.0.0.1:11434/v1", "http://localhost:11434/v1", "http://LocalHost./v1", "http://x.localhost/v1",
          "http://10.1.2.3/v1", "http://172.16.0.1/v1", "http://192.168.1.1/v1", "http://169.254.169.254/latest",
          "http://100.64.0.1/", "http://0.0.0.0/", "http://[::1]/v1", "http://[::ffff:127.0.0.1]/v1",
          "http://[fe80::1]/v1", "http://[fd00::1]/v1", "http://127.1/v1", "http://2130706433/v1", "http://0x7f.1/v1",
          "http://0177.0.0.1/v1"}) {
        const Result<void> refused = check(wanted(url));
        REQUIRE_FALSE_MESSAGE(refused, url);
        CHECK_MESSAGE(refused.error().code == Code::forbidden, url);
        CHECK(refused.error().reason == "address");
    }
}

TEST_CASE("the operator may allow private networks") {
    const std::string toml = "[server]\nprivate_upstreams = [\"10.1.0.0/16\", \"127.0.0.1\"]\n";
    CHECK(check(wanted("http://10.1.2.3/v1"), toml));
    CHECK(check(wanted("http://localhost:11434/v1"), toml));
    CHECK_FALSE(check(wanted("http://10.2.2.3/v1"), toml));
    CHECK(own_address_rule(parsed(toml)).allows("10.1.0.1"));
    CHECK_FALSE(own_address_rule(parsed("")).allows("10.1.0.1"));
    CHECK(own_address_rule(parsed("")).allows("93.184.216.34"));
}

TEST_CASE("what is no address of a model's server is refused") {
    for (const char* url : {"", "llm.example.com/v1", "ftp://llm.example.com", "unix:/run/llm.sock", "https://",
                            "https://user:hunter2@llm.example.com/v1", "https://llm.example.com/v1?key=hunter2",
                            "https://llm.example.com/v1#x", "https://llm.example.com/{x}", "https://a b/"}) {
        const Result<void> refused = check(wanted(url));
        REQUIRE_FALSE_MESSAGE(refused, url);
        CHECK_MESSAGE(refused.error().code == Code::invalid, url);
        CHECK(refused.error().param == "base_url");
        CHECK(refused.error().message.find("hunter2") == std::string::npos);
    }
}

TEST_CASE("names, upstream names and keys have their rules") {
    const std::string toml = "[models.big]\nbase_url = \"http://h\"\n";
    const auto fault = [&](const OwnModel& model, const char* param) {
        const Result<void> refused = check(model, toml);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Code::invalid);
        CHECK(refused.error().param == param);
        CHECK(refused.error().message.find("hunter2") == std::string::npos);
    };
    OwnModel model = wanted("https://llm.example.com");
    for (const std::string& name : {std::string(), std::string("default"), std::string("builtin"), std::string("big"),
                                    std::string("a/b"), std::string("a b"), std::string(65, 'a')}) {
        model.name = name;
        fault(model, "name");
    }
    model.name = "Llama-3.2:1b_x";
    CHECK(check(model, toml));
    for (const std::string& name : {std::string(), std::string("a\nb"), std::string(257, 'a'), std::string("\xff")}) {
        model.model = name;
        fault(model, "model");
    }
    model.model = "meta/llama 3";
    CHECK(check(model, toml));
    for (const std::string& key : {std::string("hunter2 x"), std::string(" hunter2"), std::string("hunter2\nx"),
                                   std::string("hunter2\r\nHost: x"), std::string(4097, 'k')}) {
        model.api_key = key;
        fault(model, "api_key");
    }
    model.api_key = "";
    CHECK(check(model, toml));
}

TEST_CASE("the feature custom-models is needed before anything else") {
    TenantRecord basic = enterprise();
    basic.own = {{"plan", "professional"}};
    const Result<void> refused = check_own_model(basic, wanted("http://127.0.0.1"), parsed(""));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::feature_required);
    CHECK(refused.error().reason == "custom-models");
    basic.own = {{"features", std::vector<std::string>{"basic-chat", "custom-models"}}};
    CHECK(check_own_model(basic, wanted("https://llm.example.com"), parsed("")));
}

TEST_CASE("a sealed key opens for its tenant's life, name and address alone") {
    const TenantRecord tenant = enterprise();
    const SecretBox box = box_of(1);
    const TenantModel model = seal_own_model(tenant, wanted("https://llm.example.com/v1/"), box, {});
    CHECK(model.base_url == "https://llm.example.com/v1");
    CHECK(model.sealed_key.find("hunter2") == std::string::npos);
    REQUIRE(open_own_key(tenant, model, box));
    CHECK(*open_own_key(tenant, model, box) == k_key);

    TenantRecord other_life = tenant;
    other_life.uid = "0123456789abcdee";
    TenantModel renamed = model;
    renamed.name = "thine";
    TenantModel moved = model;
    moved.base_url = "https://evil.example.com/v1";
    CHECK_FALSE(open_own_key(other_life, model, box));
    CHECK_FALSE(open_own_key(tenant, renamed, box));
    CHECK_FALSE(open_own_key(tenant, moved, box));
    const Result<std::string> other_key = open_own_key(tenant, model, box_of(2));
    REQUIRE_FALSE(other_key);
    CHECK(other_key.error().message.find("model 'mine' of tenant 'acme'") != std::string::npos);
    CHECK(other_key.error().message.find("hunter2") == std::string::npos);

    OwnModel keyless = wanted("https://llm.example.com");
    keyless.api_key = "";
    CHECK(seal_own_model(tenant, keyless, box, {}).sealed_key.empty());
    CHECK(open_own_key(tenant, seal_own_model(tenant, keyless, box, {}), box)->empty());
}

TEST_CASE("adding checks, seals and keeps; without a key no key file is made") {
    test::CatalogHouse house;
    REQUIRE(house.add("acme", {{"plan", "enterprise"}}));
    const Config config = parsed("");
    const std::function<Result<SecretBox>()> secret_box = [&] { return house.folder.secret_box(std::nullopt); };
    const OwnModelParts parts{*house.catalog, config, secret_box, house.clock.wall()};
    OwnModel keyless = wanted("https://llm.example.com");
    keyless.name = "open";
    keyless.api_key = "";
    REQUIRE(add_own_model(parts, "acme", keyless, false, "ann"));
    CHECK_FALSE(std::filesystem::exists(house.folder.path() / "secret.key"));
    const Result<TenantModel> added = add_own_model(parts, "acme", wanted("https://llm.example.com"), false, "ann");
    REQUIRE(added);
    const TenantRecord record = *house.catalog->tenant("acme");
    CHECK(own_model_names(record) == std::vector<std::string>{"mine", "open"});
    CHECK(record.models[0] == *added);
    CHECK(*open_own_key(record, record.models[0], *house.folder.secret_box(std::nullopt)) == k_key);

    CHECK(add_own_model(parts, "acme", wanted("https://x.example.com"), false, "ann").error().code ==
          Code::already_exists);
    CHECK(add_own_model(parts, "acme", wanted("http://127.0.0.1"), true, "ann").error().code == Code::forbidden);
    CHECK(add_own_model(parts, "nobody", wanted("https://x.example.com"), true, "ann").error().code == Code::not_found);
    REQUIRE(house.catalog->begin_removal("acme", "ann"));
    CHECK(add_own_model(parts, "acme", wanted("https://x.example.com"), true, "ann").error().code == Code::not_found);
}
