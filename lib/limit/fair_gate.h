#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"

namespace mt {

/// The agent slots of a process and who may wait for them.
struct GateSettings {
    std::int64_t slots = 1024;        ///< calls answered at the same time, at least 1
    std::int64_t max_waiting = 1024;  ///< callers waiting over all tenants, at least 0
    std::chrono::nanoseconds queue_timeout = std::chrono::seconds{10};  ///< longest wait of one caller
};

/// One tenant's share of the slots.
struct GateShare {
    std::int64_t weight = 1;        ///< slots granted per round while slots are scarce, at least 1
    std::int64_t reserved = 0;      ///< slots that no other tenant can take
    std::int64_t queue_limit = 32;  ///< callers of this tenant that may wait

    bool operator==(const GateShare&) const = default;
};

/// What is going on at the gate, for metrics. A plain value.
struct GateStatus {
    std::int64_t slots = 0;
    std::int64_t running = 0;          ///< slots taken
    std::int64_t waiting = 0;          ///< callers waiting
    std::int64_t reserved = 0;         ///< slots set aside in force, over all tenants
    std::int64_t refused_full = 0;     ///< callers refused since the start, because their queue or all queues were full
    std::int64_t refused_timeout = 0;  ///< callers refused since the start, after queue_timeout
};

class GateMember;

/// A slot, taken. Movable; the destructor gives it to whoever is next. Must not outlive the gate.
class GatePass {
  public:
    GatePass() = default;
    explicit GatePass(std::shared_ptr<GateMember> member) : m_member(std::move(member)) {}
    GatePass(GatePass&&) noexcept = default;
    GatePass& operator=(GatePass&& other) noexcept;
    ~GatePass();

  private:
    void release();
    std::shared_ptr<GateMember> m_member;
};

/// Shares the slots of a process out among tenants. While slots are free a caller takes one at once. While they are
/// scarce every tenant has a queue of its own (first in, first out), and freed slots go round the waiting tenants by
/// weighted deficit round robin (Shreedhar and Varghese, 1996) with a cost of one per call: of tenants that always
/// wait each gets slots in proportion to its weight, whatever the others do.
///
/// Reserved slots: a tenant below its reservation takes a slot at once as long as the process has one, and what is
/// reserved and unused is kept free of everybody else. All reservations together leave at least one slot to share;
/// those that joined last get less where there are too many. Thread-safe.
class FairGate {
  public:
    /// `clock` must outlive the gate.
    FairGate(const GateSettings& settings, const Clock& clock);
    FairGate(const FairGate&) = delete;
    FairGate& operator=(const FairGate&) = delete;
    ~FairGate();

    /// A tenant's place at the gate; it leaves when the last owner lets go. Its calls must end before the gate.
    std::shared_ptr<GateMember> join(const GateShare& share);

    /// Changes the settings of calls from now on. Slots that are taken stay taken; more slots go to waiting callers.
    void reconfigure(const GateSettings& settings);

    [[nodiscard]] GateStatus status() const;

  private:
    friend class GateMember;
    struct State;
    std::shared_ptr<State> m_state;
};

/// One tenant at the gate. Thread-safe.
class GateMember : public std::enable_shared_from_this<GateMember> {
  public:
    GateMember(const GateMember&) = delete;
    GateMember& operator=(const GateMember&) = delete;
    ~GateMember();

    /// Takes a slot, or waits for one in a BlockingRegion, telling the context's idle hook. A caller whose token fires
    /// leaves the queue at once.
    ///
    /// Errors: busy with reason "overload" and retry_after, where this tenant's queue is full, where all queues
    /// together are full and no other tenant's is longer for its weight (else the youngest caller of the longest queue
    /// is refused in this one's place), or where queue_timeout has passed; also where too many threads wait already.
    /// client_gone when the context's token fires, timeout when its deadline comes first.
    Result<GatePass> enter(const Context& context);

    /// Changes this tenant's share from now on.
    void reconfigure(const GateShare& share);

    [[nodiscard]] std::int64_t running() const;
    [[nodiscard]] std::int64_t waiting() const;

  private:
    friend class FairGate;
    friend class GatePass;
    struct Place;
    explicit GateMember(std::unique_ptr<Place> place);
    void leave_slot();
    std::unique_ptr<Place> m_place;
};

}  // namespace mt
