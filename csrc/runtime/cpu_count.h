// SPDX-License-Identifier: BSD-3-Clause
// How many CPUs this process may use and how many threads the user asked for.
#pragma once

namespace fastnn {

inline constexpr int kMaxThreads = 1024;

// CPUs in the scheduling affinity, not more than the control group's CPU quota rounded up; at
// least 1.
int available_cpus();

struct ThreadSettings {
    int threads;        // FASTNN_NUM_THREADS, else OMP_NUM_THREADS, else available_cpus()
    int cpus;           // available_cpus(): more threads than this share cores
    char problem[160];  // why a variable was ignored; empty when none was
};

ThreadSettings read_thread_settings();  // from the environment as it is now

}  // namespace fastnn
