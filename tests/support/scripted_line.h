#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "support/scripted_upstream.h"

namespace mt::test {

/// One connection of a ScriptedUpstream and what the script did to it: between the server and its replies. Used by the
/// connection's thread alone.
struct ScriptedReply::State {
    enum class Ending { open, unfinished, close, reset };

    explicit State(int connected, const Latch& end) : fd(connected), stopping(end) {}

    /// False: the client has left.
    bool send_all(std::string_view bytes);
    /// True when `other` became readable; false after a leave, the end of the server or the time.
    bool wait(int other, std::chrono::steady_clock::duration patience);
    /// False: the client has closed.
    bool read_request(Recorded& record);
    bool receive();
    /// The connection's end, as `ending` says.
    void finish();

    int fd;
    const Latch& stopping;
    std::string buffer{};  ///< read but not yet used
    Ending ending = Ending::open;
    std::optional<std::chrono::steady_clock::time_point> left_at{};
};

}  // namespace mt::test
