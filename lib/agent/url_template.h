#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/arguments.h"
#include "base/result.h"

namespace mt {

/// Path and query of an address in which "{name}" stands for an argument. Immutable, thread-safe.
class UrlTemplate {
  public:
    /// Errors: invalid (a brace without its partner, an empty name, "." or ".." as a segment of the path).
    static Result<UrlTemplate> parse(std::string_view text);

    /// Names of the arguments that it needs, in their order.
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] bool has_query() const { return m_has_query; }

    /// With the arguments, percent-encoded. Whoever chooses them cannot leave the path that was written. Errors:
    /// invalid (one is missing; in the path: one is empty, or has "." or ".." between slashes).
    [[nodiscard]] Result<std::string> fill(const TextArguments& arguments) const;

  private:
    struct Piece {
        std::string literal;
        std::string name;  ///< of the argument behind it, "" for none
    };
    using Pieces = std::vector<Piece>;

    static Result<Pieces> cut(std::string_view text);

    Pieces m_path{};
    Pieces m_query{};  ///< with its question mark
    bool m_has_query = false;
};

/// All but the unreserved characters of RFC 3986 section 2.3 as %XX.
std::string percent_encode(std::string_view text);

}  // namespace mt
