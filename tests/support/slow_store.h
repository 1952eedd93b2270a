#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "storage/store.h"
#include "support/fake_clock.h"

namespace mt::test {

/// A store behind a server that answers each call `late`: passes everything on, counts the calls and what they read,
/// and lets the fake clock go on. Used by one thread.
class SlowStore final : public Store {
  public:
    SlowStore(Store& store, FakeClock& clock) : m_store(store), m_clock(clock) {}

    Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                             const PutOptions& options) override {
        wait();
        return m_store.put(ns, key, value, options);
    }
    Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) override {
        wait();
        return m_store.get(ns, key);
    }
    Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                      std::int64_t limit) override {
        wait();
        return m_store.list(ns, prefix, cursor, limit);
    }
    Result<Page> list_back(std::string_view ns, std::string_view before, std::int64_t limit) override {
        wait();
        Result<Page> page = m_store.list_back(ns, before, limit);
        for (const Entry& entry : page->entries) {
            bytes_listed += std::ssize(entry.value);
        }
        return page;
    }
    Result<bool> erase(std::string_view ns, std::string_view key) override {
        wait();
        return m_store.erase(ns, key);
    }
    Result<void> clear(std::string_view ns) override {
        wait();
        return m_store.clear(ns);
    }
    Result<std::int64_t> bytes_used() override {
        wait();
        return m_store.bytes_used();
    }
    void set_max_bytes(std::int64_t max_bytes) override { m_store.set_max_bytes(max_bytes); }
    [[nodiscard]] bool is_remote() const override { return remote; }

    std::chrono::milliseconds late{0};
    bool remote = true;
    int calls = 0;
    std::int64_t bytes_listed = 0;

  private:
    void wait() {
        ++calls;
        m_clock.advance(late);
    }

    Store& m_store;
    FakeClock& m_clock;
};

}  // namespace mt::test
