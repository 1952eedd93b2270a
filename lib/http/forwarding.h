#pragma once

#include <string>

#include "base/networks.h"
#include "http/message.h"

namespace mt::http {

/// The address of the client of a request that came through proxies. Believes Forwarded (RFC 7239) or X-Forwarded-For
/// as far as the trusted proxies wrote them: the last address in them that is no proxy of ours. `peer` when that is
/// none or no address, and when both fields are there and differ: proxies write one and pass a client's own other one
/// on. `peer`: who is connected; must be one of `trusted`.
std::string forwarded_client(const Fields& fields, const std::string& peer, const Networks& trusted);

}  // namespace mt::http
