// SPDX-License-Identifier: BSD-3-Clause
// What the allocator's tests share: sizes that differ in kind, and blocks that know what was
// written into them.
#pragma once

#include <cstddef>
#include <cstring>
#include <initializer_list>

#include "check.h"
#include "runtime/allocator.h"
#include "runtime/size_classes.h"

using fastnn::allocate;
using fastnn::allocator_stats;
using fastnn::deallocate;

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * 1024;

// The sizes that differ in kind: one class, a thread's own list, the shared store, mapped memory.
inline constexpr std::size_t kSizes[] = {1,         64,        65,         1000,     4 * kKiB,
                                         16 * kKiB, 17 * kKiB, 300 * kKiB, 2 * kMiB, 3 * kMiB + 1};

inline std::size_t class_of(std::size_t bytes) {
    return fastnn::class_bytes(fastnn::size_class_of(bytes));
}

inline void* filled(std::size_t bytes) {
    void* block = allocate(bytes);
    CHECK(block != nullptr);
    std::memset(block, static_cast<int>(bytes % 251), bytes);
    return block;
}

inline void check_filled(const void* block, std::size_t bytes) {
    const auto* data = static_cast<const unsigned char*>(block);
    for (std::size_t i = 0; i < bytes; ++i)
        if (data[i] != bytes % 251) CHECK(!"a block was overwritten");
}
