#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

namespace mt {

/// Takes complete lines from many threads into one bounded buffer in memory; a thread of its own writes them to a file
/// descriptor in large pieces, a few milliseconds after they came. Who appends never waits for the descriptor: a line
/// that finds no room is dropped and counted, and so are lines that the descriptor refuses (its reader is gone, the
/// disk is full, it is closed); it is tried again with later lines. The next line that gets in after a loss is preceded
/// by a note of how many are missing. Lines of one thread keep their order. Raises no SIGPIPE, and takes no signals.
/// The descriptor stays the caller's. Thread-safe.
class LineWriter {
  public:
    static constexpr std::size_t k_capacity = std::size_t{4} << 20U;  ///< bytes

    enum class Urgency { ordinary, urgent };

    /// Makes the line, newline included, of at most 256 bytes, that says that so many lines are lost. Called by those
    /// who append, by one at a time; must not use the writer.
    using Note = std::function<std::string(std::int64_t lost)>;

    /// `capacity`: bytes that may wait, those included that are being written.
    LineWriter(int fd, Note note, std::size_t capacity = k_capacity);
    LineWriter(const LineWriter&) = delete;
    LineWriter& operator=(const LineWriter&) = delete;
    /// Flushes for at most two seconds; what is not written by then is lost. A thread that the system still holds in a
    /// write half a second later is left behind, and ends with that write.
    ~LineWriter();

    /// `line`: with the newline at its end and none before. An urgent line, and all before it, is written without
    /// delay. False: there was no room.
    bool append(std::string_view line, Urgency urgency);

    /// Waits until all that was appended before is written, or lost on the descriptor. False: `timeout` passed first.
    bool flush(std::chrono::milliseconds timeout);

    /// Lines lost since the start. Notes are not counted.
    [[nodiscard]] std::int64_t dropped() const;

  private:
    struct State;
    std::shared_ptr<State> m_state;  ///< shared with the thread
    std::jthread m_thread;
};

}  // namespace mt
