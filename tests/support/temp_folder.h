#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace mt::test {

/// A fresh folder that is removed with everything in it at the end of the test.
class TempFolder {
  public:
    TempFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "mtagent-test-XXXXXX").string();
        m_path = mkdtemp(name.data());
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    ~TempFolder() {
        std::error_code ignored;  // a folder that cannot be removed does not fail the test
        std::filesystem::remove_all(m_path, ignored);
    }

    [[nodiscard]] const std::filesystem::path& path() const { return m_path; }

  private:
    std::filesystem::path m_path;
};

}  // namespace mt::test
