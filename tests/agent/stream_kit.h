#pragma once

#include <string>
#include <utility>
#include <vector>

#include "support/scripted_upstream.h"

namespace mt::test {

/// A stream of events with these data; unfinished, it stays open.
inline Script stream_events(std::vector<std::string> events, bool finished = true) {
    return [events = std::move(events), finished](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        for (const std::string& event : events) {
            out.event(event);
        }
        if (finished) {
            out.finish();
        } else {
            out.keep_silent();
        }
    };
}

}  // namespace mt::test
