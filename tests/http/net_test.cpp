#include "http/net.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cstring>
#include <fstream>
#include <string>

#include "http/raw_client.h"

namespace {

using mt::http::Listener;
using mt::http::Peer;

template <class Value>
Value option_of(int fd, int level, int name) {
    Value value{};
    socklen_t size = sizeof(value);
    REQUIRE(getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

Peer peer_v6(const char* text) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    REQUIRE(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    sockaddr_storage storage{};
    std::memcpy(&storage, &v6, sizeof(v6));
    return mt::http::name_peer(storage);
}

}  // namespace

TEST_CASE("a listener has a long backlog and its port for itself, its connections are without Nagle") {
    const auto listener = Listener::open({"127.0.0.1", 0, ""});
    REQUIRE(listener);
    int somaxconn = 0;
    std::ifstream("/proc/sys/net/core/somaxconn") >> somaxconn;
    // For a listening socket Linux reports its backlog here (net/ipv4/tcp.c, tcp_get_info).
    CHECK(option_of<tcp_info>(listener->fd(), IPPROTO_TCP, TCP_INFO).tcpi_sacked ==
          static_cast<std::uint32_t>(std::min(511, somaxconn)));
    CHECK(option_of<int>(listener->fd(), SOL_SOCKET, SO_REUSEPORT) == 0);
    CHECK(option_of<int>(listener->fd(), SOL_SOCKET, SO_REUSEADDR) != 0);
    const mt::test::RawClient client(listener->address());
    pollfd waiting{listener->fd(), POLLIN, 0};
    REQUIRE(poll(&waiting, 1, 10'000) == 1);
    const mt::http::UniqueFd accepted(accept(listener->fd(), nullptr, nullptr));
    CHECK(option_of<int>(accepted.get(), IPPROTO_TCP, TCP_NODELAY) != 0);
}

TEST_CASE("all addresses means IPv4 too") {
    const auto listener = Listener::open({"::", 0, ""});
    REQUIRE(listener);
    CHECK(mt::test::RawClient(listener->address()).connected());
}

TEST_CASE("peers are named by their own address") {
    CHECK(peer_v6("::ffff:127.0.0.1").name == "127.0.0.1");
    CHECK(peer_v6("::ffff:127.0.0.1").loopback);
    CHECK(peer_v6("::ffff:192.0.2.1").name == "192.0.2.1");
    CHECK_FALSE(peer_v6("::ffff:192.0.2.1").loopback);
    CHECK(peer_v6("::1").loopback);
    CHECK(peer_v6("2001:db8::1").name == "2001:db8::1");
    CHECK_FALSE(peer_v6("2001:db8::1").loopback);
    sockaddr_storage unix_socket{};
    unix_socket.ss_family = AF_UNIX;
    CHECK(mt::http::name_peer(unix_socket).name == "unix");
    CHECK(mt::http::name_peer(unix_socket).loopback);
}
