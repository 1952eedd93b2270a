// OpenAI's surface: chat completions, and the list of models (https://platform.openai.com/docs/api-reference/chat).

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "agent/assembly.h"
#include "api/calls.h"
#include "api/chat_reply.h"
#include "api/chat_request.h"
#include "api/chat_stream.h"
#include "api/exchange.h"
#include "api/openai_error.h"

namespace mt::api {
namespace {

std::int64_t seconds_of(WallTime time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// The answer is sent when it is complete.
class Collector final : public Sink {
  public:
    bool on_event(const ModelEvent& event) override {
        m_assembly.add(event);
        return true;
    }
    [[nodiscard]] const std::vector<Choice>& choices() const { return m_assembly.choices(); }

  private:
    Assembly m_assembly{};
};

// A stranger's body is not read: it may be large.
Result<ChatRequest> read_request(Call& call, const Exchange& exchange) {
    if (Result<void> known = authenticate_only(call, exchange.services.pipeline); !known) {
        return std::move(known).error();
    }
    return read_chat_request(exchange.request);
}

void add_answer_fields(http::Response& reply, const Call& call) {
    reply.fields.emplace_back("X-Cache", call.cache == CacheUse::hit ? "HIT" : "MISS");
    add_call_fields(reply, call, false);
    if (call.limit) {
        add_openai_limit_fields(reply, *call.limit);
    }
}

http::Response stream_head(Call& call, const Clock& clock) {
    call.duration_ns = clock.boot_ns() - call.started_ns;  // so far: the answer has only begun
    http::Response head;
    head.content_type = "text/event-stream";
    head.fields = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    add_answer_fields(head, call);
    return head;
}

// The usage of an answer from the cache is what it took to make it; X-Cache says that it was not charged again.
http::Response complete_reply(const Call& call, const CompletionName& name, const std::vector<Choice>& choices) {
    http::Response reply;
    reply.content_type = "application/json";
    reply.fields.emplace_back("Cache-Control", "no-store");
    add_answer_fields(reply, call);
    reply.body = completion_json(name, call.answer.model, choices, call.answer.usage);
    return reply;
}

http::Response refusal(const Call& call, const Error& error) {
    http::Response reply = openai_error_reply(error, call.context.request_id);
    add_call_fields(reply, call, error.code == Code::unauthorized);
    if (call.limit) {
        add_openai_limit_fields(reply, *call.limit);
    }
    return reply;
}

Json model_json(const Tenant& tenant, std::string_view id, const NamedModel& model) {
    return {
        {"id", id}, {"object", "model"}, {"created", seconds_of(tenant.record.created)}, {"owned_by", model.owned_by}};
}

http::Response compact(const Json& body) {
    http::Response reply;
    reply.content_type = "application/json";
    reply.fields.emplace_back("Cache-Control", "no-store");
    reply.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    return reply;
}

}  // namespace

Result<http::Response> chat_completions(Exchange& exchange) {
    Services& services = exchange.services;
    Collector collector;
    Call call(collector);
    fill_call(call, exchange, exchange.route.tenant());
    Result<ChatRequest> request = read_request(call, exchange);
    const CompletionName name{"chatcmpl-" + exchange.request_id, seconds_of(services.clock.wall())};
    ChatStream stream(
        {name, request && request->include_usage}, call.answer.model,
        [&]() -> http::StreamWriter& { return exchange.start_stream(stream_head(call, services.clock)); },
        services.clock);
    const bool streaming = request && request->question.stream;
    if (streaming) {
        call.sink = &stream;
        call.context.idle = &stream;
    }
    call.question = request ? Result<Question>(std::move(request->question)) : Result<Question>(request.error());
    const Result<void> outcome = run_pipeline(call, services.pipeline);
    if (call.parked()) {
        return http::Response{};
    }
    if (!outcome && !stream.started()) {
        return refusal(call, outcome.error());
    }
    if (!streaming) {
        return complete_reply(call, name, collector.choices());
    }
    // All is counted by now: whoever reads the last byte finds it in the numbers.
    if (outcome) {
        stream.finish(call.answer.usage);
    } else {
        stream.fail(outcome.error());
    }
    return http::Response{};
}

Result<http::Response> models(Exchange& exchange) {
    const Result<std::shared_ptr<const Tenant>> tenant = own_tenant(exchange, exchange.route.tenant());
    if (!tenant) {
        return tenant.error();
    }
    const std::vector<NamedModel>& known = (*tenant)->agent->models();
    Json list = Json::array({model_json(**tenant, "default", known.front())});
    for (const NamedModel& model : known) {
        if (model.name != "default") {
            list.push_back(model_json(**tenant, model.name, model));
        }
    }
    return compact({{"object", "list"}, {"data", std::move(list)}});
}

Result<http::Response> model(Exchange& exchange) {
    const Result<std::shared_ptr<const Tenant>> tenant = own_tenant(exchange, exchange.route.tenant());
    if (!tenant) {
        return tenant.error();
    }
    const std::string& id = exchange.route.arguments.back();
    const Result<const NamedModel*> found = (*tenant)->agent->find_model(id.empty() ? " " : id);
    return found ? Result<http::Response>(compact(model_json(**tenant, id, **found)))
                 : Result<http::Response>(found.error());
}

}  // namespace mt::api
