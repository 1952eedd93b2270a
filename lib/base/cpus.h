#pragma once

#include <filesystem>

namespace mt {

/// CPUs that this process may keep busy: those of its affinity, and not more than the quota of its control groups
/// (cgroup v2 cpu.max, v1 cpu.cfs_quota_us), rounded up; at least 1. `root` is where /proc and /sys are, for tests.
int usable_cpus(const std::filesystem::path& root = "/");

}  // namespace mt
