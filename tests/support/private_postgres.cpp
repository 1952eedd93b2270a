#include "support/private_postgres.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "support/private_process.h"

namespace mt::test {
namespace {

namespace fs = std::filesystem;

// Debian keeps PostgreSQL's own programs out of PATH, a folder for each version.
fs::path find_folder() {
    int newest = -1;
    fs::path folder;
    std::error_code missing;
    for (const fs::directory_entry& entry : fs::directory_iterator("/usr/lib/postgresql", missing)) {
        const int version = std::atoi(entry.path().filename().c_str());
        if (version > newest && fs::exists(entry.path() / "bin" / "initdb")) {
            newest = version;
            folder = entry.path() / "bin";
        }
    }
    return folder.empty() ? find_program("initdb").parent_path() : folder;
}

// The server refuses root.
const char* server_user() {
    return geteuid() == 0 ? "postgres" : "";
}

bool user_exists() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): tests start servers one by one
    return geteuid() != 0 || getpwnam("postgres") != nullptr;
}

std::string run_as_server(const std::vector<std::string>& words, const fs::path& folder) {
    const PrivateOutcome outcome = run_private({.words = words, .folder = folder, .log = {}, .user = server_user()});
    if (outcome.exit != 0) {
        throw std::runtime_error(words[0] + " failed: " + outcome.out);
    }
    return outcome.out;
}

// A folder that the server's user owns; TempFolder's belong to us alone.
class Home {
  public:
    Home() {
        std::string name = (fs::temp_directory_path() / "mtagent-postgres-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) {
            throw std::runtime_error("there can be no temporary folder");
        }
        m_path = name;
        if (geteuid() == 0) {
            const passwd* user = getpwnam("postgres");  // NOLINT(concurrency-mt-unsafe): as above
            if (user == nullptr || chown(name.c_str(), user->pw_uid, user->pw_gid) != 0) {
                throw std::runtime_error("there is no user that may run PostgreSQL");
            }
        }
    }
    Home(const Home&) = delete;
    Home& operator=(const Home&) = delete;
    ~Home() {
        std::error_code ignored;
        fs::remove_all(m_path, ignored);
    }
    [[nodiscard]] const fs::path& path() const { return m_path; }

  private:
    fs::path m_path;
};

// One server over a folder that is there.
class Instance {
  public:
    Instance(fs::path data, int port) : m_data(std::move(data)), m_port(port) {}

    void start() {
        std::error_code ignored;
        fs::remove(m_data / "postmaster.pid", ignored);
        PrivateLaunch launch{
            .words = {(find_folder() / "postgres").string(), "-D", m_data.string(), "-p", std::to_string(m_port)},
            .folder = m_data,
            .log = m_data.string() + ".log",
            .user = server_user()};
        m_process = std::make_unique<PrivateProcess>(launch);
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{30};
        while (!is_ready()) {
            if (m_process->ended() || std::chrono::steady_clock::now() > until) {
                std::ifstream in(launch.log);
                std::ostringstream text;
                text << in.rdbuf();
                throw std::runtime_error("PostgreSQL does not start: " + text.str());
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{5});
        }
    }

    void stop() {
        m_process->signal(SIGINT);  // a fast shutdown: the folder may be copied then
        m_process->wait(std::chrono::seconds{30});
        m_process.reset();
    }

    // Children lead process groups of their own, so each is told. Stopped first, the postmaster makes no more of them.
    void kill() {
        if (!m_process) {
            return;
        }
        m_process->signal(SIGSTOP);
        const std::vector<pid_t> pids = children();
        for (const pid_t pid : pids) {
            ::kill(pid, SIGKILL);
        }
        m_process->signal(SIGKILL);
        m_process->wait(std::chrono::seconds{10});
        m_process.reset();
        for (const pid_t pid : pids) {
            while (fs::exists("/proc/" + std::to_string(pid)) && state_of(pid).second != 'Z') {
                std::this_thread::sleep_for(std::chrono::milliseconds{1});
            }
        }
    }

    void signal_all(int number) const {
        m_process->signal(number);
        for (const pid_t pid : children()) {
            ::kill(pid, number);
        }
    }

    [[nodiscard]] int port() const { return m_port; }

