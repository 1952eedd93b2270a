#pragma once

#include <cstdint>

namespace mt {

/// What this process takes of the machine, as Prometheus' clients name it. Zeros where /proc cannot be read.
struct ProcessUsage {
    double cpu_seconds = 0;
    double start_time_unix_s = 0;
    std::int64_t resident_bytes = 0;
    std::int64_t virtual_bytes = 0;
    std::int64_t open_descriptors = 0;
    std::int64_t max_descriptors = 0;
    std::int64_t threads = 0;
};

/// Reads /proc/self (proc(5)). Thread-safe.
ProcessUsage read_process_usage();

}  // namespace mt
