#include "http/tls.h"

#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "http/tls_line.h"
#include "support/certificate.h"

namespace {

using mt::http::IoResult;
using mt::http::TlsContext;
using mt::http::TlsSession;
using mt::test::Certificate;
using mt::test::fresh_context;
using mt::test::Line;
using mt::test::OpenLine;
using State = IoResult::State;

constexpr std::size_t k_record = 16'384;  // bytes, RFC 8446 section 5.1

// What the session reads until it has to wait, or the connection ends.
std::string hear(TlsSession& session, State& last) {
    std::string text;
    std::array<char, 2 * k_record> bytes{};
    for (;;) {
        const IoResult got = session.read(bytes);
        last = got.state;
        if (got.state != State::moved) {
            return text;
        }
        CHECK(got.bytes <= k_record);
        text.append(bytes.data(), got.bytes);
    }
}

// No two parts of it are alike.
std::string long_text(std::size_t size) {
    std::string text;
    while (text.size() < size) {
        text += std::to_string(text.size()) + ",";
    }
    text.resize(size);
    return text;
}

mt::Error fault_of(const std::string& certificate, const std::string& key) {
    const auto context = TlsContext::load({certificate, key});
    REQUIRE_FALSE(context);
    return context.error();
}

std::string file_with(const Certificate& folder, const std::string& text) {
    std::string path = folder.beside("text");
    std::ofstream(path) << text;
    return path;
}

volatile std::sig_atomic_t g_signals = 0;

}  // namespace

TEST_CASE("a handshake that comes byte by byte takes its steps") {
    Line line;
    CHECK(line.session().handshake().state == State::again);
    int waits = 0;
    IoResult step{State::again};
    while (step.state == State::again && waits < 5'000) {
        ++waits;
        line.client_step();
        line.carry(1);
        CHECK_FALSE(line.session().ready());
        step = line.session().handshake();
    }
    CHECK(step.state == State::moved);
    CHECK(step.bytes == 0);
    CHECK(line.session().ready());
    CHECK(waits > 200);
    CHECK_FALSE(line.session().spoke_plain_http());
    State last = State::moved;
    CHECK(hear(line.session(), last).empty());
    CHECK(last == State::again);
}

TEST_CASE("bytes go both ways, more than a record") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CAPTURE(version);
        OpenLine line([&](SSL* client) { SSL_set_max_proto_version(client, version); });
        CHECK(SSL_version(line.client()) == version);
        const std::string question = long_text(10 * k_record + 7);
        line.client_says(question);
        State last = State::moved;
        std::string heard;
        while (line.carry() > 0) {
            heard += hear(line.session(), last);
            CHECK(last == State::again);
        }
        CHECK(heard == question);
        std::string_view rest = question;
        std::string answer;
        while (!rest.empty()) {
            const IoResult sent = line.session().write(rest);
            REQUIRE(sent.state == State::moved);
            CHECK(sent.bytes <= k_record);
            rest.remove_prefix(sent.bytes);
            answer += line.client_hears();
        }
        CHECK(answer == question);
    }
}

TEST_CASE("a full socket takes a part, the rest goes on from another buffer") {
    OpenLine line;
    const std::string text = long_text(4'000'000);
    std::string heard;
    std::size_t sent = 0;
    int waits = 0;
    while (sent < text.size()) {
        const std::string buffer = text.substr(sent, 3 * k_record);
        const IoResult step = line.session().write(buffer);
        REQUIRE((step.state == State::moved || step.state == State::again));
        sent += step.bytes;
        if (step.state == State::again) {
            CHECK(step.bytes == 0);
            REQUIRE(line.session().write(std::string(buffer)).state == State::again);
            heard += line.client_hears();
            ++waits;
        }
    }
    CHECK(waits > 2);
    CHECK(heard + line.client_hears() == text);
}