  private:
    [[nodiscard]] bool is_ready() const {
        std::ifstream in(m_data / "postmaster.pid");
        std::string line;
        for (int i = 0; i < 8; ++i) {
            line.clear();
            std::getline(in, line);
        }
        return line.starts_with("ready");
    }

    // Parent and state of a process, from /proc/PID/stat: "pid (name) state parent ...".
    static std::pair<pid_t, char> state_of(pid_t pid) {
        std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
        std::string text;
        std::getline(in, text);
        std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
        std::pair<pid_t, char> found{0, 'Z'};
        rest >> found.second >> found.first;
        return found;
    }

    [[nodiscard]] std::vector<pid_t> children() const {
        std::vector<pid_t> found;
        for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
            const pid_t pid = std::atoi(entry.path().filename().c_str());
            if (pid > 0 && state_of(pid).first == m_process->pid()) {
                found.push_back(pid);
            }
        }
        return found;
    }

    fs::path m_data;
    int m_port;
    std::unique_ptr<PrivateProcess> m_process;
};

std::string psql(int port, const std::string& database, const std::string& sql) {
    std::vector<std::string> words{(find_folder() / "psql").string(), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d"};
    words.push_back("host=127.0.0.1 user=postgres port=" + std::to_string(port) + " dbname=" + database);
    words.emplace_back("-c");
    words.push_back(sql);
    PrivateOutcome outcome = run_private({.words = words, .folder = "/", .log = {}});
    while (outcome.out.ends_with('\n')) {
        outcome.out.pop_back();
    }
    return outcome.out;
}

// What all instances of this process are copies of: role and database are there, the server was stopped cleanly.
class Template {
  public:
    Template() {
        const fs::path data = m_home.path() / "template";
        run_as_server({(find_folder() / "initdb").string(), "-D", data.string(), "-U", "postgres", "-A", "trust", "-E",
                       "UTF8", "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=1"},
                      m_home.path());
        {
            std::ofstream conf(data / "postgresql.conf", std::ios::app);
            conf << "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"
                 << "full_page_writes = off\nshared_buffers = 16MB\nmax_connections = 50\n"
                 << "min_wal_size = 2MB\nmax_wal_size = 64MB\nlog_min_messages = fatal\n";
        }
        Instance first(data, free_port());
        first.start();
        psql(first.port(), "postgres", "CREATE ROLE mtagent LOGIN");
        psql(first.port(), "postgres", "CREATE DATABASE mtagent OWNER mtagent");
        first.stop();
    }

    fs::path copy() {
        const fs::path to = m_home.path() / std::to_string(++m_copies);
        run_as_server({"/bin/cp", "-a", (m_home.path() / "template").string(), to.string()}, m_home.path());
        return to;
    }

  private:
    Home m_home;
    int m_copies = 0;
};

fs::path fresh_folder() {
    static Template original;
    return original.copy();
}

}  // namespace

struct PrivatePostgres::State {
    explicit State(const std::vector<std::string>& settings) : data(fresh_folder()), instance(data, free_port()) {
        std::ofstream conf(data / "postgresql.conf", std::ios::app);
        for (const std::string& line : settings) {
            conf << line << '\n';
        }
    }

    fs::path data;
    Instance instance;
};

PrivatePostgres::PrivatePostgres(const std::vector<std::string>& settings)
    : m_state(std::make_unique<State>(settings)) {
    m_state->instance.start();
}

PrivatePostgres::~PrivatePostgres() {
    m_state->instance.kill();
    std::error_code ignored;
    fs::remove_all(m_state->data, ignored);
}

int PrivatePostgres::port() const {
    return m_state->instance.port();
}

std::string PrivatePostgres::url() const {
    return "postgres://mtagent@127.0.0.1:" + std::to_string(port()) + "/mtagent";
}

std::string PrivatePostgres::ask(const std::string& sql) const {
    return psql(port(), "mtagent", sql);
}

void PrivatePostgres::kill() {
    m_state->instance.kill();
}

void PrivatePostgres::start() {
    m_state->instance.start();
}

void PrivatePostgres::freeze() {
    m_state->instance.signal_all(SIGSTOP);
}

void PrivatePostgres::thaw() {
    m_state->instance.signal_all(SIGCONT);
}

bool PrivatePostgres::is_installed() {
    return !find_folder().empty() && user_exists();
}

}  // namespace mt::test
