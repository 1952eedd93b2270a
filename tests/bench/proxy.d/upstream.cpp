#include "upstream.h"

#include <time.h>

#include <charconv>
#include <string>
#include <utility>

#include "base/blocking.h"

namespace mt::bench {

namespace {

constexpr std::size_t k_body_size = 1024;
/// Before the time in a piece of text. Nothing in it is written differently by another JSON writer.
constexpr std::string_view k_mark = "sent at ";

std::string completion() {
    const std::string before =
        R"({"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","choices":[)"
        R"({"index":0,"message":{"role":"assistant","content":")";
    const std::string after = R"(","refusal":null},"finish_reason":"stop","logprobs":null}],)"
                              R"("usage":{"prompt_tokens":250,"completion_tokens":150,"total_tokens":400}})";
    constexpr std::string_view k_words = "The quick brown fox jumps over the lazy dog. ";
    std::string text;
    while (before.size() + text.size() + after.size() < k_body_size) {
        text += k_words[text.size() % k_words.size()];
    }
    return before + text + after;
}

std::string chunk(std::string_view delta, std::string_view finish_reason) {
    return std::string(R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,)") +
           R"("model":"bench","choices":[{"index":0,"delta":)" + std::string(delta) + R"(,"finish_reason":)" +
           std::string(finish_reason) + "}]}\n\n";
}

std::string stamped_chunk() {
    const std::string text = std::string(k_mark) + std::to_string(stamp_now().count()) + ". ";
    return chunk(R"({"content":")" + text + "\"}", "null");
}

void pause(std::chrono::microseconds length) {
    const Result<BlockingRegion> region = BlockingRegion::enter();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(length);
    const timespec time{seconds.count(), std::chrono::nanoseconds(length - seconds).count()};
    nanosleep(&time, nullptr);
}

void stream(const UpstreamScript& script, http::Responder& to) {
    http::StreamWriter& out = to.start_stream({200, "text/event-stream", {{"Cache-Control", "no-cache"}}, {}});
    bool there = out.write(chunk(R"({"role":"assistant","content":""})", "null"));
    for (int i = 0; there && i < script.deltas; ++i) {
        pause(script.interval);
        there = out.write(stamped_chunk());
    }
    there = there && out.write(chunk("{}", R"("stop")")) &&
            out.write(
                "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                "\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":250,\"completion_tokens\":150,"
                "\"total_tokens\":400}}\n\n") &&
            out.write("data: [DONE]\n\n");
    if (there) {
        out.finish();
    }
}

}  // namespace

http::Handler model_server(const UpstreamScript& script) {
    return [script, reply = http::Response{200, "application/json", {}, completion()}](const http::Request& request,
                                                                                       http::Responder& to) {
        if (request.body.find(k_stream_field.substr(0, k_stream_field.size() - 1)) != std::string::npos) {
            stream(script, to);
        } else {
            to.send(reply);
        }
    };
}

std::chrono::nanoseconds stamp_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Result<std::optional<std::chrono::nanoseconds>> read_stamp(std::string_view event) {
    if (event.find(R"("error":)") != std::string_view::npos) {
        return Error{Code::upstream, "the stream failed: " + std::string(event)};
    }
    const std::size_t at = event.find(k_mark);
    if (at == std::string_view::npos) {
        return std::optional<std::chrono::nanoseconds>{};
    }
    std::int64_t ns = 0;
    const std::string_view digits = event.substr(at + k_mark.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), ns);
    return std::optional(std::chrono::nanoseconds(ns));
}

}  // namespace mt::bench
