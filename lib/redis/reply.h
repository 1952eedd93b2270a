#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mt::redis {

/// What Redis answered to one command (RESP2). Errors it answers become an Error before anybody sees a Reply.
struct Reply {
    enum class Kind { nil, integer, text, list };
    Kind kind = Kind::nil;
    std::int64_t integer = 0;
    std::string text{};  ///< any bytes; of bulk and status replies
    std::vector<Reply> list{};
};

/// A command and its arguments, any bytes.
using Command = std::vector<std::string>;

/// A Lua script, sent by its SHA-1 (EVALSHA) and, where Redis does not know it, as text. The source outlives
/// everything: a literal. Immutable.
class Script {
  public:
    explicit Script(std::string_view source);
    [[nodiscard]] std::string_view source() const { return m_source; }
    [[nodiscard]] const std::string& sha1() const { return m_sha1; }

  private:
    std::string_view m_source;
    std::string m_sha1;
};

/// The keys and arguments of one run of a script.
struct Call {
    const Script* script = nullptr;
    std::vector<std::string> keys{};
    std::vector<std::string> arguments{};
};

}  // namespace mt::redis
