// The transport as an operator meets it: TLS, proxies, bounds from the file, refusals in the metrics.

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>

#include "e2e/site.h"
#include "http/raw_client.h"
#include "support/certificate.h"

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{20};

std::string tls_url(const Server& server) {
    return "https://127.0.0.1:" + std::to_string(server.port());
}

int ping(Site& site, const Words& more, const std::string& authorities = "") {
    site.launch().environment.erase("SSL_CERT_FILE");
    if (!authorities.empty()) {
        site.launch().environment["SSL_CERT_FILE"] = authorities;
    }
    Words words{"ping"};
    words.insert(words.end(), more.begin(), more.end());
    return site.run(words).exit;
}

bool says(Server& server, const std::string& text) {
    return time_until([&] { return server.process().err().find(text) != std::string::npos; }, k_patience).has_value();
}

RawReply raw(const Server& server, const std::string& bytes) {
    RawClient client(*http::parse_address("127.0.0.1:" + std::to_string(server.port())));
    REQUIRE(client.connected());
    REQUIRE(client.send(bytes));
    return client.reply();
}

// The value of a line "NAME VALUE" of /metrics, -1 when there is none.
double metric(Server& server, const std::string& name) {
    std::istringstream lines(server.get("/metrics").body);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name + " ")) {
            return std::stod(line.substr(name.size() + 1));
        }
    }
    return -1;
}

TEST_CASE("a server speaks TLS, clients check its certificate, and SIGHUP takes a new one") {
    Site site;
    const Certificate files;
    Server server = site.serve({"--tls-cert", files.certificate(), "--tls-key", files.key()});
    const std::string url = tls_url(server);
    CHECK(ping(site, {}) == 0);  // this machine's own server
    CHECK(ping(site, {url}) == 69);
    CHECK(ping(site, {url, "--insecure"}) == 0);
    CHECK(ping(site, {url}, files.certificate()) == 0);
    const Outcome load =
        site.run({"bench", url + "/tenant-enterprise?q=Hello", "--insecure", "-d", "200ms", "-c", "2"});
    CHECK_MESSAGE(load.exit == 0, load.err);

    const Certificate renewed;
    const auto replace = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy_file(renewed.certificate(), files.certificate(), replace);
    server.process().signal(SIGHUP);           // the key is still the old one's
    CHECK(says(server, "stay as they were"));  // the key is still the old one's
    CHECK(ping(site, {url, "--insecure"}) == 0);
    std::filesystem::copy_file(renewed.key(), files.key(), replace);
    server.process().signal(SIGHUP);
    CHECK(time_until([&] { return ping(site, {url}, renewed.certificate()) == 0; }, k_patience));
}

TEST_CASE("TLS files that cannot be used end the start with 78 and say which") {
    const Site site;
    const Certificate files;
    const Outcome wrong = site.run(
        {"serve", "--listen", "127.0.0.1:0", "--tls-cert", files.certificate(), "--tls-key", files.certificate()});
    CHECK(wrong.exit == 78);
    CHECK_MESSAGE(wrong.err.find(files.certificate()) != std::string::npos, wrong.err);
}

TEST_CASE("forwarding fields name the client when a trusted proxy sends them, and only then") {
    Site site;
    const http::Fields forwarded{{"X-Forwarded-For", "198.51.100.1, 203.0.113.9"}};
    {
        Server server = site.serve();
        CHECK(server.get("/tenant-basic?q=Hello", forwarded).status == 200);
        CHECK(says(server, "\"peer\":\"127.0.0.1\""));
    }
    std::string trusting = read_text(site.path("tenants.toml"));
    trusting.insert(trusting.find("[server]\n") + 9, "trusted_proxies = [\"127.0.0.0/8\"]\n");
    site.write("tenants.toml", trusting);
    Server server = site.serve();
    CHECK(server.get("/tenant-basic?q=Hello", forwarded).status == 200);
    CHECK(says(server, "\"peer\":\"203.0.113.9\""));
}

TEST_CASE("the bounds of the file hold, and what they refuse is in the metrics") {
    const Site site("[server]\nmax_uri = 100\nmax_fields = 5\nmax_head = \"2KiB\"\nmax_body = 10\n");
    Server server = site.serve();
    const std::string host = " HTTP/1.1\r\nHost: localhost\r\n";
    CHECK(raw(server, "GET /" + std::string(100, 'x') + host + "\r\n").status == 414);
    CHECK(raw(server, "GET /" + std::string(99, 'x') + host + "\r\n").status == 401);
    CHECK(raw(server, "GET /" + host + "A:1\r\nB:1\r\nC:1\r\nD:1\r\nE:1\r\n\r\n").status == 431);
    CHECK(raw(server, "GET /" + host + "A: " + std::string(2'048, 'x') + "\r\n\r\n").status == 431);
    CHECK(raw(server, "POST /x" + host + "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n").status == 413);
    CHECK(raw(server, "POST /x" + host + "Content-Length: 1\r\nExpect: more\r\n\r\n").status == 417);
    CHECK(metric(server, "mtagent_http_refusals_total{reason=\"uri_too_long\"}") == 1);
    CHECK(metric(server, "mtagent_http_refusals_total{reason=\"head_too_large\"}") == 2);
    CHECK(metric(server, "mtagent_http_refusals_total{reason=\"too_large\"}") == 1);
    CHECK(metric(server, "mtagent_http_refusals_total{reason=\"expectation_failed\"}") == 1);
}

}  // namespace
}  // namespace mt::test
