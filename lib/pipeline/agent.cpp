#include <utility>

#include "pipeline/stages.h"

namespace mt::stages {

Result<void> agent(Call& call, PipelineServices& /*services*/, const Next& /*next: innermost*/) {
    Result<Answer> answer = call.tenant->agent->ask(*call.question, call.sink, call.context);
    if (!answer) {
        return std::move(answer).error();
    }
    call.answer = *std::move(answer);
    return {};
}

}  // namespace mt::stages
