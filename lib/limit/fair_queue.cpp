#include "limit/fair_queue.h"

#include <algorithm>

namespace mt {
namespace {

GateShare sane(GateShare share) {
    share.weight = std::max<std::int64_t>(share.weight, 1);
    share.reserved = std::max<std::int64_t>(share.reserved, 0);
    share.queue_limit = std::max<std::int64_t>(share.queue_limit, 0);
    return share;
}

// How long a queue is for the slots that its tenant gets.
double length_by_weight(std::int64_t waiting, std::int64_t weight) {
    return static_cast<double>(waiting) / static_cast<double>(weight);
}

}  // namespace

void LaneRing::seat(FairLane& lane, Seat& seat, bool taken) {
    if (taken && !seat.taken) {
        seat.place = m_lanes.insert(m_lanes.end(), &lane);
    } else if (!taken && seat.taken) {
        m_lanes.erase(seat.place);
    }
    seat.taken = taken;
}

FairQueue::FairQueue(const GateSettings& settings) {
    reconfigure(settings);
}

FairLane& FairQueue::join(const GateShare& share) {
    FairLane& lane = m_lanes.emplace_back();
    lane.m_self = std::prev(m_lanes.end());
    lane.m_share = sane(share);
    change(lane, [&] { lane.m_reserved = std::min(lane.m_share.reserved, m_slots - 1 - m_reserved); });
    return lane;
}

void FairQueue::part(FairLane& lane) {
    const bool others_gain = lane.m_reserved > 0;
    change(lane, [&] { lane.m_reserved = 0; });
    m_lanes.erase(lane.m_self);
    if (others_gain) {
        assign_reservations();
        grant_what_fits();
    }
}

void FairQueue::reconfigure(const GateSettings& settings) {
    m_slots = std::max<std::int64_t>(settings.slots, 1);
    m_max_waiting = std::max<std::int64_t>(settings.max_waiting, 0);
    assign_reservations();
    grant_what_fits();
}

void FairQueue::reconfigure(FairLane& lane, const GateShare& share) {
    const bool moves_reservations = lane.m_share.reserved != sane(share).reserved;
    lane.m_share = sane(share);
    lane.m_deficit = std::min(lane.m_deficit, lane.m_share.weight);
    if (moves_reservations) {
        assign_reservations();
        grant_what_fits();
    }
}

bool FairQueue::take(FairLane& lane) {
    if (m_running >= m_slots || !(lane.below_reservation() || shared_slot_free())) {
        return false;
    }
    change(lane, [&] { ++lane.m_running; });
    return true;
}

FairQueue::Entry FairQueue::wait(FairLane& lane, FairTicket& ticket) {
    if (lane.waiting() >= lane.m_share.queue_limit) {
        ++m_refused;
        return Entry::lane_full;
    }
    if (m_waiting >= m_max_waiting) {
        ++m_refused;
        if (!push_out_for(lane)) {
            return Entry::all_full;
        }
    }
    ticket.m_lane = &lane;
    ticket.m_state = FairTicket::State::waiting;
    change(lane, [&] { ticket.m_place = lane.m_tickets.insert(lane.m_tickets.end(), &ticket); });
    return Entry::waits;
}

void FairQueue::withdraw(FairTicket& ticket) {
    remove(ticket, FairTicket::State::idle);
}

void FairQueue::give_back(FairLane& lane) {
    change(lane, [&] { --lane.m_running; });
    grant_what_fits();
}

GateStatus FairQueue::status() const {
    GateStatus status;
    status.slots = m_slots;
    status.running = m_running;
    status.waiting = m_waiting;
    status.reserved = m_reserved;
    status.refused_full = m_refused;
    return status;
}

// Whatever changes a lane's numbers goes through here, so that the sums and the rings follow.
template <class Change>
void FairQueue::change(FairLane& lane, const Change& change) {
    const std::int64_t running = lane.m_running;
    const std::int64_t running_shared = lane.running_shared();
    const std::int64_t waiting = lane.waiting();
    const std::int64_t reserved = lane.m_reserved;
    change();
    m_running += lane.m_running - running;
    m_running_shared += lane.running_shared() - running_shared;
    m_waiting += lane.waiting() - waiting;
    m_reserved += lane.m_reserved - reserved;
    const bool waits = lane.waiting() > 0;
    m_turns.seat(lane, lane.m_turn_seat, waits);
    m_owed.seat(lane, lane.m_owed_seat, waits && lane.below_reservation());
    if (!waits) {
        lane.m_deficit = 0;
    }
}

// At least one slot stays for everybody, or who has reserved nothing could wait forever.
void FairQueue::assign_reservations() {
    std::int64_t left = m_slots - 1;
    for (FairLane& lane : m_lanes) {
        const std::int64_t given = std::min(lane.m_share.reserved, left);
        left -= given;
        change(lane, [&] { lane.m_reserved = given; });
    }
}

bool FairQueue::shared_slot_free() const {
    return m_running_shared < m_slots - m_reserved;
}

void FairQueue::remove(FairTicket& ticket, FairTicket::State state) {
    FairLane& lane = *ticket.m_lane;
    ticket.m_state = state;
    change(lane, [&] { lane.m_tickets.erase(ticket.m_place); });
}

// Makes room for one more by refusing the youngest caller of the longest queue, if that is longer than the lane's own
// would become.
bool FairQueue::push_out_for(const FairLane& lane) {
    FairLane* longest = nullptr;
    double most = length_by_weight(lane.waiting() + 1, lane.m_share.weight);
    for (FairLane* other : m_turns.lanes()) {
        const double length = length_by_weight(other->waiting(), other->m_share.weight);
        if (length > most) {
            most = length;
            longest = other;
        }
    }
    if (longest == nullptr) {
        return false;
    }
    FairTicket& youngest = *longest->m_tickets.back();
    remove(youngest, FairTicket::State::refused);
    youngest.on_end();
    return true;
}

void FairQueue::grant_first(FairLane& lane) {
    FairTicket& ticket = *lane.m_tickets.front();
    ticket.m_state = FairTicket::State::granted;
    change(lane, [&] {
        lane.m_tickets.pop_front();
        ++lane.m_running;
    });
    ticket.on_end();
}

void FairQueue::grant_what_fits() {
    while (m_running < m_slots && !m_owed.empty()) {
        FairLane& lane = m_owed.front();
        m_owed.front_to_end();
        grant_first(lane);
    }
    while (m_running < m_slots && !m_turns.empty() && shared_slot_free()) {
        FairLane& lane = m_turns.front();
        if (lane.m_deficit == 0) {
            lane.m_deficit = lane.m_share.weight;
        }
        --lane.m_deficit;
        if (lane.m_deficit == 0) {
            m_turns.front_to_end();
        }
        grant_first(lane);
    }
}

}  // namespace mt
