#include "base/line_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <stop_token>
#include <utility>
#include <vector>

namespace mt {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds k_gather{5};         // how long ordinary lines wait for more
constexpr milliseconds k_last_flush{2000};  // what the end of the program may cost
constexpr milliseconds k_last_write{500};   // after that, for the write that is under way
constexpr int k_look_ms = 50;               // how often a thread without room looks whether it is to end
constexpr std::size_t k_note_room = 256;
constexpr std::size_t k_piece = std::size_t{1} << 20U;
constexpr std::size_t k_kept = std::size_t{1} << 20U;  // a buffer that grew beyond it is given back

/// A note in the buffer: where it ends, and how many lines it tells of.
struct Told {
    std::size_t end;
    std::int64_t lost;
};

struct Batch {
    std::string text;
    std::vector<Told> notes;
};

// How many bytes a descriptor that poll() calls writable takes without waiting. A pipe has room for PIPE_BUF then, and
// for all of its size when it is empty (pipe(7)); what goes in at once is not mixed with the lines of others.
std::size_t room_of(int fd) {
    struct stat kind {};
    if (fstat(fd, &kind) != 0) {
        return k_piece;
    }
    if (S_ISFIFO(kind.st_mode)) {
        int waiting = 0;
        const bool empty = ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0;
        const int size = empty ? fcntl(fd, F_GETPIPE_SZ) : PIPE_BUF;
        return static_cast<std::size_t>(std::max(size, PIPE_BUF));
    }
    return S_ISCHR(kind.st_mode) && isatty(fd) == 1 ? std::size_t{PIPE_BUF} : k_piece;
}

// As many whole lines as `room` holds, or a part of a line that is longer.
std::string_view piece_of(std::string_view text, std::size_t room) {
    if (text.size() <= room) {
        return text;
    }
    const std::size_t end = text.rfind('\n', room - 1);
    return text.substr(0, end == std::string_view::npos ? room : end + 1);
}

// Writes some of `text`. 0: nothing for now; below 0: the descriptor refuses it.
ssize_t write_some(int fd, std::string_view text) {
    pollfd waiting{fd, POLLOUT, 0};
    if (poll(&waiting, 1, k_look_ms) <= 0) {
        return 0;
    }
    ssize_t written = send(fd, text.data(), std::min(text.size(), k_piece), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK) {
        const std::string_view piece = piece_of(text, room_of(fd));
        written = write(fd, piece.data(), piece.size());
    }
    const bool later = written < 0 && (errno == EINTR || errno == EAGAIN);
    return later ? 0 : written > 0 ? written : -1;
}

}  // namespace

struct LineWriter::State {
    State(int to, Note make_note, std::size_t most) : fd(to), note(std::move(make_note)), capacity(most) {}

    // These three with the mutex held.
    [[nodiscard]] bool has_room(std::size_t size) const { return appended - done + size <= capacity; }
    void add(std::string_view line) {
        waiting.text += line;
        appended += line.size();
    }
    void add_note() {
        const std::int64_t lost = std::exchange(untold, 0);
        add(note(lost));
        waiting.notes.push_back({waiting.text.size(), lost});
    }

    void run(const std::stop_token& stop);
    void write_out(const Batch& batch, const std::stop_token& stop);
    void lose(const Batch& batch, std::size_t from);
    std::size_t write_all(std::string_view text, const std::stop_token& stop, bool counted);

    const int fd;
    const Note note;
    const std::size_t capacity;
    std::atomic<std::int64_t> dropped{0};
    std::mutex mutex{};                      ///< guards the rest, but for the last
    std::condition_variable_any changed{};   ///< there is work for the thread
    std::condition_variable_any progress{};  ///< `done` or `ended` has changed
    Batch waiting{};                         ///< not yet taken by the thread
    std::uint64_t appended = 0;              ///< bytes since the start, notes included
    std::uint64_t done = 0;                  ///< of these, bytes that are written or lost
    std::int64_t untold = 0;                 ///< lines lost since the last note
    bool hurry = false;                      ///< what waits is to be written without delay
    bool ended = false;                      ///< the thread's
    bool torn = false;                       ///< the thread's own: the last line that was written has no end
};

