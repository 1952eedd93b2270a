// The life of `serve`: readiness and drain, signals, what a service manager is told (sd_notify(3)), and TLS by name.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include "e2e/site.h"
#include "http/raw_client.h"

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{20};

// Status of a GET over a connection of its own, 0 when there is no reply.
int status_anew(const http::Url& url, std::string_view target) {
    const Result<http::Response> reply = http::Client(url, k_patience).send("GET", target);
    return reply ? reply->status : 0;
}

int status_anew(const Server& server, std::string_view target) {
    return status_anew(*http::parse_url(server.url()), target);
}

bool turns_unready(const Server& server) {
    return time_until([&] { return status_anew(server, "/readyz") == 503; }, k_patience).has_value();
}

TEST_CASE("during the drain delay the server is not ready, and takes new connections all the same") {
    constexpr std::chrono::seconds k_delay{3};
    const Site site;
    Server server = site.serve({"--drain-delay", std::to_string(k_delay.count()) + "s"});
    CHECK(status_anew(server, "/readyz") == 200);
    const auto told = std::chrono::steady_clock::now();
    server.process().signal(SIGTERM);
    CHECK(turns_unready(server));
    CHECK(status_anew(server, "/tenant-basic?q=Hello") == 200);
    CHECK(status_anew(server, "/livez") == 200);
    CHECK(server.process().wait().exit == 0);
    CHECK(std::chrono::steady_clock::now() - told >= k_delay);
    CHECK(site.json({"stats"})["tenant-basic"]["requests"] == 1);
}

TEST_CASE("a second signal ends the drain delay and the process at once, SIGHUP does not") {
    const Site site("[server]\ndrain_delay = \"1h\"\n");
    for (const auto& [first, second] :
         {std::pair{SIGTERM, SIGTERM}, std::pair{SIGINT, SIGINT}, std::pair{SIGINT, SIGTERM}}) {
        CAPTURE(first);
        CAPTURE(second);
        Server server = site.serve();
        server.process().signal(first);
        CHECK(turns_unready(server));
        server.process().signal(SIGHUP);
        CHECK(status_anew(server, "/livez") == 200);
        CHECK_FALSE(server.process().ended());
        server.process().signal(second);
        CHECK(server.process().wait().exit == -second);
    }
}

// A conversation whose listing is larger than the buffers of a unix socket.
void fill_session(const http::Url& url) {
    http::Client client(url, k_patience);
    const std::string text(200'000, 'x');
    for (int i = 0; i < 5; ++i) {
        const auto reply = client.send("POST", "/tenant-pro?session=big", {{"Content-Type", "text/plain"}}, text);
        REQUIRE(reply);
        CHECK(reply->status == 200);
    }
}

TEST_CASE("a second signal ends the drain and the process at once") {
    const Site site;
    const std::string address = "unix:" + site.path("socket").string();
    const http::Url url = *http::parse_url(address);
    Process process = site.start({"serve", "--listen", address, "--drain-timeout", "1h"});
    REQUIRE(time_until([&] { return status_anew(url, "/readyz") == 200; }, k_patience));
    fill_session(url);
    RawClient slow(*http::parse_address(address));
    REQUIRE(slow.send("GET /tenant-pro/sessions/big HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    REQUIRE(slow.readable(k_patience));  // and never read: this call stays in flight
    process.signal(SIGTERM);
    CHECK(time_until([&] { return !RawClient(*http::parse_address(address)).connected(); }, k_patience));
    CHECK_FALSE(process.ended());
    process.signal(SIGHUP);
    process.signal(SIGTERM);
    CHECK(process.wait().exit == -SIGTERM);
}

// A service manager's socket, by a path or, behind '@', by an abstract name.
class Manager {
  public:
    explicit Manager(const std::string& name) : m_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        REQUIRE(name.size() < sizeof(address.sun_path));
        name.copy(address.sun_path, name.size());
        const bool abstract = name.front() == '@';
        if (abstract) {
            address.sun_path[0] = '\0';
        }
        const std::size_t size = offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1);
        REQUIRE(bind(m_fd.get(), reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(size)) == 0);
    }

    /// The next message, "" when there is none in time.
    [[nodiscard]] std::string message() const {
        pollfd waiting{m_fd.get(), POLLIN, 0};
        const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(k_patience);
        if (poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) {
            return "";
        }
        std::array<char, 4096> bytes{};
        const ssize_t got = recv(m_fd.get(), bytes.data(), bytes.size(), 0);
        return got > 0 ? std::string(bytes.data(), static_cast<std::size_t>(got)) : "";
    }

    [[nodiscard]] bool silent() const {
        pollfd waiting{m_fd.get(), POLLIN, 0};
        return poll(&waiting, 1, 0) == 0;
    }

  private:
    http::UniqueFd m_fd;
};

// The value of a line NAME=VALUE, "" when there is none.
std::string value_of(const std::string& message, const std::string& name) {
    std::istringstream lines(message);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name + "=")) {
            return line.substr(name.size() + 1);
        }
    }
    return "";
}

std::int64_t monotonic_us() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

