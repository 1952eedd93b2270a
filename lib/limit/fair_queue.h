#pragma once

#include <cstdint>
#include <list>

#include "limit/fair_gate.h"

namespace mt {

class FairLane;

/// One caller that waits in a FairQueue. Owned by the caller, stays where it is and alive as long as it waits. As
/// thread-safe as its queue: not at all.
class FairTicket {
  public:
    FairTicket() = default;
    FairTicket(const FairTicket&) = delete;
    FairTicket& operator=(const FairTicket&) = delete;
    virtual ~FairTicket() = default;

    [[nodiscard]] bool waiting() const { return m_state == State::waiting; }
    [[nodiscard]] bool granted() const { return m_state == State::granted; }
    /// Gave up its place for a caller of a tenant with a shorter queue.
    [[nodiscard]] bool refused() const { return m_state == State::refused; }

  private:
    friend class FairQueue;
    enum class State { idle, waiting, granted, refused };

    /// The wait has ended, with a slot or a refusal. Called from inside of the queue: must not call it.
    virtual void on_end() {}

    State m_state = State::idle;
    FairLane* m_lane = nullptr;
    std::list<FairTicket*>::iterator m_place{};
};

/// Lanes in the order in which their turns come. Does not own them; each brings the seat that it sits on.
class LaneRing {
  public:
    struct Seat {
        std::list<FairLane*>::iterator place{};
        bool taken = false;
    };

    /// Puts the lane at the end or takes it out; nothing happens to one that is where it shall be.
    void seat(FairLane& lane, Seat& seat, bool taken);
    void front_to_end() { m_lanes.splice(m_lanes.end(), m_lanes, m_lanes.begin()); }
    [[nodiscard]] bool empty() const { return m_lanes.empty(); }
    [[nodiscard]] FairLane& front() const { return *m_lanes.front(); }
    [[nodiscard]] const std::list<FairLane*>& lanes() const { return m_lanes; }

  private:
    std::list<FairLane*> m_lanes;
};

/// One tenant's slots and waiting callers. Owned and changed by its FairQueue.
class FairLane {
  public:
    [[nodiscard]] std::int64_t running() const { return m_running; }
    [[nodiscard]] std::int64_t waiting() const { return static_cast<std::int64_t>(m_tickets.size()); }
    /// Reservation in force, at most the one wished for.
    [[nodiscard]] std::int64_t reserved() const { return m_reserved; }

  private:
    friend class FairQueue;
    [[nodiscard]] bool below_reservation() const { return m_running < m_reserved; }
    [[nodiscard]] std::int64_t running_shared() const { return below_reservation() ? 0 : m_running - m_reserved; }

    GateShare m_share;
    std::int64_t m_running = 0;
    std::int64_t m_reserved = 0;
    std::int64_t m_deficit = 0;  ///< grants that are left of its turn, 0 between turns
    std::list<FairTicket*> m_tickets;
    std::list<FairLane>::iterator m_self{};
    LaneRing::Seat m_turn_seat;
    LaneRing::Seat m_owed_seat;
};

/// Who gets the next slot: the rules of FairGate without threads and time. After every call nobody waits who could go,
/// so a newcomer for whom there is a slot overtakes nobody. Takes constant time, but for a change of reservations (the
/// number of lanes) and a full house (the number of lanes that wait). Not thread-safe.
class FairQueue {
  public:
    enum class Entry { waits, lane_full, all_full };

    /// Of `settings` all but queue_timeout matters. Values below their least are taken for it.
    explicit FairQueue(const GateSettings& settings);

    FairLane& join(const GateShare& share);
    /// Removes a lane without waiting and running calls.
    void part(FairLane& lane);
    void reconfigure(const GateSettings& settings);
    void reconfigure(FairLane& lane, const GateShare& share);

    /// Takes a slot; false where there is none for this lane.
    bool take(FairLane& lane);
    /// Queues a caller for whom take() found no slot. Unless the result is `waits` the ticket is not in the queue.
    Entry wait(FairLane& lane, FairTicket& ticket);
    /// Ends the wait of a ticket that waits.
    void withdraw(FairTicket& ticket);
    /// Frees a slot that was taken or granted.
    void give_back(FairLane& lane);

    /// Everything but refused_timeout, which only who knows the time can count.
    [[nodiscard]] GateStatus status() const;

  private:
    template <class Change>
    void change(FairLane& lane, const Change& change);
    void assign_reservations();
    [[nodiscard]] bool shared_slot_free() const;
    void remove(FairTicket& ticket, FairTicket::State state);
    bool push_out_for(const FairLane& lane);
    void grant_first(FairLane& lane);
    void grant_what_fits();

    std::int64_t m_slots = 1;
    std::int64_t m_max_waiting = 0;
    std::int64_t m_refused = 0;
    // Sums over all lanes.
    std::int64_t m_running = 0;
    std::int64_t m_running_shared = 0;
    std::int64_t m_waiting = 0;
    std::int64_t m_reserved = 0;

    std::list<FairLane> m_lanes;  ///< in the order of joining
    LaneRing m_turns;             ///< lanes with waiting callers
    LaneRing m_owed;              ///< those of them that run less than they have reserved: the house is overfull
};

}  // namespace mt
