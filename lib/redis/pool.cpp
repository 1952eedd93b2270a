#include "redis/pool.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/blocking.h"
#include "redis/connection.h"

namespace mt::redis {
namespace {

// What one caller asks: bytes to send and how many answers come back.
struct Request {
    std::string bytes{};
    std::size_t answers = 1;
    const Call* call = nullptr;  // a script that may have to be sent as text
};

// The error that decides: one that says the server cannot serve goes before one about a command.
const std::string* worst_error(const std::vector<Answer>& answers) {
    const std::string* worst = nullptr;
    for (const Answer& answer : answers) {
        if (answer.error && (worst == nullptr || meaning_of(*answer.error) > meaning_of(*worst))) {
            worst = &*answer.error;
        }
    }
    return worst;
}

// A connection in use; without one, leave to open it.
struct Lent {
    std::unique_ptr<Connection> connection{};
    std::int64_t generation = 0;
};

Result<bool> finish_send(Connection& connection, std::string_view bytes, const Deadline& deadline) {
    if (Result<void> sent = connection.send(bytes, deadline); !sent) {
        return std::move(sent).error();
    }
    return true;
}

}  // namespace

// The connections: idle ones in m_idle, the others lent. One mutex guards them; nobody waits for a server under it.
struct Pool::State {
    State(PoolOptions chosen, const Clock& time, Log& log)
        : options(std::move(chosen)), clock(time), backend(options.name, "redis", time, log) {}

    Result<std::vector<Answer>> ask(int database, const Request& request);

    const PoolOptions options;
    const Clock& clock;
    Backend backend;

  private:
    Result<Lent> take(int database, const Deadline& deadline, bool probe);
    void give_back(Lent lent);
    void drop_all(bool primary);
    Result<std::vector<Answer>> talk(Lent& lent, int database, const Request& request, const Deadline& deadline);
    Result<bool> begin(Lent& lent, int database, const Request& request, const Deadline& deadline);
    Result<std::unique_ptr<Connection>> open(const Deadline& deadline);
    Result<std::vector<Answer>> judge(const CircuitBreaker::Pass& pass, std::vector<Answer> answers);

    std::mutex m_mutex;
    std::condition_variable m_free;
    std::vector<Lent> m_idle;
    int m_open = 0;                 // idle and lent
    std::int64_t m_generation = 0;  // connections of an older one are closed when they come back
    bool m_primary = false;         // the last server refused writes: ask the next one for its role
};

Result<std::vector<Answer>> Pool::State::ask(int database, const Request& request) {
    const Result<CircuitBreaker::Pass> pass = backend.try_use();
    if (!pass) {
        return pass.error();
    }
    const Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region) {
        backend.unknown(*pass);
        return region.error();
    }
    const Deadline deadline = Deadline::in(options.command_timeout, clock);
    Result<Lent> lent = take(database, deadline, pass->probe);
    if (!lent) {
        backend.unknown(*pass);
        return std::move(lent).error();
    }
    Result<std::vector<Answer>> answers = talk(*lent, database, request, deadline);
    const bool lost = !answers && answers.error().code == Code::unavailable;
    if (lost) {
        lent->connection.reset();
    }
    give_back(std::move(*lent));
    if (lost) {
        drop_all(false);
        return backend.failed(*pass, answers.error().message);
    }
    if (!answers) {
        backend.succeeded(*pass);
        return answers;
    }
    return judge(*pass, std::move(*answers));
}

// An idle connection, best one of the same database; else leave to open another; else the next that comes back.
Result<Lent> Pool::State::take(int database, const Deadline& deadline, bool probe) {
    std::unique_lock lock(m_mutex);
    bool waited = false;
    while (m_idle.empty() && m_open >= options.connections) {
        const int left_ms = deadline.left_ms();
        if (left_ms == 0 || m_free.wait_for(lock, std::chrono::milliseconds{left_ms}) == std::cv_status::timeout) {
            return away(options.name, "all connections stay in use");
        }
        waited = true;
    }
    if (waited && !probe && !backend.is_up()) {
        m_free.notify_one();  // what this one leaves, another may use
        return away(options.name, "it went away meanwhile");
    }
    if (m_idle.empty()) {
        ++m_open;
        return Lent{nullptr, m_generation};
    }
    const auto same = std::find_if(m_idle.rbegin(), m_idle.rend(),
                                   [&](const Lent& each) { return each.connection->database() == database; });
    const auto chosen = same == m_idle.rend() ? std::prev(m_idle.end()) : std::prev(same.base());
    Lent lent = std::move(*chosen);
    m_idle.erase(chosen);
    return lent;
}

void Pool::State::give_back(Lent lent) {
    {
        const std::lock_guard lock(m_mutex);
        if (lent.connection != nullptr && lent.generation == m_generation) {
            m_idle.push_back(std::move(lent));
        } else {
            --m_open;
        }
    }
    m_free.notify_one();
}

