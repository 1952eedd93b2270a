#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "agent/assembly.h"
#include "agent/model.h"

namespace mt::test {

/// Writes down what a model says, a line per event: "text It ", "call 0 id name", "arguments 0 {}", "finish stop"; of
/// another choice than the first with its number before, "1: text It ".
class EventLog final : public Sink {
  public:
    bool on_event(const ModelEvent& event) override {
        assembly.add(event);
        lines.push_back((event.choice == 0 ? "" : std::to_string(event.choice) + ": ") + line_of(event));
        more += event.more ? '+' : '.';
        return !on_line || on_line();
    }

    std::vector<std::string> lines{};
    std::string more{};  ///< for each event '+' when another one was announced, else '.'
    Assembly assembly{};
    std::function<bool()> on_line{};  ///< false stops the model

  private:
    static std::string line_of(const ModelEvent& event) {
        using Kind = ModelEvent::Kind;
        const std::string text(event.text);
        const std::string index = std::to_string(event.index);
        switch (event.kind) {
            case Kind::text:
                return "text " + text;
            case Kind::refusal:
                return "refusal " + text;
            case Kind::tool_call:
                return "call " + index + " " + std::string(event.id) + " " + std::string(event.name);
            case Kind::tool_arguments:
                return "arguments " + index + " " + text;
            case Kind::fields:
                return "fields " + text;
            case Kind::logprobs:
                return "logprobs " + text;
            case Kind::finish:
                return "finish " + text;
        }
        return "?";
    }
};

using Lines = std::vector<std::string>;

}  // namespace mt::test
