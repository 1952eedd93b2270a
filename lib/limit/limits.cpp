#include "limit/limits.h"

#include <utility>

namespace mt {

Permit::Permit(Limits& limits, const Reservation& reservation, const LimitStatus& status)
    : m_limits(&limits), m_reservation(reservation), m_status(status) {}

Permit::Permit(Permit&& other) noexcept
    : m_limits(std::exchange(other.m_limits, nullptr)),
      m_reservation(other.m_reservation),
      m_status(other.m_status),
      m_settled(other.m_settled) {}

Permit& Permit::operator=(Permit&& other) noexcept {
    if (this != &other) {
        release();
        m_limits = std::exchange(other.m_limits, nullptr);
        m_reservation = other.m_reservation;
        m_status = other.m_status;
        m_settled = other.m_settled;
    }
    return *this;
}

Permit::~Permit() {
    release();
}

void Permit::settle(Cost used) {
    if (m_limits != nullptr && !std::exchange(m_settled, true)) {
        m_limits->settle(m_reservation, used);
    }
}

void Permit::release() {
    if (m_limits != nullptr) {
        std::exchange(m_limits, nullptr)->release(m_reservation);
    }
}

}  // namespace mt
