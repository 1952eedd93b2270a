#include "agent/openai_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <random>
#include <utility>

#include "agent/excerpt.h"
#include "agent/openai_refusal.h"
#include "agent/openai_reply.h"
#include "agent/openai_request.h"
#include "agent/telltale.h"
#include "agent/upstream_span.h"
#include "base/text.h"
#include "base/waiting.h"
#include "http/event_stream.h"

namespace mt {
namespace {

constexpr std::size_t k_largest_reply = 16UL * 1024 * 1024;  // bytes of a reply that is not streamed
constexpr std::size_t k_largest_fault = 64UL * 1024;

std::int64_t nanoseconds(std::int64_t milliseconds) {
    return milliseconds * 1'000'000;
}

double random_share() {
    thread_local std::minstd_rand generator{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(generator);
}

// "api.openai.com" wants another name for the bound of an answer than everybody else.
bool wants_completion_bound(const http::Url& url) {
    return url.host.ends_with(".openai.com") || url.host.ends_with(".azure.com");
}

Error gone() {
    return Error{Code::client_gone, "the client left before the answer was complete"};
}

}  // namespace

// A failure, and whether another attempt may mend it.
struct OpenAiModel::Failure {
    Error error;
    bool again = false;
    CircuitBreaker::Outcome outcome = CircuitBreaker::Outcome::failure;
};

struct OpenAiModel::State {
    State(const OpenAiOptions& the_options, const http::Url& the_url, const Clock& the_clock)
        : options(the_options),
          clock(the_clock),
          url(the_url),
          target(url.path + (url.path.ends_with('/') ? "" : "/") + "chat/completions"),
          dialect{the_options.config.model.empty() ? the_options.config.name : the_options.config.model,
                  wants_completion_bound(url)},
          upstream(url, upstream_options(the_options)),
          breaker(the_options.breaker) {
        fields = {{"Content-Type", "application/json"}, {"Accept", "application/json, text/event-stream"}};
        if (!options.api_key.empty()) {
            fields.emplace_back("Authorization", "Bearer " + options.api_key);
        }
        options.retry.retries = static_cast<int>(options.config.retries);
    }

    static http::UpstreamOptions upstream_options(const OpenAiOptions& options) {
        http::UpstreamOptions upstream;
        upstream.connect_timeout = std::chrono::milliseconds{options.config.connect_timeout_ms};
        upstream.rule = options.rule;
        return upstream;
    }

    // Servers like to repeat what they were sent.
    [[nodiscard]] Error without_key(Error error) const {
        for (std::string* text : {&error.message, &error.reason, &error.param, &error.detail}) {
            *text = without_secret(std::move(*text), options.api_key);
        }
        return error;
    }

    OpenAiOptions options;
    const Clock& clock;
    http::Url url;
    std::string target;
    ChatDialect dialect;
    http::Fields fields;
    http::Upstream upstream;
    CircuitBreaker breaker;
    UpstreamCounters counters;
};

// What all attempts of one completion share.
struct OpenAiModel::Job {
    const CompletionRequest& request;
    std::string body;
    TellTale sink;
    const Context& context;
    std::int64_t deadline_ns;
};

// One request to the server and its answer. Its life is the attempt's time in the trace.
class OpenAiModel::Attempt {
  public:
    Attempt(State& state, Job& job, const CircuitBreaker::Pass& pass, int retry)
        : m_state(state),
          m_context(job.context),
          m_deadline_ns(job.deadline_ns),
          m_pass(pass),
          m_span(job.context, {state.dialect.model, state.url, job.request.max_tokens, retry}, job.sink),
          m_reader(m_span) {}

    Result<void> run(const std::string& body, bool stream) {
        Result<void> done = exchange(body, stream);
        m_span.end(done, m_reader.usage());
        return done;
    }

    [[nodiscard]] const Failure& failure() const { return m_failure; }

