#include "support/program.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{30};

http::UniqueFd memory_file(const char* name) {
    http::UniqueFd file(memfd_create(name, MFD_CLOEXEC));
    if (!file) {
        throw std::runtime_error("no memory for the output of a process");
    }
    return file;
}

// pread leaves the offset alone, which the child shares.
std::string content(int fd) {
    std::string text;
    std::array<char, 65536> piece{};
    for (;;) {
        const ssize_t got = pread(fd, piece.data(), piece.size(), static_cast<off_t>(text.size()));
        if (got <= 0) {
            return text;
        }
        text.append(piece.data(), static_cast<std::size_t>(got));
    }
}

// The variables of the test's own process that a child needs; all others could change what it does.
std::vector<std::string> environment_of(const Launch& launch) {
    Environment all{{"HOME", launch.folder.string()}, {"TZ", "UTC"}};
    for (const char* name : {"PATH", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
        // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment
        if (const char* value = std::getenv(name)) {
            all.emplace(name, value);
        }
    }
    for (const auto& [name, value] : launch.environment) {
        all[name] = value;
    }
    std::vector<std::string> lines;
    lines.reserve(all.size());
    for (const auto& [name, value] : all) {
        lines.push_back(name);
        lines.back().append("=").append(value);
    }
    return lines;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> list;
    list.reserve(texts.size() + 1);
    for (std::string& text : texts) {
        list.push_back(text.data());
    }
    list.push_back(nullptr);
    return list;
}

// Between fork and exec: system calls alone. Does not return.
[[noreturn]] void become_program(const Launch& launch, char* const* words, char* const* environment,
                                 std::array<int, 3> streams) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (launch.obeys_permissions) {
        prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);  // fails for those who have no such right anyway
        prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
    }
    if (launch.descriptors > 0) {
        const rlimit most{launch.descriptors, launch.descriptors};
        setrlimit(RLIMIT_NOFILE, &most);
    }
    sigset_t none{};
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    const bool ready = chdir(launch.folder.c_str()) == 0 && dup2(streams[0], 0) == 0 && dup2(streams[1], 1) == 1 &&
                       dup2(streams[2], 2) == 2;
    if (ready) {
        execve(MT_PROGRAM, words, environment);
    }
    _exit(127);
}

}  // namespace

Process::Process(const Launch& launch, const Words& words)
    : m_out(memory_file("stdout")), m_err(memory_file("stderr")) {
    std::vector<std::string> arguments{"mtagent"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    std::vector<std::string> environment = environment_of(launch);
    const std::vector<char*> argument_list = pointers(arguments);
    const std::vector<char*> environment_list = pointers(environment);
    const http::UniqueFd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
    m_pid = fork();
    if (m_pid == 0) {
        become_program(launch, argument_list.data(), environment_list.data(),
                       {nothing.get(), m_out.get(), m_err.get()});
    }
    m_handle = http::UniqueFd(m_pid > 0 ? static_cast<int>(syscall(SYS_pidfd_open, m_pid, 0)) : -1);
    if (!m_handle) {
        throw std::runtime_error("no process");
    }
}

Process::~Process() {
    if (m_pid > 0 && m_handle) {
        signal(SIGKILL);
        waitpid(m_pid, nullptr, 0);
    }
}

void Process::signal(int number) const {
    if (m_pid > 0) {
        ::kill(m_pid, number);
    }
}

bool Process::ended(std::chrono::milliseconds patience) const {
    pollfd end{m_handle.get(), POLLIN, 0};
    return m_pid == 0 || poll(&end, 1, static_cast<int>(patience.count())) > 0;
}

Outcome Process::wait(std::chrono::milliseconds patience) {
    if (!ended(patience)) {
        throw std::runtime_error("mtagent did not end in time; it said: " + out() + err());
    }
    int status = 0;
    waitpid(m_pid, &status, 0);
    m_pid = 0;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), out(), err()};
}

std::string Process::out() const {
    return content(m_out.get());
}

std::string Process::err() const {
    return content(m_err.get());
}

namespace {

Words serve_words(const std::filesystem::path& port_file, const Words& more) {
    std::filesystem::remove(port_file);
    Words words{"serve", "--port-file", port_file.string()};
    if (std::find(more.begin(), more.end(), "--listen") == more.end()) {
        words.insert(words.end(), {"--listen", "127.0.0.1:0"});
    }
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

http::Url loopback(int port) {
    http::Url url;
    url.host = "127.0.0.1";
    url.port = port;
    return url;
}

}  // namespace

Server::Server(const Launch& launch, const Words& more)
    : m_process(launch, serve_words(launch.folder / "port", more)),
      m_port(wait_for_port(launch.folder / "port")),
      m_client(loopback(m_port), k_patience) {}

int Server::wait_for_port(const std::filesystem::path& file) {
    const auto there = [&] { return std::filesystem::exists(file) || m_process.ended(); };
    int port = 0;
    if (time_until(there, k_patience) && std::ifstream(file) >> port) {
        return port;
    }
    throw std::runtime_error("mtagent serve does not listen; it said: " + m_process.err());
}

std::string Server::url(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(m_port) + std::string(path);
}

http::Response Server::send(std::string_view method, std::string_view target, const http::Fields& fields,
                            std::string_view body) {
    Result<http::Response> reply = m_client.send(method, target, fields, body);
    if (!reply) {
        throw std::runtime_error(std::string(method) + " " + std::string(target.substr(0, 100)) + ": " +
                                 reply.error().message + "; the server said: " + m_process.err());
    }
    return *std::move(reply);
}

Outcome Server::terminate() {
    m_process.signal(SIGTERM);
    return m_process.wait();
}

Outcome Server::kill() {
    m_process.signal(SIGKILL);
    return m_process.wait();
}

void pause_between_polls() {
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
}

}  // namespace mt::test
