// SPDX-License-Identifier: BSD-3-Clause
// What every part of the native side shares: sizes, element types and the description of one array.
// No code, no Python, no library templates: kernel files of every ISA level include this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn {

using idx = std::int64_t;  // every size, stride and index

inline constexpr int kMaxDims = 8;  // arrays with more dimensions go to the reference kernels

enum class DType : std::uint8_t { kFloat32, kFloat64, kInt64, kInt32, kUInt8, kBool, kCount };

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
    static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<double> {
    static constexpr DType value = DType::kFloat64;
};
template <>
struct DTypeOf<std::int64_t> {
    static constexpr DType value = DType::kInt64;
};
template <>
struct DTypeOf<std::int32_t> {
    static constexpr DType value = DType::kInt32;
};
template <>
struct DTypeOf<std::uint8_t> {
    static constexpr DType value = DType::kUInt8;
};
template <>
struct DTypeOf<bool> {
    static constexpr DType value = DType::kBool;
};

// One array argument inside a launch's argument block. Plain data: a block can be copied, stored
// and replayed. Strides are in elements; of a contiguous argument they are not filled in. `data` is
// null for an absent optional.
struct Array {
    void* data;
    idx size;
    std::int32_t ndim;
    DType dtype;
    idx shape[kMaxDims];
    idx strides[kMaxDims];
};

// One member of a list argument (the parameters of an optimiser step): contiguous, only its length
// matters.
struct ListItem {
    void* data;
    idx size;
};

// A list argument: `count` ListItems that stand `offset` bytes after the start of the block.
struct ListRef {
    idx count;
    idx offset;
};

// A short list of integers (axes, sizes).
struct IntList {
    idx count;
    idx values[kMaxDims];
};

}  // namespace fastnn
