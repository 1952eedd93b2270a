#include "catalog/catalog.h"

#include <utility>

namespace mt {

Result<void> for_each_tenant(Catalog& catalog, const std::function<Result<void>(const TenantRecord&)>& visit) {
    constexpr std::int64_t k_page = 1000;
    std::string cursor;
    for (;;) {
        Result<std::vector<TenantRecord>> page = catalog.tenants(cursor, k_page);
        if (!page) {
            return std::move(page).error();
        }
        for (const TenantRecord& record : *page) {
            if (Result<void> visited = visit(record); !visited) {
                return visited;
            }
        }
        if (page->size() < static_cast<std::size_t>(k_page)) {
            return {};
        }
        cursor = page->back().id;
    }
}

}  // namespace mt
