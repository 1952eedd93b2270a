#include <doctest/doctest.h>
#include <fmt/core.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "http/framing.h"
#include "http/hostile_streams.h"
#include "http/test_server.h"
#include "support/temp_folder.h"

namespace {

using mt::http::Framer;
using mt::http::Request;
using mt::http::Responder;
using mt::test::End;
using mt::test::get;
using mt::test::has;
using mt::test::hostile_limits;
using mt::test::hostile_streams;
using mt::test::HostileStream;
using mt::test::Reply;
using mt::test::TestServer;

struct Outcome {
    std::vector<Reply> replies;
    End end = End::serves;
};

std::string echo_of(const Request& request) {
    return fmt::format("{} {} {}", request.method, request.target, request.body);
}

std::string to_string(const std::vector<Reply>& replies) {
    std::string text;
    for (const Reply& reply : replies) {
        text += fmt::format("{} {}; ", reply.status, mt::quote(reply.echo));
    }
    return text;
}

// The replies that must come have come, and no other; 100 may be absent.
bool matches(const std::vector<Reply>& seen, const std::vector<Reply>& wanted) {
    auto at = seen.begin();
    for (const Reply& reply : wanted) {
        if (at != seen.end() && *at == reply) {
            ++at;
        } else if (reply.status != 100) {
            return false;
        }
    }
    return at == seen.end();
}

// Where a stream is cut in two: everywhere, or at some places of a long one. Its size: not at all.
std::vector<std::size_t> cuts(const HostileStream& stream) {
    constexpr std::size_t k_most = 300;
    const std::size_t step = stream.bytes.size() / k_most + 1;
    std::vector<std::size_t> places;
    for (std::size_t at = 1; at < stream.bytes.size(); at += step) {
        places.push_back(at);
    }
    places.push_back(stream.bytes.size());
    return places;
}

// What a connection would do with a stream that arrives in these pieces.
Outcome frame(const std::vector<std::string_view>& pieces) {
    const mt::http::ServerLimits limits = hostile_limits();
    Framer framer(limits);
    Outcome outcome;
    for (std::string_view piece : pieces) {
        while (!piece.empty()) {
            const mt::Result<bool> complete = framer.feed(piece);
            if (!complete) {
                outcome.replies.push_back({mt::describe(complete.error().code).http_status});
                return {outcome.replies, End::closes};
            }
            if (*complete) {
                const mt::http::Message message = framer.take();
                outcome.replies.push_back({200, echo_of(message.request)});
                if (!message.keep_alive) {
                    return {outcome.replies, End::closes};
                }
            } else if (framer.wants_continue()) {
                outcome.replies.push_back({100});
            }
        }
    }
    outcome.end = framer.progress() == Framer::Progress::empty ? End::serves : End::waits;
    return outcome;
}

void check_framed(const HostileStream& stream, const std::vector<std::string_view>& pieces) {
    const Outcome outcome = frame(pieces);
    if (outcome.end != stream.end || !matches(outcome.replies, stream.replies)) {
        FAIL_CHECK(mt::quote(stream.name)
                   << " in " << pieces.size() << " pieces, the first of " << pieces.front().size()
                   << " bytes: " << to_string(outcome.replies) << "instead of " << to_string(stream.replies));
    }
}

// Remembers every path that reached it.
class Recorder {
  public:
    void operator()(const Request& request, Responder& responder) {
        {
            const std::lock_guard lock(m_mutex);
            m_paths.push_back(request.path);
        }
        responder.send({.body = echo_of(request)});
    }
    [[nodiscard]] std::size_t size() const {
        const std::lock_guard lock(m_mutex);
        return m_paths.size();
    }
    [[nodiscard]] bool saw(const std::string& path) const {
        const std::lock_guard lock(m_mutex);
        return std::find(m_paths.begin(), m_paths.end(), path) != m_paths.end();
    }

