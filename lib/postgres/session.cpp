#include "postgres/session.h"

#include <utility>

namespace mt::postgres {

Result<Rows> ConnectionSession::query(std::string_view sql, const Parameters& parameters) {
    return m_connection.query(sql, parameters);
}

Result<void> ConnectionSession::script(std::string_view sql) {
    return m_connection.script(sql);
}

Result<void> ConnectionSession::transaction(const std::function<Result<void>()>& work) {
    if (Result<void> begun = m_connection.script("BEGIN ISOLATION LEVEL READ COMMITTED"); !begun) {
        return begun;
    }
    if (Result<void> done = work(); !done) {
        // A connection that cannot even do this is not lent again, and the server rolls back by itself.
        static_cast<void>(m_connection.script("ROLLBACK").has_value());
        return done;
    }
    return m_connection.commit();
}

}  // namespace mt::postgres
