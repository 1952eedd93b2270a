#pragma once

#include "postgres/connection.h"
#include "postgres/pool.h"

namespace mt::postgres {

/// A connection as the borrower sees it.
class ConnectionSession final : public Session {
  public:
    /// `connection` must outlive it.
    explicit ConnectionSession(Connection& connection) : m_connection(connection) {}

    Result<Rows> query(std::string_view sql, const Parameters& parameters) override;
    Result<void> script(std::string_view sql) override;
    Result<void> transaction(const std::function<Result<void>()>& work) override;

  private:
    Connection& m_connection;
};

}  // namespace mt::postgres