  private:
    mutable std::mutex m_mutex;
    std::vector<std::string> m_paths;
};

// Takes the replies apart; what is no whole reply becomes one of status 0.
std::vector<Reply> parse_replies(std::string_view text) {
    std::vector<Reply> replies;
    while (!text.empty()) {
        const std::size_t head_end = text.find("\r\n\r\n");
        const std::string head(text.substr(0, std::min(head_end, text.size())));
        if (head_end == std::string_view::npos || !head.starts_with("HTTP/1.1 ")) {
            replies.push_back({0, std::string(text)});
            break;
        }
        text.remove_prefix(head_end + 4);
        Reply reply{std::stoi(head.substr(9, 3))};
        const std::size_t at = head.find("Content-Length: ");
        const std::size_t length = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
        if (text.size() < length) {
            reply = {0, std::string(text)};
        } else if (reply.status == 200) {
            reply.echo = text.substr(0, length);
        }
        text.remove_prefix(std::min(length, text.size()));
        replies.push_back(reply);
    }
    return replies;
}

// One connection, from its first byte to its last.
class Line {
  public:
    explicit Line(const mt::http::Address& address) {
        const bool local = !address.unix_path.empty();
        sockaddr_in tcp{AF_INET, htons(static_cast<std::uint16_t>(address.port)), {htonl(INADDR_LOOPBACK)}, {}};
        sockaddr_un file{AF_UNIX, {}};
        address.unix_path.copy(file.sun_path, sizeof(file.sun_path) - 1);
        const void* name = local ? static_cast<const void*>(&file) : &tcp;
        m_fd = mt::http::UniqueFd(socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(connect(m_fd.get(), static_cast<const sockaddr*>(name), local ? sizeof(file) : sizeof(tcp)) == 0);
    }

    // May fail: the server need not take what follows a refusal.
    void send(std::string_view bytes) const { ::send(m_fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    void end() const { shutdown(m_fd.get(), SHUT_WR); }

    // The other end has read everything. (Over TCP: its kernel has it.)
    [[nodiscard]] bool taken() const {
        int unread = 0;
        return ioctl(m_fd.get(), SIOCOUTQ, &unread) != 0 || unread == 0;
    }

    // Everything until the server closes; nothing when it does not, or with a reset.
    [[nodiscard]] std::optional<std::string> rest() const {
        std::string text;
        for (pollfd waiting{m_fd.get(), POLLIN, 0}; poll(&waiting, 1, 10'000) > 0;) {
            char bytes[4096];
            const ssize_t got = recv(m_fd.get(), bytes, sizeof(bytes), 0);
            if (got <= 0) {
                return got == 0 ? std::optional(text) : std::nullopt;
            }
            text.append(bytes, static_cast<std::size_t>(got));
        }
        return std::nullopt;
    }

  private:
    mt::http::UniqueFd m_fd;
};

// A server that is sent hostile streams, and what it must have seen of them.
class Target {
  public:
    explicit Target(const mt::http::Address& address)
        : m_server([this](const Request& request, Responder& responder) { m_recorder(request, responder); },
                   hostile_limits(), address) {}

    // A connection for each of `places`, all at the same time.
    void attack(const HostileStream& stream, const std::vector<std::size_t>& places) {
        const std::string_view bytes = stream.bytes;
        std::vector<Line> lines;
        lines.reserve(places.size());
        for (const std::size_t cut : places) {
            lines.emplace_back(m_server.address());
            lines.back().send(bytes.substr(0, cut));
        }
        REQUIRE(mt::test::eventually(
            [&] { return std::all_of(lines.begin(), lines.end(), [](const Line& line) { return line.taken(); }); }));
        for (std::size_t i = 0; i < lines.size(); ++i) {
            lines[i].send(bytes.substr(places[i]));
            finish(lines[i], stream.end, m_probes + i);
        }
        for (std::size_t i = 0; i < lines.size(); ++i) {
            check(stream, places[i], lines[i].rest(), m_probes + i);
        }
        m_probes += places.size();
    }

    // No request reached the handler but those that had to.
    void check_handled() const {
        CHECK(m_handled > 0);
        CHECK(m_recorder.size() == m_handled);
        CHECK_FALSE(m_recorder.saw("/smuggled"));
        CHECK_FALSE(m_recorder.saw("/cut"));
    }

  private:
    static std::string probe(std::size_t number) { return fmt::format("/probe-{}", number); }

    static void finish(const Line& line, End end, std::size_t number) {
        if (end == End::serves) {
            line.send(get(probe(number), "Connection: close\r\n"));
        } else if (end == End::waits) {
            line.end();
        }
    }

    void check(const HostileStream& stream, std::size_t cut, const std::optional<std::string>& text,
               std::size_t number) {
        std::vector<Reply> wanted = stream.replies;
        if (stream.end == End::serves) {
            wanted.push_back({200, fmt::format("GET {} ", probe(number))});
        }
        const std::vector<Reply> seen = parse_replies(text.value_or(""));
        const bool told = stream.end == End::waits || has(text.value_or(""), "Connection: close\r\n");
        if (!text || !told || !matches(seen, wanted)) {
            FAIL_CHECK(mt::quote(stream.name) << " cut at " << cut << ": " << to_string(seen) << "instead of "
                                              << to_string(wanted) << std::string(text ? "" : "and no orderly end"));
        }
        m_handled += static_cast<std::size_t>(
            std::count_if(wanted.begin(), wanted.end(), [](const Reply& reply) { return reply.status == 200; }));
    }

    Recorder m_recorder;
    TestServer m_server;
    std::size_t m_probes = 0;
    std::size_t m_handled = 0;
};

}  // namespace

TEST_CASE("a hostile stream has one outcome, however it is cut") {
    for (const HostileStream& stream : hostile_streams()) {
        const std::string_view bytes = stream.bytes;
        std::vector<std::string_view> single;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            single.push_back(bytes.substr(i, 1));
        }
        check_framed(stream, single);
        for (const std::size_t cut : cuts(stream)) {
            check_framed(stream, {bytes.substr(0, cut), bytes.substr(cut)});
        }
    }
}

TEST_CASE("a hostile stream is answered as it must, however it is cut, and smuggles nothing") {
    const mt::test::TempFolder folder;
    Target target({"", 0, folder.path() / "s"});
    for (const HostileStream& stream : hostile_streams()) {
        target.attack(stream, cuts(stream));
    }
    target.check_handled();
}

TEST_CASE("a hostile stream is answered over TCP as over a unix socket") {
    Target target({"127.0.0.1", 0, ""});
    for (const HostileStream& stream : hostile_streams()) {
        target.attack(stream, {stream.bytes.size() / 2, stream.bytes.size()});
    }
    target.check_handled();
}

// RFC 9110 section 9.3.2. The head is good, only what it announces is refused.
TEST_CASE("a refused HEAD is answered without a body") {
    const TestServer server([](const Request&, Responder& responder) { responder.send({}); }, hostile_limits());
    for (const std::string field : {"Content-Length: 129", "Expect: nothing", "Content-Encoding: gzip"}) {
        CAPTURE(field);
        const Line line(server.address());
        line.send(fmt::format("HEAD /a HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n", field));
        const std::string reply = line.rest().value_or("");
        CHECK(reply.starts_with("HTTP/1.1 41"));
        CHECK(reply.ends_with("\r\n\r\n"));
    }
}
