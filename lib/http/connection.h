#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <utility>

#include "base/parking.h"
#include "http/channel.h"
#include "http/framing.h"
#include "http/load.h"
#include "http/net.h"
#include "http/peers.h"

namespace mt::http {

/// How a connection goes on after a reply.
enum class Ending {
    keep,   ///< the next request may come
    close,  ///< reply complete; close so that the client can still read it
    cut,    ///< reply incomplete: the client must notice
};

/// What a client waits for or is waited for; decides which timeout holds.
enum class Phase { handshake, idle, head, body, writing, lingering };

// Bits of Connection::flags.
constexpr unsigned k_busy = 1;      ///< a handler owns the connection
constexpr unsigned k_readable = 2;  ///< bytes came, or were left in the socket, while a handler owned it
constexpr unsigned k_gone = 4;      ///< the client closed its side meanwhile

/// One accepted connection. Its reactor owns and destroys it. While k_busy is set the thread of the handler owns
/// everything but `flags` and `stop` (the reactor's runner may request a stop); else the runner does. The way back goes
/// through the seat or the reactor's mailbox.
struct Connection {
    Connection(Channel the_channel, const Peer& the_peer, PeerTicket the_ticket, const ServerLimits& limits, Load& load)
        : channel(std::move(the_channel)),
          peer(the_peer),
          ticket(std::move(the_ticket)),
          framer(limits),
          held(load.buffered),
          in_flight(load.in_flight) {}

    Channel channel;
    Peer peer;
    PeerTicket ticket;
    Framer framer;
    Phase phase = Phase::idle;
    bool half_closed = false;  ///< the client will send no more
    bool fresh = true;         ///< has not had a request yet
    std::string pending{};     ///< bytes read beyond the message in work: pipelined requests
    Message message{};         ///< in work
    Ending ending = Ending::keep;
    std::string outgoing{};   ///< what the socket did not take of a complete reply
    std::size_t sent = 0;     ///< bytes of `outgoing` that are out
    Share held;               ///< bytes of its request
    Share in_flight;          ///< 1 while its request has no complete reply
    std::stop_source stop{};  ///< of the message in work
    Parking parking{};        ///< of the message in work; while it waits nobody but its resumer owns the connection
    std::atomic<unsigned> flags{0};
    std::int64_t deadline_ns = 0;  ///< Clock::boot_ns at which the phase has lasted too long
    std::int64_t ready_ns = 0;     ///< when its request was complete
    std::size_t progress_at = 0;   ///< value of `sent` that gives a slow reader more time
};

}  // namespace mt::http
