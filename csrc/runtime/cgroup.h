// SPDX-License-Identifier: BSD-3-Clause
// What Linux control groups (versions 1 and 2, containers included) allow this process. A process
// is bound by every group above its own, so each limit is the least one on the way up to the mount
// point. Source: the kernel's admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and
// scheduler/sched-bwc.rst.
#pragma once

#include <cstdint>

namespace fastnn {

inline constexpr const char* kProcCgroup = "/proc/self/cgroup";
inline constexpr const char* kCgroupMount = "/sys/fs/cgroup";

// CPU time per wall time that the scheduler grants, in CPUs; infinity when there is no quota. The
// paths are arguments so that tests can plant a tree of their own.
double cgroup_cpu_limit(const char* proc_file = kProcCgroup, const char* mount = kCgroupMount);

// Bytes of memory; the largest value of the type when there is no limit.
std::uint64_t cgroup_memory_limit(const char* proc_file = kProcCgroup,
                                  const char* mount = kCgroupMount);

}  // namespace fastnn