void LineWriter::State::run(const std::stop_token& stop) {
    Batch batch;
    std::unique_lock lock(mutex);
    while (changed.wait(lock, stop, [this] { return !waiting.text.empty(); }) && !stop.stop_requested()) {
        changed.wait_for(lock, stop, k_gather, [this] { return hurry; });
        hurry = false;
        std::swap(batch, waiting);
        lock.unlock();
        write_out(batch, stop);
        if (batch.text.capacity() > k_kept) {
            batch = {};
        }
        batch.text.clear();
        batch.notes.clear();
        lock.lock();
    }
    ended = true;
    progress.notify_all();
}

void LineWriter::State::write_out(const Batch& batch, const std::stop_token& stop) {
    if (torn && write_all("\n", stop, false) == 0) {
        return lose(batch, 0);
    }
    torn = false;
    const std::size_t written = write_all(batch.text, stop, true);
    if (written < batch.text.size()) {
        torn = written > 0 && batch.text[written - 1] != '\n';
        lose(batch, written);
    }
}

// Returns how many bytes the descriptor took before it refused more, or the stop.
std::size_t LineWriter::State::write_all(std::string_view text, const std::stop_token& stop, bool counted) {
    std::size_t written = 0;
    while (written < text.size() && !stop.stop_requested()) {
        const ssize_t some = write_some(fd, text.substr(written));
        if (some < 0) {
            break;
        }
        written += static_cast<std::size_t>(some);
        if (counted && some > 0) {
            const std::lock_guard lock(mutex);
            done += static_cast<std::size_t>(some);
            progress.notify_all();
        }
    }
    return written;
}

void LineWriter::State::lose(const Batch& batch, std::size_t from) {
    const std::string_view rest = std::string_view(batch.text).substr(from);
    std::int64_t lines = std::count(rest.begin(), rest.end(), '\n');
    std::int64_t told_in_vain = 0;
    for (const Told& told : batch.notes) {
        if (told.end > from) {
            --lines;
            told_in_vain += told.lost;
        }
    }
    const std::lock_guard lock(mutex);
    dropped.fetch_add(lines, std::memory_order_relaxed);
    untold += lines + told_in_vain;
    done += rest.size();
    progress.notify_all();
}

LineWriter::LineWriter(int fd, Note note, std::size_t capacity)
    : m_state(std::make_shared<State>(fd, std::move(note), capacity)) {
    // The thread inherits the mask: a SIGPIPE of its writes stays pending and goes with it, and other signals find the
    // threads that wait for them.
    sigset_t all{};
    sigset_t before{};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    m_thread = std::jthread([state = m_state](const std::stop_token& stop) { state->run(stop); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LineWriter::~LineWriter() {
    std::unique_lock lock(m_state->mutex);
    if (m_state->untold > 0 && m_state->has_room(k_note_room)) {
        m_state->add_note();  // there is no next line
    }
    lock.unlock();
    flush(k_last_flush);
    m_thread.request_stop();
    lock.lock();
    if (!m_state->progress.wait_for(lock, k_last_write, [this] { return m_state->ended; })) {
        m_thread.detach();
    }
}

bool LineWriter::append(std::string_view line, Urgency urgency) {
    State& state = *m_state;
    std::unique_lock lock(state.mutex);
    if (!state.has_room(line.size() + (state.untold > 0 ? k_note_room : 0))) {
        ++state.untold;
        state.dropped.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    const bool first = state.waiting.text.empty();
    if (state.untold > 0) {
        state.add_note();
    }
    state.add(line);
    const bool hurries =
        !state.hurry && (urgency == Urgency::urgent || state.waiting.text.size() >= state.capacity / 4);
    state.hurry = state.hurry || hurries;
    lock.unlock();
    if (first || hurries) {
        state.changed.notify_one();
    }
    return true;
}

bool LineWriter::flush(milliseconds timeout) {
    State& state = *m_state;
    std::unique_lock lock(state.mutex);
    const std::uint64_t target = state.appended;
    if (state.done >= target) {
        return true;
    }
    state.hurry = true;
    state.changed.notify_one();
    return state.progress.wait_for(lock, timeout, [&] { return state.done >= target; });
}

std::int64_t LineWriter::dropped() const {
    return m_state->dropped.load(std::memory_order_relaxed);
}

}  // namespace mt
