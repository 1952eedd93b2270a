// ONE refusal for everybody who is not let in: nobody learns which tenants exist, or why a key does not open.

#include "e2e/site.h"
#include "http/raw_client.h"

namespace mt::test {
namespace {

std::string without_line(std::string head, const std::string& name) {
    const std::size_t at = head.find("\r\n" + name + ": ");
    return at == std::string::npos ? head : head.erase(at, head.find("\r\n", at + 2) - at);
}

// The whole reply as it came over the wire, without the two things that may differ: Date and request id.
std::string refusal(const Server& server, const std::string& target, const std::string& fields,
                    const std::string& method = "GET") {
    http::Address address;
    address.port = server.port();
    RawClient client(address);
    client.send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
    const RawReply reply = client.reply();
    CHECK_MESSAGE(reply.status == 401, target, " ", fields, ": ", reply.head, reply.body);
    CHECK(reply.whole);
    std::string body = reply.body;
    const std::size_t id = body.find("\"request_id\"");
    CHECK(id != std::string::npos);
    body.erase(id, body.find_first_of(",}", id) - id);
    return without_line(without_line(reply.head, "Date"), "X-Request-Id") + body;
}

std::string with_key(const std::string& key) {
    return "Authorization: Bearer " + key + "\r\n";
}

// A site whose tenants are refused for every possible reason, and the requests that are.
struct Strangers {
    struct Request {
        std::string why;
        std::string tenant;
        std::string fields;
    };

    Strangers() {
        const std::string good = site.add("keyed");
        const std::string other = site.add("other");
        const std::string revoked = site.create_key({"keyed"});
        site.out({"key", "revoke", key_id(revoked)});
        const std::string expired = site.create_key({"keyed", "--expires", "1ms"});
        const std::string suspended = site.add("suspended");
        site.out({"tenant", "suspend", "suspended"});
        const std::string removed = site.add("removed");
        site.out({"tenant", "remove", "removed", "--confirm", "removed"});
        std::string wrong_secret = good;
        wrong_secret.back() = wrong_secret.back() == '0' ? '1' : '0';
        std::string unknown_id = good;
        unknown_id.replace(4, 12, "aaaaaaaaaaaa");
        requests = {
            {"unknown tenant", "nobody", ""},
            {"unknown tenant, good key of another", "nobody", with_key(good)},
            {"missing key", "keyed", ""},
            {"no key at all", "keyed", with_key("nonsense")},
            {"empty key", "keyed", "X-API-Key: \r\n"},
            {"another scheme", "keyed", "Authorization: Basic a2V5ZWQ6a2V5\r\n"},
            {"wrong secret", "keyed", with_key(wrong_secret)},
            {"wrong secret, other field", "keyed", "X-API-Key: " + wrong_secret + "\r\n"},
            {"unknown key id", "keyed", with_key(unknown_id)},
            {"key cut short", "keyed", with_key(good.substr(0, good.size() - 1))},
            {"key with more", "keyed", with_key(good + "0")},
            {"key of another tenant", "keyed", with_key(other)},
            {"revoked key", "keyed", with_key(revoked)},
            {"expired key", "keyed", with_key(expired)},
            {"suspended tenant", "suspended", with_key(suspended)},
            {"suspended tenant without key", "suspended", ""},
            {"removed tenant", "removed", with_key(removed)},
            {"wrong key on an open tenant", "tenant-basic", with_key(wrong_secret)},
            {"key of another tenant on an open one", "tenant-basic", with_key(good)},
            {"upper case", "KEYED", with_key(good)},
            {"49 characters", std::string(49, 'a'), with_key(good)},
        };
        key = good;
    }

    Site site;
    std::string key;
    std::vector<Request> requests;
};

TEST_CASE("all reasons to refuse a caller give one identical 401") {
    const Strangers strangers;
    Server server = strangers.site.serve();
    CHECK(server.get("/keyed?q=Hello", bearer(strangers.key)).status == 200);
    CHECK(server.get("/keyed?q=Hello", {{"X-API-Key", strangers.key}}).status == 200);
    CHECK(server.get("/keyed?q=Hello", {{"Authorization", "bearer " + strangers.key}}).status == 200);
    const std::string first = refusal(server, "/nobody?q=Hello", "");
    CHECK(first.find("Invalid tenant") != std::string::npos);
    CHECK(first.find("\r\nWWW-Authenticate: Bearer\r\n") != std::string::npos);
    CHECK(first.find("\r\nContent-Type: application/problem+json\r\n") != std::string::npos);
    for (const Strangers::Request& request : strangers.requests) {
        CAPTURE(request.why);
        CHECK(refusal(server, "/" + request.tenant + "?q=Hello", request.fields) == first);
        // Neither a bad question nor another address of the tenant tells more.
        CHECK(refusal(server, "/" + request.tenant, request.fields) == first);
        CHECK(refusal(server, "/" + request.tenant + "?q=Hello", request.fields + "Content-Length: 0\r\n", "POST") ==
              first);
        for (const char* rest : {"/stats", "/sessions", "/sessions/s1"}) {
            CHECK(refusal(server, "/" + request.tenant + rest, request.fields) == first);
        }
    }
}

TEST_CASE("a tenant that is suspended or removed while serving looks like one that never was") {
    const Site site;
    const std::string late = site.add("late");
    const std::string gone = site.add("gone");
    Server server = site.serve();
    const auto status = [&](const std::string& target, const std::string& key) {
        return server.get(target, bearer(key)).status;
    };
    CHECK(status("/late?q=Hello", late) == 200);
    CHECK(status("/gone?q=Hello", gone) == 200);
    site.out({"tenant", "suspend", "late"});
    site.out({"tenant", "remove", "gone", "--confirm", "gone"});
    const std::chrono::seconds patience{5};
    CHECK(time_until([&] { return status("/late?q=Hello", late) == 401; }, patience));
    CHECK(time_until([&] { return status("/gone?q=Hello", gone) == 401; }, patience));
    const std::string first = refusal(server, "/nobody?q=Hello", "");
    CHECK(refusal(server, "/late?q=Hello", with_key(late)) == first);
    CHECK(refusal(server, "/gone?q=Hello", with_key(gone)) == first);
}

TEST_CASE("only refusals of tenants that exist are counted") {
    const Strangers strangers;
    Server server = strangers.site.serve();
    refusal(server, "/keyed?q=Hello", "");
    refusal(server, "/nobody?q=Hello", "");
    Json stats = parse_json(server.get("/stats").body);
    CHECK(stats["keyed"]["unauthorized"] == 1);
    CHECK(stats["keyed"]["requests"] == 0);
    CHECK_FALSE(stats.contains("nobody"));
}

}  // namespace
}  // namespace mt::test
