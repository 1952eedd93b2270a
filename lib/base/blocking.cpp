#include "base/blocking.h"

namespace mt {
namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one request per thread at a time
thread_local Blocker* t_current = nullptr;

}  // namespace

BlockerScope::BlockerScope(Blocker& blocker) : m_outer(std::exchange(t_current, &blocker)) {}

BlockerScope::~BlockerScope() {
    t_current = m_outer;
}

Result<BlockingRegion> BlockingRegion::enter() {
    Blocker* blocker = t_current;
    if (blocker == nullptr) {
        return BlockingRegion(nullptr);
    }
    if (Result<void> entered = blocker->enter(); !entered) {
        return std::move(entered).error();
    }
    t_current = nullptr;  // a region inside this one has nothing to add
    return BlockingRegion(blocker);
}

BlockingRegion::~BlockingRegion() {
    if (m_blocker != nullptr) {
        m_blocker->leave();
        t_current = m_blocker;
    }
}

}  // namespace mt