    /// The server has taken the request: it works.
    [[nodiscard]] bool is_taken() const { return m_taken; }

    /// What the server says was used, else an estimate, once it has taken the request. What it says before the end of
    /// its answer is not the last word.
    [[nodiscard]] Usage usage(const CompletionRequest& request, bool complete) const {
        const Usage estimate{estimate_tokens(request), m_reader.estimated_tokens_out(), true};
        if (!m_taken || !m_reader.usage()) {
            return m_taken ? estimate : Usage{};
        }
        Usage told = *m_reader.usage();
        if (!complete && told.tokens_out < estimate.tokens_out) {
            told.tokens_out = estimate.tokens_out;
            told.estimated = true;
        }
        return told;
    }

  private:
    Result<void> exchange(const std::string& body, bool stream) {
        m_started_ns = m_state.clock.boot_ns();
        const std::int64_t first_ns =
            std::min(m_deadline_ns, m_started_ns + nanoseconds(m_state.options.config.first_token_timeout_ms));
        http::Fields fields = m_state.fields;
        add_trace_fields(fields, m_context);
        Result<http::UpstreamReply> reply =
            m_state.upstream.send({"POST", m_state.target, std::move(fields), body}, m_context, first_ns);
        if (!reply) {
            return fail_transport(reply.error());
        }
        m_span.set_status(reply->status());
        if (reply->status() != 200) {
            return fail_status(*reply);
        }
        m_taken = true;
        if (m_pass.probe) {  // others are not to wait for the end of this answer
            m_state.breaker.record(m_pass, CircuitBreaker::Outcome::success, m_state.clock.boot_ns());
        }
        const bool is_stream = reply->field("Content-Type").value_or("").starts_with("text/event-stream");
        return stream && is_stream ? read_stream(*reply, first_ns) : read_whole(*reply, first_ns);
    }

    // A server that has sent its head must go on, too.
    Result<void> read_whole(http::UpstreamReply& reply, std::int64_t first_ns) {
        std::int64_t until_ns = first_ns;
        std::string body;
        while (true) {
            const Result<std::string_view> piece = reply.read(m_context, until_ns);
            if (!piece) {
                return fail_transport(piece.error());
            }
            if (piece->empty()) {
                m_span.see(body);
                return judge(m_reader.read_reply(body));
            }
            note_first_token();
            until_ns = next_piece_ns();
            body += *piece;
            if (body.size() > k_largest_reply) {
                return fail_transport({Code::upstream, "the reply is too large"});
            }
        }
    }

    [[nodiscard]] std::int64_t next_piece_ns() const {
        return std::min(m_deadline_ns, m_state.clock.boot_ns() + nanoseconds(m_state.options.config.idle_timeout_ms));
    }

    // The bound goes on from the first piece on: from then on it is the time between two pieces.
    Result<void> read_stream(http::UpstreamReply& reply, std::int64_t first_ns) {
        http::EventStream events;
        std::int64_t until_ns = first_ns;
        while (!m_reader.is_done()) {
            Result<std::string_view> piece = reply.read(m_context, until_ns);
            if (!piece) {
                return fail_transport(piece.error());
            }
            if (piece->empty()) {
                break;
            }
            events.feed(*piece);
            if (Result<void> read = read_events(events); !read) {
                return judge(read);
            }
            if (m_first_token) {
                until_ns = next_piece_ns();
            }
        }
        Result<void> ended = judge(m_reader.end());
        if (ended) {
            drain(reply);
        }
        return ended;
    }

    Result<void> read_events(http::EventStream& events) {
        while (true) {
            Result<std::optional<std::string_view>> event = events.next();
            if (!event) {
                return event.error();
            }
            if (!*event || m_reader.is_done()) {
                return {};
            }
            note_first_token();
            m_span.see(**event);
            if (Result<void> read = m_reader.read_event(**event, events.more()); !read) {
                return read;
            }
        }
    }

