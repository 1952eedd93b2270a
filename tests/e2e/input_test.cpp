// Bad questions and the shape of every refusal.

#include "e2e/site.h"

namespace mt::test {
namespace {

const http::Fields k_json{{"Content-Type", "application/json"}};
const http::Fields k_text{{"Content-Type", "text/plain"}};

// RFC 9457, with the request id that the head has too.
void check_problem(const http::Response& reply, int status) {
    CHECK(reply.status == status);
    CHECK(reply.content_type == "application/problem+json");
    Json problem = parse_json(reply.body);
    for (const char* member : {"type", "title", "detail", "request_id"}) {
        CHECK_MESSAGE((problem.contains(member) && problem[member].is_string() && !problem[member].empty()), member);
    }
    CHECK(problem["status"] == status);
    CHECK(problem["request_id"] == field(reply, "X-Request-Id"));
}

TEST_CASE("a question that is none is 400") {
    const Site site;
    Server server = site.serve();
    for (const char* query :
         {"", "?q=", "?q", "?q=+", "?q=%20%09", "?x=Hello", "?q=%ff", "?q=%c3%28", "?q=%ed%a0%80", "?q=a%00b", "?q=%zz",
          "?q=%4", "?q=a&q=b", "?q=Hello&session=%ff", "?q=Hello&session=a%20b"}) {
        CAPTURE(query);
        check_problem(server.get("/tenant-basic" + std::string(query)), 400);
    }
    for (const char* body : {"", " \n\t", "\xff\xfe", "a\xc0\xaf"}) {
        check_problem(server.send("POST", "/tenant-basic", k_text, body), 400);
    }
    check_problem(server.send("POST", "/tenant-basic", k_text, std::string_view("a\0b", 3)), 400);
    for (const char* body :
         {"", "{", "[]", "7", "null", "{}", R"({"message":7})", R"({"message":""})", R"({"message":null})",
          R"({"message":"Hello","sesion":"s"})", R"({"message":"Hello","session":7})", R"({"message":"Hello"} x)",
          "{\"message\":\"\xff\"}", R"({"message":"a\u0000b"})", R"({"message":"\ud800"})"}) {
        CAPTURE(body);
        check_problem(server.send("POST", "/tenant-basic", k_json, body), 400);
    }
    CHECK(remaining(server.get("/tenant-basic?q=Hello")) == 9);
    CHECK(parse_json(server.get("/stats").body)["tenant-basic"]["requests"] == 1);
}

TEST_CASE("too much is said to be too much") {
    const Site site;
    Server server = site.serve();
    check_problem(server.get("/tenant-basic?q=" + std::string(1'000'000, 'a')), 414);
    check_problem(server.send("POST", "/tenant-basic", k_text, std::string(5'000'000, 'a')), 413);
    check_problem(server.get("/tenant-basic?q=Hello", {{"X-Long", std::string(200'000, 'a')}}), 431);
    CHECK(server.get("/tenant-basic?q=" + std::string(4000, 'a')).status == 200);
    CHECK(server.send("POST", "/tenant-basic", k_text, std::string(100'000, 'a')).status == 200);
}

TEST_CASE("a deeply nested body is refused, not a crash") {
    const Site site;
    Server server = site.serve();
    check_problem(server.send("POST", "/tenant-basic", k_json, std::string(200'000, '[')), 400);
    const http::Response sum = server.send("POST", "/tenant-basic", k_text, std::string(200'000, '(') + "1");
    CHECK((sum.status == 200 || sum.status == 400));
    CHECK_FALSE(server.process().ended());
    CHECK(server.get("/tenant-basic?q=Hello").status == 200);
}

TEST_CASE("a body of another kind is 415") {
    const Site site;
    Server server = site.serve();
    for (const char* type : {"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png",
                             "application/xml", "text/html"}) {
        check_problem(server.send("POST", "/tenant-basic", {{"Content-Type", type}}, "q=Hello"), 415);
    }
    check_problem(
        server.send("POST", "/tenant-basic", {{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}}, "Hello"),
        415);
    CHECK(parse_json(server.get("/stats").body)["tenant-basic"]["requests"] == 0);
}

TEST_CASE("a wrong method is 405 with Allow, on every shape") {
    const Site site;
    Server server = site.serve();
    struct Row {
        const char* method;
        const char* target;
        const char* allowed;  // one that has to be in Allow
    };
    for (const Row& row :
         {Row{"PUT", "/tenant-basic?q=Hello", "POST"}, Row{"DELETE", "/tenant-basic", "GET"},
          Row{"PATCH", "/nobody", "GET"}, Row{"POST", "/stats", "GET"}, Row{"DELETE", "/metrics", "GET"},
          Row{"POST", "/health", "GET"}, Row{"POST", "/tenant-basic/stats", "GET"},
          Row{"POST", "/tenant-basic/sessions", "GET"}, Row{"PUT", "/tenant-basic/sessions/s", "DELETE"},
          Row{"DELETE", "/admin/tenants", "POST"}, Row{"POST", "/admin/tenants/tenant-pro", "PATCH"}}) {
        CAPTURE(row.target);
        const http::Response reply = server.send(row.method, row.target);
        check_problem(reply, 405);
        CHECK_MESSAGE(field(reply, "Allow").find(row.allowed) != std::string::npos, field(reply, "Allow"));
    }
}

TEST_CASE("an unknown path is 404") {
    const Site site;
    Server server = site.serve();
    for (const char* target : {"/", "/tenant-basic/nothing", "/tenant-basic/sessions/a/b", "/admin", "/admin/nothing",
                               "/health/nothing", "/stats/x"}) {
        CAPTURE(target);
        check_problem(server.get(target), 404);
    }
}

TEST_CASE("every refusal is a problem, whatever the client accepts") {
    const Site site;
    const std::string key = site.add("acme", {"--rate-limit", "1"});
    Server server = site.serve();
    for (const char* accept : {"text/html", "application/json", "text/plain", "*/*"}) {
        const http::Fields fields{{"Accept", accept}};
        check_problem(server.get("/nobody?q=Hello", fields), 401);
        check_problem(server.get("/tenant-basic?q=", fields), 400);
        check_problem(server.get("/tenant-basic?q=analyze+1,2,3", fields), 403);
        check_problem(server.get("/nothing/here", fields), 404);
        check_problem(server.send("PUT", "/tenant-basic", fields), 405);
        check_problem(server.get("/admin/tenants", fields), 401);
    }
    CHECK(server.get("/acme?q=Hello", bearer(key)).status == 200);
    check_problem(server.get("/acme?q=Hello", bearer(key)), 429);
}

}  // namespace
}  // namespace mt::test
