// SPDX-License-Identifier: BSD-3-Clause
// Memory from the operating system, for the allocator and for the pool's scratch buffers. Compiled
// at the baseline only.
#pragma once

#include <cstddef>

namespace fastnn {

// From here on memory is mapped directly, aligned to huge pages and advised to use them (fewer
// faults, fewer TLB misses); below it comes from malloc, whose blocks are smaller than a huge page
// anyway.
inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

// `bytes` bytes, 64-byte aligned, with `prefix` accessible bytes (a multiple of 64, at most 4,096)
// before the returned address. Null when there are none. What is returned goes back with the same
// two sizes.
void* system_allocate(std::size_t bytes, std::size_t prefix);
void system_free(void* memory, std::size_t bytes, std::size_t prefix);

std::size_t system_allocation_count();  // calls of system_allocate so far

// Half of the memory that the machine and the control group leave to this process.
std::size_t half_of_available_memory();

// FASTNN_DEBUG=poison: memory that was not written yet, or was given back, is full of 0xFF bytes
// (NaN in every floating-point type, -1 in every signed one).
bool poison_requested();

}  // namespace fastnn