    // The last chunk comes with "[DONE]" or right behind it; without it the connection cannot be used again.
    void drain(http::UpstreamReply& reply) const {
        constexpr std::int64_t k_patience_ns = 50'000'000;
        const std::int64_t until_ns = std::min(m_deadline_ns, m_state.clock.boot_ns() + k_patience_ns);
        const Result<std::string> rest = reply.read_all(m_context, until_ns, k_largest_fault);
        static_cast<void>(rest);  // then the connection closes
    }

    void note_first_token() {
        if (!std::exchange(m_first_token, true)) {
            m_state.counters.first_tokens.fetch_add(1, std::memory_order_relaxed);
            m_state.counters.first_token_ns.fetch_add(m_state.clock.boot_ns() - m_started_ns,
                                                      std::memory_order_relaxed);
        }
    }

    // Where a server is and what it says of itself is the operator's business.
    Result<void> fail_transport(const Error& error) {
        const bool ours = error.code == Code::client_gone || error.code == Code::busy || error.code == Code::invalid;
        const bool connecting = error.reason == "connect" || error.reason == "address";
        m_failure.error = error;
        // The whole time is over once an answer has begun: its reader may have been the slow one.
        const bool slow = error.code == Code::timeout && m_first_token && m_state.clock.boot_ns() >= m_deadline_ns;
        m_failure.outcome = ours || slow ? CircuitBreaker::Outcome::unknown : CircuitBreaker::Outcome::failure;
        m_failure.again = error.code == Code::unavailable || error.code == Code::upstream ||
                          (error.code == Code::timeout && error.reason == "connect");
        if (ours) {
            return m_failure.error;
        }
        const std::string name = quote(m_state.options.config.name);
        m_failure.error.detail = m_state.without_key(error).message;
        m_failure.error.message = error.code == Code::timeout
                                      ? fmt::format("the server of model {} did not answer in time", name)
                                  : connecting ? fmt::format("the server of model {} cannot be reached", name)
                                               : fmt::format("the server of model {} broke off", name);
        if (error.code != Code::timeout) {
            m_failure.error.code = Code::upstream;  // 502: this service itself is there
        }
        return m_failure.error;
    }

    // What the reader has found: a fault of the server, or of its answer.
    Result<void> judge(Result<void> read) {
        if (!read) {
            m_failure.error = m_state.without_key(read.error());
            const bool gone = read.error().code == Code::client_gone;
            m_failure.outcome = gone ? CircuitBreaker::Outcome::unknown : CircuitBreaker::Outcome::failure;
            m_failure.again = !gone;
            return m_failure.error;
        }
        return read;
    }

    Result<void> fail_status(http::UpstreamReply& reply) {
        const int status = reply.status();
        const std::int64_t until_ns =
            std::min(m_deadline_ns, m_state.clock.boot_ns() + nanoseconds(m_state.options.config.idle_timeout_ms));
        const Result<std::string> body = reply.read_all(m_context, until_ns, k_largest_fault);
        const ServerFault fault = body ? read_fault(*body) : ServerFault{};
        const std::optional<std::chrono::nanoseconds> wait = parse_retry_after(
            reply.field("Retry-After").value_or(""), reply.field("Retry-After-Ms").value_or(""), m_state.clock.wall());
        const std::string_view wish = reply.field("X-Should-Retry").value_or("");
        m_failure.again =
            wish == "true" || (wish != "false" && is_worth_retrying(status) && fault.code != "insufficient_quota");
        m_failure.outcome =
            status >= 500 || status == 408 ? CircuitBreaker::Outcome::failure : CircuitBreaker::Outcome::success;
        m_failure.error = m_state.without_key(refusal_of(m_state.options.config.name, status, fault, wait));
        return m_failure.error;
    }

