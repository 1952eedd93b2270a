#include "base/waiting.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/blocking.h"

namespace mt {

Result<void> wait_until(std::int64_t until_ns, const Clock& clock, const Context& context) {
    const Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region) {
        return region.error();
    }
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (!context.cancelled()) {
        const std::int64_t now = clock.boot_ns();
        if (now >= until_ns) {
            return {};
        }
        if (now >= context.deadline_ns) {
            return Error{Code::timeout, "the time for this request is over"};
        }
        const std::int64_t turn = std::min({until_ns - now, context.deadline_ns - now, Context::k_idle_interval_ns});
        never.wait_for(lock, context.stop, std::chrono::nanoseconds{turn}, [] { return false; });
        if (context.idle != nullptr && turn == Context::k_idle_interval_ns && !context.cancelled()) {
            context.idle->on_idle();
        }
    }
    return Error{Code::client_gone, "the client left before the answer was complete"};
}

}  // namespace mt
