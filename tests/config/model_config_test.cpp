// [models.NAME], [tools.NAME], and the model that the environment brings.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>

#include "config/config.h"

using namespace mt;

namespace {

using Variables = std::map<std::string, std::string>;

Environment environment(Variables variables) {
    return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
}

Config parsed(const std::string& toml, Variables variables = {}) {
    Result<Config> config = parse_config(toml, "tenants.toml", environment(std::move(variables)));
    REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
    return *std::move(config);
}

std::string fault(const std::string& toml, Variables variables = {}) {
    const Result<Config> config = parse_config(toml, "tenants.toml", environment(std::move(variables)));
    REQUIRE_MESSAGE(!config, toml);
    CHECK(config.error().code == Code::config);
    return config.error().message;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

struct Case {
    const char* toml;
    const char* line;
    const char* words;
};

template <std::size_t N>
void check_faults(const Case (&cases)[N]) {
    for (const Case& wrong : cases) {
        const std::string message = fault(wrong.toml);
        CHECK_MESSAGE(contains(message, wrong.line), wrong.toml, " -> ", message);
        CHECK_MESSAGE(contains(message, wrong.words), wrong.toml, " -> ", message);
        CHECK_MESSAGE(std::count(message.begin(), message.end(), '\n') == 0, wrong.toml, " -> ", message);
    }
}

}  // namespace

TEST_CASE("the model builtin is always there, and everybody's default") {
    const Config config = parsed("");
    REQUIRE(config.models.contains("builtin"));
    CHECK(config.models.at("builtin").provider == "builtin");
    CHECK(config.resolve("acme", {}).model == "builtin");
    CHECK(parsed("[models.builtin]\nprovider = \"builtin\"\n").models.size() == 1);
    CHECK(parsed("[models.echo]\nprovider = \"builtin\"\n").models.at("echo").provider == "builtin");
}

TEST_CASE("every key of a model is read") {
    const Config config = parsed(R"(
[models.big]
provider = "openai"
base_url = "https://llm.example.com:8443/v1/"
api_key_env = "BIG_KEY"
model = "big-1"
connect_timeout = "1s"
first_token_timeout = "2s"
idle_timeout = "3s"
timeout = "4s"
retries = 0
fallback = "small"
max_tokens = 100
[models.small]
base_url = "unix:/run/llm.sock"
api_key_file = "small.key"
fallback = "builtin"
)");
    ModelConfig big;
    big.name = "big";
    big.base_url = "https://llm.example.com:8443/v1";
    big.api_key_env = "BIG_KEY";
    big.model = "big-1";
    big.connect_timeout_ms = 1000;
    big.first_token_timeout_ms = 2000;
    big.idle_timeout_ms = 3000;
    big.timeout_ms = 4000;
    big.retries = 0;
    big.fallback = "small";
    big.max_tokens = 100;
    CHECK(config.models.at("big") == big);
    ModelConfig small;
    small.name = small.model = "small";
    small.base_url = "unix:/run/llm.sock";
    small.api_key_file = "small.key";
    small.fallback = "builtin";
    CHECK(config.models.at("small") == small);
    CHECK(config.model_names() == std::vector<std::string_view>{"big", "builtin", "small"});
}

TEST_CASE("faults of models") {
    const Case cases[] = {
        {"[models.x]\n", "tenants.toml:1:", "needs base_url"},
        {"models = 5\n", "tenants.toml:1:", "[models.NAME]"},
        {"[models]\nx = 5\n", "tenants.toml:2:", "[models.NAME]"},
        {"[models.default]\nbase_url = \"http://h\"\n", "tenants.toml:1:", "'default' stands for"},
        {"[models.\"a b\"]\nbase_url = \"http://h\"\n", "tenants.toml:1:", "no name of a model"},
        {"[models.builtin]\nbase_url = \"http://h\"\n", "tenants.toml:1:", "always there"},
        {"[models.x]\nprovider = \"builtin\"\nretries = 1\n", "tenants.toml:3:", "no use"},
        {"[models.x]\nprovider = \"openia\"\n", "tenants.toml:2:", "did you mean 'openai'"},
        {"[models.x]\nbase_ulr = \"http://h\"\n", "tenants.toml:2:", "in [models.x] (did you mean 'base_url'?)"},
        {"[models.x]\nbase_url = 7\n", "tenants.toml:2:", "text"},
        {"[models.x]\nbase_url = \"h/v1\"\n", "tenants.toml:2:", "http:// or https://"},
        {"[models.x]\nbase_url = \"ftp://h/v1\"\n", "tenants.toml:2:", "http:// or https://"},
        {"[models.x]\nbase_url = \"http://\"\n", "tenants.toml:2:", "no valid host"},
        {"[models.x]\nbase_url = \"http://h:0\"\n", "tenants.toml:2:", "port"},
        {"[models.x]\nbase_url = \"http://h:70000\"\n", "tenants.toml:2:", "port"},
        {"[models.x]\nbase_url = \"http://[::1/v1\"\n", "tenants.toml:2:", "no valid host"},
        {"[models.x]\nbase_url = \"http://h/a b\"\n", "tenants.toml:2:", "blanks"},
        {"[models.x]\nbase_url = \"http://h/v1?x=1\"\n", "tenants.toml:2:", "query"},
        {"[models.x]\nbase_url = \"http://h/v1#x\"\n", "tenants.toml:2:", "fragment"},
        {"[models.x]\nbase_url = \"unix:\"\n", "tenants.toml:2:", "socket"},
        {"[models.x]\nbase_url = \"http://h\"\napi_key_env = \"A\"\napi_key_file = \"b\"\n",
         "tenants.toml:4:", "name one"},
        {"[models.x]\nbase_url = \"http://h\"\napi_key_env = \"$A\"\n", "tenants.toml:3:", "without $"},
        {"[models.x]\nbase_url = \"http://h\"\nretries = 11\n", "tenants.toml:3:", "from 0 to 10"},
        {"[models.x]\nbase_url = \"http://h\"\ntimeout = \"0s\"\n", "tenants.toml:3:", "duration"},
        {"[models.x]\nbase_url = \"http://h\"\nidle_timeout = \"2d\"\n", "tenants.toml:3:", "duration"},
        {"[models.x]\nbase_url = \"http://h\"\nmax_tokens = -1\n", "tenants.toml:3:", "from 0 to"},
        {"[models.x]\nbase_url = \"http://h\"\nmodel = \"a\\nb\"\n", "tenants.toml:3:", "one line"},
        {"[models.x]\nbase_url = \"http://h\"\nfallback = \"buildin\"\n", "tenants.toml:3:", "did you mean 'builtin'"},
        {"[models.x]\nbase_url = \"http://h\"\nfallback = \"x\"\n", "tenants.toml:3:", "leads back to itself"},
        {"[[tenants]]\nid = \"a\"\nmodel = \"buildin\"\n", "tenants.toml:1:", "did you mean 'builtin'"},
    };
    check_faults(cases);
}

TEST_CASE("a cycle of fallbacks is told by each of its models, and by no other") {
    const std::string message = fault(
        "[models.a]\nbase_url = \"http://h\"\nfallback = \"b\"\n"
        "[models.b]\nbase_url = \"http://h\"\nfallback = \"a\"\n"
        "[models.c]\nbase_url = \"http://h\"\nfallback = \"a\"\n");
    CHECK(contains(message, "tenants.toml:3: fallback: 'a' leads back"));
    CHECK(contains(message, "tenants.toml:6: fallback: 'b' leads back"));
    CHECK(std::count(message.begin(), message.end(), '\n') == 1);
}

TEST_CASE("an address with a password is refused without repeating it") {
    for (const char* section : {"[models.x]\nbase_url", "[tools.x]\ndescription = \"d\"\nurl"}) {
        const std::string message = fault(std::string(section) + " = \"https://user:hunter2@host/v1\"\n");
        CHECK(contains(message, "neither user nor password"));
        CHECK_FALSE(contains(message, "hunter2"));
    }
}

TEST_CASE("OPENAI_API_KEY or OPENAI_BASE_URL brings the model openai, everybody's default") {
    const Config by_key = parsed("", {{"OPENAI_API_KEY", "sk-secret"}});
    REQUIRE(by_key.models.contains("openai"));
    CHECK(by_key.models.at("openai").base_url == "https://api.openai.com/v1");
    CHECK(by_key.models.at("openai").api_key_env == "OPENAI_API_KEY");
    CHECK(by_key.models.at("openai").model == "gpt-4o-mini");
    CHECK(by_key.resolve("acme", {}).model == "openai");
    CHECK(by_key.check("acme", {}));

    const Config by_url = parsed("", {{"OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/"}, {"OPENAI_MODEL", "llama3.2"}});
    CHECK(by_url.models.at("openai").base_url == "http://127.0.0.1:11434/v1");
    CHECK(by_url.models.at("openai").api_key_env.empty());
    CHECK(by_url.models.at("openai").model == "llama3.2");

    CHECK_FALSE(parsed("", {{"OPENAI_MODEL", "x"}, {"OPENAI_API_KEY", ""}}).models.contains("openai"));
    CHECK(contains(fault("", {{"OPENAI_BASE_URL", "localhost:11434"}}), "OPENAI_BASE_URL: the address"));
}

TEST_CASE("what the file says of models comes before the environment") {
    const Variables variables{{"OPENAI_API_KEY", "sk-secret"}};
    const Config own = parsed("[models.openai]\nbase_url = \"http://h\"\n", variables);
    CHECK(own.models.at("openai").base_url == "http://h");
    CHECK(own.models.at("openai").api_key_env.empty());
    CHECK(own.resolve("acme", {}).model == "openai");

    const Config named = parsed("[plans.basic]\nmodel = \"builtin\"\n", variables);
    CHECK(named.resolve("acme", {}).model == "builtin");
    CHECK(named.resolve("acme", {{"plan", "professional"}}).model == "openai");
    CHECK(named.resolve("acme", {{"plan", "professional"}, {"model", "builtin"}}).model == "builtin");

    CHECK(parsed("[models.x]\nbase_url = \"http://h\"\nfallback = \"openai\"\n", variables).models.size() == 3);
    CHECK(parsed("[[tenants]]\nid = \"a\"\nmodel = \"openai\"\n", variables).tenants.size() == 1);
}

TEST_CASE("a tenant's own models count with the feature custom-models") {
    const Config config = parsed("");
    const std::vector<std::string> own{"mine"};
    CHECK(config.check("acme", {{"plan", "enterprise"}, {"model", "mine"}}, own));
    CHECK_FALSE(config.check("acme", {{"plan", "enterprise"}, {"model", "mine"}}));
    const Result<void> basic = config.check("acme", {{"model", "mine"}}, own);
    REQUIRE_FALSE(basic);
    CHECK(contains(basic.error().message, "does not exist"));
}

TEST_CASE("every key of a tool is read") {
    const Config config = parsed(R"(
[tools.order_status]
description = "State of an order"
method = "GET"
url = "https://api.example.com/orders/{id}?lang={lang}"
headers = { Authorization = "Bearer ${SHOP_TOKEN}", X-Source = "mtagent" }
timeout = "3s"
max_size = "8KiB"
pure = true
[tools.order_status.parameters]
required = ["id"]
[tools.order_status.parameters.properties]
id = { type = "integer", minimum = 1 }
lang = { type = "string", enum = ["de", "en"] }
ratio = { type = "number", maximum = 0.5, nullable = false }
[tools.ping]
description = "Are you there?"
url = "http://10.0.0.7/ping"
[tools.raw]
description = "JSON as it is"
url = "http://h/{x.y}"
parameters = '{"properties": {"x.y": {"type": "string"}}, "type": "object"}'
)");
    const ToolConfig& tool = config.tools.at("order_status");
    CHECK(tool.name == "order_status");
    CHECK(tool.description == "State of an order");
    CHECK(tool.method == "GET");
    CHECK(tool.url == "https://api.example.com/orders/{id}?lang={lang}");
    CHECK(tool.headers == std::vector<std::pair<std::string, std::string>>{{"Authorization", "Bearer ${SHOP_TOKEN}"},
                                                                           {"X-Source", "mtagent"}});
    CHECK(tool.timeout_ms == 3000);
    CHECK(tool.max_size == 8192);
    CHECK(tool.pure);
    CHECK(tool.parameters ==
          R"({"properties":{"id":{"minimum":1,"type":"integer"},"lang":{"enum":["de","en"],"type":"string"},)"
          R"("ratio":{"maximum":0.5,"nullable":false,"type":"number"}},"required":["id"],"type":"object"})");
    ToolConfig ping;
    ping.name = "ping";
    ping.description = "Are you there?";
    ping.url = "http://10.0.0.7/ping";
    ping.parameters = R"({"type":"object","properties":{}})";
    CHECK(config.tools.at("ping") == ping);
    CHECK(config.tools.at("raw").parameters == R"({"properties":{"x.y":{"type":"string"}},"type":"object"})");
}

TEST_CASE("faults of tools") {
#define TOOL "[tools.t]\ndescription = \"d\"\n"
#define CALL TOOL "url = \"http://h\"\n"
    const Case cases[] = {
        {"tools = 5\n", "tenants.toml:1:", "[tools.NAME]"},
        {"[tools.t]\nurl = \"http://h\"\n", "tenants.toml:1:", "needs description"},
        {TOOL, "tenants.toml:1:", "needs url"},
        {"[tools.\"a.b\"]\n", "tenants.toml:1:", "no name of a tool"},
        {"[tools.calculator]\n", "tenants.toml:1:", "built in"},
        {CALL "metod = \"GET\"\n", "tenants.toml:4:", "in [tools.t] (did you mean 'method'?)"},
        {CALL "paramters = \"{}\"\n", "tenants.toml:4:", "did you mean 'parameters'"},
        {CALL "method = \"HEAD\"\n", "tenants.toml:4:", "one of GET, POST"},
        {CALL "timeout = 0\n", "tenants.toml:4:", "duration"},
        {CALL "max_size = 0\n", "tenants.toml:4:", "size"},
        {CALL "pure = 1\n", "tenants.toml:4:", "true or false"},
        {TOOL "url = \"unix:/run/x\"\n", "tenants.toml:3:", "http:// or https://"},
        {TOOL "url = \"http://h/#x\"\n", "tenants.toml:3:", "fragment"},
        {TOOL "url = \"http://{host}/x\"\n", "tenants.toml:3:", "only path and query"},
        {TOOL "url = \"http://h/{a\"\n", "tenants.toml:3:", "{NAME}"},
        {TOOL "url = \"http://h/a}\"\n", "tenants.toml:3:", "no { before"},
        {TOOL "url = \"http://h/{}\"\n", "tenants.toml:3:", "{NAME}"},
        {TOOL "url = \"http://h/{a b}\"\n", "tenants.toml:3:", "{NAME}"},
        {TOOL "url = \"http://h/{oder}\"\nparameters = '{\"properties\":{\"order\":{}}}'\n",
         "tenants.toml:3:", "{oder} is no property of the parameters (did you mean 'order'?)"},
        {CALL "parameters = 5\n", "tenants.toml:4:", "JSON schema"},
        {CALL "parameters = \"[]\"\n", "tenants.toml:4:", "JSON object"},
        {CALL "parameters = \"{\"\n", "tenants.toml:4:", "no valid JSON"},
        {CALL "parameters = '{\"type\":\"string\"}'\n", "tenants.toml:4:", "are an object"},
        {CALL "parameters = '{\"properties\":[]}'\n", "tenants.toml:4:", "properties"},
        {CALL "parameters = { default = 1979-05-27 }\n", "tenants.toml:4:", "dates"},
        {CALL "parameters = { maximum = inf }\n", "tenants.toml:4:", "inf"},
        {CALL "headers = \"a: b\"\n", "tenants.toml:4:", "table"},
        {CALL "headers = { \"a b\" = \"c\" }\n", "tenants.toml:4:", "no name of a header"},
        {CALL "headers = { Host = \"c\" }\n", "tenants.toml:4:", "by the client itself"},
        {CALL "headers = { a = 1 }\n", "tenants.toml:4:", "text"},
        {CALL "headers = { a = \"b\\nc\" }\n", "tenants.toml:4:", "one line"},
        {CALL "headers = { a = \"${B\" }\n", "tenants.toml:4:", "${NAME}"},
        {CALL "headers = { a = \"${B-C}\" }\n", "tenants.toml:4:", "${NAME}"},
    };
    check_faults(cases);
#undef CALL
#undef TOOL
}

TEST_CASE("a tenant may name built-in tools and those of the file, and has all when it names none") {
    const std::string tool = "[tools.order]\ndescription = \"d\"\nurl = \"http://h\"\n";
    const Config config = parsed(tool);
    const std::vector<std::string> all{"calculator", "current_time", "remember", "recall", "analyze", "order"};
    CHECK(config.resolve("acme", {}).tools == all);
    CHECK(config.check("acme", {}));
    CHECK(config.check("acme", {{"tools", std::vector<std::string>{"order", "recall"}}}));
    CHECK(config.check("acme", {{"tools", std::vector<std::string>{}}}));
    const Result<void> typo = config.check("acme", {{"tools", std::vector<std::string>{"oder"}}});
    REQUIRE_FALSE(typo);
    CHECK(contains(typo.error().message, "tool 'oder' does not exist (did you mean 'order'?)"));
    CHECK(parsed(tool + "[plans.basic]\ntools = [\"order\"]\n").resolve("acme", {}).tools ==
          std::vector<std::string>{"order"});
}

TEST_CASE("steps and history have their defaults and bounds") {
    const Config config = parsed("[plans.gold]\nmax_steps = 64\nhistory_tokens = 0\n");
    CHECK(config.resolve("acme", {}).max_steps == 8);
    CHECK(config.resolve("acme", {}).history_tokens == 8000);
    CHECK(config.resolve("acme", {{"plan", "gold"}}).max_steps == 64);
    CHECK(config.resolve("acme", {{"plan", "gold"}}).history_tokens == 0);
}
