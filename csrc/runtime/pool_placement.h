// SPDX-License-Identifier: BSD-3-Clause
// Keeps sleeping workers off the CPU of the thread that is about to wake them. Linux likes to wake
// a thread where it or its waker ran last; on the waker's own CPU it then waits for the caller,
// which computes on and does not sleep, until the scheduler moves one of them: milliseconds, for
// jobs of microseconds. A worker may use every CPU that the caller may, but the one that it calls
// from. Elsewhere, and where the caller may use one CPU only, nothing is done.
#pragma once

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <atomic>

#include "runtime/cpu_count.h"

namespace fastnn {

class Placement {
  public:
    // By each worker, of itself.
    void begin(int number) {
#if defined(__linux__)
        thread_[number].store(static_cast<int>(syscall(SYS_gettid)), std::memory_order_relaxed);
#else
        (void)number;
#endif
    }
    void end(int number) { thread_[number].store(0, std::memory_order_relaxed); }

    // By the caller, before it wakes workers [0, count). A few hundred nanoseconds each, where the
    // caller has moved since the last time, beside some 50 us for waking it.
    void keep_off_this_cpu(int count) {
#if defined(__linux__)
        const int here = sched_getcpu();
        if (here < 0 || here >= CPU_SETSIZE || here == kept_off_) return;
        cpu_set_t set;  // more CPUs than it holds: the call fails
        if (sched_getaffinity(0, sizeof set, &set) != 0) return;
        CPU_CLR(here, &set);
        if (CPU_COUNT(&set) == 0) return;
        bool all = true;
        for (int i = 0; i < count; ++i) {
            const int thread = thread_[i].load(std::memory_order_relaxed);
            if (thread == 0)
                all = false;  // it has not begun
            else
                sched_setaffinity(thread, sizeof set, &set);
        }
        kept_off_ = all ? here : -1;
#else
        (void)count;
#endif
    }

    // The workers are not the same as before; their numbers are.
    void renew() { kept_off_ = -1; }

    // In a forked child, which has none of them.
    void forget() {
        renew();
        for (std::atomic<int>& thread : thread_) thread.store(0, std::memory_order_relaxed);
    }

  private:
    std::atomic<int> thread_[kMaxThreads] = {};  // 0: none
    int kept_off_ = -1;                          // under the pool's `busy`
};

}  // namespace fastnn
