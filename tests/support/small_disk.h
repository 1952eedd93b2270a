#pragma once

#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace mt::test {

/// A disk in memory of so many bytes ("8m"), mounted at a folder as long as this lives. Needs the rights of root.
class SmallDisk {
  public:
    SmallDisk(std::filesystem::path place, const std::string& size) : m_place(std::move(place)) {
        std::filesystem::create_directory(m_place);
        m_mounted = mount("tmpfs", m_place.c_str(), "tmpfs", 0, ("mode=0700,size=" + size).c_str()) == 0;
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk() {
        if (m_mounted) {
            umount2(m_place.c_str(), MNT_DETACH);
        }
    }
    [[nodiscard]] bool mounted() const { return m_mounted; }
    /// Takes all room that is left.
    void fill() const {
        std::ofstream out(m_place / "ballast", std::ios::binary | std::ios::app);
        const std::string block(4096, 'x');
        while (out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
        }
    }
    void empty() const { std::filesystem::remove(m_place / "ballast"); }

  private:
    std::filesystem::path m_place;
    bool m_mounted = false;
};

}  // namespace mt::test
