#include <fmt/core.h>

#include "base/text.h"
#include "pipeline/stages.h"

namespace mt {
namespace {

constexpr std::size_t k_longest_question = 256UL * 1024;

}  // namespace

Result<void> check_question(const Question& question) {
    if (question.chat) {
        return {};  // the wire has bounds of its own, and the reader of a chat has checked its texts
    }
    if (trim(question.text).empty()) {
        return Error{Code::invalid, "the question is empty: send text as ?q=TEXT or as the body of a POST"};
    }
    if (!is_utf8(question.text) || question.text.find('\0') != std::string::npos) {
        return Error{Code::invalid, "the question is not UTF-8 text"};
    }
    if (question.text.size() > k_longest_question) {
        return Error{Code::too_large, fmt::format("the question has {} bytes, at most {} are taken",
                                                  question.text.size(), k_longest_question)};
    }
    return question.session.empty() ? Result<void>{} : Sessions::check_id(question.session);
}

namespace stages {

Result<void> validate(Call& call, PipelineServices& /*services*/, const Next& next) {
    if (!call.question) {
        return call.question.error();
    }
    if (Result<void> checked = check_question(*call.question); !checked) {
        return checked;
    }
    const Result<const NamedModel*> model = call.tenant->agent->find_model(call.question->model);
    return model ? next(call) : Result<void>{model.error()};
}

}  // namespace stages
}  // namespace mt
