#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "e2e/site.h"
#include "http/raw_client.h"
#include "support/chat_scripts.h"

namespace mt::test {

/// The key that scripted servers are given, and that nobody else may ever see.
inline const std::string k_upstream_key = "sk-hunter2-never-to-be-seen";

/// [models.big] at this server, with these lines in its section.
inline std::string model_toml(const ScriptedUpstream& upstream, const std::string& more = "retries = 0\n",
                              const std::string& name = "big") {
    return "[models." + name + "]\nbase_url = \"" + upstream.url("/v1") + "\"\n" + more;
}

/// A tenant that needs no key, is answered by the model "big" unless `more` names another, and is never limited unless
/// `more` says so. Without `plan` in it the plan is enterprise.
inline std::string tenant_toml(const std::string& id, const std::string& more = "model = \"big\"\n",
                               const std::string& plan = "enterprise") {
    return "[[tenants]]\nid = \"" + id + "\"\nauth = \"open\"\nplan = \"" + plan + "\"\n" +
           (more.find("rate_limit") == std::string::npos ? "rate_limit = 1000000\n" : "") + more;
}

/// The body of a chat completion with one message, and these further members.
inline Json chat_request(const std::string& text, const Json& more = Json::object()) {
    Json body{{"model", "default"}, {"messages", Json::array({{{"role", "user"}, {"content", text}}})}};
    body.update(more);
    return body;
}

inline const Json k_streaming{{"stream", true}};

/// Sends it to the tenant "acme", or to whom the key says.
inline http::Response complete(Server& server, const Json& body, http::Fields fields = {},
                               const std::string& base = "/acme/v1") {
    fields.emplace_back("Content-Type", "application/json");
    return server.send("POST", base + "/chat/completions", fields, body.dump());
}

/// The answer to a bare question, without the line's end.
inline std::string ask(Server& server, const std::string& target = "/acme?q=Hello") {
    std::string text = server.get(target).body;
    text.erase(text.find_last_not_of('\n') + 1);
    return text;
}

inline std::string answer_of(const http::Response& reply) {
    const Json body = parse_json(reply.body);
    CHECK_MESSAGE(reply.status == 200, reply.body);
    return reply.status == 200 ? body["choices"][0]["message"].value("content", "") : "";
}

/// The data of all events of a stream. Comments are left out; everything else has to be framed.
inline std::vector<std::string> events_of(std::string_view body) {
    std::vector<std::string> events;
    while (!body.empty()) {
        const std::size_t end = body.find("\n\n");
        REQUIRE(end != std::string_view::npos);
        if (!body.starts_with(":")) {
            CHECK(body.starts_with("data: "));
            events.emplace_back(body.substr(6, end - 6));
        }
        body.remove_prefix(end + 2);
    }
    return events;
}

/// The chunks of a stream that has to end with [DONE], which is left out.
inline std::vector<Json> chunks_of(const std::string& body) {
    std::vector<Json> chunks;
    std::vector<std::string> events = events_of(body);
    REQUIRE(!events.empty());
    CHECK(events.back() == "[DONE]");
    events.pop_back();
    for (const std::string& event : events) {
        chunks.push_back(parse_json(event));
    }
    return chunks;
}

/// All content of the first choice.
inline std::string text_of(const std::vector<Json>& chunks) {
    std::string text;
    for (const Json& chunk : chunks) {
        for (const Json& choice : chunk["choices"]) {
            const Json content = choice["index"] == 0 ? choice["delta"].value("content", Json()) : Json();
            text += content.is_string() ? content.get<std::string>() : "";
        }
    }
    return text;
}

/// A chat completion over a connection of its own, read piece by piece, and left at any moment.
class LiveChat {
  public:
    explicit LiveChat(const Server& server, const Json& body, const std::string& base = "/acme/v1")
        : m_client({"127.0.0.1", server.port(), ""}) {
        const std::string text = body.dump();
        REQUIRE(m_client.send("POST " + base + "/chat/completions HTTP/1.1\r\nHost: localhost\r\n" +
                              "Content-Type: application/json\r\nContent-Length: " + std::to_string(text.size()) +
                              "\r\n\r\n" + text));
    }

    /// Status and fields.
    std::string head() { return m_client.reply(true).head; }
    /// Reads on until `text` has come; false: the reply ended before.
    bool read_until(std::string_view text) {
        while (m_body.find(text) == std::string::npos) {
            const std::string piece = m_client.chunk();
            if (piece.empty()) {
                return false;
            }
            m_body += piece;
        }
        return true;
    }
    /// The rest of the stream; what came over all.
    const std::string& read_all() {
        static_cast<void>(read_until("\n\nno such event"));
        return m_body;
    }
    [[nodiscard]] const std::string& body() const { return m_body; }
    [[nodiscard]] RawClient& client() { return m_client; }

    /// Hangs up; the moment of it.
    std::chrono::steady_clock::time_point leave() {
        const auto now = std::chrono::steady_clock::now();
        m_client.leave();
        return now;
    }

  private:
    RawClient m_client;
    std::string m_body{};
};

/// What /stats says of a tenant.
inline Json numbers_of(Server& server, const std::string& tenant = "acme") {
    return parse_json(server.get("/stats").body)[tenant];
}

/// The value of a series of /metrics, such as `name{model="big"}`; "" when there is none.
inline std::string metric(Server& server, const std::string& series) {
    const std::string page = server.get("/metrics").body;
    const std::size_t at = page.find("\n" + series + " ");
    const std::size_t start = at + series.size() + 2;
    return at == std::string::npos ? "" : page.substr(start, page.find('\n', start) - start);
}

}  // namespace mt::test
