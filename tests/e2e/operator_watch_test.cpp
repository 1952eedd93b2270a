// What an operator sees without asking: the log of calls, and how full or locked files show.

#include <SQLiteCpp/SQLiteCpp.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "e2e/chat.h"
#include "support/small_disk.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds k_patience{20};

// Every whole line of the log so far; one that is no JSON object fails the test.
std::vector<Json> log_lines(Server& server) {
    std::vector<Json> lines;
    const std::string text = server.process().err();
    std::istringstream stream(text.substr(0, text.rfind('\n') + 1));
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(parse_json(line));
        CHECK_MESSAGE(lines.back().is_object(), line);
    }
    return lines;
}

std::optional<Json> line_of(Server& server, const std::string& request_id) {
    for (Json& line : log_lines(server)) {
        if (line.value("request_id", "") == request_id) {
            return std::move(line);
        }
    }
    return std::nullopt;
}

// The line of the call that got this reply; the log is written some milliseconds later.
Json wait_for_line(Server& server, const http::Response& reply) {
    std::optional<Json> line;
    const std::string id = field(reply, "X-Request-Id");
    const auto there = [&] { return (line = line_of(server, id)).has_value(); };
    REQUIRE_MESSAGE(time_until(there, k_patience), "no line of request ", id);
    return *line;
}

int count_messages(Server& server, const std::string& text) {
    int count = 0;
    for (const Json& line : log_lines(server)) {
        count += line.value("message", "").find(text) == std::string::npos ? 0 : 1;
    }
    return count;
}

// The fields that the man page promises: the items of its list in the section LOG.
std::set<std::string> documented_fields() {
    const std::string page = read_text(std::filesystem::path(MT_SOURCE_DIR) / "man" / "mtagent.1");
    const std::size_t start = page.find("\n.Sh LOG\n");
    REQUIRE(start != std::string::npos);
    std::istringstream section(page.substr(start, page.find("\n.Sh ", start + 1) - start));
    std::set<std::string> fields;
    const std::string k_item = ".It Cm ";
    for (std::string line; std::getline(section, line);) {
        if (line.starts_with(k_item)) {
            std::istringstream names(line.substr(k_item.size()));
            for (std::string name; names >> name;) {
                fields.insert(name);
            }
        }
    }
    return fields;
}

std::set<std::string> names_of(const Json& line) {
    std::set<std::string> names;
    for (const auto& [name, value] : line.items()) {
        names.insert(name);
    }
    return names;
}

struct Expected {
    int status = 0;
    std::string level{};
    std::string tenant{};
    std::string outcome{};
    std::string reason{};
    std::string cache = "bypass";
};

void check_line(Server& server, const http::Response& reply, const Expected& expected) {
    CAPTURE(expected.outcome);
    const Json line = wait_for_line(server, reply);
    CAPTURE(line.dump());
    std::set<std::string> fields = documented_fields();
    CHECK(fields.size() == 19);
    if (expected.status < 500) {
        fields.erase("detail");  // what a server behind us said
    }
    REQUIRE(names_of(line) == fields);
    CHECK(reply.status == expected.status);
    CHECK(line["status"] == expected.status);
    CHECK(line["level"] == expected.level);
    CHECK(line["tenant"] == expected.tenant);
    CHECK(line["outcome"] == expected.outcome);
    CHECK(line["reason"] == expected.reason);
    CHECK(line["cache"] == expected.cache);
    CHECK(line["method"] == "GET");
    CHECK(line["route"] == "/{tenant}");
    CHECK(line["peer"] == "127.0.0.1");
    CHECK(line["trace_id"] == line["request_id"]);
    CHECK(line["duration_ms"] >= line["queue_ms"]);
    CHECK(line["queue_ms"] >= 0.0);
    CHECK(line["time"].get<std::string>().ends_with("Z"));
}

std::string watch_toml(const ScriptedUpstream& upstream) {
    return model_toml(upstream) + tenant_toml("broken") + tenant_toml("small", "rate_limit = 1\n");
}

