// SPDX-License-Identifier: BSD-3-Clause
// ReLU of large arrays for gradients: a bit per element says where the gradient passes, so that the
// backward pass reads a thirty-second of the output instead of all of it. Both are bound by memory.
//
//   forward    y = x < 0 ? 0 : x (NaN and -0 stay), bit = not y <= 0
//   backward   grad_x = bit ? grad_y : 0
//
// x, y, grad_y, grad_x (n); bits (ceil(n / 8)), element i is bit i % 8 of byte i / 8, bits beyond
// the last are 0. Contiguous; y may be x and grad_x grad_y; outputs are `=`.
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/ahead.h"
#include "simd/bits.h"
#include "simd/streaming.h"

namespace fastnn::FASTNN_ISA {

namespace {

using Byte = std::uint8_t;

constexpr idx kGroup = 16;       // elements, of two bytes: a vector or several at every level
constexpr idx kPiece = 1 << 15;  // elements per piece of a parallel loop, as ops/elementwise.h

// f(piece of whole groups) in parallel, begin and end in elements; then the rest, which is shorter.
template <class F>
void by_groups(idx n, const F& f) {
    parallel_for(n / kGroup, kPiece / kGroup,
                 [&](idx begin, idx end) { f(begin * kGroup, end * kGroup); });
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> rectified(Vec<T> x) {
    return select(x < Vec<T>{}, Vec<T>{}, x);
}

template <class T>
FASTNN_SIMD_INLINE unsigned passing(Vec<T> y) {
    return bits_of<T>(~(y <= Vec<T>{}));
}

bool bits_fit(idx n, idx bytes) { return bytes == n / 8 + (n % 8 != 0); }

}  // namespace

template <class T>
Status relu_bits_forward(In<T> x, Out<T> y, Out<Byte> bits) {
    constexpr int lanes = kLanes<T>;
    if (!bits_fit(x.size, bits.size)) return Status::kBadValue;
    by_groups(x.size, [&](idx begin, idx end) {
        const T* const from = x.data;
        T* const to = y.data;
        for (idx i = begin; i < end; i += kGroup) {
            unsigned group = 0;
#pragma GCC unroll 8
            for (int k = 0; k < kGroup; k += lanes) {
                fetch_ahead(from + i + k);
                fetch_ahead(to + i + k);
                const Vec<T> v = rectified<T>(load(from + i + k));
                store<T>(to + i + k, v);
                group |= passing<T>(v) << k;
            }
            const auto two = static_cast<std::uint16_t>(group);
            __builtin_memcpy(bits.data + i / 8, &two, sizeof two);
        }
    });
    idx i = x.size / kGroup * kGroup;
    unsigned group = 0;
    for (int k = 0; i + k < x.size; k += lanes) {
        const idx left = x.size - i - k;
        const int n = static_cast<int>(left < lanes ? left : lanes);
        const Vec<T> v = rectified<T>(load_partial(x.data + i + k, n));
        store_partial(y.data + i + k, v, n);
        group |= passing<T>(v) << k;
    }
    for (; i < x.size; i += 8, group >>= 8) bits.data[i / 8] = static_cast<Byte>(group);
    return Status::kOk;
}

template <class T>
Status relu_bits_backward(In<Byte> bits, In<T> grad_y, Out<T> grad_x) {
    constexpr int lanes = kLanes<T>;
    const idx size = grad_y.size;
    if (!bits_fit(size, bits.size)) return Status::kBadValue;
    const T* const from = grad_y.data;
    T* const to = grad_x.data;
    const bool aligned = reinterpret_cast<std::uintptr_t>(to) % kVecBytes == 0;
    by_groups(size, [&](idx begin, idx end) {
        const Stores<T> out(aligned ? size : 0);
        int streams = out.past();
        for (idx i = begin; i < end; i += kGroup) {
            std::uint16_t two;
            __builtin_memcpy(&two, bits.data + i / 8, sizeof two);
#pragma GCC unroll 8
            for (int k = 0; k < kGroup; k += lanes) {
                fetch_ahead(from + i + k);
                const Vec<T> g = select(lanes_of<T>(static_cast<unsigned>(two) >> k),
                                        load(from + i + k), Vec<T>{});
                __asm__("" : "+r"(streams));  // else there would be two loops
                if (streams) {
                    stream(to + i + k, g);
                } else {
                    fetch_ahead(to + i + k);
                    store<T>(to + i + k, g);
                }
            }
        }
    });
    for (idx i = size / kGroup * kGroup; i < size; ++i) {
        to[i] = bits.data[i / 8] >> (i % 8) & 1 ? from[i] : T(0);
    }
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(relu_bits_forward, "x(n) y(n) bits(b)", kInPlace, relu_bits_forward<float>,
          relu_bits_forward<double>)
FASTNN_OP(relu_bits_backward, "bits(b) grad_y(n) grad_x(n)", kInPlace, relu_bits_backward<float>,
          relu_bits_backward<double>)
