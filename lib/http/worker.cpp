#include "http/worker.h"

#include "http/wire.h"

namespace mt::http {

void Worker::answer(Connection& connection, const Signals& signals) {
    Wire wire(connection, m_limits, signals.abandon);
    connection.ending =
        m_bridge.answer({connection.message, wire, m_bridge.date(), connection.stop.get_token(), signals.draining});
    connection.message.request = {};
}

}  // namespace mt::http
