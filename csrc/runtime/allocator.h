// SPDX-License-Identifier: BSD-3-Clause
// The allocator behind `empty()`: 64-byte aligned blocks from size classes, kept for reuse when
// freed, so that a training loop reaches a steady state in which nothing is allocated and no page
// is faulted in.
#pragma once

#include <cstddef>

#include "runtime/types.h"

namespace fastnn {

struct AllocatorStats {
    std::size_t live_bytes;    // handed out and not yet returned (rounded to size classes)
    std::size_t cached_bytes;  // free and kept
    std::size_t peak_bytes;    // the most that was ever live, to within 64 KiB per thread
    std::size_t live_blocks;
    std::size_t system_calls;  // requests for memory to the system: constant in a steady loop
    std::size_t cache_limit;   // in bytes, see set_cache_limit
};

// A block of at least `bytes` bytes, 64-byte aligned; null when the system has none left even after
// the cache was given back. bytes == 0 gives a valid pointer. Any thread may free what any other
// allocated.
void* allocate(std::size_t bytes);
void deallocate(void* block);  // null is allowed

// Usable size of a live block; under AddressSanitizer what was asked for.
std::size_t block_bytes(const void* block);

// Gives every cached block back to the system. What other threads keep in their own small caches
// (at most 1 MiB each) follows when they next allocate or free.
void empty_cache();

// How many free bytes are kept (FASTNN_CACHE_MB; by default half of the memory this process may
// use). Beyond it the blocks of the size that was unused for longest are given back, so that a
// changed batch size finds room. 0 keeps nothing at all.
void set_cache_limit(std::size_t bytes);

AllocatorStats allocator_stats();

// One sentence for the user when FASTNN_CACHE_MB was malformed and ignored, else "".
const char* allocator_config_problem();

}  // namespace fastnn
