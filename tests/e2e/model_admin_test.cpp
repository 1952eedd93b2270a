// Language models of the configuration and of tenants' own, from outside: what is kept, what is told, what never is.

#include <csignal>
#include <cstdlib>

#include "e2e/site.h"

namespace mt::test {
namespace {

const std::string k_secret = "sk-hunter2-never-to-be-seen";

// Every file below `folder` that holds `text`.
Words files_with(const std::filesystem::path& folder, const std::string& text) {
    Words found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file() && read_text(entry.path()).find(text) != std::string::npos) {
            found.push_back(entry.path().filename().string());
        }
    }
    return found;
}

// A site with the tenant acme, which may have models of its own.
struct ModelSite : Site {
    explicit ModelSite(const std::string& toml = "") : Site(toml) {
        add("acme", {"--plan", "enterprise"});
        write("key.txt", k_secret + "\n");
    }
    [[nodiscard]] Words add_words(const std::string& name, const Words& more = {}) const {
        Words words{"tenant",  "model", "add", "acme", name, "--base-url", "https://llm.example.com/v1",
                    "--model", "gpt-x"};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
    [[nodiscard]] Json models() const { return json({"tenant", "model", "list", "acme"}); }
};

TEST_CASE("a key goes in by a file and is seen nowhere again") {
    ModelSite site;
    Server server = site.serve({"--log-level", "debug"});
    const Outcome added = site.run(site.add_words("gpt", {"--key-file", "key.txt"}));
    REQUIRE_MESSAGE(added.exit == 0, added.err);
    std::filesystem::remove(site.path("key.txt"));
    const http::Fields who{{"Authorization", "Bearer " + site.operator_token()}, {"Content-Type", "application/json"}};
    const std::string body =
        R"({"name":"api","base_url":"https://llm.example.com/v1","model":"m","api_key":")" + k_secret + "\"}";
    const http::Response posted = server.send("POST", "/admin/tenants/acme/models", who, body);
    CHECK_MESSAGE(posted.status == 201, posted.body);
    const std::string wrong =
        R"({"name":"bad","base_url":"http://127.0.0.1","model":"m","api_key":")" + k_secret + "\"}";
    CHECK(server.send("POST", "/admin/tenants/acme/models", who, wrong).status == 403);
    CHECK(server.get("/admin/tenants/acme/models", who).body.find(k_secret) == std::string::npos);

    const Json listed = site.models();
    REQUIRE(listed.size() == 2);
    CHECK(listed[0]["name"] == "api");
    CHECK(listed[1]["name"] == "gpt");
    CHECK(listed[1]["has_key"] == true);
    CHECK(listed[1]["base_url"] == "https://llm.example.com/v1");
    CHECK(listed.dump().find(k_secret) == std::string::npos);
    for (const Words& words : {Words{"tenant", "history", "acme"}, Words{"tenant", "history", "acme", "--json"},
                               Words{"tenant", "model", "list", "acme"}, Words{"tenant", "config", "acme", "--json"},
                               Words{"check"}, Words{"stats"}}) {
        CHECK_MESSAGE(site.out(words).find(k_secret) == std::string::npos, words.front());
    }
    CHECK(posted.body.find(k_secret) == std::string::npos);
    CHECK((added.out + added.err).find(k_secret) == std::string::npos);
    CHECK(server.terminate().exit == 0);
    CHECK(server.process().err().find(k_secret) == std::string::npos);
    CHECK(files_with(site.path(), k_secret).empty());
    CHECK_FALSE(files_with(site.path("data") / "tenants", "https://llm.example.com/v1").empty());  // it looks there
    const auto mode = std::filesystem::status(site.path("data") / "secret.key").permissions();
    CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
}

TEST_CASE("standard input may bring the key") {
    ModelSite site;
    const std::string command = "printf 'piped-key\\n' | " MT_PROGRAM
                                " tenant model add acme gpt --base-url "
                                "https://llm.example.com --model m --key-file - --quiet --config '" +
                                site.path("tenants.toml").string() + "' --data '" + site.path("data").string() + "'";
    CHECK(std::system(command.c_str()) == 0);  // NOLINT(concurrency-mt-unsafe): nothing else runs here
    CHECK(site.models()[0]["has_key"] == true);
    const Outcome nothing = site.run(site.add_words("other", {"--key-file", "/dev/null"}));
    CHECK(nothing.exit == 64);
    CHECK(nothing.err.find("the key is empty") != std::string::npos);
}

TEST_CASE("exit statuses of tenant model") {
    ModelSite site;
    site.add("plain");
    const auto status = [&](const Words& words) { return site.run(words).exit; };
    CHECK(status(site.add_words("gpt")) == 0);
    CHECK(status(site.add_words("gpt")) == 4);
    CHECK(status(site.add_words("gpt", {"--replace"})) == 0);
    CHECK(status(site.add_words("default")) == 64);
    CHECK(status(site.add_words("builtin")) == 64);
    CHECK(status(site.add_words("x", {"--key-file", "missing.txt"})) == 1);
    CHECK(status(site.add_words("x", {"--key", k_secret})) == 64);  // secrets are never flags
    CHECK(status({"tenant", "model", "add", "acme", "x", "--base-url", "http://10.0.0.1", "--model", "m"}) == 1);
    CHECK(status({"tenant", "model", "add", "acme", "x", "--base-url", "10.0.0.1", "--model", "m"}) == 64);
    CHECK(status({"tenant", "model", "add", "plain", "x", "--base-url", "https://h.example.com", "--model", "m"}) == 1);
    CHECK(status({"tenant", "model", "add", "nobody", "x", "--base-url", "https://h.example.com", "--model", "m"}) ==
          3);
    CHECK(status({"tenant", "model", "add", "acme", "x", "--base-url", "https://h.example.com"}) == 64);
    CHECK(status({"tenant", "model", "list", "nobody"}) == 3);
    CHECK(status({"tenant", "model", "remove", "acme", "x"}) == 3);
    CHECK(status({"tenant", "config", "acme", "model=gpt"}) == 0);
    CHECK(status({"tenant", "model", "remove", "acme", "gpt"}) == 75);
    CHECK(status({"tenant", "config", "acme", "--unset", "model"}) == 0);
    CHECK(status({"tenant", "model", "remove", "acme", "gpt"}) == 0);
    CHECK(site.models().empty());
    CHECK(status({"tenant", "model"}) == 64);
    const Outcome typo = site.run({"tenant", "model", "ad"});
    CHECK(typo.exit == 64);
    CHECK(typo.err.find("did you mean 'add'") != std::string::npos);
    CHECK(site.run({"tenant", "model"}).err.find("mtagent tenant model --help") != std::string::npos);
    CHECK(site.out({"tenant", "model", "add", "--help"}).find("--key-file") != std::string::npos);
}

TEST_CASE("a tenant may still be called model") {
    const Site site("");
    site.add("model");
    CHECK(site.json({"tenant", "config", "model"})["id"] == "model");
    CHECK(site.json({"tenant", "model", "list", "model"}).empty());
}

TEST_CASE("a running server sees a model of the command line's") {
    ModelSite site;
    Server server = site.serve();
    const http::Fields who = bearer(site.operator_token());
    REQUIRE(site.run(site.add_words("gpt")).exit == 0);
    const auto count = [&] { return parse_json(server.get("/admin/tenants/acme/models", who).body)["models"].size(); };
    CHECK(time_until([&] { return count() == 1; }, std::chrono::seconds(5)));
    CHECK(server.send("DELETE", "/admin/tenants/acme/models/gpt", who).status == 204);
    CHECK(site.models().empty());
}

TEST_CASE("private addresses need the operator's word") {
    ModelSite site("[server]\nprivate_upstreams = [\"127.0.0.0/8\"]\n");
    const Words words{"tenant", "model", "add", "acme", "x", "--base-url", "http://127.0.0.1:11434/v1", "--model", "m"};
    CHECK(site.run(words).exit == 0);
    CHECK(site.json({"check"})["warnings"].empty());
    site.write("tenants.toml", "");
    const Json warnings = site.json({"check"})["warnings"];
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].get<std::string>().find("private_upstreams") != std::string::npos);
}

