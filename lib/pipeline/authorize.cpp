#include <fmt/core.h>

#include "pipeline/stages.h"

namespace mt::stages {

Result<void> authorize(Call& call, PipelineServices& /*services*/, const Next& next) {
    constexpr std::string_view k_feature = "basic-chat";
    if (!call.tenant->config.has_feature(k_feature)) {
        return Error{Code::feature_required, fmt::format("the feature '{}' is not part of this plan", k_feature),
                     std::string(k_feature)};
    }
    return next(call);
}

}  // namespace mt::stages