    State& m_state;
    const Context& m_context;
    std::int64_t m_deadline_ns;
    CircuitBreaker::Pass m_pass;
    ChatSpan m_span;
    ReplyReader m_reader;
    Failure m_failure{};
    std::int64_t m_started_ns = 0;
    bool m_taken = false;
    bool m_first_token = false;
};

OpenAiModel::OpenAiModel(std::unique_ptr<State> state) : m_state(std::move(state)) {}

OpenAiModel::~OpenAiModel() = default;

Result<std::shared_ptr<OpenAiModel>> OpenAiModel::make(const OpenAiOptions& options, const Clock& clock) {
    const Result<http::Url> url = http::parse_url(options.config.base_url);
    if (!url) {
        return Error{Code::config,
                     fmt::format("model {}: base_url: {}", quote(options.config.name), url.error().message)};
    }
    return std::shared_ptr<OpenAiModel>(new OpenAiModel(std::make_unique<State>(options, *url, clock)));
}

Result<void> OpenAiModel::complete(const CompletionRequest& request, Sink& sink, Usage& usage, const Context& context) {
    State& state = *m_state;
    Job job{request, write_chat_request(request, state.dialect), TellTale(sink), context,
            std::min(context.deadline_ns, state.clock.boot_ns() + nanoseconds(state.options.config.timeout_ms))};
    for (int retry = 0;; ++retry) {
        const CircuitBreaker::Pass pass = state.breaker.admit(state.clock.boot_ns());
        if (pass.wait_ns > 0) {
            state.counters.rejected.fetch_add(1, std::memory_order_relaxed);
            return Error{Code::upstream,
                         fmt::format("the server of model {} fails: it is left alone for a while",
                                     quote(state.options.config.name)),
                         "breaker_open", std::chrono::nanoseconds{pass.wait_ns}};
        }
        const std::optional<Failure> failure = attempt(job, pass, retry, usage);
        if (!failure) {
            return {};
        }
        const bool again = failure->again && !job.sink.has_told() && retry < state.options.retry.retries;
        if (!again || !wait_for_retry(failure->error, retry, job.deadline_ns, context)) {
            return context.cancelled() ? gone() : failure->error;
        }
        state.counters.retries.fetch_add(1, std::memory_order_relaxed);
    }
}

// Nothing when it has answered.
std::optional<OpenAiModel::Failure> OpenAiModel::attempt(Job& job, const CircuitBreaker::Pass& pass, int retry,
                                                         Usage& usage) {
    State& state = *m_state;
    Attempt attempt(state, job, pass, retry);
    const Result<void> done = attempt.run(job.body, job.request.stream);
    usage += attempt.usage(job.request, done.has_value());
    const bool is_recorded = pass.probe && attempt.is_taken();
    state.breaker.record(is_recorded ? CircuitBreaker::Pass{} : pass,
                         done ? CircuitBreaker::Outcome::success : attempt.failure().outcome, state.clock.boot_ns());
    if (done) {
        state.counters.ok.fetch_add(1, std::memory_order_relaxed);
        return std::nullopt;
    }
    if (attempt.failure().outcome != CircuitBreaker::Outcome::unknown) {
        state.counters.failed.fetch_add(1, std::memory_order_relaxed);
    }
    return attempt.failure();
}

// False: it would take too long, or the client left meanwhile.
bool OpenAiModel::wait_for_retry(const Error& error, int retry, std::int64_t deadline_ns, const Context& context) {
    const RetrySettings& settings = m_state->options.retry;
    const std::chrono::nanoseconds wait =
        std::max(backoff(settings, retry, random_share()), error.retry_after.value_or(std::chrono::nanoseconds{0}));
    const std::int64_t until_ns = m_state->clock.boot_ns() + wait.count();
    return wait <= settings.patience && until_ns < deadline_ns &&
           wait_until(until_ns, m_state->clock, context).has_value();
}

UpstreamCounters& OpenAiModel::counters() {
    return m_state->counters;
}

CircuitBreaker::State OpenAiModel::breaker_state() const {
    return m_state->breaker.state();
}

}  // namespace mt
