#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/http_tool.h"
#include "agent/memory_store.h"
#include "base/clock.h"
#include "support/scripted_upstream.h"

namespace mt::test {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// The parameters of the tool.
constexpr const char* k_order_schema =
    R"({"type":"object","properties":{"id":{},"q":{},"list":{},"flag":{}},"additionalProperties":true})";

inline Script reply(int status, const std::string& body, const ScriptFields& fields = {}) {
    return [=](const Recorded&, ScriptedReply& out) { out.send(status, body, fields); };
}

inline void keep_silent(const Recorded&, ScriptedReply& out) {
    out.keep_silent();
}

/// A tool of the product that a scripted server plays.
struct ToolFixture {
    explicit ToolFixture(Script script = reply(200, "ok")) : server(std::move(script)) {
        config.name = "orders";
        config.description = "Looks up orders.";
        config.parameters = k_order_schema;
        config.url = server.url("/orders");
        context.tenant = "tenant-basic";
        context.request_id = "request-1";
    }

    Result<std::unique_ptr<Tool>> make() { return make_http_tool(config, headers, rule, clock); }

    Result<std::string> call(const std::string& arguments = "{}") {
        if (!tool) {
            Result<std::unique_ptr<Tool>> made = make();
            REQUIRE(made);
            tool = std::move(*made);
        }
        return tool->call(arguments, {*store, clock}, context);
    }

    /// The message of a call that the model is to hear of.
    std::string told(const std::string& arguments = "{}") {
        const Result<std::string> result = call(arguments);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Code::invalid);
        return result.error().message;
    }

    /// What the last request was.
    [[nodiscard]] Recorded sent() const { return server.requests().back(); }

    SystemClock clock;
    MemoryStore store{clock};
    ScriptedUpstream server;
    ToolConfig config{};
    Headers headers{};
    http::AddressRule rule{};
    Context context{};
    std::unique_ptr<Tool> tool{};
};

}  // namespace mt::test
