#include "http/server.h"

#include <memory>
#include <utility>

#include "http/bridge.h"
#include "http/reactor.h"
#include "http/wire.h"
#include "http/worker_pool.h"

namespace mt::http {

struct Server::State {
    State(Hooks server_hooks, const ServerLimits& server_limits, Log& operator_log)
        : hooks(std::move(server_hooks)), limits(server_limits), log(operator_log) {}

    WorkerPool::Work make_work();

    Hooks hooks;
    ServerLimits limits;
    Log& log;
    std::unique_ptr<Reactor> reactor;  ///< outlives the workers, who give connections back to it
    std::unique_ptr<WorkerPool> pool;
};

WorkerPool::Work Server::State::make_work() {
    // std::function copies what it holds, a bridge stays where it is.
    const auto bridge = std::make_shared<Bridge>(hooks.handler, hooks.encode_fault, log);
    return [this, bridge](Connection& connection) {
        Wire wire(connection.fd.get(), limits.write_timeout, {connection.flags, reactor->abandon()});
        connection.ending = bridge->answer(
            {connection.message, wire, bridge->date(), connection.stop.get_token(), reactor->draining()});
        connection.message.request = {};
        reactor->give_back(connection);
    };
}

Server::Server(Hooks hooks, const ServerLimits& limits, Log& log)
    : m_state(std::make_unique<State>(std::move(hooks), limits, log)) {}

Server::~Server() {
    stop(std::chrono::milliseconds{0});
}

Result<void> check_available(const Address& address) {
    Result<Listener> listener = Listener::open(address);
    return listener ? Result<void>{} : Result<void>{std::move(listener).error()};
}

Result<Address> Server::start(const Address& address, const std::optional<TlsFiles>& /*tls*/) {
    Result<Listener> listener = Listener::open(address);
    if (!listener) {
        return std::move(listener.error());
    }
    auto reactor = Reactor::create(std::move(*listener), m_state->limits, m_state->hooks.encode_fault, m_state->log);
    if (!reactor) {
        return std::move(reactor.error());
    }
    m_state->reactor = std::move(*reactor);
    const int threads = m_state->limits.workers > 0 ? m_state->limits.workers : WorkerPool::default_threads();
    m_state->pool =
        std::make_unique<WorkerPool>(threads, m_state->limits.max_in_flight, [this] { return m_state->make_work(); });
    m_state->reactor->start(*m_state->pool);
    return m_state->reactor->address();
}

Result<void> Server::reload_tls() {
    return {};
}

void Server::stop(std::chrono::milliseconds drain) {
    if (!m_state->pool) {
        return;
    }
    m_state->reactor->drain(drain);
    m_state->pool.reset();
}

std::size_t Server::connections() const {
    return m_state->reactor ? m_state->reactor->connections() : 0;
}

}  // namespace mt::http
