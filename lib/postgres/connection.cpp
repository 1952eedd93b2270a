#include "postgres/connection.h"

#include <fmt/core.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "postgres/statement_name.h"
#include "postgres/target.h"

namespace mt::postgres {
namespace {

// What the server's own statement_timeout is given, so that it answers first.
constexpr std::chrono::milliseconds k_grace{500};
constexpr int k_most_prepared = 256;
constexpr std::size_t k_most_known = 1024;

// What becomes of prepared statements where a pooler lends another connection for each transaction; and, the last one,
// when the tables have changed since.
constexpr std::string_view k_not_prepared = "26000";
constexpr std::string_view k_prepared_twice = "42P05";
constexpr std::string_view k_not_supported = "0A000";

enum class Wait { ready, late, woken };

// Real sockets go by the machine's clock. `events` of poll(2).
Wait wait_for(int fd, int events, std::chrono::steady_clock::time_point deadline, int wake_fd = -1) {
    std::array<pollfd, 2> fds{{{fd, static_cast<short>(events), 0}, {wake_fd, POLLIN, 0}}};
    while (true) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            return Wait::late;
        }
        const int ready = poll(fds.data(), wake_fd >= 0 ? 2 : 1, static_cast<int>(left.count()));
        if (ready > 0) {
            return fds[0].revents != 0 ? Wait::ready : Wait::woken;
        }
    }
}

void ignore_notice(void* /*unused*/, const PGresult* /*result*/) {}

struct Values {
    explicit Values(const Parameters& parameters) {
        for (const Parameters::Value& value : parameters.values()) {
            types.push_back(value.type);
            texts.push_back(value.is_null ? nullptr : value.bytes.c_str());
            lengths.push_back(static_cast<int>(value.bytes.size()));
            formats.push_back(value.is_binary ? 1 : 0);
        }
    }
    [[nodiscard]] int count() const { return static_cast<int>(types.size()); }

    std::vector<Oid> types;
    std::vector<const char*> texts;
    std::vector<int> lengths;
    std::vector<int> formats;
};

// A text ends at its first NUL byte in libpq: it would be cut without a word.
bool has_nul(const Parameters& parameters) {
    const auto& values = parameters.values();
    return std::any_of(values.begin(), values.end(), [](const Parameters::Value& value) {
        return !value.is_binary && value.bytes.find('\0') != std::string::npos;
    });
}

// The server has given up the transaction in which that happened.
Error not_valid_any_more(std::string_view sqlstate) {
    return make_error(meaning_of("40001"), sqlstate, "a prepared statement is not valid any more");
}

bool says_on(const PGconn& handle, const char* parameter) {
    const char* value = PQparameterStatus(&handle, parameter);
    return value != nullptr && std::string_view(value) == "on";
}

}  // namespace

void Connection::Deleter::operator()(pg_conn* connection) const noexcept {
    PQfinish(connection);
}

Connection::Connection(Handle handle, const PoolOptions& options, Customs& customs)
    : m_handle(std::move(handle)),
      m_backend(options.name),
      m_patience(options.statement_timeout + k_grace),
      m_customs(customs) {}

Connection::~Connection() = default;

Connection::Opening Connection::open(const PoolOptions& options, Customs& customs, int wake_fd) {
    const bool settings = !customs.without_settings;
    Result<std::vector<Target>> targets = targets_of(options, settings);
    if (!targets) {
        return {nullptr, {targets.error(), targets.error().message, {}}};
    }
    Refusal refusal;
    for (const Target& target : *targets) {
        std::vector<const char*> names;
        std::vector<const char*> values;
        for (const auto& [name, value] : target) {
            names.push_back(name.c_str());
            values.push_back(value.c_str());
        }
        names.push_back(nullptr);
        values.push_back(nullptr);
        Handle handle(PQconnectStartParams(names.data(), values.data(), 0));
        if (!handle) {
            return {nullptr, {unavailable_error("no memory"), "no memory", {}}};
        }
        refusal = connect(*handle, std::chrono::steady_clock::now() + options.connect_timeout, wake_fd);
        if (refusal.fault.empty()) {
            return {std::unique_ptr<Connection>(new Connection(std::move(handle), options, customs)), {}};
        }
        if (settings && refusal.fault.find("unsupported startup parameter") != std::string::npos) {
            customs.without_settings = true;
            return open(options, customs, wake_fd);
        }
    }
    refusal.fault = fmt::format("{}: {}", options.name, refusal.fault);
    refusal.error = unavailable_error(refusal.fault);
    return {nullptr, std::move(refusal)};
}

