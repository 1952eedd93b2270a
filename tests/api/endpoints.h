#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/api.h"
#include "api/json_views.h"
#include "support/service_house.h"

namespace mt::test {

/// The operator's.
inline const std::string k_token = "operator-token-for-tests";

/// A reply as a test looks at it.
class Reply {
  public:
    explicit Reply(http::Response response) : m_response(std::move(response)) {}

    [[nodiscard]] int status() const { return m_response.status; }
    [[nodiscard]] const std::string& body() const { return m_response.body; }
    [[nodiscard]] const std::string& type() const { return m_response.content_type; }
    [[nodiscard]] api::Json json() const { return api::Json::parse(m_response.body); }
    [[nodiscard]] std::string field(const std::string& name) const {
        for (const auto& [key, value] : m_response.fields) {
            if (key == name) {
                return value;
            }
        }
        return "";
    }

  private:
    http::Response m_response;
};

/// Keeps the reply, of a stream its head and its pieces.
class Capture final : public http::Responder, public http::StreamWriter {
  public:
    void send(http::Response response) override {
        CHECK_FALSE(streamed);
        sent = std::move(response);
    }
    http::StreamWriter& start_stream(http::Response head) override {
        CHECK_FALSE(streamed);
        streamed = true;
        sent = std::move(head);
        return *this;
    }
    [[nodiscard]] std::stop_token stop_token() const override { return {}; }
    bool write(std::string_view piece) override {
        CHECK(streamed);
        CHECK_FALSE(finished);
        if (pieces.size() == most_pieces) {
            return false;
        }
        pieces.emplace_back(piece);
        sent.body += piece;
        return true;
    }
    void finish() override { finished = true; }

    http::Response sent;
    bool streamed = false;
    bool finished = false;
    std::vector<std::string> pieces;
    std::size_t most_pieces = 1'000'000;  ///< then the client is gone
};

/// The endpoints over a service, without sockets.
struct Endpoints : ServiceHouse {
    Endpoints() : services{pipeline, *catalog, tenants, files, stats, ledger, clock, log}, api(services) {
        services.operator_token = k_token;
        services.version = "test";
        REQUIRE(add_open("acme", {{"name", "Acme"}}));
        REQUIRE(add("locked"));
        key = catalog->create_key({"locked"}, "ann")->text;
        REQUIRE(tenants.start());
        tenants.stop();
    }

    Reply call(const std::string& method, const std::string& target, http::Fields fields = {}, std::string body = {}) {
        http::Request request;
        request.method = method;
        request.target = target;
        const std::size_t mark = target.find('?');
        request.path = target.substr(0, mark);
        request.query = mark == std::string::npos ? "" : target.substr(mark + 1);
        request.fields = std::move(fields);
        request.body = std::move(body);
        request.loopback = true;
        Capture capture;
        api.handle(request, capture);
        CHECK(capture.streamed == capture.finished);
        return Reply(std::move(capture.sent));
    }
    /// POST of a chat completion to the tenant "acme", or by a key.
    Reply complete(const std::string& body, http::Fields fields = {}, const std::string& target = "/acme/v1") {
        fields.emplace_back("Content-Type", "application/json");
        return call("POST", target + "/chat/completions", std::move(fields), body);
    }
    Reply as_operator(const std::string& method, const std::string& target, const api::Json& body = nullptr) {
        http::Fields fields{{"Authorization", "Bearer " + k_token}};
        if (!body.is_null()) {
            fields.emplace_back("Content-Type", "application/json");
        }
        return call(method, target, fields, body.is_null() ? "" : body.dump());
    }

    api::Services services;
    api::Api api;
    std::string key;
};

/// application/problem+json with all that belongs into it.
inline bool is_problem(const Reply& reply) {
    const api::Json json = reply.json();
    return reply.type() == "application/problem+json" && json.contains("type") && json.contains("title") &&
           json["status"] == reply.status() && json.contains("detail") &&
           json["request_id"] == reply.field("X-Request-Id");
}

}  // namespace mt::test
