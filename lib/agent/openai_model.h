#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agent/model.h"
#include "agent/retry.h"
#include "base/circuit_breaker.h"
#include "base/clock.h"
#include "config/model_config.h"
#include "http/upstream.h"

namespace mt {

/// What calls of one upstream came to. Atomic, without locks.
struct UpstreamCounters {
    std::atomic<std::int64_t> ok{0};
    std::atomic<std::int64_t> failed{0};    ///< attempts
    std::atomic<std::int64_t> rejected{0};  ///< by the open breaker
    std::atomic<std::int64_t> retries{0};
    std::atomic<std::int64_t> fallbacks{0};  ///< another model was asked instead
    std::atomic<std::int64_t> first_tokens{0};
    std::atomic<std::int64_t> first_token_ns{0};  ///< sum, from the request to the first byte of its answer
};

struct OpenAiOptions {
    ModelConfig config;
    std::string api_key{};     ///< secret; empty: none is sent
    http::AddressRule rule{};  ///< where its server may be
    RetrySettings retry{};     ///< `retries` comes from the configuration
    BreakerSettings breaker{};
};

/// A model behind a server that speaks OpenAI's chat completions: OpenAI, vLLM, llama.cpp's server, Ollama. Streams
/// when somebody reads along, else asks for the whole answer. Attempts that fail before anything was told to the sink
/// are repeated (408, 409, 429, 5xx, broken connections), as long as the breaker of this server lets them; other
/// refusals of the server (400, 413, 422) are the caller's: invalid, with the server's words, `param`, and its code as
/// `reason`. upstream (502) has reason "breaker_open" when nobody was asked. Each attempt is a span of kind client in
/// the context's trace, which its server is told of. The key is in no message and no span. Thread-safe.
class OpenAiModel final : public Model {
  public:
    /// `clock` must outlive the model. Errors: config (base_url is no URL).
    static Result<std::shared_ptr<OpenAiModel>> make(const OpenAiOptions& options, const Clock& clock);
    ~OpenAiModel() override;

    Result<void> complete(const CompletionRequest& request, Sink& sink, Usage& usage, const Context& context) override;
    [[nodiscard]] bool deterministic() const override { return false; }

    [[nodiscard]] UpstreamCounters& counters();
    [[nodiscard]] CircuitBreaker::State breaker_state() const;

  private:
    struct State;
    struct Failure;
    struct Job;
    class Attempt;
    explicit OpenAiModel(std::unique_ptr<State> state);
    std::optional<Failure> attempt(Job& job, const CircuitBreaker::Pass& pass, int retry, Usage& usage);
    bool wait_for_retry(const Error& error, int retry, std::int64_t deadline_ns, const Context& context);

    std::unique_ptr<State> m_state;
};

}  // namespace mt
