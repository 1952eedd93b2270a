#pragma once

#include <cstddef>
#include <string>

#include "e2e/chat.h"
#include "e2e/site.h"
#include "support/chat_scripts.h"

namespace mt::test {

/// A server to which everything happens that is counted: calls of every outcome, denials of every reason, an upstream
/// that is away, one that is replaced by its fallback, a Redis that is away, a client that leaves, a message that is no
/// HTTP.
struct BusySite {
    static constexpr std::size_t k_tenants = 7;

    void make_traffic() {
        ask_basic();
        spend_tokens();
        ask_upstreams();
        fill_the_slot();
        leave_early();
        RawClient client({"127.0.0.1", server.port(), ""});
        CHECK(client.send("GET /basic?q=x HTTP/1.1\r\n\r\n"));  // no Host
        CHECK(client.reply().status == 400);
    }

    ScriptedUpstream upstream{chat({"a"})};
    Site site{toml(upstream)};
    Server server = serve();

  private:
    // Limits are wanted in a Redis that is not there.
    Server serve() {
        site.launch().environment["REDIS_URL"] = "127.0.0.1:1";
        return site.serve();
    }
    static std::string toml(const ScriptedUpstream& upstream) {
        const std::string nobody = "base_url = \"http://127.0.0.1:1/v1\"\nretries = 0\n";
        return "[server]\nmax_concurrency = 1\n" + model_toml(upstream) + "[models.gone]\n" + nobody +
               "[models.\"shaky.one:8b_x-1\"]\n" + nobody + "fallback = \"builtin\"\n" +
               tenant_toml("basic", "rate_limit = 8\n", "basic") + tenant_toml("chatty", "tokens_per_minute = 1\n") +
               tenant_toml("thrifty", "model = \"builtin\"\nbudget = \"40/day\"\n") +
               tenant_toml("broken", "model = \"gone\"\n") + tenant_toml("shaky", "model = \"shaky.one:8b_x-1\"\n") +
               tenant_toml("slow", "model = \"big\"\nmax_concurrency = 1\n") +
               tenant_toml("crowded", "queue_limit = 0\n");
    }

    int status(const std::string& target, const http::Fields& fields = {}) { return server.get(target, fields).status; }

    void ask_basic() {
        CHECK(status("/basic?q=Hello") == 200);
        CHECK(status("/basic?q=Hello") == 200);
        CHECK(status("/basic?q=analyze+1,2") == 403);
        CHECK(status("/basic?q=") == 400);
        CHECK(status("/basic?q=Hello", bearer("wrong")) == 401);
        CHECK(status("/nobody?q=Hello") == 401);
        CHECK(time_until([&] { return status("/basic?q=Hello") == 429; }, std::chrono::seconds{10}));
    }
    void spend_tokens() {
        CHECK(status("/chatty?q=Hello") == 429);
        CHECK(status("/thrifty?q=Hello") == 200);
        int number = 0;
        const auto spent = [&] { return status("/thrifty?q=" + std::to_string(++number)) == 402; };
        CHECK(time_until(spent, std::chrono::seconds{10}));
    }
    void ask_upstreams() {
        for (int i = 0; i < 6; ++i) {
            CHECK(status("/broken?q=" + std::to_string(i)) >= 500);  // the last one meets an open breaker
        }
        CHECK(status("/shaky?q=Hello") == 200);
    }
    // The only agent slot is taken while others ask.
    void fill_the_slot() {
        Latch latch;
        upstream.set_script(stalled_stream({"a"}, latch, {"b"}));
        LiveChat first(server, chat_request("Hello", k_streaming), "/slow/v1");
        CHECK(first.head().starts_with("HTTP/1.1 200"));
        CHECK(first.read_until("\"a\""));
        CHECK(status("/slow?q=Hello") == 429);
        CHECK(status("/crowded?q=Hello") == 503);
        latch.open();
        CHECK(first.read_all().find("\"b\"") != std::string::npos);
    }
    void leave_early() {
        const Latch latch;
        upstream.set_script(stalled_stream({"a"}, latch, {"b"}));
        LiveChat chat(server, chat_request("Hello", k_streaming), "/slow/v1");
        CHECK(chat.head().starts_with("HTTP/1.1 200"));
        CHECK(chat.read_until("\"a\""));
        chat.leave();
        const auto noticed = [&] { return numbers_of(server, "slow")["errors"] == 1; };
        CHECK(time_until(noticed, std::chrono::seconds{10}));
    }
};

}  // namespace mt::test
