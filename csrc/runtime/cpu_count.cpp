// SPDX-License-Identifier: BSD-3-Clause
// CPU and thread counts. The affinity mask is read with a buffer that grows, because machines with
// more than 1,024 CPUs make the fixed-size call fail.
#include "runtime/cpu_count.h"

#if defined(__linux__)
#include <sched.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>

#include "runtime/cgroup.h"
#include "runtime/environment.h"

namespace fastnn {
namespace {

int affinity_cpus() {
#if defined(__linux__)
    for (int capacity = 1024; capacity <= 1 << 20; capacity *= 4) {
        cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(capacity));
        if (set == nullptr) break;
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
        CPU_ZERO_S(bytes, set);
        const bool read = sched_getaffinity(0, bytes, set) == 0;
        const int count = read ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (read) return count;
    }
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return static_cast<int>(std::clamp(online, 1L, static_cast<long>(kMaxThreads)));
}

}  // namespace

int available_cpus() {
    const int cpus = std::clamp(affinity_cpus(), 1, kMaxThreads);
    const double quota = std::ceil(cgroup_cpu_limit());
    return quota < cpus ? std::max(1, static_cast<int>(quota)) : cpus;
}

ThreadSettings read_thread_settings() {
    ThreadSettings settings{};
    settings.cpus = available_cpus();
    settings.threads = settings.cpus;
    for (const char* name : {"FASTNN_NUM_THREADS", "OMP_NUM_THREADS"}) {
        const bool is_list = name[0] == 'O';
        long long number = 0;
        const EnvNumber found = read_env_number(name, 1, kMaxThreads, is_list, &number);
        if (found == EnvNumber::kValid) {
            settings.threads = static_cast<int>(number);
            break;
        }
        if (found == EnvNumber::kMalformed && settings.problem[0] == '\0')
            std::snprintf(settings.problem, sizeof settings.problem,
                          "%s: expected a whole number from 1 to %d, got '%.40s'; it is ignored",
                          name, kMaxThreads, std::getenv(name));
    }
    return settings;
}

}  // namespace fastnn
