#pragma once

#include <cstddef>

#include "config/config.h"
#include "http/server.h"
#include "limit/fair_gate.h"

namespace mt::app {

/// How the descriptors of the process are shared out.
struct Descriptors {
    std::size_t tenant_files;  ///< open at the same time, three descriptors each
    std::size_t connections;
};

/// Takes as many descriptors as the system allows, and gives a quarter to the tenants' files at most.
Descriptors share_descriptors();

/// The bounds of the transport: those of [server], with no more connections than there are descriptors for.
http::ServerLimits server_limits(const ServerConfig& server, const Descriptors& descriptors);

/// The agent slots of [server]. Whoever runs and whoever waits may hold a thread, and both together have max_blocking.
GateSettings gate_settings(const ServerConfig& server);

/// Calls of one tenant that may wait for identical ones, each with a thread: few enough to leave others theirs.
int most_followers(const ServerConfig& server);

}  // namespace mt::app
