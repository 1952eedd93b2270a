// The command line: exit statuses, messages, typos.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "e2e/site.h"

namespace mt::test {
namespace {

const std::vector<Words> k_commands{
    {"serve"},
    {"tenant", "add"},
    {"tenant", "list"},
    {"tenant", "config"},
    {"tenant", "suspend"},
    {"tenant", "resume"},
    {"tenant", "remove"},
    {"tenant", "apply"},
    {"tenant", "history"},
    {"tenant", "model", "list"},
    {"tenant", "model", "remove"},
    {"key", "create"},
    {"key", "list"},
    {"key", "revoke"},
    {"key", "rotate"},
    {"ask"},
    {"stats"},
    {"stats", "export"},
    {"bench"},
    {"ping"},
    {"check"},
};

// A port of the loopback that this object keeps others from.
class TakenPort {
  public:
    TakenPort() : m_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(address);
        const bool bound = bind(m_fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                           getsockname(m_fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0;
        m_port = bound ? ntohs(address.sin_port) : 0;
    }
    bool listens() { return listen(m_fd.get(), 1) == 0; }
    [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(m_port); }

  private:
    http::UniqueFd m_fd;
    int m_port = 0;
};

TEST_CASE("help and version end with 0") {
    const Site site;
    CHECK(site.out({"--version"}).starts_with("mtagent "));
    const std::string help = site.out({"--help"});
    for (const Words& command : k_commands) {
        CAPTURE(command.back());
        CHECK(help.find(command.front()) != std::string::npos);
        Words words = command;
        words.emplace_back("--help");
        const std::string text = site.out(words);
        std::string name = "  mtagent";
        for (const std::string& word : command) {
            name += " " + word;
        }
        const std::size_t first = text.find(name);
        CHECK_MESSAGE(first != std::string::npos, "no example in: ", text);
        CHECK_MESSAGE(text.find(name, first + 1) != std::string::npos, "one example only in: ", text);
        CHECK_MESSAGE(first < text.find("--data"), "examples come first in: ", text);
        CHECK(text.find('\x1b') == std::string::npos);
    }
    CHECK_FALSE(std::filesystem::exists(site.path("data")));
}

TEST_CASE("a typo ends with 64 and a suggestion") {
    const Site site;
    struct Row {
        Words words;
        const char* meant;
    };
    for (const Row& row : std::vector<Row>{{{"tennant", "list"}, "'tenant'"},
                                           {{"tenant", "lst"}, "'list'"},
                                           {{"servee"}, "'serve'"},
                                           {{"key", "creat", "x"}, "'create'"},
                                           {{"tenant", "list", "--jsn"}, "'--json'"},
                                           {{"serve", "--listn", "127.0.0.1:0"}, "'--listen'"},
                                           {{"tenant", "add", "acme", "--rate-limt", "5"}, "'--rate-limit'"},
                                           {{"tenant", "config", "acme", "rate_limt=5"}, "'rate_limit'"},
                                           {{"tenant", "add", "acme", "--storage-type", "sqlit"}, "'sqlite'"},
                                           {{"tenant", "add", "acme", "--plan", "profesional"}, "'professional'"}}) {
        const Outcome done = site.run(row.words);
        CAPTURE(row.meant);
        CHECK(done.exit == 64);
        CHECK_MESSAGE(done.err.find(row.meant) != std::string::npos, done.err);
        CHECK(done.out.empty());
    }
}

TEST_CASE("wrong usage ends with 64") {
    const Site site;
    site.add("acme");
    for (const Words& words : std::vector<Words>{{},
                                                 {"tenant"},
                                                 {"key"},
                                                 {"tenant", "add"},
                                                 {"tenant", "add", "a", "b"},
                                                 {"tenant", "list", "more"},
                                                 {"tenant", "config", "acme", "rate_limit"},
                                                 {"tenant", "config", "acme", "rate_limit=0"},
                                                 {"tenant", "config", "acme", "rate_limit=many"},
                                                 {"tenant", "config", "acme", "rate_limit=99999999999999999999"},
                                                 {"tenant", "config", "acme", "--unset", "rate_limt"},
                                                 {"tenant", "add", "b", "--rate-limit"},
                                                 {"key", "create"},
                                                 {"key", "create", "acme", "--expires", "soon"},
                                                 {"key", "create", "acme", "--operator", "x"},
                                                 {"key", "create", "acme", "--read-only"},
                                                 {"serve", "--log-level", "loud"},
                                                 {"bench", "--connections", "0"},
                                                 {"bench", "--duration", "-1s"},
                                                 {"bench", "ftp://127.0.0.1/"},
                                                 {"ping", "--wait", "long"},
                                                 {"stats", "--since", "yesterday"},
                                                 {"ask", "acme"},
                                                 {"--json"}}) {
        std::string line;
        for (const std::string& word : words) {
            line += word + " ";
        }
        CAPTURE(line);
        const Outcome done = site.run(words);
        CHECK(done.exit == 64);
        CHECK(done.err.starts_with(words == Words{"--json"} ? "{" : "mtagent: "));
    }
    CHECK(site.json({"tenant", "config", "acme"})["generation"] == 1);
}

TEST_CASE("an address that is none is seen before anything is made") {
    const Site site;
    for (const char* address : {"nonsense", "127.0.0.1:99999", "unix:", "[::1:0"}) {
        const Outcome done = site.run({"serve", "--listen", address});
        CHECK(done.exit == 64);
        CHECK_MESSAGE(done.err.starts_with("mtagent: "), done.err);
        CHECK_FALSE(std::filesystem::exists(site.path("data")));
    }
}

TEST_CASE("what does not exist ends with 3, what does with 4") {
    const Site site;
    site.add("acme");
    for (const Words& words : std::vector<Words>{{"tenant", "config", "nobody"},
                                                 {"tenant", "config", "nobody", "rate_limit=5"},
                                                 {"tenant", "suspend", "nobody"},
                                                 {"tenant", "resume", "nobody"},
                                                 {"tenant", "history", "nobody"},
                                                 {"key", "create", "nobody"},
                                                 {"key", "list", "nobody"},
                                                 {"key", "revoke", "aaaaaaaaaaaa"},
                                                 {"key", "rotate", "aaaaaaaaaaaa"},
                                                 {"ask", "nobody", "Hello"},
                                                 {"stats", "nobody"},
                                                 {"stats", "acme", "nobody"}}) {
        const Outcome done = site.run(words);
        CAPTURE(words[0]);
        CAPTURE(words[1]);
        CHECK(done.exit == 3);
        CHECK(done.out.empty());
    }
    CHECK(site.run({"tenant", "add", "acme"}).exit == 4);
    CHECK(site.run({"tenant", "add", "acme", "--rate-limit", "5"}).exit == 4);
    CHECK(site.json({"tenant", "config", "acme"})["rate_limit"] == 10);
}

TEST_CASE("--if-missing takes an existing tenant as it is") {
    const Site site;
    const Outcome made = site.run({"tenant", "add", "acme", "--if-missing", "--rate-limit", "5"});
    CHECK(made.exit == 0);
    CHECK(made.out.starts_with("mta_"));
    const Outcome again = site.run({"tenant", "add", "acme", "--if-missing", "--rate-limit", "6"});
    CHECK(again.exit == 0);
    CHECK(again.out.empty());
    CHECK(site.json({"tenant", "config", "acme"})["rate_limit"] == 5);
    CHECK_FALSE(site.json({"tenant", "add", "acme", "--if-missing"}).contains("api_key"));
    CHECK(site.json({"key", "list", "acme"}).size() == 1);
}

TEST_CASE("global flags count before and after the command") {
    const Site site;
    site.out({"tenant", "add", "acme", "--data", "elsewhere"});
    CHECK(std::filesystem::exists(site.path("elsewhere")));
    const std::string before = site.out({"--data", "elsewhere", "--json", "tenant", "list"});
    const std::string between = site.out({"tenant", "--data=elsewhere", "--json", "list"});
    const std::string after = site.out({"tenant", "list", "--json", "--data", "elsewhere"});
    CHECK(parse_json(before).size() == 1);
    CHECK(between == before);
    CHECK(after == before);
    CHECK_FALSE(std::filesystem::exists(site.path("data")));
    const Outcome quiet = site.run({"--quiet", "tenant", "add", "other"});
    CHECK(quiet.exit == 0);
    CHECK(quiet.err.empty());
    CHECK(quiet.out.starts_with("mta_"));
}

TEST_CASE("flag beats environment beats file beats default") {
    Site site("[server]\ndata = \"by-file\"\n");
    site.add("acme");
    CHECK(std::filesystem::exists(site.path("by-file")));
    site.launch().environment["MTAGENT_DATA"] = "by-environment";
    site.add("acme");
    CHECK(std::filesystem::exists(site.path("by-environment")));
    site.out({"tenant", "add", "acme", "--data", "by-flag"});
    CHECK(std::filesystem::exists(site.path("by-flag")));
    CHECK_FALSE(std::filesystem::exists(site.path("data")));
    site.launch().environment["MTAGENT_CONFIG"] = "missing.toml";
    CHECK(site.run({"tenant", "list"}).exit == 78);
    CHECK(site.run({"tenant", "list", "--config", "tenants.toml"}).exit == 0);
}

TEST_CASE("a port in use ends with 69") {
    const Site site;
    TakenPort port;
    REQUIRE(port.listens());
    const Outcome done = site.run({"serve", "--listen", port.address()});
    CHECK(done.exit == 69);
    CHECK(done.err.find(port.address()) != std::string::npos);
    // Nothing is left locked.
    Server server = site.serve();
    CHECK(server.get("/health").status == 200);
}

TEST_CASE("a data folder serves one server") {
    const Site site;
    Server server = site.serve();
    const Outcome second = site.run({"serve", "--listen", "127.0.0.1:0"});
    CHECK(second.exit == 69);
    CHECK(second.err.find(std::to_string(server.process().pid())) != std::string::npos);
    CHECK(server.get("/tenant-basic?q=Hello").status == 200);
    CHECK(server.kill().exit < 0);
    Server next = site.serve();
    CHECK(next.get("/tenant-basic?q=Hello").status == 200);
}

TEST_CASE("ping: 0 when ready, 69 when nobody answers, and it waits when told to") {
    const Site site;
    TakenPort nobody;
    CHECK(site.run({"ping", "http://" + nobody.address()}).exit == 69);
    Process waiting = site.start({"ping", "--data", "data", "--wait", "20s"});
    CHECK_FALSE(waiting.ended(std::chrono::milliseconds{200}));
    Server server = site.serve();
    CHECK(waiting.wait().exit == 0);
    CHECK(site.run({"ping"}).exit == 0);
    CHECK(site.run({"ping", server.url()}).exit == 0);
    CHECK(server.terminate().exit == 0);
    CHECK(site.run({"ping", server.url()}).exit == 69);
}

TEST_CASE("a fault of tenants.toml ends with 78, file:line and the nearest name") {
    struct Row {
        const char* toml;
        const char* where;
        const char* what;
    };
    for (const Row& row :
         {Row{"[[tenants]]\nid = \"a\"\nrate_limt = 5\n", "tenants.toml:3:", "'rate_limit'"},
          Row{"[servr]\n", "tenants.toml:1:", "'server'"},
          Row{"[server]\nlistn = \"x\"\n", "tenants.toml:2:", "'listen'"},
          Row{"[plans.gold]\nrate_limit = 5\nburts = 6\n", "tenants.toml:3:", "'burst'"},
          Row{"[[tenants]]\nid = \"a\"\nrate_limit = \"5\"\n", "tenants.toml:3:", "rate_limit"},
          Row{"[[tenants]]\nid = \"a\"\nrate_limit = 5.5\n", "tenants.toml:3:", "rate_limit"},
          Row{"[[tenants]]\nid = \"a\"\nrate_limit = 0\n", "tenants.toml:3:", "rate_limit"},
          Row{"[[tenants]]\nid = \"a\"\nplan = \"profesional\"\n", "tenants.toml:", "'professional'"},
          Row{"[[tenants]]\nid = \"a\"\nfeatures = [\"basic-chta\"]\n", "tenants.toml:3:", "'basic-chat'"},
          Row{"[[tenants]]\nid = \"a\"\nstorage_type = \"sqlit\"\n", "tenants.toml:3:", "'sqlite'"},
          Row{"[[tenants]]\nid = \"a\"\n\n[[tenants]]\nid = \"a\"\n", "tenants.toml:5:", "'a'"},
          Row{"[[tenants]]\nid = \"../a\"\n", "tenants.toml:2:", "../a"},
          Row{"[[tenants]]\nid = \"stats\"\n", "tenants.toml:2:", "reserved"},
          Row{"[[tenants]]\nname = \"a\"\n", "tenants.toml:1:", "id"},
          Row{"[[tenants]]\nid = \"a\nname = 5\n", "tenants.toml:2:", ""}}) {
        const Site site(row.toml);
        CAPTURE(row.toml);
        for (const Words& words :
             {Words{"serve", "--listen", "127.0.0.1:0"}, Words{"check"}, Words{"tenant", "apply"}}) {
            const Outcome done = site.run(words);
            CHECK(done.exit == 78);
            CHECK_MESSAGE(done.err.find(row.where) != std::string::npos, done.err);
            CHECK_MESSAGE(done.err.find(row.what) != std::string::npos, done.err);
        }
        CHECK_FALSE(std::filesystem::exists(site.path("data")));
    }
    const Site site;
    CHECK(site.run({"check", "--config", "missing.toml"}).exit == 78);
}

TEST_CASE("errors are JSON on standard error with --json") {
    const Site site("[[tenants]]\nid = \"acme\"\n");
    site.add("other");
    for (const Words& words : std::vector<Words>{{"tenant", "config", "nobody", "--json"},
                                                 {"--json", "tenant", "add", "other"},
                                                 {"tenant", "add", "..", "--json"},
                                                 {"tennant", "--json"},
                                                 {"--json", "tenant", "list", "--wat"},
                                                 {"serve", "--log-level", "loud", "--json"},
                                                 {"ping", "http://127.0.0.1:1", "--json"},
                                                 {"check", "--json", "--config", "missing.toml"}}) {
        CAPTURE(words[0]);
        const Outcome done = site.run(words);
        CHECK(done.exit != 0);
        CHECK(done.out.empty());
        Json error = parse_json(done.err)["error"];
        CHECK(error["code"].is_string());
        CHECK_FALSE(error["message"].get<std::string>().empty());
    }
}

}  // namespace
}  // namespace mt::test
