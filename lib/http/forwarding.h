#pragma once

#include <string>

#include "http/message.h"
#include "base/networks.h"

namespace mt::http {

/// The address of the client of a request that came through proxies. Believes Forwarded (RFC 7239) or, without it,
/// X-Forwarded-For as far as the trusted proxies wrote them: the last address in them that is no proxy of ours. `peer`
/// when that is none, or no address.
/// `peer`: who is connected; must be one of `trusted`.
std::string forwarded_client(const Fields& fields, const std::string& peer, const Networks& trusted);

}  // namespace mt::http
