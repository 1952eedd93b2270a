// Errors and limits in OpenAI's words.

#include "api/openai_error.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "api/endpoints.h"
#include "api/json_text.h"

using namespace mt;
using namespace std::chrono_literals;
using api::Json;
using test::Reply;

namespace {

Reply reply_to(const Error& error) {
    return Reply(api::openai_error_reply(error, "r"));
}

Json error_of(const Error& error) {
    return reply_to(error).json()["error"];
}

}  // namespace

TEST_CASE("each kind of error has its status, type and code") {
    struct Row {
        Error error;
        int status;
        const char* type;
        Json code;
    };
    const std::vector<Row> rows{
        {{Code::unauthorized, "Invalid tenant"}, 401, "invalid_request_error", "invalid_api_key"},
        {{Code::rate_limited, "m", "requests"}, 429, "rate_limit_error", "rate_limit_exceeded"},
        {{Code::rate_limited, "m", "tokens"}, 429, "rate_limit_error", "rate_limit_exceeded"},
        {{Code::budget_spent, "m", "budget"}, 402, "insufficient_quota", "insufficient_quota"},
        {{Code::feature_required, "m", "basic-chat"}, 403, "invalid_request_error", "feature_required"},
        {{Code::not_found, "m", "model_not_found", {}, "model"}, 404, "invalid_request_error", "model_not_found"},
        {{Code::not_found, "m"}, 404, "invalid_request_error", nullptr},
        {{Code::invalid, "m"}, 400, "invalid_request_error", nullptr},
        {{Code::invalid, "m", "context_length_exceeded"}, 400, "invalid_request_error", "context_length_exceeded"},
        {{Code::unsupported_media, "m"}, 415, "invalid_request_error", nullptr},
        {{Code::upstream, "m"}, 502, "api_error", "upstream"},
        {{Code::timeout, "m"}, 504, "api_error", "timeout"},
        {{Code::unavailable, "m"}, 503, "api_error", "unavailable"},
        {{Code::internal, "m"}, 500, "api_error", "internal"},
    };
    for (const Row& row : rows) {
        CAPTURE(describe(row.error.code).name);
        const Reply reply = reply_to(row.error);
        CHECK(reply.status() == row.status);
        CHECK(reply.type() == "application/json");
        const Json error = reply.json()["error"];
        CHECK(error.size() == 4);
        CHECK(error["type"] == row.type);
        CHECK(error["code"] == row.code);
        CHECK(error["param"] == (row.error.param.empty() ? Json(nullptr) : Json(row.error.param)));
        CHECK(error["message"].is_string());
    }
}

TEST_CASE("a refused key gives no reason, and a fault of ours no detail") {
    const Reply reply = reply_to({Code::unauthorized, "the key mta_x of acme is revoked", "revoked"});
    CHECK(reply.json()["error"]["message"] == "Incorrect API key provided.");
    CHECK(reply.field("WWW-Authenticate") == "Bearer");
    CHECK(error_of({Code::internal, "secret"})["message"].dump().find("secret") == std::string::npos);
    CHECK(error_of({Code::failed, "secret"})["message"].dump().find("secret") == std::string::npos);
    CHECK(error_of({Code::upstream, "told \"so\"\n\xff"})["message"] == "told \"so\"\n\xEF\xBF\xBD");
}

TEST_CASE("clients are told whether and when to ask again") {
    struct Row {
        Error error;
        const char* seconds;
        const char* ms;
        const char* should;
    };
    const std::vector<Row> rows{
        {{Code::rate_limited, "m", "requests", 5400ms}, "6", "5400", ""},
        {{Code::rate_limited, "m", "requests", 100us}, "1", "1", ""},
        {{Code::rate_limited, "m", "requests", 60s}, "60", "60000", ""},
        {{Code::rate_limited, "m", "requests", 60001ms}, "61", "60001", "false"},
        {{Code::rate_limited, "m", "tokens"}, "", "", "false"},
        {{Code::rate_limited, "m", "concurrency"}, "1", "1000", "true"},
        {{Code::budget_spent, "m", "budget"}, "", "", "false"},
        {{Code::budget_spent, "m", "budget", 2s}, "2", "2000", "false"},
        {{Code::unavailable, "m"}, "1", "1000", ""},
        {{Code::upstream, "m", "", 3s}, "3", "3000", ""},
        {{Code::upstream, "m"}, "", "", ""},
        {{Code::invalid, "m"}, "", "", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(describe(row.error.code).name);
        CAPTURE(row.error.reason);
        const Reply reply = reply_to(row.error);
        CHECK(reply.field("retry-after") == row.seconds);
        CHECK(reply.field("retry-after-ms") == row.ms);
        CHECK(reply.field("x-should-retry") == row.should);
    }
}

TEST_CASE("a reset is written as OpenAI writes it, and rounded up") {
    CHECK(api::format_reset(0) == "0s");
    CHECK(api::format_reset(-5) == "0s");
    CHECK(api::format_reset(1) == "1ms");
    CHECK(api::format_reset(12'000'000) == "12ms");
    CHECK(api::format_reset(999'000'000) == "999ms");
    CHECK(api::format_reset(999'000'001) == "1s");
    CHECK(api::format_reset(6'000'000'000) == "6s");
    CHECK(api::format_reset(59'000'000'001) == "1m0s");
    CHECK(api::format_reset(90'000'000'000) == "1m30s");
    CHECK(api::format_reset(7'205'000'000'000) == "2h0m5s");
}

TEST_CASE("texts become JSON whatever they hold, and a cut character waits for its rest") {
    const auto whole = [](std::string_view text) {
        const std::string json = json_string(text);
        CAPTURE(json);
        return Json::parse(json).get<std::string>();
    };
    std::string all;
    for (int c = 0; c < 128; ++c) {
        all += static_cast<char>(c);
    }
    CHECK(whole(all) == all);
    const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";  // 1, 2, 3 and 4 bytes
    CHECK(whole(text) == text);
    const std::string bad = "\xEF\xBF\xBD";
    CHECK(whole("a\xff"
                "b") == "a" + bad + "b");
    CHECK(whole("\xC0\xAF") == bad + bad);                      // overlong
    CHECK(whole("\xED\xA0\x80") == bad + bad + bad);            // a surrogate
    CHECK(whole("\xF4\x90\x80\x80") == bad + bad + bad + bad);  // past U+10FFFF
    CHECK(whole("\xE2\x82"
                "x") == bad + "x");
    CHECK(whole("x\xE2\x82") == "x" + bad);
    for (std::size_t first = 0; first <= text.size(); ++first) {
        for (std::size_t second = first; second <= text.size(); ++second) {
            std::string out;
            CutCharacter cut;
            append_json_text(out, text.substr(0, first), cut);
            append_json_text(out, text.substr(first, second - first), cut);
            append_json_text(out, text.substr(second), cut);
            CHECK(out == text);
            CHECK(cut.empty());
        }
    }
}

TEST_CASE("members of an object in one line") {
    CHECK(api::json_members("{ \"a\" : 1,\n \"b\":[1, 2] }") == R"("a":1,"b":[1,2])");
    CHECK(api::json_members(R"({"a":1,"b":2,"c":3})", "a c") == R"("b":2)");
    CHECK(api::json_members("{}").empty());
    CHECK(api::json_members("[1]").empty());
    CHECK(api::json_members("{\"a\":").empty());
    CHECK(api::json_line("{ \"a\": null }") == R"({"a":null})");
    CHECK(api::json_line("nonsense") == "null");
}
