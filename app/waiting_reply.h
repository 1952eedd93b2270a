#pragma once

#include "base/result.h"
#include "http/message.h"

namespace mt::app {

/// What a server answers that listens but cannot serve yet: it lives (/livez, /health, /health/live) and everything
/// else is 503 with `reason`.
http::Response waiting_reply(const http::Request& request, const Error& reason);

}  // namespace mt::app
