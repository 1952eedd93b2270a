#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "postgres/faults.h"
#include "postgres/pool.h"
#include "postgres/rows_state.h"

struct pg_conn;

namespace mt::postgres {

/// What has been learnt about whatever stands between us and the server, shared by a pool's connections. Thread-safe.
struct Customs {
    std::atomic<bool> unnamed{false};           ///< a pooler mixes up prepared statements: use none
    std::atomic<bool> without_settings{false};  ///< a pooler takes no settings at the start
};

/// One connection to the server, over libpq's asynchronous interface: every wait ends at a deadline of real time, after
/// which the connection is over. Names of hosts are resolved by libpq, which waits for the resolver without our bound
/// (resolv.conf's timeout is the bound). Used by one thread at a time; enters no BlockingRegion itself.
class Connection {
  public:
    /// Why there is none.
    struct Refusal {
        Error error;
        std::string fault;     ///< for the operator
        std::string sqlstate;  ///< "" where no server answered
    };
    struct Opening {
        std::unique_ptr<Connection> connection;  ///< null: see refusal
        Refusal refusal;
    };
    /// Each host of the url gets connect_timeout. A server that takes no writes is a refusal. `wake_fd`: readable when
    /// the caller is not interested any more; -1: none.
    static Opening open(const PoolOptions& options, Customs& customs, int wake_fd = -1);

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    /// False when the other side has closed it, or said something unasked: then it is not used again. Does not wait.
    bool is_sound();

    /// As Session::query and Session::script.
    Result<Rows> query(std::string_view sql, const Parameters& parameters);
    Result<void> script(std::string_view sql);
    /// Ends a transaction. Errors: failed (a statement in it had failed, so nothing was changed), as script().
    Result<void> commit();

    [[nodiscard]] Verdict verdict() const { return m_verdict; }
    /// Why the verdict is as it is, for the operator.
    [[nodiscard]] const std::string& fault() const { return m_fault; }
    /// True when it can be lent again: no transaction is open, and the connection is well.
    [[nodiscard]] bool is_reusable() const;

    [[nodiscard]] int socket() const;
    /// Takes notifications that have come. Errors: unavailable (the connection is over).
    Result<int> take_notifications();
    /// False when something answers in the server's place: its process is not the one that was announced.
    Result<bool> is_direct();

  private:
    struct Deleter {
        void operator()(pg_conn* connection) const noexcept;
    };
    using Handle = std::unique_ptr<pg_conn, Deleter>;
    using Deadline = std::chrono::steady_clock::time_point;
    struct Known {
        int uses = 0;
        int turn = 0;        ///< grows when the prepared statement is of no use any more
        std::string name{};  ///< of the prepared statement; empty: none
    };

    Connection(Handle handle, const PoolOptions& options, Customs& customs);

    static Refusal connect(pg_conn& handle, Deadline deadline, int wake_fd);
    Result<std::string> prepared_name(const std::string& key, std::string_view sql, const Parameters& parameters);
    void forget_prepared(const std::string& key);
    Result<Rows> execute(const std::string& name, std::string_view sql, const Parameters& parameters);
    Result<Rows> finish(bool sent);
    Result<Rows> send_script(std::string_view sql);
    Result<ResultPtr> next_result(Deadline deadline);
    Result<void> flush(Deadline deadline);
    Error judge(const pg_result& result);
    Error lost(Verdict verdict, std::string_view fault);
    [[nodiscard]] bool in_transaction() const;

    Handle m_handle;
    const std::string m_backend;
    const std::chrono::milliseconds m_patience;
    Customs& m_customs;
    std::unordered_map<std::string, Known> m_known;
    int m_prepared = 0;
    Verdict m_verdict = Verdict::statement;
    std::string m_fault;
    std::string m_sqlstate;  // of the last statement's error
};

}  // namespace mt::postgres
