#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/tool.h"
#include "base/clock.h"
#include "base/result.h"
#include "config/model_config.h"
#include "http/upstream.h"

namespace mt {

/// A function of the operator's own product, called over HTTP. Arguments that the address names go into it,
/// percent-encoded; the others into the query (GET, DELETE; those that are null are left out) or into a JSON object as
/// the body (POST, PUT, PATCH). X-Tenant-ID and X-Request-Id say for whom; redirects are not followed; the result is
/// the body of the reply. A status other than 2xx, a reply too late or too large, no connection, an address that `rule`
/// forbids: invalid, so that the model may do without. Each call is a span of kind client in the context's trace, and
/// traceparent tells the server of it unless `headers` say another. The values of `headers` are in no message and no
/// span.
/// `headers`: those of the configuration with their variables filled in. `clock` must outlive the tool. Errors: config
/// (address, method, headers, or schema cannot be used).
Result<std::unique_ptr<Tool>> make_http_tool(const ToolConfig& config,
                                             const std::vector<std::pair<std::string, std::string>>& headers,
                                             http::AddressRule rule, const Clock& clock);

}  // namespace mt