TEST_CASE("a call's log line has the documented fields, whatever its outcome, and no secret") {
    ScriptedUpstream upstream(chat_error(500, "out of order"));
    Site site(watch_toml(upstream));
    const std::string key = site.add("acme", {"--rate-limit", "100000"});
    Server server = site.serve({"--log-level", "debug"});
    const http::Response served = server.get("/acme?q=marker-question", bearer(key));
    check_line(server, served, {200, "info", "acme", "served", "", "miss"});
    const Json line = wait_for_line(server, served);
    CHECK(line["key_id"] == key_id(key));
    CHECK(line["tokens_in"] >= 1);
    CHECK(line["tokens_out"] >= 1);
    CHECK(line["message"] == "call");
    check_line(server, server.get("/acme?q=marker-question", bearer(key)), {200, "info", "acme", "served", "", "hit"});
    CHECK(server.get("/small?q=marker-question").status == 200);
    check_line(server, server.get("/small?q=marker-other"), {429, "info", "small", "denied", "requests"});
    check_line(server, server.get("/acme?q=marker-question", bearer(key + "wrong")),
               {401, "info", "acme", "unauthorized", "unauthorized"});
    check_line(server, server.get("/nobody?q=marker-question", bearer(key)),
               {401, "info", "-", "unauthorized", "unauthorized"});
    check_line(server, server.get("/acme?q=", bearer(key)), {400, "info", "acme", "invalid", "invalid"});
    check_line(server, server.get("/broken?q=marker-question"), {502, "error", "broken", "failed", "upstream"});
    upstream.set_script(chat({"marker-", "answer"}));
    CHECK(server.get("/broken?q=marker-question").body.find("marker-answer") != std::string::npos);
    CHECK(server.terminate().exit == 0);
    const std::string log = server.process().err();
    for (const std::string& secret : {std::string("marker"), key, key.substr(key.rfind('_') + 1)}) {
        CHECK_MESSAGE(log.find(secret) == std::string::npos, secret);
    }
}

TEST_CASE("a traceparent that comes in names the trace, a malformed one does not") {
    const Site site;
    Server server = site.serve();
    const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (const char* flags : {"00", "01"}) {
        const http::Response reply =
            server.get("/tenant-pro?q=Hello", {{"traceparent", "00-" + trace + "-00f067aa0ba902b7-" + flags}});
        const Json line = wait_for_line(server, reply);
        CHECK(line["trace_id"] == trace);
        CHECK(line["request_id"] == field(reply, "X-Request-Id"));
        CHECK(line["request_id"] != trace);
    }
    for (const std::string& wrong :
         {std::string("00-" + trace + "-0000000000000000-01"), "ff-" + trace + "-00f067aa0ba902b7-01",
          std::string("00-") + std::string(32, '0') + "-00f067aa0ba902b7-01", std::string("\"},{\"tenant\":\"forged"),
          std::string("x")}) {
        CAPTURE(wrong);
        const http::Response reply = server.get("/tenant-pro?q=Hello", {{"traceparent", wrong}});
        const Json line = wait_for_line(server, reply);
        CHECK(line["trace_id"] == line["request_id"]);
    }
}

// Lines of one connection's calls keep their order, so a failed call, which is always told, shows what came before it.
bool logs_calls(Server& server) {
    const http::Response served = server.get("/small?q=Hello");
    CHECK(served.status == 200);
    const http::Response failed = server.get("/broken?q=Hello");
    CHECK(failed.status >= 500);
    CHECK(wait_for_line(server, failed)["level"] == "error");
    return line_of(server, field(served, "X-Request-Id")).has_value();
}

TEST_CASE("log_level and access_log change with SIGHUP") {
    const std::string rest = "[models.big]\nbase_url = \"http://127.0.0.1:1/v1\"\nretries = 0\n" +
                             tenant_toml("broken") + tenant_toml("small", "");
    const Site site(rest);
    Server server = site.serve();
    CHECK(logs_calls(server));
    const std::array<std::pair<const char*, bool>, 5> steps{{{"access_log = false\n", false},
                                                             {"log_level = \"debug\"\n", true},
                                                             {"log_level = \"error\"\n", false},
                                                             {"log_level = \"info\"\n", true},
                                                             {"log_level = \"warning\"\naccess_log = true\n", false}}};
    const pid_t pid = server.process().pid();
    for (const auto& [settings, shown] : steps) {
        CAPTURE(settings);
        site.write("tenants.toml", "[server]\n" + std::string(settings) + rest);
        server.process().signal(SIGHUP);
        CHECK(time_until([&, shown = shown] { return logs_calls(server) == shown; }, k_patience));
    }
    CHECK_FALSE(server.process().ended());
    CHECK(server.process().pid() == pid);
}

double number(Server& server, const std::string& name) {
    const std::string value = metric(server, name);
    CHECK_MESSAGE(!value.empty(), name);
    return value.empty() ? -1 : std::stod(value);
}

double failing_tenants(Server& server) {
    return number(server, "mtagent_ledger_failing_tenants");
}

