#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"
#include "storage/store.h"

namespace mt {

/// What a tool of one tenant may use. References outlive the tool call.
struct ToolEnvironment {
    Store& store;  ///< of the calling tenant alone
    const Clock& clock;
};

/// A function that a model may call. Tools hold no state of a tenant: what they keep goes through the environment.
/// Thread-safe.
class Tool {
  public:
    Tool() = default;
    Tool(const Tool&) = delete;
    Tool& operator=(const Tool&) = delete;
    virtual ~Tool() = default;

    [[nodiscard]] virtual const ToolSpec& spec() const = 0;
    /// True when the result depends on the arguments alone, so that an answer built on it may be cached.
    [[nodiscard]] virtual bool pure() const = 0;
    /// Feature that the tenant's plan needs for it, or "".
    [[nodiscard]] virtual std::string_view feature() const = 0;

    /// Runs with arguments that already fit the schema. `arguments` is JSON text. The result is text for the model.
    /// Errors: invalid (what the arguments ask for cannot be done: goes back to the model as text), storage_full,
    /// unavailable and others (end the request).
    virtual Result<std::string> call(const std::string& arguments, const ToolEnvironment& environment,
                                     const Context& context) = 0;
};

/// calculator, current_time, remember, recall, analyze.
std::vector<std::unique_ptr<Tool>> make_builtin_tools();

/// All tools of the program, each once. Immutable after construction, thread-safe.
class ToolBox {
  public:
    /// Only the built-in ones.
    static ToolBox builtin();

    explicit ToolBox(std::vector<std::unique_ptr<Tool>> tools);

    /// nullptr when there is none of that name.
    [[nodiscard]] Tool* find(std::string_view name) const;
    [[nodiscard]] std::span<const std::unique_ptr<Tool>> tools() const { return m_tools; }

    /// Checks JSON text against the tool's schema. Errors: invalid, with what is wrong (not JSON, missing, wrong type,
    /// unknown field).
    [[nodiscard]] static Result<void> check_arguments(const Tool& tool, const std::string& arguments);

  private:
    std::vector<std::unique_ptr<Tool>> m_tools;
};

}  // namespace mt
