#pragma once

#include <cstdint>

#include "redis/reply.h"

namespace mt::limit_scripts {

// What runs inside Redis for the limits. Redis TIME is the only clock; times are whole microseconds since 2025-01-01
// (k_epoch_us after 1970), exact in Lua's doubles. Costs and capacities come computed.
//
// Keys of a tenant: 1 its bucket of requests, 2 its bucket of tokens, 3 the leases of its calls, 4 its budget.
//
// A bucket is one string: 16 digits of TAT, 16 of the microseconds ever refunded, 16 of those reserved by calls that
// have not ended (of tokens alone), 16 of its epoch, and its scale (microseconds for each unit). A reservation keeps
// its mark, the TAT after it, and its stamp: refunds, open ones and epoch before it. Refunds made since make the mark
// earlier, but by no more than was reserved before it: what came later stood behind it. In another epoch, after the
// bucket ran full or was measured anew, nothing of the reservation is left to give back.
//
// Leases are a sorted set: "replica:ticket:tokens" by the time of expiry, and "reserved", whose score is minus the sum
// of their tokens. The budget is a hash: writer -> 8 digits of the day on which its period starts, and the tokens that
// this writer has used in it, absolutely: its "own use".

constexpr std::int64_t k_epoch_us = 1'735'689'600'000'000;

/// Admits by the limit of requests alone. Arguments: cost, capacity, scale. Answers {now, TAT, stamp and scale} when
/// admitted and {now, TAT} when refused.
const redis::Script& admit_requests();

/// Admits by all limits. Arguments: 1-3 cost, capacity, scale of requests; 4-5 tokens wanted and the least of them, 6-7
/// their costs; 8-9 tokens per minute (0: no limit), scale; 10 calls at the same time (0: no limit); 11 microseconds of
/// a lease; 12 "replica:ticket"; 13 budget (0: none); 14 its period, "d" or "m"; 15-16 writer, own use ("": none).
/// Answers {verdict, now, TAT and stamp of requests, TAT and stamp of tokens, granted, charged, used, reserved}, where
/// verdict is 0: admitted, 1: refused, 2: too many calls at the same time.
const redis::Script& admit_all();

/// The end of a reservation. Arguments: 1-4 mark, stamp, refund of requests, and what stood before it in the line; 5-8
/// the same of tokens, 9 what was charged for them; 10-11 debt, scale of tokens; 12-14 lease that ends, lease that
/// begins, microseconds of a lease; 15-16 writer, own use. "" or 0: nothing.
const redis::Script& settle();

/// What Redis may have lost or missed. Arguments: 1-4 last known TAT, charge, capacity, scale of requests; 5-7 last
/// known TAT, charge, scale of tokens; 8 microseconds of a lease; 9-10 writer, own use; from 11 on leases that live.
const redis::Script& upkeep();

/// Key 1: the replicas. Arguments: own name, microseconds of silence after which a replica is gone, "stay" or "leave".
/// Answers {now, living replicas, 1 if the own one was known}.
const redis::Script& heartbeat();

}  // namespace mt::limit_scripts
