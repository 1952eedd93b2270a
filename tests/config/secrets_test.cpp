// Secrets that the configuration points to: read when needed, never told.

#include "config/secrets.h"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>

#include "support/temp_folder.h"

using namespace mt;

namespace {

Environment environment(std::map<std::string, std::string> variables) {
    return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
}

ModelConfig by_variable(const std::string& name) {
    ModelConfig model;
    model.name = "big";
    model.api_key_env = name;
    return model;
}

ModelConfig by_file(const std::filesystem::path& path) {
    ModelConfig model;
    model.name = "big";
    model.api_key_file = path.string();
    return model;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a key comes from its variable or the first line of its file") {
    const test::TempFolder folder;
    const std::filesystem::path file = folder.path() / "key.txt";
    CHECK(*read_api_key(by_variable("BIG_KEY"), environment({{"BIG_KEY", " sk-1\n"}})) == "sk-1");
    for (const char* text : {"sk-2", "sk-2\n", "  sk-2\r\nsecond line\n", "sk-2\n\n"}) {
        std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
        const Result<std::string> key = read_api_key(by_file(file), {});
        REQUIRE_MESSAGE(key, text);
        CHECK(*key == "sk-2");
    }
    CHECK(read_api_key(ModelConfig{}, {})->empty());
}

TEST_CASE("a missing or unusable key is an error that names its place and not its text") {
    const test::TempFolder folder;
    const std::filesystem::path file = folder.path() / "key.txt";
    const auto fault = [](const ModelConfig& model, const Environment& variables = {}) {
        const Result<std::string> key = read_api_key(model, variables);
        REQUIRE_FALSE(key);
        CHECK(key.error().code == Code::config);
        CHECK(contains(key.error().message, "model 'big'"));
        return key.error().message;
    };
    CHECK(contains(fault(by_variable("BIG_KEY")), "variable BIG_KEY with its key is not set"));
    CHECK(contains(fault(by_variable("BIG_KEY"), environment({{"BIG_KEY", ""}})), "BIG_KEY"));
    CHECK(contains(fault(by_file(file)), "key.txt' cannot be read"));
    CHECK(contains(fault(by_file(folder.path())), "cannot be read"));
    std::ofstream(file) << "\nsk-later\n";
    CHECK(contains(fault(by_file(file)), "empty"));
    for (const char* text : {"sk hunter2", "hunter2\x01", "hunter2\xC3\xA4"}) {
        std::ofstream(file, std::ios::trunc) << text;
        const std::string message = fault(by_file(file));
        CHECK(contains(message, "key.txt"));
        CHECK_FALSE(contains(message, "hunter2"));
        CHECK_FALSE(contains(fault(by_variable("BIG_KEY"), environment({{"BIG_KEY", text}})), "hunter2"));
    }
}

TEST_CASE("the variables of headers are filled in") {
    ToolConfig tool;
    tool.name = "order";
    tool.headers = {{"Authorization", "Bearer ${TOKEN}"}, {"X-Both", "${A}-${B}$"}, {"X-Plain", "$A {A}"}};
    const Environment all = environment({{"TOKEN", "t"}, {"A", "${B}"}, {"B", "b"}});
    const auto fields = expand_headers(tool, all);
    REQUIRE(fields);
    CHECK((*fields)[0] == std::pair<std::string, std::string>{"Authorization", "Bearer t"});
    CHECK((*fields)[1].second == "${B}-b$");  // a value is not looked into again
    CHECK((*fields)[2].second == "$A {A}");
}

TEST_CASE("a header without its variable, or with a line end in it, is an error without the value") {
    ToolConfig tool;
    tool.name = "order";
    tool.headers = {{"Authorization", "Bearer ${TOKEN}"}};
    const auto missing = expand_headers(tool, environment({{"TOKEN", ""}}));
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == Code::config);
    CHECK(missing.error().message == "tool 'order': header Authorization: variable TOKEN is not set");
    const auto split = expand_headers(tool, environment({{"TOKEN", "hunter2\r\nHost: x"}}));
    REQUIRE_FALSE(split);
    CHECK(contains(split.error().message, "TOKEN"));
    CHECK_FALSE(contains(split.error().message, "hunter2"));
}

TEST_CASE("all missing secrets are told at once, and the file is read without them") {
    const std::string toml =
        "[models.a]\nbase_url = \"http://h\"\napi_key_env = \"A_KEY\"\n"
        "[models.b]\nbase_url = \"http://h\"\napi_key_file = \"/nowhere/key\"\n"
        "[tools.t]\ndescription = \"d\"\nurl = \"http://h\"\nheaders = { a = \"${T_KEY}\" }\n";
    const Result<Config> config = parse_config(toml, "tenants.toml");
    REQUIRE(config);
    const std::vector<std::string> missing = missing_secrets(*config, {});
    REQUIRE(missing.size() == 3);
    CHECK(contains(missing[0], "A_KEY"));
    CHECK(contains(missing[1], "/nowhere/key"));
    CHECK(contains(missing[2], "T_KEY"));
    CHECK(missing_secrets(*config, environment({{"A_KEY", "x"}, {"T_KEY", "y"}})).size() == 1);
}
