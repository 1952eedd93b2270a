#pragma once

#include <memory>
#include <string>

#include "api/exchange.h"
#include "pipeline/call.h"

namespace mt::api {

/// Fills in what every surface takes from the wire for a call of an agent. `tenant_id`: empty where the key names it.
void fill_call(Call& call, const Exchange& exchange, std::string tenant_id);

/// X-Tenant-ID and X-Processing-Time-Ms of a call that has been to the pipeline. `refused_stranger`: then nothing.
void add_call_fields(http::Response& reply, const Call& call, bool refused_stranger);

/// Who asks for its own data: the tenant's own live key, or nobody on an open tenant. Neither charged nor counted.
/// `tenant_id` as in fill_call. Errors: unauthorized.
Result<std::shared_ptr<const Tenant>> own_tenant(const Exchange& exchange, std::string tenant_id);

/// The reply is sent in one piece.
class Silent final : public Sink {
  public:
    bool on_event(const ModelEvent& /*event*/) override { return true; }
};

}  // namespace mt::api
