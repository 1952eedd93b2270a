#pragma once

#include <chrono>

#include "base/result.h"
#include "http/server.h"

namespace mt::bench {

struct UpstreamScript {
    int deltas = 20;                             ///< pieces of a streamed answer
    std::chrono::microseconds interval{10'000};  ///< before each of them
};

/// Answers every request as OpenAI's chat completions do: 1,024 bytes of JSON with Content-Length, or, when the request
/// says "stream":true, a stream whose pieces hold the time at which they are sent (read_stamp).
http::Handler model_server(const UpstreamScript& script);

/// What makes a chat request ask for a stream: put behind the first brace of its body.
inline constexpr std::string_view k_stream_field = R"("stream":true,)";

/// CLOCK_MONOTONIC, which all processes of a machine share.
std::chrono::nanoseconds stamp_now();

/// The time that an event of a stream holds, also after a proxy wrote it anew; none for an event without one. Errors:
/// upstream (the stream has failed).
Result<std::optional<std::chrono::nanoseconds>> read_stamp(std::string_view event);

}  // namespace mt::bench