Connection::Refusal Connection::connect(pg_conn& handle, Deadline deadline, int wake_fd) {
    PQsetErrorVerbosity(&handle, PQERRORS_VERBOSE);  // or there is no SQLSTATE in a refusal
    PQsetNoticeReceiver(&handle, ignore_notice, nullptr);
    PostgresPollingStatusType status =
        PQstatus(&handle) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
        const Wait wait =
            wait_for(PQsocket(&handle), status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, wake_fd);
        if (wait != Wait::ready) {
            return {{}, wait == Wait::late ? "it does not answer in time" : "connecting was given up", {}};
        }
        status = PQconnectPoll(&handle);
    }
    if (status != PGRES_POLLING_OK) {
        const std::string_view words = PQerrorMessage(&handle);
        return {{}, words.empty() ? "no connection" : first_line(words), sqlstate_in(words)};
    }
    if (says_on(handle, "in_hot_standby") || says_on(handle, "default_transaction_read_only")) {
        return {{}, "it is read-only", "25006"};
    }
    if (PQsetnonblocking(&handle, 1) != 0) {
        return {{}, "its socket cannot be used", {}};
    }
    return {};
}

bool Connection::is_sound() {
    pollfd waiting{PQsocket(m_handle.get()), POLLIN, 0};
    if (poll(&waiting, 1, 0) <= 0) {
        return PQstatus(m_handle.get()) == CONNECTION_OK;
    }
    // Changed parameters may come at any time; the end of the connection, too.
    return PQconsumeInput(m_handle.get()) == 1 && PQisBusy(m_handle.get()) == 0 &&
           PQstatus(m_handle.get()) == CONNECTION_OK && take_notifications() && poll(&waiting, 1, 0) == 0;
}

bool Connection::in_transaction() const {
    return PQtransactionStatus(m_handle.get()) != PQTRANS_IDLE;
}

bool Connection::is_reusable() const {
    return m_verdict == Verdict::statement && !in_transaction() && PQstatus(m_handle.get()) == CONNECTION_OK;
}

int Connection::socket() const {
    return PQsocket(m_handle.get());
}

Result<int> Connection::take_notifications() {
    if (PQconsumeInput(m_handle.get()) == 0) {
        return lost(Verdict::ended, first_line(PQerrorMessage(m_handle.get())));
    }
    int taken = 0;
    while (PGnotify* notification = PQnotifies(m_handle.get())) {
        PQfreemem(notification);
        ++taken;
    }
    return taken;
}

Result<bool> Connection::is_direct() {
    Result<Rows> rows = query("SELECT pg_backend_pid()", {});
    if (!rows) {
        return std::move(rows).error();
    }
    return rows->integer(0, 0) == PQbackendPID(m_handle.get());
}

// A statement is prepared when it comes a second time: many come once. The name tells the whole statement, so that
// behind a pooler, where another client's connection may be ours next, one of the same name is the same statement.
Result<std::string> Connection::prepared_name(const std::string& key, std::string_view sql,
                                              const Parameters& parameters) {
    if (m_customs.unnamed) {
        return std::string();
    }
    if (m_known.size() >= k_most_known) {
        std::erase_if(m_known, [](const auto& item) { return item.second.name.empty(); });
    }
    Known& known = m_known[key];
    if (!known.name.empty() || ++known.uses < 2 || m_prepared >= k_most_prepared) {
        return known.name;
    }
    const bool open = in_transaction();
    const std::string name = statement_name(fmt::format("{}{}", known.turn, key));
    const Values values(parameters);
    const std::string text(sql);
    Result<Rows> done =
        finish(PQsendPrepare(m_handle.get(), name.c_str(), text.c_str(), values.count(), values.types.data()) == 1);
    if (done) {
        ++m_prepared;
        known.name = name;
        return name;
    }
    if (m_sqlstate != k_prepared_twice) {
        return std::move(done).error();
    }
    forget_prepared(key);
    return open ? Result<std::string>(not_valid_any_more(m_sqlstate)) : std::string();
}

void Connection::forget_prepared(const std::string& key) {
    Known& known = m_known[key];
    known = {.turn = known.turn + 1};
    if (m_sqlstate != k_not_supported) {
        m_customs.unnamed = true;
    }
}

Result<Rows> Connection::query(std::string_view sql, const Parameters& parameters) {
    if (has_nul(parameters)) {
        return Error{Code::invalid, "a text with a NUL byte cannot be stored"};
    }
    if (m_verdict != Verdict::statement) {
        return unavailable_error(m_fault);
    }
    const std::string key = statement_key(sql, parameters);
    const bool open = in_transaction();
    const Result<std::string> name = prepared_name(key, sql, parameters);
    if (!name) {
        return name.error();
    }
    Result<Rows> rows = execute(*name, sql, parameters);
    const bool prepared_in_vain = m_sqlstate == k_not_prepared || m_sqlstate == k_not_supported;
    if (rows || name->empty() || !prepared_in_vain) {
        return rows;
    }
    forget_prepared(key);
    return open ? Result<Rows>(not_valid_any_more(m_sqlstate)) : execute({}, sql, parameters);
}

