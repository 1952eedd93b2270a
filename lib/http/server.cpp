#include "http/server.h"

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/cpus.h"
#include "base/networks.h"
#include "http/acceptor.h"
#include "http/crew.h"
#include "http/reactor.h"
#include "http/tls.h"
#include "http/worker.h"

namespace mt::http {

/// In the order of construction: each refers to those above it.
struct Server::State {
    State(Hooks server_hooks, const ServerLimits& server_limits, Log& operator_log)
        : hooks(std::move(server_hooks)), limits(server_limits), log(operator_log) {}

    Result<void> prepare(const std::optional<TlsFiles>& files);
    Result<void> make_reactors();
    [[nodiscard]] Reactor::Surroundings surroundings() { return {limits, hooks, trusted, load, pulse}; }

    Hooks hooks;
    ServerLimits limits;
    Log& log;
    Networks trusted{};
    Load load{};
    Pulse pulse{};
    std::optional<TlsFiles> tls_files{};
    std::shared_ptr<const TlsContext> tls{};
    std::vector<std::unique_ptr<Reactor>> reactors{};
    std::optional<Acceptor> acceptor{};
    std::optional<Crew> crew{};
};

Result<void> Server::State::prepare(const std::optional<TlsFiles>& files) {
    Result<Networks> networks = Networks::parse(limits.trusted_proxies);
    if (!networks) {
        return std::move(networks).error();
    }
    trusted = *std::move(networks);
    tls_files = files;
    if (files) {
        Result<std::shared_ptr<const TlsContext>> loaded = TlsContext::load(*files);
        if (!loaded) {
            return std::move(loaded).error();
        }
        tls = *std::move(loaded);
    }
    return make_reactors();
}

Result<void> Server::State::make_reactors() {
    const int count = limits.workers > 0 ? limits.workers : usable_cpus();
    for (int i = 0; i < count; ++i) {
        Result<std::unique_ptr<Reactor>> reactor = Reactor::create(surroundings());
        if (!reactor) {
            return std::move(reactor).error();
        }
        reactors.push_back(*std::move(reactor));
    }
    return {};
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

Result<Address> Server::start(const Address& address, const std::optional<TlsFiles>& tls) {
    State& state = *m_state;
    if (Result<void> prepared = state.prepare(tls); !prepared) {
        return std::move(prepared).error();
    }
    Result<Listener> listener = Listener::open(address);
    if (!listener) {
        return std::move(listener).error();
    }
    state.acceptor.emplace(*std::move(listener), state.surroundings(), state.reactors, state.tls, state.log);
    state.crew.emplace(
        state.reactors, [&state] { return std::make_unique<Worker>(state.hooks, state.limits, state.log); },
        state.limits.max_blocking, state.load, state.pulse, state.log);
    Result<void> started = state.crew->start();
    if (started) {
        started = state.acceptor->start();
    }
    if (!started) {
        stop(std::chrono::milliseconds{0});
        return std::move(started).error();
    }
    return state.acceptor->address();
}

Result<void> Server::reload_tls() {
    State& state = *m_state;
    if (!state.tls_files || !state.acceptor) {
        return {};
    }
    Result<std::shared_ptr<const TlsContext>> loaded = TlsContext::load(*state.tls_files);
    if (!loaded) {
        return std::move(loaded).error();
    }
    state.acceptor->use(*std::move(loaded));
    return {};
}

void Server::stop(std::chrono::milliseconds drain) {
    State& state = *m_state;
    if (!state.crew) {
        return;
    }
    state.acceptor->stop();
    for (const auto& reactor : state.reactors) {
        reactor->begin_drain(drain);
    }
    state.crew.reset();
}

std::size_t Server::connections() const {
    std::size_t open = 0;
    for (const auto& reactor : m_state->reactors) {
        open += reactor->connections();
    }
    return open;
}

}  // namespace mt::http
