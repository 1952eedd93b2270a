#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <utility>

#include "http/fd.h"
#include "http/framing.h"

namespace mt::http {

/// How a connection goes on after a reply.
enum class Ending {
    keep,   ///< the next request may come
    close,  ///< reply complete; close so that the client can still read it
    cut,    ///< reply incomplete: the client must notice
};

/// What a client waits for or is waited for; decides which timeout holds.
enum class Phase { idle, head, body, lingering };

// Bits of Connection::flags.
constexpr unsigned k_busy = 1;      ///< a worker owns the connection
constexpr unsigned k_readable = 2;  ///< bytes came, or were left in the socket, while a worker owned it
constexpr unsigned k_gone = 4;      ///< the client closed its side meanwhile

/// One accepted connection. The reactor creates, owns and destroys it. While k_busy is set a worker owns everything but
/// `flags`, `deadline_ns` and `stop` (the reactor may request a stop); else the reactor does. Reactor to worker goes
/// through the worker pool's queue; back through an exchange of `flags` or the reactor's mailbox.
struct Connection {
    Connection(UniqueFd socket, std::string peer_name, bool over_loopback, const ServerLimits& limits)
        : fd(std::move(socket)), peer(std::move(peer_name)), loopback(over_loopback), framer(limits) {}

    UniqueFd fd;
    std::string peer;
    bool loopback;
    Framer framer;
    Phase phase = Phase::idle;
    bool half_closed = false;  ///< the client will send no more
    std::string pending{};     ///< bytes read beyond the message in work: pipelined requests
    Message message{};         ///< in work
    Ending ending = Ending::keep;
    std::stop_source stop{};  ///< of the message in work
    std::atomic<unsigned> flags{0};
    std::atomic<std::int64_t> deadline_ns{0};  ///< Clock::boot_ns at which the phase has lasted too long
};

}  // namespace mt::http