void Pool::State::drop_all(bool primary) {
    std::vector<Lent> dropped;  // closed without the lock
    {
        const std::lock_guard lock(m_mutex);
        dropped.swap(m_idle);
        m_open -= static_cast<int>(dropped.size());
        ++m_generation;
        m_primary = primary || m_primary;
    }
    m_free.notify_all();
}

Result<std::unique_ptr<Connection>> Pool::State::open(const Deadline& deadline) {
    bool primary = false;
    {
        const std::lock_guard lock(m_mutex);
        primary = m_primary;
    }
    auto opened = Connection::open({options.address, primary}, deadline.at_most(options.connect_timeout));
    if (opened && primary) {
        const std::lock_guard lock(m_mutex);
        m_primary = false;
    }
    return opened;
}

// False: there is no such database. Sends on a new connection what a closed one did not take: nothing has run then.
Result<bool> Pool::State::begin(Lent& lent, int database, const Request& request, const Deadline& deadline) {
    if (lent.connection != nullptr && !lent.connection->is_closed()) {
        Result<bool> selected = lent.connection->select(database, deadline);
        if (selected && !*selected) {
            return selected;
        }
        const Result<std::size_t> taken =
            selected ? lent.connection->send_some(request.bytes) : Result<std::size_t>(selected.error());
        if (taken) {
            return finish_send(*lent.connection, std::string_view(request.bytes).substr(*taken), deadline);
        }
    }
    lent.connection.reset();
    Result<std::unique_ptr<Connection>> opened = open(deadline);
    if (!opened) {
        return std::move(opened).error();
    }
    lent.connection = std::move(*opened);
    Result<bool> selected = lent.connection->select(database, deadline);
    if (!selected || !*selected) {
        return selected;
    }
    return finish_send(*lent.connection, request.bytes, deadline);
}

Result<std::vector<Answer>> Pool::State::talk(Lent& lent, int database, const Request& request,
                                              const Deadline& deadline) {
    Result<bool> begun = begin(lent, database, request, deadline);
    if (!begun) {
        return std::move(begun).error();
    }
    if (!*begun) {
        return Error{Code::failed, fmt::format("this Redis has no database {}", database)};
    }
    Result<std::vector<Answer>> answers = lent.connection->receive(request.answers, deadline);
    const bool unknown = answers && request.call != nullptr && answers->front().error &&
                         meaning_of(*answers->front().error) == Meaning::unknown_sha;
    if (!unknown) {
        return answers;
    }
    std::string bytes;
    encode(bytes, *request.call, true);
    if (Result<void> sent = lent.connection->send(bytes, deadline); !sent) {
        return std::move(sent).error();
    }
    return lent.connection->receive(1, deadline);
}

Result<std::vector<Answer>> Pool::State::judge(const CircuitBreaker::Pass& pass, std::vector<Answer> answers) {
    const std::string* error = worst_error(answers);
    const Meaning meaning = error == nullptr ? Meaning::refused : meaning_of(*error);
    if (meaning == Meaning::elsewhere) {
        drop_all(word_of(*error) == "READONLY");
    }
    if (meaning == Meaning::elsewhere || meaning == Meaning::away) {
        return backend.failed(pass, fmt::format("the server answers {}", word_of(*error)));
    }
    backend.succeeded(pass);
    if (error == nullptr) {
        return answers;
    }
    return meaning == Meaning::full ? out_of_memory(options.name) : refused(*error);
}

Pool::Pool(PoolOptions options, const Clock& clock, Log& log)
    : m_state(std::make_unique<State>(std::move(options), clock, log)) {}

Pool::~Pool() = default;

Result<Reply> Pool::run(int database, const Command& command) {
    Request request;
    encode(request.bytes, command);
    Result<std::vector<Answer>> answers = m_state->ask(database, request);
    if (!answers) {
        return std::move(answers).error();
    }
    return std::move(answers->front().reply);
}

Result<Reply> Pool::run(int database, const Call& call) {
    Request request{.call = &call};
    encode(request.bytes, call, false);
    Result<std::vector<Answer>> answers = m_state->ask(database, request);
    if (!answers) {
        return std::move(answers).error();
    }
    return std::move(answers->front().reply);
}

Result<std::vector<Reply>> Pool::run_all(int database, const std::vector<Command>& commands) {
    if (commands.empty()) {
        return std::vector<Reply>{};
    }
    Request request{.answers = commands.size()};
    for (const Command& command : commands) {
        encode(request.bytes, command);
    }
    Result<std::vector<Answer>> answers = m_state->ask(database, request);
    if (!answers) {
        return std::move(answers).error();
    }
    std::vector<Reply> replies;
    replies.reserve(answers->size());
    for (Answer& answer : *answers) {
        replies.push_back(std::move(answer.reply));
    }
    return replies;
}

Result<void> Pool::ping() {
    if (Result<Reply> reply = run(default_database(), Command{"PING"}); !reply) {
        return std::move(reply).error();
    }
    return {};
}

int Pool::default_database() const {
    return m_state->options.address.database;
}

BackendStatus Pool::status() const {
    return m_state->backend.status();
}

}  // namespace mt::redis