void check_messages(Site& site, const std::string& name) {
    CAPTURE(name);
    const Manager manager(name);
    site.launch().environment["NOTIFY_SOCKET"] = name;
    Server server = site.serve({"--drain-delay", "50ms"});
    const std::string ready = manager.message();
    CHECK(value_of(ready, "READY") == "1");
    CHECK(value_of(ready, "STATUS") == "listening on " + server.url());
    for (int i = 0; i < 2; ++i) {
        const std::int64_t before = monotonic_us();
        server.process().signal(SIGHUP);
        const std::string reloading = manager.message();
        CHECK(value_of(reloading, "RELOADING") == "1");
        const std::string at = value_of(reloading, "MONOTONIC_USEC");
        REQUIRE(at.find_first_not_of("0123456789") == std::string::npos);
        REQUIRE_FALSE(at.empty());
        CHECK(std::stoll(at) >= before);
        CHECK(std::stoll(at) <= monotonic_us());
        CHECK_FALSE(value_of(reloading, "STATUS").empty());
        const std::string again = manager.message();
        CHECK(value_of(again, "READY") == "1");
        CHECK(value_of(again, "STATUS") == "listening on " + server.url());
        CHECK(status_anew(server, "/readyz") == 200);
    }
    server.process().signal(SIGTERM);
    const std::string stopping = manager.message();
    CHECK(value_of(stopping, "STOPPING") == "1");
    CHECK(value_of(stopping, "STATUS").find("50ms") != std::string::npos);
    CHECK(value_of(manager.message(), "STATUS").find("in flight") != std::string::npos);
    CHECK(server.process().wait().exit == 0);
    CHECK(manager.silent());
}

TEST_CASE("a service manager is told when the server is ready, reloads and stops") {
    Site site;
    check_messages(site, site.path("manager").string());
    check_messages(site, "@mtagent-test-" + std::to_string(getpid()));
}

TEST_CASE("a service manager that cannot be told changes nothing, and is logged once, at debug") {
    Site site;
    const std::string k_line = "is not told";
    for (const std::string& name :
         {site.path("nobody").string(), std::string("no/path"), std::string("@"), "/" + std::string(200, 'x')}) {
        CAPTURE(name);
        site.launch().environment["NOTIFY_SOCKET"] = name;
        Server server = site.serve({"--log-level", "debug"});
        server.process().signal(SIGHUP);
        const auto reloaded = [&] { return server.process().err().find("read anew") != std::string::npos; };
        CHECK(time_until(reloaded, k_patience));
        CHECK(server.get("/tenant-enterprise?q=Hello").status == 200);
        const Outcome end = server.terminate();
        CHECK(end.exit == 0);
        const std::size_t at = end.err.find(k_line);
        REQUIRE(at != std::string::npos);
        CHECK(end.err.find(k_line, at + 1) == std::string::npos);
    }
    CHECK(site.serve().terminate().err.find(k_line) == std::string::npos);
}

TEST_CASE("a certificate without its key is refused, and the other way round, before anything is made") {
    const Site site;
    for (const auto& [given, missing] : {std::pair{"--tls-cert", "--tls-key"}, std::pair{"--tls-key", "--tls-cert"}}) {
        const Outcome done = site.run({"serve", "--listen", "127.0.0.1:0", given, "some.pem"});
        CHECK(done.exit == 64);
        CHECK_MESSAGE(done.err.find(std::string(given) + " needs " + missing) != std::string::npos, done.err);
    }
    site.write("tenants.toml", "[server]\ntls_cert = \"some.pem\"\n");
    const Outcome file = site.run({"serve", "--listen", "127.0.0.1:0"});
    CHECK(file.exit == 78);
    CHECK_MESSAGE(file.err.find("tenants.toml:2: tls_cert needs tls_key") != std::string::npos, file.err);
    CHECK_FALSE(std::filesystem::exists(site.path("data")));
}

// As mtagent(1) says it; false when there is no openssl.
bool make_certificate(const Site& site) {
    const std::string command = "cd '" + site.path().string() +
                                "' && openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout key.pem -out cert.pem"
                                " -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1'"
                                " >/dev/null 2>&1";
    return std::system(command.c_str()) == 0;
}

TEST_CASE("with TLS the log and the lock say https") {
    const Site site;
    if (!make_certificate(site)) {
        MESSAGE("SKIPPED: openssl makes no certificate here");
        return;
    }
    Server server = site.serve({"--tls-cert", "cert.pem", "--tls-key", "key.pem"});
    const std::string url = "https://127.0.0.1:" + std::to_string(server.port());
    CHECK(read_text(site.path("data/lock")).find(", " + url) != std::string::npos);
    const auto listening = [&] { return server.process().err().find("listening on " + url) != std::string::npos; };
    CHECK(time_until(listening, k_patience));
    server.process().signal(SIGHUP);
    const auto reloaded = [&] { return server.process().err().find("read anew") != std::string::npos; };
    CHECK(time_until(reloaded, k_patience));
    const Outcome end = server.terminate();
    CHECK(end.exit == 0);
    CHECK_MESSAGE(end.err.find("stay as they were") == std::string::npos, end.err);
}

}  // namespace
}  // namespace mt::test
