#include "pipeline/stages.h"

namespace mt::stages {

Result<void> agent(Call& call, PipelineServices& /*services*/, const Next& /*next: innermost*/) {
    return call.tenant->agent->ask(*call.question, *call.sink, call.answer, call.context);
}

}  // namespace mt::stages
