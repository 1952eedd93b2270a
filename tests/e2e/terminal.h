#pragma once

#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <vector>

#include "e2e/site.h"

namespace mt::test {

/// mtagent on a terminal of its own: 40 rows of 200 columns. It is killed and reaped, by its own id, at the latest when
/// this object ends. Not thread-safe.
class Terminal {
  public:
    Terminal(const Site& site, const Words& words, const Environment& environment = {}) {
        std::vector<std::string> texts{"mtagent"};
        texts.insert(texts.end(), words.begin(), words.end());
        std::vector<std::string> variables{"HOME=" + site.path().string(), "TZ=UTC", "TERM=xterm"};
        for (const auto& [name, value] : environment) {
            variables.push_back(name + "=" + value);
        }
        const std::vector<char*> arguments = pointers(texts);
        const std::vector<char*> settings = pointers(variables);
        const std::string folder = site.path().string();
        const winsize size{40, 200, 0, 0};
        int master = -1;
        m_pid = forkpty(&master, nullptr, nullptr, &size);
        if (m_pid == 0) {
            if (chdir(folder.c_str()) == 0) {
                execve(MT_PROGRAM, arguments.data(), settings.data());
            }
            _exit(127);
        }
        m_master = http::UniqueFd(master);
        REQUIRE(m_pid > 0);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal() {
        if (m_pid > 0) {
            kill(m_pid, SIGKILL);
            waitpid(m_pid, nullptr, 0);
        }
    }

    void signal(int number) const { kill(m_pid, number); }

    /// What it has written so far.
    const std::string& text() {
        pollfd ready{m_master.get(), POLLIN, 0};
        std::array<char, 4096> piece{};
        while (poll(&ready, 1, 0) > 0) {
            const ssize_t got = read(m_master.get(), piece.data(), piece.size());
            if (got <= 0) {
                m_over = true;
                break;
            }
            m_text.append(piece.data(), static_cast<std::size_t>(got));
        }
        return m_text;
    }

    /// All that it wrote, with the line ends of files; it has to end with `exit`.
    std::string wait(int exit = 0) {
        CHECK(time_until([&] { return over(); }, std::chrono::seconds{20}));
        int status = 0;
        waitpid(m_pid, &status, 0);
        m_pid = 0;
        CHECK_MESSAGE((WIFEXITED(status) && WEXITSTATUS(status) == exit), m_text);
        std::string all = m_text;
        std::erase(all, '\r');
        return all;
    }

  private:
    bool over() {
        text();
        return m_over;
    }

    static std::vector<char*> pointers(std::vector<std::string>& texts) {
        std::vector<char*> list;
        for (std::string& text : texts) {
            list.push_back(text.data());
        }
        list.push_back(nullptr);
        return list;
    }

    pid_t m_pid = -1;
    http::UniqueFd m_master;
    std::string m_text;
    bool m_over = false;
};

}  // namespace mt::test
