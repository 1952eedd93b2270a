#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace mt::http {

/// The parts of a reply's head that cpp-httplib writes: status line, Content-Type and Content-Length. It takes one
/// canonical request from memory for each, never the client's bytes, and has no socket; its routes (std::regex) never
/// run. A head is the same whenever these three are, and httplib takes longer to write it than the rest of a reply
/// takes, so the last ones are remembered. One per thread; not thread-safe.
class HeadWriter {
  public:
    HeadWriter();
    HeadWriter(const HeadWriter&) = delete;
    HeadWriter& operator=(const HeadWriter&) = delete;
    ~HeadWriter();

    struct Head {
        std::string status_line{};  ///< with its line end
        std::string fields{};       ///< each with its line end; the empty line is still to come
    };

    /// `type`: fit for a field value, empty for none; `length`: bytes of the body. The head is good until the next
    /// call.
    const Head& write(int status, std::string_view type, std::size_t length);

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::http
