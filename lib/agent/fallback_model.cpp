#include "agent/fallback_model.h"

#include <utility>

#include "agent/telltale.h"

namespace mt {
namespace {

bool is_worth_a_fallback(const Error& error) {
    return error.code == Code::upstream || error.code == Code::timeout || error.code == Code::unavailable;
}

class FallbackModel final : public Model {
  public:
    FallbackModel(std::shared_ptr<Model> first, std::shared_ptr<Model> second, std::atomic<std::int64_t>* fallbacks)
        : m_first(std::move(first)), m_second(std::move(second)), m_fallbacks(fallbacks) {}

    Result<void> complete(const CompletionRequest& request, Sink& sink, Usage& usage, const Context& context) override {
        TellTale told(sink);
        Result<void> done = m_first->complete(request, told, usage, context);
        if (done || told.has_told() || context.cancelled() || !is_worth_a_fallback(done.error())) {
            return done;
        }
        if (m_fallbacks != nullptr) {
            m_fallbacks->fetch_add(1, std::memory_order_relaxed);
        }
        return m_second->complete(request, sink, usage, context);
    }

    [[nodiscard]] bool deterministic() const override { return m_first->deterministic() && m_second->deterministic(); }

  private:
    std::shared_ptr<Model> m_first;
    std::shared_ptr<Model> m_second;
    std::atomic<std::int64_t>* m_fallbacks;
};

}  // namespace

std::shared_ptr<Model> with_fallback(std::shared_ptr<Model> first, std::shared_ptr<Model> second,
                                     std::atomic<std::int64_t>* fallbacks) {
    return std::make_shared<FallbackModel>(std::move(first), std::move(second), fallbacks);
}

}  // namespace mt
