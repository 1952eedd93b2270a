#include "support/private_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "support/temp_folder.h"

namespace mt::test {
namespace {

struct User {
    uid_t uid = 0;
    gid_t gid = 0;
};

User find_user(const std::string& name) {
    const passwd* entry = getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe): tests start servers one by one
    if (entry == nullptr) {
        throw std::runtime_error("there is no user " + name);
    }
    return {entry->pw_uid, entry->pw_gid};
}

// Between fork and exec: system calls alone. Does not return.
[[noreturn]] void become(const char* path, char* const* words, const char* folder, int log, const User* user) {
    setpgid(0, 0);
    sigset_t none{};
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    std::signal(SIGPIPE, SIG_DFL);
    const int nothing = open("/dev/null", O_RDONLY);
    bool ready = chdir(folder) == 0 && dup2(nothing, 0) == 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2;
    if (user != nullptr) {
        ready = ready && setgroups(0, nullptr) == 0 && setgid(user->gid) == 0 && setuid(user->uid) == 0;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of user, which clears it
    if (ready) {
        execv(path, words);
    }
    _exit(127);
}

int status_of(int raw) {
    return WIFEXITED(raw) ? WEXITSTATUS(raw) : -WTERMSIG(raw);
}

}  // namespace

PrivateProcess::PrivateProcess(const PrivateLaunch& launch) {
    const std::filesystem::path path = find_program(launch.words.at(0));
    if (path.empty()) {
        throw std::runtime_error("there is no program " + launch.words[0]);
    }
    std::vector<std::string> words = launch.words;
    std::vector<char*> list;
    for (std::string& word : words) {
        list.push_back(word.data());
    }
    list.push_back(nullptr);
    const User user = launch.user.empty() ? User{} : find_user(launch.user);
    const char* log_path = launch.log.empty() ? "/dev/null" : launch.log.c_str();
    const int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) {
        throw std::runtime_error("cannot write " + launch.log.string());
    }
    m_pid = fork();
    if (m_pid == 0) {
        become(path.c_str(), list.data(), launch.folder.c_str(), log, launch.user.empty() ? nullptr : &user);
    }
    close(log);
    if (m_pid < 0) {
        throw std::runtime_error("there can be no process");
    }
    setpgid(m_pid, m_pid);  // here, too: whoever comes first
}

PrivateProcess::~PrivateProcess() {
    if (!m_reaped) {
        signal_group(SIGKILL);
        waitpid(m_pid, nullptr, 0);
    }
}

void PrivateProcess::signal(int number) const {
    if (!m_reaped) {
        ::kill(m_pid, number);
    }
}

void PrivateProcess::signal_group(int number) const {
    if (!m_reaped) {
        ::kill(-m_pid, number);
    }
}

bool PrivateProcess::ended() const {
    if (m_reaped) {
        return true;
    }
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(m_pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == m_pid;
}

int PrivateProcess::wait(std::chrono::milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!ended()) {
        if (std::chrono::steady_clock::now() > until) {
            throw std::runtime_error("a private process does not end");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{2});
    }
    int raw = 0;
    waitpid(m_pid, &raw, 0);
    m_reaped = true;
    return status_of(raw);
}

PrivateOutcome run_private(const PrivateLaunch& launch, std::chrono::milliseconds patience) {
    const TempFolder folder;
    PrivateLaunch logged = launch;
    logged.log = folder.path() / "out";
    PrivateProcess process(logged);
    PrivateOutcome outcome;
    outcome.exit = process.wait(patience);
    std::ifstream in(logged.log, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    outcome.out = text.str();
    return outcome;
}

int free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    // NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast): the interface of sockets
    const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                       getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
    // NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast)
    close(fd);
    if (!bound) {
        throw std::runtime_error("no port is free");
    }
    return ntohs(address.sin_port);
}

std::filesystem::path find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) {
        return access(name.c_str(), X_OK) == 0 ? std::filesystem::path(name) : std::filesystem::path();
    }
    const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody changes the environment
    std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        const std::filesystem::path candidate = std::filesystem::path(folder) / name;
        if (access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return {};
}

}  // namespace mt::test