TEST_CASE("nothing older than TLS 1.2 is spoken") {
    Line line(fresh_context(), [](SSL* client) {
        SSL_set_security_level(client, 0);
        SSL_set_min_proto_version(client, TLS1_VERSION);
        SSL_set_max_proto_version(client, TLS1_1_VERSION);
    });
    CHECK(line.shake().state == State::broken);
    CHECK(line.client_fault() == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    CHECK_FALSE(line.session().ready());
    CHECK_FALSE(line.session().spoke_plain_http());
}

TEST_CASE("a client that names protocols must name http/1.1") {
    struct Case {
        std::string offer;
        bool served;
        std::string chosen;
    };
    for (const Case& c :
         {Case{"", true, ""}, Case{"\x08http/1.1", true, "http/1.1"}, Case{"\x02h2\x08http/1.1", true, "http/1.1"},
          Case{"\x02h2", false, ""}, Case{"\x02h2\x08http/1.0", false, ""}}) {
        CAPTURE(c.offer);
        Line line(fresh_context(), [&](SSL* client) {
            SSL_set_alpn_protos(client, reinterpret_cast<const unsigned char*>(c.offer.data()),
                                static_cast<unsigned>(c.offer.size()));
        });
        CHECK(line.shake().state == (c.served ? State::moved : State::broken));
        CHECK(line.client_fault() == (c.served ? 0 : SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL));
        const unsigned char* name = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(line.client(), &name, &size);
        CHECK(std::string(reinterpret_cast<const char*>(name), size) == c.chosen);
    }
}

TEST_CASE("a ticket spares the second connection a whole handshake") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CAPTURE(version);
        const auto context = fresh_context();
        Line first(context, [&](SSL* client) { SSL_set_max_proto_version(client, version); });
        REQUIRE(first.shake().state == State::moved);
        REQUIRE(first.session().write("x").state == State::moved);
        CHECK(first.client_hears() == "x");  // with TLS 1.3 the ticket comes after the handshake
        SSL_SESSION* ticket = SSL_get1_session(first.client());
        Line second(context, [&](SSL* client) {
            SSL_set_max_proto_version(client, version);
            SSL_set_session(client, ticket);
        });
        SSL_SESSION_free(ticket);
        CHECK(second.shake().state == State::moved);
        CHECK(SSL_session_reused(second.client()) == 1);
    }
}

TEST_CASE("a client may renew its keys but not renegotiate") {
    OpenLine modern;
    CHECK(SSL_key_update(modern.client(), SSL_KEY_UPDATE_REQUESTED) == 1);
    modern.client_says("after");
    modern.carry();
    State last = State::moved;
    CHECK(hear(modern.session(), last) == "after");
    CHECK(last == State::again);
    CHECK(modern.session().write("too").state == State::moved);
    CHECK(modern.client_hears() == "too");

    OpenLine old([](SSL* client) { SSL_set_max_proto_version(client, TLS1_2_VERSION); });
    CHECK(SSL_renegotiate(old.client()) == 1);
    old.client_step();
    old.carry();
    CHECK(hear(old.session(), last).empty());
    CHECK(last == State::again);
    old.carry();
    CHECK(old.client_step() != 1);
    CHECK(old.client_fault() == SSL_R_NO_RENEGOTIATION);
}

TEST_CASE("unusable files are named, with what is wrong with them") {
    const Certificate good;
    const Certificate other;
    const Certificate locked("secret");
    const std::string text = file_with(good, "no certificate at all\n");
    const std::string k_no_certificate = ": holds no readable certificate in PEM";
    const std::string k_no_key = ": holds no readable private key in PEM";
    const std::string missing = good.beside("missing.pem");
    struct Case {
        std::string certificate;
        std::string key;
        std::string message;
    };
    const std::vector<Case> cases{
        {missing, good.key(), "certificate file " + missing + ": No such file or directory"},
        {good.beside(""), good.key(), "certificate file " + good.beside("") + k_no_certificate},
        {text, good.key(), "certificate file " + text + k_no_certificate},
        {good.key(), good.key(), "certificate file " + good.key() + k_no_certificate},
        {good.certificate(), missing, "key file " + missing + ": No such file or directory"},
        {good.certificate(), text, "key file " + text + k_no_key},
        {good.certificate(), good.certificate(), "key file " + good.certificate() + k_no_key},
        {good.certificate(), other.key(),
         "key file " + other.key() + ": is not the key of the certificate in " + good.certificate()},
        {locked.certificate(), locked.key(),
         "key file " + locked.key() + ": is encrypted, write one without passphrase"},
    };
    for (const Case& c : cases) {
        const mt::Error fault = fault_of(c.certificate, c.key);
        CHECK(fault.code == mt::Code::config);
        CHECK(fault.message == c.message);
    }
}

TEST_CASE("plain HTTP is noticed, and answered by nothing") {
    struct Case {
        std::string bytes;
        bool http;
    };
    for (const Case& c : {Case{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true}, Case{"PATCH /t HTTP/1.1\r\n", true},
                          Case{"brew / HTTP/1.1\r\n", true}, Case{"\x01\x02\x03\x04\x05\x06\x07", false},
                          Case{"\x16garbage that is none", false}}) {
        CAPTURE(c.bytes);
        Line line;
        REQUIRE(send(line.client_fd(), c.bytes.data(), c.bytes.size(), 0) > 0);
        CHECK_FALSE(line.session().spoke_plain_http());
        CHECK(line.session().handshake().state == State::broken);
        CHECK(line.session().spoke_plain_http() == c.http);
        CHECK(line.session().handshake().state == State::broken);
        char byte = 0;
        const bool silent = recv(line.client_fd(), &byte, 1, 0) < 0;
        CHECK((silent || !c.http));
    }
}

