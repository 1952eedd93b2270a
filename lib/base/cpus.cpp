#include "base/cpus.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <string>

namespace mt {
namespace {

int cpus_of_affinity() {
    cpu_set_t usable;
    CPU_ZERO(&usable);
    return sched_getaffinity(0, sizeof(usable), &usable) == 0 ? std::max(1, CPU_COUNT(&usable)) : 1;
}

std::optional<double> read_number(const std::filesystem::path& file) {
    std::ifstream in(file);
    double number = 0;
    return in >> number ? std::optional(number) : std::nullopt;
}

// CPUs that one control group's folder grants, nothing where it sets no bound.
std::optional<double> quota_in(const std::filesystem::path& folder) {
    std::ifstream v2(folder / "cpu.max");  // "QUOTA PERIOD" in microseconds, or "max PERIOD"
    double quota = 0;
    double period = 0;
    if (v2 >> quota >> period) {
        return period > 0 ? std::optional(quota / period) : std::nullopt;
    }
    const std::optional<double> v1 = read_number(folder / "cpu.cfs_quota_us");  // -1: none
    const std::optional<double> v1_period = read_number(folder / "cpu.cfs_period_us");
    return v1 && v1_period && *v1 > 0 && *v1_period > 0 ? std::optional(*v1 / *v1_period) : std::nullopt;
}

// The tightest bound of a group and all groups around it.
void tighten(double& most, const std::filesystem::path& mount, std::filesystem::path group) {
    while (true) {
        if (const std::optional<double> quota = quota_in(mount / group.relative_path())) {
            most = std::min(most, *quota);
        }
        if (!group.has_relative_path()) {
            return;
        }
        group = group.parent_path();
    }
}

}  // namespace

int usable_cpus(const std::filesystem::path& root) {
    double most = cpus_of_affinity();
    std::ifstream groups(root / "proc/self/cgroup");  // "ID:CONTROLLERS:PATH" (cgroups(7)); v2 has no controllers here
    for (std::string line; std::getline(groups, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string::npos) {
            continue;
        }
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        if (controllers == ",,") {
            tighten(most, root / "sys/fs/cgroup", line.substr(second + 1));
        } else if (controllers.find(",cpu,") != std::string::npos) {
            tighten(most, root / "sys/fs/cgroup/cpu", line.substr(second + 1));
        }
    }
    return std::max(1, static_cast<int>(std::ceil(most)));
}

}  // namespace mt