Result<Rows> Connection::execute(const std::string& name, std::string_view sql, const Parameters& parameters) {
    const Values values(parameters);
    const int text_rows = 0;
    if (!name.empty()) {
        return finish(PQsendQueryPrepared(m_handle.get(), name.c_str(), values.count(), values.texts.data(),
                                          values.lengths.data(), values.formats.data(), text_rows) == 1);
    }
    const std::string text(sql);
    return finish(PQsendQueryParams(m_handle.get(), text.c_str(), values.count(), values.types.data(),
                                    values.texts.data(), values.lengths.data(), values.formats.data(), text_rows) == 1);
}

Result<Rows> Connection::send_script(std::string_view sql) {
    if (m_verdict != Verdict::statement) {
        return unavailable_error(m_fault);
    }
    const std::string text(sql);
    return finish(PQsendQuery(m_handle.get(), text.c_str()) == 1);
}

Result<void> Connection::script(std::string_view sql) {
    Result<Rows> done = send_script(sql);
    return done ? Result<void>() : Result<void>(std::move(done).error());
}

Result<void> Connection::commit() {
    const bool failed = PQtransactionStatus(m_handle.get()) == PQTRANS_INERROR;
    if (Result<void> done = script(failed ? "ROLLBACK" : "COMMIT"); !done) {
        return done;
    }
    return failed ? Result<void>(Error{Code::failed, "a statement of a transaction failed: nothing was changed"})
                  : Result<void>();
}

// Reads every result of what was sent: the last one, or the first error.
Result<Rows> Connection::finish(bool sent) {
    m_sqlstate.clear();
    if (!sent) {
        return lost(Verdict::ended, first_line(PQerrorMessage(m_handle.get())));
    }
    const Deadline deadline = std::chrono::steady_clock::now() + m_patience;
    if (Result<void> flushed = flush(deadline); !flushed) {
        return std::move(flushed).error();
    }
    auto state = std::make_unique<Rows::State>();
    std::optional<Error> error;
    while (true) {
        Result<ResultPtr> result = next_result(deadline);
        if (!result) {
            return error ? *std::move(error) : std::move(result).error();
        }
        if (!*result) {
            break;
        }
        const ExecStatusType status = PQresultStatus(result->get());
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            return lost(Verdict::ended, "a statement wants to copy");
        }
        const bool fine = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
        if (!fine && !error) {
            error = judge(**result);
        }
        state->result = *std::move(result);
    }
    if (error) {
        return *std::move(error);
    }
    return Rows(std::move(state));
}

Result<void> Connection::flush(Deadline deadline) {
    int left = PQflush(m_handle.get());
    while (left == 1) {
        if (wait_for(PQsocket(m_handle.get()), POLLIN | POLLOUT, deadline) != Wait::ready) {
            return lost(Verdict::unable, "it takes nothing in time");
        }
        // The server may not read before it has written.
        left = PQconsumeInput(m_handle.get()) == 1 ? PQflush(m_handle.get()) : -1;
    }
    return {};  // what a lost connection has said before is read yet
}

Result<ResultPtr> Connection::next_result(Deadline deadline) {
    while (PQisBusy(m_handle.get()) == 1) {
        if (wait_for(PQsocket(m_handle.get()), POLLIN, deadline) != Wait::ready) {
            return lost(Verdict::unable, "it does not answer in time");
        }
        if (PQconsumeInput(m_handle.get()) == 0) {
            return lost(Verdict::ended, first_line(PQerrorMessage(m_handle.get())));
        }
    }
    return ResultPtr(PQgetResult(m_handle.get()));
}

Error Connection::judge(const pg_result& result) {
    const char* state = PQresultErrorField(&result, PG_DIAG_SQLSTATE);
    const char* words = PQresultErrorField(&result, PG_DIAG_MESSAGE_PRIMARY);
    const char* severity = PQresultErrorField(&result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (state == nullptr) {  // libpq's own: the connection broke
        return lost(Verdict::ended, first_line(PQresultErrorMessage(&result)));
    }
    m_sqlstate = state;
    const Meaning meaning = meaning_of(m_sqlstate);
    const bool fatal = severity != nullptr && std::string_view(severity) != "ERROR";
    if (meaning.verdict != Verdict::statement || fatal) {
        lost(meaning.verdict == Verdict::statement ? Verdict::ended : meaning.verdict,
             fmt::format("SQLSTATE {}: {}", m_sqlstate, words != nullptr ? words : ""));
    }
    return make_error(meaning, m_sqlstate, words != nullptr ? words : "");
}

Error Connection::lost(Verdict verdict, std::string_view fault) {
    if (m_verdict == Verdict::statement) {
        m_verdict = verdict;
        m_fault = fmt::format("{}: {}", m_backend, fault.empty() ? "the connection broke" : fault);
    }
    return unavailable_error(m_fault);
}

}  // namespace mt::postgres
