#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mt::app {

/// Lines on a terminal that are replaced in place by the next ones, without being cleared in between. What stood on the
/// terminal before stays above. Knows nothing of descriptors: whoever asks writes what next() returns, in one piece.
/// Not thread-safe.
class LiveText {
  public:
    /// What to write so that `lines` stand where the former ones did. When they are more than fit into `height` rows of
    /// the terminal (0: unknown, all fit), the last line stays and those before it tell how many are left out.
    std::string next(std::vector<std::string> lines, std::size_t height);

  private:
    std::size_t m_drawn = 0;  // lines above the cursor that are ours
};

/// Rows of the terminal that standard output is, 0 when unknown.
std::size_t terminal_height();

}  // namespace mt::app
