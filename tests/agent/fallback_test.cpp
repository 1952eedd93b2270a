#include "agent/fallback_model.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/event_log.h"
#include "agent/model_fixture.h"
#include "agent/scripted_model.h"

namespace {

using mt::Code;
using mt::Error;
using mt::Result;
using mt::test::chat_error;
using mt::test::chat_reply;
using mt::test::Lines;
using mt::test::ModelFixture;
using mt::test::ScriptedModel;
using mt::test::ScriptedStep;

// Says something of this kind, then fails.
class Babbler final : public mt::Model {
  public:
    explicit Babbler(mt::ModelEvent event) : m_event(event) {}
    Result<void> complete(const mt::CompletionRequest&, mt::Sink& sink, mt::Usage& usage, const mt::Context&) override {
        usage += mt::Usage{10, 1, false};
        sink.on_event(m_event);
        return Error{Code::upstream, "cut"};
    }
    [[nodiscard]] bool deterministic() const override { return true; }

  private:
    mt::ModelEvent m_event;
};

struct Pair {
    explicit Pair(std::shared_ptr<mt::Model> the_first) : first(std::move(the_first)) {}
    explicit Pair(const Error& error)
        : Pair(std::make_shared<ScriptedModel>(std::vector<ScriptedStep>{{.fault = error}})) {}

    Result<void> complete(const mt::Context& context = {}) {
        const std::shared_ptr<mt::Model> both = mt::with_fallback(first, second, &fallbacks);
        return both->complete({}, log, usage, context);
    }

    std::shared_ptr<mt::Model> first;
    std::shared_ptr<ScriptedModel> second =
        std::make_shared<ScriptedModel>(std::vector<ScriptedStep>{{.pieces = {"second"}}});
    std::atomic<std::int64_t> fallbacks{0};
    mt::test::EventLog log{};
    mt::Usage usage{};
};

}  // namespace

TEST_CASE("a model that answers needs no fallback") {
    Pair pair(std::make_shared<ScriptedModel>(std::vector<ScriptedStep>{{.pieces = {"first"}}}));
    CHECK(pair.complete());
    CHECK(pair.log.lines == Lines{"text first", "finish stop"});
    CHECK(pair.second->requests().empty());
    CHECK(pair.fallbacks == 0);
}

TEST_CASE("a model that fails before it says anything is replaced, and both are metered") {
    for (const Code code : {Code::upstream, Code::timeout, Code::unavailable}) {
        Pair pair(Error{code, "away"});
        CHECK(pair.complete());
        CHECK(pair.log.lines == Lines{"text second", "finish stop"});
        CHECK(pair.fallbacks == 1);
        CHECK(pair.usage.tokens_in == 20);
    }
}

TEST_CASE("a request that is at fault, and one that nobody waits for, are not tried elsewhere") {
    for (const Code code : {Code::invalid, Code::client_gone, Code::busy, Code::storage_full, Code::internal}) {
        Pair pair(Error{code, "no"});
        const Result<void> done = pair.complete();
        REQUIRE_FALSE(done);
        CHECK(done.error().code == code);
        CHECK(pair.second->requests().empty());
        CHECK(pair.fallbacks == 0);
    }
    Pair pair(Error{Code::upstream, "away"});
    std::stop_source source;
    source.request_stop();
    mt::Context context;
    context.stop = source.get_token();
    CHECK_FALSE(pair.complete(context));
    CHECK(pair.second->requests().empty());
}

TEST_CASE("from the first event on, of whatever kind, no other model may answer") {
    using Kind = mt::ModelEvent::Kind;
    for (const Kind kind : {Kind::text, Kind::refusal, Kind::tool_call, Kind::tool_arguments, Kind::fields,
                            Kind::logprobs, Kind::finish}) {
        Pair pair(std::make_shared<Babbler>(mt::ModelEvent{.kind = kind, .text = "x", .id = "a", .name = "f"}));
        const Result<void> done = pair.complete();
        REQUIRE_FALSE(done);
        CHECK(done.error().message == "cut");
        CHECK(pair.log.lines.size() == 1);
        CHECK(pair.second->requests().empty());
        CHECK(pair.usage.tokens_out == 1);
    }
}

TEST_CASE("when both fail the second's failure is told; nobody need count") {
    Pair pair(Error{Code::upstream, "first"});
    const auto second =
        std::make_shared<ScriptedModel>(std::vector<ScriptedStep>{{.fault = Error{Code::timeout, "second"}}});
    const Result<void> done = mt::with_fallback(pair.first, second, nullptr)->complete({}, pair.log, pair.usage, {});
    REQUIRE_FALSE(done);
    CHECK(done.error().message == "second");
}

TEST_CASE("a pair is as deterministic as both are") {
    const auto sure = std::make_shared<ScriptedModel>(std::vector<ScriptedStep>{{}});
    const auto free = std::make_shared<ScriptedModel>(std::vector<ScriptedStep>{{}});
    free->is_deterministic = false;
    CHECK(mt::with_fallback(sure, sure, nullptr)->deterministic());
    CHECK_FALSE(mt::with_fallback(sure, free, nullptr)->deterministic());
    CHECK_FALSE(mt::with_fallback(free, sure, nullptr)->deterministic());
}

TEST_CASE("servers: the second is asked when the first fails, is late, or is left alone") {
    ModelFixture first(chat_error(500));
    ModelFixture second(chat_reply("second"));
    first.options.config.retries = 0;
    first.options.breaker.failures = 1;
    first.build();
    const std::shared_ptr<mt::Model> both =
        mt::with_fallback(first.model, second.model, &first.model->counters().fallbacks);
    for (std::size_t asked = 1; asked <= 2; ++asked) {
        mt::test::EventLog log;
        mt::Usage usage;
        REQUIRE(both->complete(first.request, log, usage, {}));
        CHECK(log.lines == Lines{"text second", "finish stop"});
        CHECK(second.server.request_count() == asked);
    }
    CHECK(first.server.request_count() == 1);  // the second time its breaker was open
    CHECK(first.model->counters().fallbacks == 2);

    first.options.config.first_token_timeout_ms = 30;
    first.build();
    first.server.set_script([](const mt::test::Recorded&, mt::test::ScriptedReply& out) { out.keep_silent(); });
    mt::test::EventLog log;
    mt::Usage usage;
    CHECK(mt::with_fallback(first.model, second.model, nullptr)->complete(first.request, log, usage, {}));
    CHECK(second.server.request_count() == 3);
}

TEST_CASE("servers: a stream that was cut in its middle is not finished by another") {
    ModelFixture first(mt::test::cut_stream({"half an"}));
    ModelFixture second(mt::test::chat_stream({"answer"}));
    first.request.stream = true;
    mt::test::EventLog log;
    mt::Usage usage;
    CHECK_FALSE(mt::with_fallback(first.model, second.model, nullptr)->complete(first.request, log, usage, {}));
    CHECK(log.lines == Lines{"text half an"});
    CHECK(second.server.request_count() == 0);

    first.server.set_script(chat_error(400, "bad"));
    const Result<void> refused =
        mt::with_fallback(first.model, second.model, nullptr)->complete(first.request, log, usage, {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::invalid);
    CHECK(second.server.request_count() == 0);
}
