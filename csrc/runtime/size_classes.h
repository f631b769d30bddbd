// SPDX-License-Identifier: BSD-3-Clause
// The allocator's size classes: multiples of 64 bytes up to 1 KiB, from there eight to every
// doubling, so that rounding up adds less than 1/8 (a request below 512 bytes: less than 64 bytes).
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn {

static_assert(sizeof(std::size_t) == 8);

inline constexpr std::size_t kMaxBlock = std::size_t{1} << 47;  // more than any process can map
inline constexpr int kSmallClasses = 16;                        // 64, 128, ... 1,024
inline constexpr int kSizeClasses = kSmallClasses + 8 * (47 - 10);

// 0 <= bytes <= kMaxBlock.
inline int size_class_of(std::size_t bytes) {
    if (bytes <= 1024) return bytes == 0 ? 0 : static_cast<int>((bytes - 1) / 64);
    const int doubling = 63 - __builtin_clzll(bytes - 1);  // 2^doubling < bytes <= 2^(doubling + 1)
    const auto eighth = static_cast<int>((bytes - 1) >> (doubling - 3)) - 8;
    return kSmallClasses + 8 * (doubling - 10) + eighth;
}

inline std::size_t class_bytes(int size_class) {
    if (size_class < kSmallClasses) return 64 * (static_cast<std::size_t>(size_class) + 1);
    const int doubling = 10 + (size_class - kSmallClasses) / 8;
    const auto eighth = static_cast<std::size_t>((size_class - kSmallClasses) % 8);
    return (9 + eighth) << (doubling - 3);
}

}  // namespace fastnn
