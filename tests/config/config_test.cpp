#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>

#include "config/config.h"
#include "support/temp_folder.h"

using namespace mt;

namespace {

Config parsed(const std::string& toml) {
    Result<Config> config = parse_config(toml, "tenants.toml");
    REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
    return *std::move(config);
}

std::string fault(const std::string& toml) {
    const Result<Config> config = parse_config(toml, "tenants.toml");
    REQUIRE_FALSE(config);
    CHECK(config.error().code == Code::config);
    return config.error().message;
}

TenantConfig only_tenant(const Config& config) {
    REQUIRE(config.tenants.size() == 1);
    return config.resolve(config.tenants[0].id, config.tenants[0].own);
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the built-in plans are those of the reference example") {
    const Config config = parsed("");
    const auto plan = [&](const char* name) { return config.resolve("x", {{"plan", std::string(name)}}); };
    CHECK(plan("basic").rate_limit == 10);
    CHECK(plan("basic").cache_size == 100);
    CHECK(plan("basic").features == std::vector<std::string>{"basic-chat"});
    CHECK(plan("professional").rate_limit == 100);
    CHECK(plan("professional").cache_size == 1000);
    CHECK(plan("professional").features.size() == 3);
    CHECK(plan("enterprise").rate_limit == 1000);
    CHECK(plan("enterprise").cache_size == 10000);
    CHECK(plan("enterprise").features.size() == 5);
    CHECK(plan("enterprise").tier() == "Enterprise");
    CHECK(plan("enterprise").max_storage == 1'000'000'000);
    CHECK(plan("enterprise").effective_burst() == 1000);
}

TEST_CASE("a tenant's own value beats its plan's, which beats the default") {
    const Config config = parsed(R"(
[plans.gold]
rate_limit = 500
cache_ttl = "90s"
[[tenants]]
id = "acme"
plan = "gold"
burst = 50
)");
    const TenantConfig tenant = only_tenant(config);
    CHECK(tenant.rate_limit == 500);
    CHECK(tenant.cache_ttl_ms == 90'000);
    CHECK(tenant.burst == 50);
    CHECK(tenant.cache_size == 100);
    CHECK(tenant.name == "acme");
    CHECK(tenant.tier() == "Gold");
}

TEST_CASE("a plan section changes single values of a built-in plan") {
    const Config config = parsed("[plans.basic]\nrate_limit = 20\n");
    const TenantConfig tenant = config.resolve("x", {});
    CHECK(tenant.rate_limit == 20);
    CHECK(tenant.cache_size == 100);
}

TEST_CASE("every fault has its line, its field and what would be right") {
    struct Case {
        const char* toml;
        const char* line;
        const char* words;
    };
    const Case cases[] = {
        {"[[tenants]]\nid = \"a\"\nrate_limt = 5\n", "tenants.toml:3:", "did you mean 'rate_limit'"},
        {"[[tenants]]\nid = \"a\"\nrate_limit = \"fast\"\n", "tenants.toml:3:", "whole number"},
        {"[[tenants]]\nid = \"a\"\nrate_limit = 0\n", "tenants.toml:3:", "from 1 to"},
        {"[[tenants]]\nid = \"a\"\nrate_limit = 1.5\n", "tenants.toml:3:", "whole number"},
        {"[[tenants]]\nid = \"a\"\nrate_limit = 99999999999\n", "tenants.toml:3:", "from 1 to"},
        {"[[tenants]]\nid = \"a\"\nfeatures = [\"basic-chta\"]\n", "tenants.toml:3:", "did you mean 'basic-chat'"},
        {"[[tenants]]\nid = \"a\"\nfeatures = \"basic-chat\"\n", "tenants.toml:3:", "list"},
        {"[[tenants]]\nid = \"a\"\nfeatures = [\"basic-chat\", \"basic-chat\"]\n", "tenants.toml:3:", "twice"},
        {"[[tenants]]\nid = \"a\"\nstorage_type = \"sqlit\"\n", "tenants.toml:3:", "did you mean 'sqlite'"},
        {"[[tenants]]\nid = \"a\"\nplan = \"profesional\"\n", "tenants.toml:1:", "did you mean 'professional'"},
        {"[[tenants]]\nid = \"a\"\n\n[[tenants]]\nid = \"a\"\n", "tenants.toml:5:", "twice"},
        {"[[tenants]]\nid = \"Acme\"\n", "tenants.toml:2:", "no tenant id"},
        {"[[tenants]]\nid = \"stats\"\n", "tenants.toml:2:", "reserved"},
        {"[[tenants]]\nid = 7\n", "tenants.toml:2:", "id"},
        {"[[tenants]]\nname = \"x\"\n", "tenants.toml:1:", "needs an id"},
        {"[[tenants]]\nid = \"a\"\ncache_ttl = \"soon\"\n", "tenants.toml:3:", "duration"},
        {"[[tenants]]\nid = \"a\"\ncache_completions = 1\n", "tenants.toml:3:", "true or false"},
        {"[[tenants]]\nid = \"a\"\nbudget = \"5/week\"\n", "tenants.toml:3:", "day or month"},
        {"[[tenants]]\nid = \"a\"\nkey_hashes = [\"x:y\"]\n", "tenants.toml:3:", "SHA-256"},
        {"[[tenants]]\nid = \"a\"\nreserved_concurrency = 2\n", "tenants.toml:1:", "dedicated-resources"},
        {"[[tenants]]\nid = \"a\"\nmodel = \"gpt\"\n", "tenants.toml:1:", "does not exist"},
        {"[sever]\n", "tenants.toml:1:", "did you mean 'server'"},
        {"[server]\nlisten = 8080\n", "tenants.toml:2:", "text"},
        {"[server]\nlsten = \"x\"\n", "tenants.toml:2:", "did you mean 'listen'"},
        {"[server]\nmax_fields = 0\n", "tenants.toml:2:", "from 1 to 10000"},
        {"[server]\nmax_fields = 10001\n", "tenants.toml:2:", "from 1 to 10000"},
        {"[server]\nmax_uri = \"long\"\n", "tenants.toml:2:", "size"},
        {"[server]\nmax_connections_per_peer = 0\n", "tenants.toml:2:", "from 1 to"},
        {"[server]\nmax_in_fligth = 5\n", "tenants.toml:2:", "did you mean 'max_in_flight'"},
        {"[server]\ndrain_delay = -1\n", "tenants.toml:2:", "duration"},
        {"[server]\ntrusted_proxies = \"10.0.0.0/8\"\n", "tenants.toml:2:", "list"},
        {"[server]\ntrusted_proxies = [\"::1\", \"::1\"]\n", "tenants.toml:2:", "twice"},
        {"[server]\ntrusted_proxies = [\"10.0.0.0/33\"]\n", "tenants.toml:2:", "'10.0.0.0/33' is no network"},
        {"[server]\n\ntrusted_proxies = [\"proxy.local\"]\n", "tenants.toml:3:", "write 10.0.0.0/8"},
        {"[server]\nprivate_upstreams = [\"10.0.0.0/33\"]\n", "tenants.toml:2:", "'10.0.0.0/33' is no network"},
        {"[[tenants]]\nid = \"a\"\nmax_steps = 0\n", "tenants.toml:3:", "from 1 to 64"},
        {"[[tenants]]\nid = \"a\"\nmax_steps = 65\n", "tenants.toml:3:", "from 1 to 64"},
        {"[[tenants]]\nid = \"a\"\nhistory_tokens = 10000001\n", "tenants.toml:3:", "from 0 to 10000000"},
        {"[[tenants]]\nid = \"a\"\ntools = [\"calclator\"]\n", "tenants.toml:1:", "did you mean 'calculator'"},
        {"[server]\ntls_cert = \"c.pem\"\n", "tenants.toml:2:", "tls_cert needs tls_key"},
        {"[server]\n\ntls_key = \"k.pem\"\n", "tenants.toml:3:", "tls_key needs tls_cert"},
        {"[plans.x]\nname = \"y\"\n", "tenants.toml:2:", "not to a plan"},
        {"[models.x]\nprovider = \"magic\"\n", "tenants.toml:2:", "one of builtin, openai"},
        {"a = = 1\n", "tenants.toml:1:", ""},
        {"tenants = 5\n", "tenants.toml:1:", "[[tenants]]"},
    };
    for (const Case& wrong : cases) {
        const std::string message = fault(wrong.toml);
        CHECK_MESSAGE(contains(message, wrong.line), wrong.toml, " -> ", message);
        CHECK_MESSAGE(contains(message, wrong.words), wrong.toml, " -> ", message);
    }
}

TEST_CASE("all faults of a file are told at once") {
    const std::string message = fault("[[tenants]]\nid = \"a\"\nrate_limit = 0\nburst = -1\nfoo = 1\n");
    CHECK(std::count(message.begin(), message.end(), '\n') == 2);
}

TEST_CASE("every field: text and back, value and back") {
    const Config config = parsed("");
    const Settings own{{"name", "Acme Inc"},
                       {"plan", "enterprise"},
                       {"rate_limit", 7},
                       {"cache_ttl", 1500},
                       {"max_storage", 4096},
                       {"reserved_concurrency", 2},
                       {"features", std::vector<std::string>{"basic-chat", "dedicated-resources"}},
                       {"budget", "100/day"},
                       {"cache_completions", true},
                       {"system_prompt", "Be kind.\nBe brief."}};
    const TenantConfig resolved = config.resolve("acme", own);
    for (const TenantField& field : tenant_fields()) {
        const Value value = value_of(resolved, field);
        const std::string text = format_value(field.rule, value);
        const Result<Value> back = parse_value(field.rule, text);
        REQUIRE_MESSAGE(back, field.rule.name, " ", text);
        CHECK_MESSAGE(*back == value, field.rule.name);
    }
    CHECK(resolved.cache_ttl_ms == 1500);
    CHECK(config.check("acme", own));
}

TEST_CASE("a key hash stands for a key") {
    const std::string text = "abcdefghij23:" + std::string(64, 'a');
    const Result<KeyHash> hash = parse_key_hash(text);
    REQUIRE(hash);
    CHECK(hash->key_id == "abcdefghij23");
    CHECK_FALSE(parse_key_hash("abc:" + std::string(64, 'a')));
    CHECK_FALSE(parse_key_hash("abcdefghij2:" + std::string(64, 'a')));
    CHECK_FALSE(parse_key_hash("abcdefghij23:" + std::string(63, 'a')));
}

TEST_CASE("flag beats environment beats file beats default") {
    const test::TempFolder folder;
    const std::string file = (folder.path() / "tenants.toml").string();
    std::ofstream(file) << "[server]\nlisten = \"127.0.0.1:1\"\ndata = \"from-file\"\n";
    std::map<std::string, std::string> variables;
    ConfigSources sources;
    sources.environment = [&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    variables["MTAGENT_CONFIG"] = file;
    CHECK(load_config(sources)->server.listen == "127.0.0.1:1");
    CHECK(load_config(sources)->data == "from-file");
    variables["MTAGENT_LISTEN"] = "127.0.0.1:2";
    variables["MTAGENT_DATA"] = "from-environment";
    CHECK(load_config(sources)->server.listen == "127.0.0.1:2");
    CHECK(load_config(sources)->data == "from-environment");
    sources.listen_flag = "127.0.0.1:3";
    sources.data_flag = "from-flag";
    CHECK(load_config(sources)->server.listen == "127.0.0.1:3");
    CHECK(load_config(sources)->data == "from-flag");
    sources.config_flag = (folder.path() / "missing.toml").string();
    REQUIRE_FALSE(load_config(sources));
    CHECK(contains(load_config(sources).error().message, "missing.toml"));
}

TEST_CASE("the file is found in the user's folder when none lies here") {
    const test::TempFolder folder;
    std::filesystem::create_directories(folder.path() / "mtagent");
    std::ofstream(folder.path() / "mtagent" / "tenants.toml") << "[server]\nlisten = \"127.0.0.1:9\"\n";
    ConfigSources sources;
    sources.environment = [&](const std::string& name) -> std::optional<std::string> {
        return name == "XDG_CONFIG_HOME" ? std::optional(folder.path().string()) : std::nullopt;
    };
    const test::TempFolder elsewhere;
    const std::filesystem::path here = std::filesystem::current_path();
    std::filesystem::current_path(elsewhere.path());
    const Result<Config> config = load_config(sources);
    std::filesystem::current_path(here);
    REQUIRE(config);
    CHECK(config->server.listen == "127.0.0.1:9");
    CHECK(config->data == "data");
}

TEST_CASE("every bound of the transport has its default and can be set") {
    struct Bound {
        const char* name;
        std::int64_t ServerConfig::*member;
        std::int64_t otherwise;
        const char* text;
        std::int64_t value;
    };
    const Bound bounds[] = {
        {"max_fields", &ServerConfig::max_fields, 100, "10000", 10'000},
        {"max_uri", &ServerConfig::max_uri, 8192, "\"16KiB\"", 16'384},
        {"max_buffered", &ServerConfig::max_buffered, 268'435'456, "\"1GiB\"", 1'073'741'824},
        {"max_stream_buffer", &ServerConfig::max_stream_buffer, 262'144, "\"1MiB\"", 1'048'576},
        {"max_blocking", &ServerConfig::max_blocking, 2048, "16", 16},
        {"max_in_flight", &ServerConfig::max_in_flight, 4096, "8", 8},
        {"max_connections", &ServerConfig::max_connections, 1'000'000, "500", 500},
        {"max_connections_per_peer", &ServerConfig::max_connections_per_peer, 1024, "1", 1},
        {"write_timeout", &ServerConfig::write_timeout_ms, 30'000, "\"5s\"", 5000},
        {"request_timeout", &ServerConfig::request_timeout_ms, 600'000, "\"5s\"", 5000},
        {"drain_delay", &ServerConfig::drain_delay_ms, 0, "\"1500ms\"", 1500},
    };
    const ServerConfig defaults = parsed("").server;
    for (const Bound& bound : bounds) {
        CHECK_MESSAGE(defaults.*bound.member == bound.otherwise, bound.name);
        const std::string line = std::string(bound.name) + " = " + bound.text + "\n";
        CHECK_MESSAGE(parsed("[server]\n" + line).server.*bound.member == bound.value, bound.name);
    }
    CHECK(defaults.trusted_proxies.empty());
    CHECK(defaults.private_upstreams.empty());
    CHECK(parsed("[server]\nprivate_upstreams = [\"10.0.0.0/8\"]\n").server.private_upstreams ==
          std::vector<std::string>{"10.0.0.0/8"});
    const ServerConfig server = parsed(R"([server]
trusted_proxies = ["10.0.0.0/8", "::1"]
tls_cert = "cert.pem"
tls_key = "key.pem"
)")
                                    .server;
    CHECK(server.trusted_proxies == std::vector<std::string>{"10.0.0.0/8", "::1"});
    CHECK(server.tls_cert == "cert.pem");
    CHECK(server.tls_key == "key.pem");
}
