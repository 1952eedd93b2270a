#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mt::http {

/// Takes a text/event-stream apart (https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6):
/// all line ends, a leading byte order mark, comments, data of many lines; `id` and `retry` are ignored. What it finds
/// does not depend on how the bytes are cut. Data of one line is shown where it was fed. An event that the stream ends
/// in is never given. Not thread-safe.
class EventStream {
  public:
    static constexpr std::size_t k_max_event = 4UL * 1024 * 1024;

    /// `max_event`: bytes of the data of one event, and of one line of whatever kind.
    explicit EventStream(std::size_t max_event = k_max_event) : m_max(max_event) {}

    /// Goes on with `bytes`, which must stay where they are until next() has returned nothing. Only then, or at the
    /// start.
    void feed(std::string_view bytes);

    /// The data of the next event, good until the next call of next() or feed(); nothing: feed more. Errors: upstream
    /// (an event larger than allowed), and from then on nothing else.
    Result<std::optional<std::string_view>> next();

    /// The name of the event that next() has returned last: "message" when it had none.
    [[nodiscard]] std::string_view event_name() const;

    /// The bytes fed so far hold another whole event: the next next() returns one, and the one before stays good.
    bool more();

  private:
    struct Event {
        std::string_view data{};
        std::string text{};  ///< what `data` shows, unless it shows what was fed
        std::string name{};
    };
    enum class Found { nothing, event, too_large };

    Found find();
    std::optional<std::string_view> take_line();
    std::size_t line_end();
    bool read_line(std::string_view line);
    bool add_data(std::string_view value);
    void dispatch();
    void keep_unfinished();

    std::size_t m_max;
    std::string_view m_fed{};
    std::size_t m_at = 0;         ///< what comes before has been taken
    std::size_t m_lf = 0;         ///< place of the next LF in m_fed, unless m_at is beyond
    std::size_t m_cr = 0;         ///< the same of CR
    bool m_after_cr = false;      ///< an LF that comes now belongs to the line end before
    bool m_at_start = true;       ///< no line has come yet
    std::string m_line{};         ///< the start of a line, from earlier pieces
    std::string_view m_single{};  ///< the data so far, while it is one line of the piece fed
    std::string m_text{};         ///< the data so far, otherwise
    bool m_has_data = false;
    bool m_is_single = false;
    std::string m_name{};
    std::array<Event, 2> m_events{};  ///< the one that next() has returned, and the one found ahead
    std::size_t m_shown = 0;          ///< which of them is the former
    std::optional<Found> m_ahead{};   ///< what more() has found
};

}  // namespace mt::http
