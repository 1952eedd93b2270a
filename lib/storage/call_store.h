#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "storage/store.h"

namespace mt {

/// The store of one tenant as ONE request uses it: a server that answers, but slowly, must not hold a request for the
/// sum of all its calls. Once the store has taken k_patience of the request's time, what begins something is refused:
/// get, list, list_back, bytes_used and a put without `if_version`. What ends something that a read has begun (a put
/// with `if_version`, erase, clear) is not, so that nothing is left half done. Stores without a server of their own are
/// never refused. Thread-safe.
///
/// Errors: unavailable with retry_after (refused), and what the store says.
class CallStore final : public Store {
  public:
    static constexpr std::chrono::milliseconds k_patience{1500};

    /// `store` and `clock` must outlive this.
    CallStore(Store& store, const Clock& clock);

    Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                             const PutOptions& options) override;
    Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) override;
    Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                      std::int64_t limit) override;
    Result<Page> list_back(std::string_view ns, std::string_view before, std::int64_t limit) override;
    Result<bool> erase(std::string_view ns, std::string_view key) override;
    Result<void> clear(std::string_view ns) override;
    Result<std::int64_t> bytes_used() override;
    void set_max_bytes(std::int64_t max_bytes) override;
    [[nodiscard]] bool is_remote() const override;

  private:
    [[nodiscard]] bool is_patient() const;
    template <class Work>
    auto measured(const Work& work);
    template <class Work>
    auto begin(const Work& work);

    Store& m_store;
    const Clock& m_clock;
    const bool m_remote;
    std::atomic<std::int64_t> m_spent_ns{0};
};

}  // namespace mt
