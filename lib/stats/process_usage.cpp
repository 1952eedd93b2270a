#include "stats/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace mt {
namespace {

double seconds_of(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// The fields of /proc/self/stat behind the name of the program, which may hold anything but ends with the last ')'.
void read_stat(ProcessUsage& usage) {
    std::ifstream file("/proc/self/stat");
    std::string line;
    std::getline(file, line);
    std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
    constexpr int k_threads = 20;
    constexpr int k_start = 22;
    constexpr int k_virtual = 23;
    constexpr int k_resident = 24;
    std::string state;
    fields >> state;
    std::int64_t start_ticks = 0;
    std::int64_t value = 0;
    for (int field = 4; field <= k_resident && fields >> value; ++field) {
        usage.threads = field == k_threads ? value : usage.threads;
        start_ticks = field == k_start ? value : start_ticks;
        usage.virtual_bytes = field == k_virtual ? value : usage.virtual_bytes;
        usage.resident_bytes = field == k_resident ? value * sysconf(_SC_PAGESIZE) : usage.resident_bytes;
    }
    std::ifstream stat("/proc/stat");
    std::string word;
    while (stat >> word && word != "btime") {
    }
    std::int64_t boot_unix_s = 0;
    stat >> boot_unix_s;
    usage.start_time_unix_s =
        static_cast<double>(boot_unix_s) + static_cast<double>(start_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

ProcessUsage read_process_usage() {
    ProcessUsage usage;
    rusage times{};
    getrusage(RUSAGE_SELF, &times);
    usage.cpu_seconds = seconds_of(times.ru_utime) + seconds_of(times.ru_stime);
    read_stat(usage);
    std::error_code fault;
    for (auto entry = std::filesystem::directory_iterator("/proc/self/fd", fault);
         !fault && entry != std::filesystem::directory_iterator(); entry.increment(fault)) {
        ++usage.open_descriptors;
    }
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    usage.max_descriptors = static_cast<std::int64_t>(limit.rlim_cur);
    return usage;
}

}  // namespace mt