TEST_CASE("the client's end is an end, announced or not, and it still hears") {
    for (const bool announced : {true, false}) {
        CAPTURE(announced);
        OpenLine line;
        line.client_says("last");
        if (announced) {
            SSL_shutdown(line.client());
        }
        line.carry();
        if (!announced) {
            shutdown(line.client_fd(), SHUT_WR);
        }
        State last = State::moved;
        CHECK(hear(line.session(), last) == "last");
        CHECK(last == State::ended);
        CHECK(hear(line.session(), last).empty());
        CHECK(last == State::ended);
        CHECK(line.session().write("reply").state == State::moved);
        CHECK(line.client_hears() == "reply");
        CHECK(line.session().write("never read").state == State::moved);
        line.leave();
        if (!announced) {
            CHECK(hear(line.session(), last).empty());
            CHECK(last == State::broken);
        }
        CHECK(line.session().write("too late").state == State::broken);
    }
    Line early;
    shutdown(early.client_fd(), SHUT_WR);
    CHECK(early.session().handshake().state == State::ended);
}

TEST_CASE("the server's end is announced, and it still hears") {
    OpenLine line;
    line.session().close_notify();
    CHECK(line.client_hears().empty());
    CHECK(SSL_get_shutdown(line.client()) == SSL_RECEIVED_SHUTDOWN);
    line.client_says("more");
    line.carry();
    line.session().close_notify();
    State last = State::moved;
    CHECK(hear(line.session(), last) == "more");
    CHECK(last == State::again);
    Line early;
    early.session().close_notify();
    CHECK(early.carry() == 0);
}

TEST_CASE("a reset breaks, and so does writing to a client that left, without a signal") {
    const auto old = std::signal(SIGPIPE, [](int) { g_signals = g_signals + 1; });
    OpenLine reset;
    REQUIRE(reset.session().write("never read").state == State::moved);
    reset.leave();  // with bytes unread: the other end sees a reset
    State last = State::moved;
    CHECK(hear(reset.session(), last).empty());
    CHECK(last == State::broken);
    CHECK(reset.session().write("x").state == State::broken);

    OpenLine left;
    left.carry();
    left.leave();
    IoResult sent{State::moved};
    for (int i = 0; i < 100 && sent.state == State::moved; ++i) {
        sent = left.session().write("nobody reads this");
    }
    CHECK(sent.state == State::broken);
    CHECK(hear(left.session(), last).empty());
    CHECK(last == State::broken);
    left.session().close_notify();
    CHECK(g_signals == 0);
    std::signal(SIGPIPE, old);
}

TEST_CASE("a broken record breaks the session") {
    OpenLine line;
    line.client_says("true");
    REQUIRE(line.carry(10) == 10);
    REQUIRE(send(line.client_fd(), std::string(100, 'x').data(), 100, 0) == 100);
    State last = State::moved;
    CHECK(hear(line.session(), last).empty());
    CHECK(last == State::broken);
    CHECK_FALSE(line.session().spoke_plain_http());
}

TEST_CASE("what somebody else's call into OpenSSL left behind is no fault of the session's") {
    OpenLine line;
    State last = State::moved;
    ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
    CHECK(hear(line.session(), last).empty());
    CHECK(last == State::again);
}

TEST_CASE("a client that sends records without content holds no thread and is given up") {
    OpenLine line;
    for (int i = 0; i < 1'000; ++i) {
        REQUIRE(SSL_key_update(line.client(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        REQUIRE(SSL_do_handshake(line.client()) == 1);
    }
    line.carry();
    char bytes[100];
    int calls = 0;
    mt::http::IoResult got{State::moved};
    while (got.state == State::moved && got.bytes == 0 && ++calls < 1'000) {
        got = line.session().read(bytes);
    }
    CAPTURE(calls);
    CHECK(calls > 1);  // each call reads a record or so, then others have their turn
    CHECK(got.state == State::broken);
}

TEST_CASE("a key update now and then is fine") {
    OpenLine line;
    State last = State::moved;
    for (int i = 0; i < 100; ++i) {
        REQUIRE(SSL_key_update(line.client(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        line.client_says("x");
        line.carry();
        CHECK(hear(line.session(), last) == "x");
        CHECK(last == State::again);
    }
}
