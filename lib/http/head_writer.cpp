#include "http/head_writer.h"

#include <httplib.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/reply.h"

namespace mt::http {
namespace {

constexpr std::size_t k_remembered = 1024;  // a power of two
constexpr std::string_view k_line_end = "\r\n";

// Asking for a head alone spares httplib the body. Target and fields of the client would be decoded, limited and
// perhaps acted on (Range, Expect, Accept-Encoding, REMOTE_ADDR, ...) a second time, so there are none.
constexpr std::string_view k_canonical_request = "HEAD / HTTP/1.1\r\n\r\n";

/// What httplib reads from and writes to. It has no descriptor, because httplib refuses those above FD_SETSIZE.
class MemoryStream final : public httplib::Stream {
  public:
    [[nodiscard]] bool is_readable() const override { return true; }
    [[nodiscard]] bool is_writable() const override { return true; }
    ssize_t read(char* out, std::size_t size) override {
        const std::size_t taken = m_unread.copy(out, size);
        m_unread.remove_prefix(taken);
        return static_cast<ssize_t>(taken);
    }
    ssize_t write(const char* bytes, std::size_t size) override {
        m_written.append(bytes, size);
        return static_cast<ssize_t>(size);
    }
    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    [[nodiscard]] socket_t socket() const override { return INVALID_SOCKET; }

    [[nodiscard]] const std::string& written() const { return m_written; }

  private:
    std::string_view m_unread = k_canonical_request;
    std::string m_written{};
};

/// Opens the protected entry of httplib's server.
class Engine final : public httplib::Server {
  public:
    void run(httplib::Stream& stream) {
        bool closed = false;
        // "close": httplib then spends no time on a Keep-Alive field.
        process_request(stream, true, closed, nullptr);
    }
};

/// A head as it is remembered, with what it was written for.
struct Entry {
    int status = 0;
    std::size_t length = 0;
    std::string type{};
    HeadWriter::Head head{};
};

}  // namespace

struct HeadWriter::State {
    void fill(httplib::Response& out) const;
    void finish_fields(httplib::Response& out) const;

    Engine engine{};
    std::vector<Entry> entries{k_remembered};
    const Entry* wanted = nullptr;  ///< while httplib runs
};

void HeadWriter::State::fill(httplib::Response& out) const {
    out.status = wanted->status;
    if (wanted->length > 0) {
        out.set_content_provider(wanted->length, wanted->type,
                                 [](std::size_t, std::size_t, httplib::DataSink&) { return false; });
    } else if (!wanted->type.empty()) {
        out.set_header("Content-Type", wanted->type);
    }
}

// Runs after httplib added its own fields: what it says of connection and ranges is not ours.
void HeadWriter::State::finish_fields(httplib::Response& out) const {
    if (wanted->type.empty()) {
        out.headers.erase("Content-Type");
    }
    out.headers.erase("Connection");
    out.headers.erase("Accept-Ranges");
    if (is_bodiless(out.status)) {
        out.headers.erase("Content-Length");
    }
}

HeadWriter::HeadWriter() : m_state(std::make_unique<State>()) {
    State& state = *m_state;
    state.engine.set_pre_routing_handler([&state](const httplib::Request&, httplib::Response& out) {
        state.fill(out);
        return httplib::Server::HandlerResponse::Handled;
    });
    state.engine.set_post_routing_handler(
        [&state](const httplib::Request&, httplib::Response& out) { state.finish_fields(out); });
}

HeadWriter::~HeadWriter() = default;

const HeadWriter::Head& HeadWriter::write(int status, std::string_view type, std::size_t length) {
    const std::size_t hash =
        std::hash<std::string_view>{}(type) ^ (length * 31) ^ (static_cast<std::size_t>(status) * 1009);
    Entry& entry = m_state->entries[hash % k_remembered];
    if (entry.status == status && entry.length == length && entry.type == type) {
        return entry.head;
    }
    entry = {status, length, std::string(type), {}};
    m_state->wanted = &entry;
    MemoryStream stream;
    m_state->engine.run(stream);
    m_state->wanted = nullptr;
    std::string_view written = stream.written();
    if (written.ends_with("\r\n\r\n")) {
        const std::size_t end = written.find(k_line_end) + k_line_end.size();
        written.remove_suffix(k_line_end.size());
        entry.head = {std::string(written.substr(0, end)), std::string(written.substr(end))};
    } else {  // httplib failed, which none of these requests makes it do
        entry.head = {"HTTP/1.1 500 Internal Server Error\r\n", "Content-Length: 0\r\n"};
    }
    return entry.head;
}

}  // namespace mt::http
