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
};

constexpr std::array<Backend, 2> k_backends{{{"memory", open_memory_store}, {"sqlite", open_sqlite_store}}};

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
    for (const Backend& backend : k_backends) {
        if (backend.type == type) {
            return backend.open(params);
        }
    }
    return unknown_type(type);
}

Result<void> erase_store(std::string_view /*type*/, const StoreParams& /*params*/) {
    return {};
}

}  // namespace mt
