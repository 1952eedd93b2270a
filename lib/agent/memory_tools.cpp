#include <fmt/core.h>

#include "agent/arguments.h"
#include "agent/builtin_tools.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::string_view k_memory = "memory";
constexpr std::size_t k_longest_key = 128;
constexpr std::int64_t k_listed = 200;

Result<std::string> memory_key(const std::string& arguments) {
    std::string key = to_lower(trim(text_argument(arguments, "key")));
    if (key.size() > k_longest_key) {
        return Error{Code::invalid, fmt::format("the key {} is longer than {} bytes", quote(key), k_longest_key)};
    }
    return key;
}

class RememberTool final : public Tool {
  public:
    [[nodiscard]] const ToolSpec& spec() const override { return m_spec; }
    [[nodiscard]] bool pure() const override { return false; }
    [[nodiscard]] std::string_view feature() const override { return ""; }

    Result<std::string> call(const std::string& arguments, const ToolEnvironment& environment,
                             const Context& /*context*/) override {
        const Result<std::string> key = memory_key(arguments);
        if (!key) {
            return key.error();
        }
        if (key->empty()) {
            return Error{Code::invalid, "the key is empty: name what is to be remembered"};
        }
        const std::string value = text_argument(arguments, "value");
        const Result<std::int64_t> kept = environment.store.put(k_memory, *key, value);
        if (!kept) {
            return kept.error();
        }
        return fmt::format("remembered {} = {}", *key, value);
    }

  private:
    ToolSpec m_spec{"remember",
                    "Keeps a text under a key, for later conversations too. A value under the same key is replaced.",
                    R"({"type":"object","properties":{)"
                    R"("key":{"type":"string","description":"a short name, for example color"},)"
                    R"("value":{"type":"string"}},"required":["key","value"],"additionalProperties":false})"};
};

class RecallTool final : public Tool {
  public:
    [[nodiscard]] const ToolSpec& spec() const override { return m_spec; }
    [[nodiscard]] bool pure() const override { return false; }
    [[nodiscard]] std::string_view feature() const override { return ""; }

    Result<std::string> call(const std::string& arguments, const ToolEnvironment& environment,
                             const Context& /*context*/) override {
        const Result<std::string> key = memory_key(arguments);
        if (!key) {
            return key.error();
        }
        return key->empty() ? list_all(environment.store) : look_up(environment.store, *key);
    }

  private:
    static Result<std::string> look_up(Store& store, const std::string& key) {
        const Result<std::optional<Entry>> entry = store.get(k_memory, key);
        if (!entry) {
            return entry.error();
        }
        return *entry ? (*entry)->value : fmt::format("{} under {}", k_nothing_remembered, quote(key));
    }

    static Result<std::string> list_all(Store& store) {
        const Result<Page> page = store.list(k_memory, "", "", k_listed);
        if (!page) {
            return page.error();
        }
        std::string text;
        for (const Entry& entry : page->entries) {
            text += fmt::format("{}{} = {}", text.empty() ? "" : "\n", entry.key, entry.value);
        }
        if (!page->cursor.empty()) {
            text += fmt::format("\n(only the first {} are listed)", k_listed);
        }
        return text.empty() ? std::string(k_nothing_remembered) : text;
    }

    ToolSpec m_spec{"recall",
                    "Tells what is remembered under a key, or, without a key, everything as lines 'key = value'.",
                    R"({"type":"object","properties":{"key":{"type":"string"}},"additionalProperties":false})"};
};

}  // namespace

std::unique_ptr<Tool> make_remember_tool() {
    return std::make_unique<RememberTool>();
}

std::unique_ptr<Tool> make_recall_tool() {
    return std::make_unique<RecallTool>();
}

}  // namespace mt