double failed_writes(Server& server) {
    return number(server, "mtagent_ledger_write_failures_total");
}

// Calls of these tenants until `holds`, each answered; how many there were of each tenant.
template <class Condition>
int call_until(Server& server, const std::vector<std::string>& tenants, Condition holds) {
    int rounds = 0;
    const auto round = [&] {
        ++rounds;
        for (const std::string& tenant : tenants) {
            CHECK(server.get("/" + tenant + "?q=" + std::to_string(rounds)).status == 200);
        }
        return holds();
    };
    CHECK(time_until(round, k_patience));
    return rounds;
}

void check_numbers(const Json& stats, const std::vector<std::string>& tenants, int served) {
    for (const std::string& tenant : tenants) {
        CHECK_MESSAGE(stats[tenant]["served"] == served, tenant);
        CHECK_MESSAGE(stats[tenant]["requests"] == served, tenant);
    }
}

TEST_CASE("a tenant's file that somebody keeps locked: told, nobody suffers, and made good") {
    const Site site(tenant_toml("one", "") + tenant_toml("two", ""));
    Server server = site.serve();
    const std::vector<std::string> tenants{"one", "two"};
    int served = call_until(server, tenants, [&] { return true; });
    {
        SQLite::Database holder(site.path("data/tenants/one.db").string(), SQLite::OPEN_READWRITE, 5000);
        holder.exec("BEGIN IMMEDIATE");
        served += call_until(server, tenants, [&] { return failing_tenants(server) == 1; });
        const http::Response ready = server.get("/readyz");
        CHECK(ready.status == 200);  // a reason to send everybody elsewhere it is not
        CHECK_MESSAGE(ready.body.find("tenants whose statistics cannot be written: 1") != std::string::npos,
                      ready.body);
        served += call_until(server, tenants, [&] { return failed_writes(server) >= 2; });
        holder.exec("ROLLBACK");
    }
    CHECK(time_until([&] { return failing_tenants(server) == 0; }, k_patience));
    CHECK(server.get("/readyz").body == "OK\n");
    const auto told = [&] { return count_messages(server, "statistics of tenant 'one' are written again") == 1; };
    CHECK(time_until(told, k_patience));
    CHECK(count_messages(server, "statistics of tenant 'one' cannot be written") == 1);
    CHECK(count_messages(server, "statistics of tenant 'two'") == 0);
    check_numbers(parse_json(server.get("/stats").body), tenants, served);
    CHECK(server.kill().exit == -SIGKILL);
    check_numbers(site.json({"stats"}), tenants, served);
}

TEST_CASE("a full disk: calls are served, /readyz and metrics tell, and with room again no count is missing") {
    const Site site(tenant_toml("one", "") + tenant_toml("two", ""));
    const SmallDisk disk(site.path("data"), "8m");
    if (!disk.mounted()) {
        MESSAGE("SKIPPED: mounting a small disk needs the rights of root");
        return;
    }
    Server server = site.serve();
    const std::vector<std::string> tenants{"one", "two"};
    int served = call_until(server, tenants, [&] { return number(server, "mtagent_ledger_writes_total") >= 2; });
    CHECK(server.get("/readyz").status == 200);
    // A log of changes may have room inside until it is read back: what is freed by that is filled as well.
    http::Response ready;
    served += call_until(server, tenants, [&] {
        disk.fill();
        ready = server.get("/readyz");
        return ready.status == 503;
    });
    CHECK_MESSAGE(ready.body.find("statistics cannot be written (storage_full)") != std::string::npos, ready.body);
    CHECK(server.get("/livez").status == 200);
    served += call_until(server, tenants, [&] { return failing_tenants(server) == 2; });
    served += call_until(server, tenants, [&] { return failed_writes(server) >= 6; });

    disk.empty();
    CHECK(time_until([&] { return server.get("/readyz").status == 200; }, k_patience));
    CHECK(failing_tenants(server) == 0);
    for (const std::string& tenant : tenants) {
        const std::string subject = "statistics of tenant '" + tenant + "' ";
        CHECK(time_until([&] { return count_messages(server, subject + "are written again") == 1; }, k_patience));
        CHECK(count_messages(server, subject + "cannot be written") == 1);
    }
    check_numbers(parse_json(server.get("/stats").body), tenants, served);
    CHECK(server.terminate().exit == 0);
    check_numbers(site.json({"stats"}), tenants, served);
    CHECK(site.json({"check"})["faults"].empty());
}

}  // namespace
}  // namespace mt::test
