#include <fmt/core.h>

#include <chrono>
#include <utility>

#include "pipeline/stages.h"

namespace mt::stages {
namespace {

Error away() {
    return Error{Code::unavailable, "this service is not available right now", {}, std::chrono::seconds{1}};
}

}  // namespace

Result<void> authenticate(Call& call, PipelineServices& services, const Next& next) {
    // Unknown, suspended or removed tenant, missing, wrong, revoked or expired key: nobody learns which.
    const Error refusal{Code::unauthorized, "Invalid tenant"};
    Result<std::shared_ptr<const Tenant>> found = call.tenant_id.empty() && call.presented_key
                                                      ? services.tenants.find_by_key(*call.presented_key)
                                                      : services.tenants.find(call.tenant_id);
    if (!found && found.error().code != Code::not_found) {
        // Who has shown no key yet learns nothing of files and settings. That a server is away is logged by whoever
        // finds out; strangers cannot fill the log with it.
        if (found.error().code != Code::unavailable && found.error().code != Code::busy) {
            services.log.error(
                fmt::format("{} cannot be loaded: {}",
                            call.tenant_id.empty() ? "the tenant of a key" : fmt::format("tenant '{}'", call.tenant_id),
                            found.error().message));
        }
        return away();
    }
    if (!found) {
        return refusal;
    }
    call.tenant = *std::move(found);
    const Tenant& tenant = *call.tenant;
    if (call.presented_key) {
        const KeyRecord* key = tenant.key(*call.presented_key, services.clock.wall());
        if (key == nullptr && !tenant.knows_key(*call.presented_key) && services.tenants.misses_changes()) {
            return away();  // it may have been made elsewhere
        }
        if (key == nullptr) {
            return refusal;  // on an open tenant too: a wrong key is a mistake that should show
        }
        call.context.key_id = key->key_id;
    } else if (!tenant.open) {
        return refusal;
    }
    if (!tenant.active()) {
        return refusal;
    }
    call.context.tenant = tenant.record.id;
    return next(call);
}

}  // namespace mt::stages
