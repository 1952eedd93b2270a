#include "support/private_redis.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "support/private_process.h"
#include "support/temp_folder.h"

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{10};

// True when whoever listens there answers a PING, were it with a refusal, and has read its data.
bool answers(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{.tv_sec = 1, .tv_usec = 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    std::string answer(64, '\0');
    ssize_t got = -1;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the interface of sockets
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6) {
        got = recv(fd, answer.data(), answer.size(), 0);
    }
    close(fd);
    return got > 0 && !answer.starts_with("-LOADING");
}

std::string contents(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

}  // namespace

struct PrivateRedis::State {
    std::vector<std::string> settings{};
    TempFolder folder{};
    int port = 0;
    std::optional<PrivateProcess> process{};

    [[nodiscard]] std::filesystem::path log() const { return folder.path() / "redis.log"; }

    void write_settings() const {
        std::ofstream out(folder.path() / "redis.conf");
        out << "bind 127.0.0.1\nport " << port << "\nsave \"\"\nappendonly no\ndaemonize no\ndir "
            << folder.path().string() << '\n';
        for (const std::string& line : settings) {
            out << line << '\n';
        }
    }

    // False when it ends at once: the port may have been taken meanwhile.
    bool launch() {
        process.emplace(PrivateLaunch{
            .words = {"redis-server", folder.path() / "redis.conf"}, .folder = folder.path(), .log = log()});
        const auto until = std::chrono::steady_clock::now() + k_patience;
        while (!answers(port)) {
            if (process->ended()) {
                return false;
            }
            if (std::chrono::steady_clock::now() > until) {
                throw std::runtime_error("redis-server does not answer: " + contents(log()));
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{2});
        }
        return !process->ended();
    }
};

PrivateRedis::PrivateRedis(const std::vector<std::string>& settings) : m_state(std::make_unique<State>()) {
    m_state->settings = settings;
    for (int attempt = 0; attempt < 3; ++attempt) {
        m_state->port = free_port();
        m_state->write_settings();
        if (m_state->launch()) {
            return;
        }
    }
    throw std::runtime_error("redis-server does not start: " + contents(m_state->log()));
}

PrivateRedis::~PrivateRedis() = default;

int PrivateRedis::port() const {
    return m_state->port;
}

std::string PrivateRedis::url() const {
    return "redis://127.0.0.1:" + std::to_string(m_state->port);
}

std::string PrivateRedis::ask(const std::vector<std::string>& command) const {
    std::vector<std::string> words{"redis-cli", "-p", std::to_string(m_state->port)};
    words.insert(words.end(), command.begin(), command.end());
    std::string out = run_private({.words = words, .folder = m_state->folder.path(), .log = {}}).out;
    if (out.ends_with('\n')) {
        out.pop_back();
    }
    return out;
}

void PrivateRedis::kill() {
    m_state->process.reset();
}

void PrivateRedis::start() {
    if (!m_state->launch()) {
        throw std::runtime_error("redis-server does not start again: " + contents(m_state->log()));
    }
}

void PrivateRedis::freeze() {
    m_state->process->signal(SIGSTOP);
}

void PrivateRedis::thaw() {
    m_state->process->signal(SIGCONT);
}

bool PrivateRedis::is_installed() {
    return !find_program("redis-server").empty() && !find_program("redis-cli").empty();
}

}  // namespace mt::test
