// Conversations: kept in the tenant's own store, seen and erased by its own key alone.

#include "e2e/site.h"

namespace mt::test {
namespace {

// Two tenants of one kind that only their keys tell apart.
struct Pair {
    explicit Pair(const std::string& kind) {
        first = bearer(site.add("first", {"--storage-type", kind, "--plan", "enterprise"}));
        second = bearer(site.add("second", {"--storage-type", kind, "--plan", "enterprise"}));
    }
    Site site{};
    http::Fields first{};
    http::Fields second{};
};

const std::vector<std::string> k_kinds{"memory", "sqlite"};

TEST_CASE("a session keeps the conversation") {
    for (const std::string& kind : k_kinds) {
        CAPTURE(kind);
        const Pair pair(kind);
        Server server = pair.site.serve();
        CHECK(server.get("/first?q=6*7&session=sums", pair.first).body.find("42") != std::string::npos);
        const std::string next = server.get("/first?q=multiply+it+by+2&session=sums", pair.first).body;
        CHECK_MESSAGE(next.find("84") != std::string::npos, next);
        const std::string alone = server.get("/first?q=multiply+it+by+2", pair.first).body;
        CHECK_MESSAGE(alone.find("84") == std::string::npos, alone);
        const std::string other = server.get("/first?q=multiply+it+by+2&session=other", pair.first).body;
        CHECK_MESSAGE(other.find("84") == std::string::npos, other);
    }
}

TEST_CASE("sessions are listed, shown and erased") {
    for (const std::string& kind : k_kinds) {
        CAPTURE(kind);
        const Pair pair(kind);
        Server server = pair.site.serve();
        CHECK(parse_json(server.get("/first/sessions", pair.first).body)["sessions"].empty());
        server.get("/first?q=Hello&session=a", pair.first);
        server.get("/first?q=Again&session=a", pair.first);
        http::Fields json = pair.first;
        json.emplace_back("Content-Type", "application/json");
        server.send("POST", "/first", json, R"({"message":"By post","session":"b"})");
        Json list = parse_json(server.get("/first/sessions", pair.first).body)["sessions"];
        REQUIRE(list.size() == 2);
        CHECK(list[0]["id"] == "a");
        CHECK(list[0]["turns"] == 2);
        CHECK(list[1]["id"] == "b");

        Json shown = parse_json(server.get("/first/sessions/a", pair.first).body);
        REQUIRE(shown["messages"].size() == 4);
        CHECK(shown["messages"][0]["role"] == "user");
        CHECK(shown["messages"][0]["content"] == "Hello");
        CHECK(shown["messages"][1]["role"] == "assistant");
        CHECK(shown["messages"][2]["content"] == "Again");

        CHECK(server.send("DELETE", "/first/sessions/a", pair.first).status == 204);
        CHECK(server.get("/first/sessions/a", pair.first).status == 404);
        CHECK(server.send("DELETE", "/first/sessions/a", pair.first).status == 404);
        CHECK(server.get("/first/sessions/b", pair.first).status == 200);
        CHECK(parse_json(server.get("/first/sessions", pair.first).body)["sessions"].size() == 1);
    }
}

TEST_CASE("nobody but the tenant itself sees its conversations") {
    for (const std::string& kind : k_kinds) {
        CAPTURE(kind);
        const Pair pair(kind);
        Server server = pair.site.serve();
        server.get("/first?q=My+secret&session=same", pair.first);
        server.get("/second?q=Your+secret&session=same", pair.second);
        for (const http::Fields& who :
             {pair.second, http::Fields{}, bearer("wrong"), bearer(pair.site.operator_token())}) {
            CHECK(server.get("/first/sessions", who).status == 401);
            CHECK(server.get("/first/sessions/same", who).status == 401);
            CHECK(server.send("DELETE", "/first/sessions/same", who).status == 401);
        }
        const std::string mine = server.get("/first/sessions/same", pair.first).body;
        CHECK(mine.find("My secret") != std::string::npos);
        CHECK(mine.find("Your secret") == std::string::npos);
        CHECK(server.send("DELETE", "/second/sessions/same", pair.second).status == 204);
        CHECK(server.get("/first/sessions/same", pair.first).status == 200);
    }
}

TEST_CASE("what one tenant remembers no other recalls") {
    for (const std::string& kind : k_kinds) {
        CAPTURE(kind);
        const Pair pair(kind);
        Server server = pair.site.serve();
        server.get("/first?q=remember+colour+%3D+turquoise", pair.first);
        server.get("/second?q=remember+colour+%3D+crimson", pair.second);
        const std::string first = server.get("/first?q=recall+colour", pair.first).body;
        const std::string second = server.get("/second?q=recall+colour", pair.second).body;
        CHECK_MESSAGE((first.find("turquoise") != std::string::npos && first.find("crimson") == std::string::npos),
                      first);
        CHECK_MESSAGE((second.find("crimson") != std::string::npos && second.find("turquoise") == std::string::npos),
                      second);
    }
}

TEST_CASE("looking into sessions is never charged") {
    const Pair pair("sqlite");
    Server server = pair.site.serve();
    CHECK(remaining(server.get("/first?q=Hello&session=a", pair.first)) == 999);
    for (int i = 0; i < 10; ++i) {
        server.get("/first/sessions", pair.first);
        server.get("/first/sessions/a", pair.first);
        server.send("DELETE", "/first/sessions/none", pair.first);
    }
    CHECK(remaining(server.get("/first?q=Hello", pair.first)) == 998);
    CHECK(parse_json(server.get("/first/stats", pair.first).body)["requests"] == 2);
}

TEST_CASE("the command line talks in the same sessions as the server") {
    const Pair pair("sqlite");
    Server server = pair.site.serve();
    server.get("/first?q=6*7&session=sums", pair.first);
    const std::string answer = pair.site.out({"ask", "first", "multiply it by 2", "--session", "sums"});
    CHECK_MESSAGE(answer.find("84") != std::string::npos, answer);
    CHECK(parse_json(server.get("/first/sessions/sums", pair.first).body)["turns"] == 2);
}

}  // namespace
}  // namespace mt::test
