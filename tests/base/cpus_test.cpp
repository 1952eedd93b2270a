#include "base/cpus.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "support/temp_folder.h"

namespace {

// A root with just the files that are read.
class FakeRoot {
  public:
    void write(const std::string& file, const std::string& text) const {
        const std::filesystem::path path = m_folder.path() / file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    [[nodiscard]] int cpus() const { return mt::usable_cpus(m_folder.path()); }

  private:
    mt::test::TempFolder m_folder;
};

}  // namespace

TEST_CASE("without a control group the affinity says how many CPUs there are") {
    const FakeRoot root;
    CHECK(root.cpus() >= 1);
    CHECK(mt::usable_cpus() <= root.cpus());
}

TEST_CASE("the tightest quota of all groups around the process counts, rounded up") {
    const FakeRoot root;
    root.write("proc/self/cgroup", "0::/pod/container\n");
    root.write("sys/fs/cgroup/pod/container/cpu.max", "max 100000\n");
    CHECK(root.cpus() == FakeRoot().cpus());
    root.write("sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
    CHECK(root.cpus() == 1);
    root.write("sys/fs/cgroup/pod/cpu.max", "9900000 100000\n");
    CHECK(root.cpus() == FakeRoot().cpus());
}

TEST_CASE("the quota of cgroup v1 counts, too") {
    const FakeRoot root;
    root.write("proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/a\n");
    root.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
    root.write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    CHECK(root.cpus() == FakeRoot().cpus());
    root.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
    CHECK(root.cpus() == 1);
}

TEST_CASE("nonsense in the files is no quota") {
    const FakeRoot root;
    root.write("proc/self/cgroup", "nonsense\n0::/../..\n");
    root.write("sys/fs/cgroup/cpu.max", "x y\n");
    CHECK(root.cpus() == FakeRoot().cpus());
}
