#include "agent/answer_codec.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using mt::Answer;
using mt::decode_answer;
using mt::encode_answer;

Answer rich() {
    Answer answer;
    answer.model = "m:1";
    answer.usage = {12, std::numeric_limits<std::int64_t>::max(), true};
    answer.choice.text = std::string("a\0b:7:\n\xff", 8);
    answer.choice.refusal = "no";
    answer.choice.finish_reason = "tool_calls";
    answer.choice.tool_calls = {{"a", "add", "{\"x\":1}"}, {"", "", ""}};
    answer.tools_used = {"calculator", "", "3:abc"};
    return answer;
}

}  // namespace

TEST_CASE("an answer comes back as it was, and may be kept again") {
    for (const Answer& answer : {rich(), Answer{}}) {
        const std::optional<Answer> back = decode_answer(encode_answer(answer));
        REQUIRE(back);
        CHECK(back->model == answer.model);
        CHECK(back->usage.tokens_in == answer.usage.tokens_in);
        CHECK(back->usage.tokens_out == answer.usage.tokens_out);
        CHECK(back->usage.estimated == answer.usage.estimated);
        CHECK(back->choice.text == answer.choice.text);
        CHECK(back->choice.refusal == answer.choice.refusal);
        CHECK(back->choice.finish_reason == answer.choice.finish_reason);
        CHECK(back->choice.tool_calls == answer.choice.tool_calls);
        CHECK(back->tools_used == answer.tools_used);
        CHECK(back->pure);
        CHECK(back->cacheable);
        CHECK(encode_answer(*back) == encode_answer(answer));
    }
}

TEST_CASE("what is cut or longer than it was is no answer") {
    for (const Answer& answer : {rich(), Answer{}}) {
        const std::string kept = encode_answer(answer);
        for (std::size_t size = 0; size < kept.size(); ++size) {
            CAPTURE(size);
            CHECK_FALSE(decode_answer(std::string_view(kept).substr(0, size)));
        }
        CHECK_FALSE(decode_answer(kept + "1:x"));
        CHECK_FALSE(decode_answer(kept + ":"));
    }
}

TEST_CASE("texts that nobody has encoded are no answers") {
    for (const char* text : {"x", ":", "-1:", "5:abc", "99999999999999999999:a", "1:a1:x1:11:00:0:0:1:0",
                             "0:1:01:01:00:0:0:20:9000000000000000000"}) {
        CAPTURE(text);
        CHECK_FALSE(decode_answer(text));
    }
    CHECK(decode_answer("0:1:01:01:00:0:0:1:01:0"));
}

TEST_CASE("a byte that changes gives no answer, or one that is no longer than what was kept") {
    const std::string kept = encode_answer(rich());
    int refused = 0;
    for (std::size_t at = 0; at < kept.size(); ++at) {
        for (const char c : {'0', '9', ':', '-', 'x'}) {
            std::string changed = kept;
            changed[at] = c;
            const std::optional<Answer> back = decode_answer(changed);
            refused += back ? 0 : 1;
            CHECK((!back || encode_answer(*back).size() <= kept.size()));
        }
    }
    CHECK(refused > 100);
}
