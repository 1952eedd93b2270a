#include "storage/call_store.h"

#include <fmt/core.h>

namespace mt {
namespace {

Error too_slow(std::int64_t spent_ns) {
    return Error{.code = Code::unavailable,
                 .message = "a server that this needs is too slow for now: try again",
                 .retry_after = std::chrono::seconds{1},
                 .detail = fmt::format("the tenant's store has taken {} ms of this request", spent_ns / 1'000'000)};
}

}  // namespace

CallStore::CallStore(Store& store, const Clock& clock) : m_store(store), m_clock(clock), m_remote(store.is_remote()) {}

bool CallStore::is_patient() const {
    return m_spent_ns.load(std::memory_order_relaxed) < std::chrono::nanoseconds{k_patience}.count();
}

template <class Work>
auto CallStore::measured(const Work& work) {
    const std::int64_t start_ns = m_remote ? m_clock.boot_ns() : 0;
    auto result = work();
    if (m_remote) {
        m_spent_ns.fetch_add(m_clock.boot_ns() - start_ns, std::memory_order_relaxed);
    }
    return result;
}

template <class Work>
auto CallStore::begin(const Work& work) {
    return is_patient() ? measured(work) : decltype(work())(too_slow(m_spent_ns.load(std::memory_order_relaxed)));
}

Result<std::int64_t> CallStore::put(std::string_view ns, std::string_view key, std::string_view value,
                                    const PutOptions& options) {
    const auto work = [&] { return m_store.put(ns, key, value, options); };
    return options.if_version ? measured(work) : begin(work);
}

Result<std::optional<Entry>> CallStore::get(std::string_view ns, std::string_view key) {
    return begin([&] { return m_store.get(ns, key); });
}

Result<Page> CallStore::list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                             std::int64_t limit) {
    return begin([&] { return m_store.list(ns, prefix, cursor, limit); });
}

Result<Page> CallStore::list_back(std::string_view ns, std::string_view before, std::int64_t limit) {
    return begin([&] { return m_store.list_back(ns, before, limit); });
}

Result<bool> CallStore::erase(std::string_view ns, std::string_view key) {
    return measured([&] { return m_store.erase(ns, key); });
}

Result<void> CallStore::clear(std::string_view ns) {
    return measured([&] { return m_store.clear(ns); });
}

Result<std::int64_t> CallStore::bytes_used() {
    return begin([&] { return m_store.bytes_used(); });
}

void CallStore::set_max_bytes(std::int64_t max_bytes) {
    m_store.set_max_bytes(max_bytes);
}

bool CallStore::is_remote() const {
    return m_remote;
}

}  // namespace mt
