#include "storage/store.h"

#include <fmt/core.h>

#include <array>

#include "base/text.h"
#include "storage/backends.h"

namespace mt {
namespace {

struct Backend {
    std::string_view type;
    Result<std::unique_ptr<Store>> (*open)(const StoreParams& params);
    Result<void> (*erase)(const StoreParams& params);
};

// What goes with the process, or with the tenant's own file.
Result<void> erase_nothing(const StoreParams& /*params*/) {
    return {};
}

constexpr std::array<Backend, 4> k_backends{{
    {"memory", open_memory_store, erase_nothing},
    {"sqlite", open_sqlite_store, erase_nothing},
    {"redis", open_redis_store, erase_redis_store},
    {"postgres", open_postgres_store, erase_postgres_store},
}};

const Backend* find_backend(std::string_view type) {
    for (const Backend& backend : k_backends) {
        if (backend.type == type) {
            return &backend;
        }
    }
    return nullptr;
}

Error unknown_type(std::string_view type) {
    std::vector<std::string_view> types;
    std::string known;
    for (const Backend& backend : k_backends) {
        types.push_back(backend.type);
        known += (known.empty() ? "" : ", ") + std::string(backend.type);
    }
    return Error{Code::config,
                 fmt::format("unknown storage type {}{}: use one of {}", quote(type), suggestion(type, types), known)};
}

}  // namespace

Result<std::unique_ptr<Store>> open_store(std::string_view type, const StoreParams& params) {
    const Backend* backend = find_backend(type);
    return backend == nullptr ? unknown_type(type) : backend->open(params);
}

Result<void> erase_store(std::string_view type, const StoreParams& params) {
    const Backend* backend = find_backend(type);
    return backend == nullptr ? unknown_type(type) : backend->erase(params);
}

}  // namespace mt