TEST_CASE("check tells of a sealed key that cannot be opened") {
    ModelSite site;
    REQUIRE(site.run(site.add_words("gpt", {"--key-file", "key.txt"})).exit == 0);
    CHECK(site.run({"check"}).exit == 0);
    site.write("data/secret.key", std::string(64, '0') + "\n");
    const Outcome found = site.run({"check"});
    CHECK(found.exit == 1);
    CHECK(found.out.find("key of model 'gpt'") != std::string::npos);
    std::filesystem::permissions(site.path("data/secret.key"), std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
    CHECK(site.run({"check"}).out.find("chmod 600") != std::string::npos);
}

TEST_CASE("MTAGENT_SECRET_KEY_FILE takes the place of the folder's key") {
    ModelSite site;
    site.write("own.key", std::string(64, 'a') + "\n");
    std::filesystem::permissions(site.path("own.key"), std::filesystem::perms::owner_read);
    site.launch().environment["MTAGENT_SECRET_KEY_FILE"] = "own.key";
    REQUIRE(site.run(site.add_words("gpt", {"--key-file", "key.txt"})).exit == 0);
    CHECK_FALSE(std::filesystem::exists(site.path("data") / "secret.key"));
    CHECK(site.run({"check"}).exit == 0);
    site.launch().environment["MTAGENT_SECRET_KEY_FILE"] = "missing.key";
    CHECK(site.run({"serve", "--listen", "127.0.0.1:0"}).exit == 78);
}

TEST_CASE("a missing upstream key is a warning of check, an error of serve and ask, and no matter elsewhere") {
    ModelSite site("[models.big]\nbase_url = \"https://llm.example.com/v1\"\napi_key_env = \"BIG_KEY\"\n");
    CHECK(site.json({"tenant", "list"}).size() == 1);
    const Json found = site.json({"check"});
    REQUIRE(found["warnings"].size() == 1);
    CHECK(found["warnings"][0].get<std::string>().find("BIG_KEY") != std::string::npos);
    for (const Words& words : {Words{"serve", "--listen", "127.0.0.1:0"}, Words{"ask", "acme", "Hello"}}) {
        const Outcome refused = site.run(words);
        CHECK(refused.exit == 78);
        CHECK(refused.err.find("BIG_KEY") != std::string::npos);
    }
    site.launch().environment["BIG_KEY"] = k_secret;
    CHECK(site.json({"check"})["warnings"].empty());
    Server server = site.serve({"--log-level", "debug"});
    CHECK(server.get("/health").status == 200);
    site.write("tenants.toml", "[models.big]\nbase_url = \"https://h.example.com\"\napi_key_env = \"NO_KEY\"\n");
    server.process().signal(SIGHUP);
    const auto told = [&] { return server.process().err().find("NO_KEY") != std::string::npos; };
    CHECK(time_until(told, std::chrono::seconds(10)));
    CHECK(server.terminate().exit == 0);
    CHECK(server.process().err().find(k_secret) == std::string::npos);
}

TEST_CASE("the environment's model is a tenant's default, and shown as such") {
    ModelSite site;
    CHECK(site.json({"tenant", "config", "acme"})["model"] == "builtin");
    site.launch().environment["OPENAI_API_KEY"] = k_secret;
    const Json config = site.json({"tenant", "config", "acme"});
    CHECK(config["model"] == "openai");
    CHECK(config.dump().find(k_secret) == std::string::npos);
    CHECK(site.json({"tenant", "config", "acme", "model=builtin"})["model"] == "builtin");
    site.launch().environment["OPENAI_BASE_URL"] = "https://user:hunter2@h.example.com";
    const Outcome refused = site.run({"tenant", "list"});
    CHECK(refused.exit == 78);
    CHECK(refused.err.find("OPENAI_BASE_URL") != std::string::npos);
    CHECK(refused.err.find("hunter2") == std::string::npos);
}

}  // namespace
}  // namespace mt::test
