// SPDX-License-Identifier: BSD-3-Clause
// One vector type per element type, as wide as the registers of the instruction-set level: 64 bytes
// at x86_v4, 32 at x86_v3, 16 elsewhere. The types are GCC/Clang vector extensions, so arithmetic,
// bit operations, shifts and comparisons are the language's own operators; this header adds what
// the language lacks. Every name is in the level's namespace.
//
//   Vec<T>, kLanes<T>       T is float or double
//   MaskOf<T>               integer lanes of T's width, -1 or 0: what comparing two Vec<T> gives
//   BitsOf<T>               unsigned lanes of T's width; as_bits(v) and from_bits<T>(b) reinterpret
//   broadcast(s)            s in every lane
//   load(p), store(p, v)    kLanes<T> elements at any address
//   load_partial(p, n, s)   the first n lanes from p, s (0 if not given) in the others
//   store_partial(p, v, n)  the first n lanes to p; both take 0 <= n <= kLanes<T> and touch no
//                           memory beyond n elements
//   select(mask, a, b)      mask ? a : b by lane
//   fma(a, b, c)            a * b + c, rounded once where kFused is true, elsewhere (x86_v2 and
//                           generic) twice
//   sqrt, floor, ceil, round_even, abs, copysign
//   mul_low_halves(a, b)    64-bit lanes: product of the lower 32 bits of each
//   min(a, b), max(a, b)    a < b ? a : b and a > b ? a : b, so b if either is NaN or both are 0
//   max_nan(a, b)           as max, but NaN if either is NaN
//   reduce_add(v)           sum of the lanes, upper half onto lower half until one is left: the
//                           order of the additions is fixed
//   reduce_max(v)           largest lane, NaN if any is
//   map1, map2, map3        y[i] = f(x[i], ...) over arrays
//
// A function of a single number is one lane of the vector's: exp(broadcast(s))[0].
#pragma once

#ifndef FASTNN_ISA
#error "FASTNN_ISA must name the instruction-set level, such as x86_v3, that this is compiled for"
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

// What the compile's flags offer. FASTNN_SIMD_GENERIC asks for none of it: so the generic code can
// be tested on any machine.
#if defined(FASTNN_SIMD_GENERIC)
#elif defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define FASTNN_SIMD_AVX512 1
#elif defined(__AVX2__) && defined(__FMA__)
#define FASTNN_SIMD_AVX2 1
#elif defined(__SSE4_1__)
#define FASTNN_SIMD_SSE4 1
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define FASTNN_SIMD_NEON 1
#endif

// Not left to the inliner: a call would pass vectors through memory, and a level's code must stay
// in its own objects.
#define FASTNN_SIMD_INLINE inline __attribute__((always_inline))

namespace fastnn::FASTNN_ISA {

#if FASTNN_SIMD_AVX512
inline constexpr int kVecBytes = 64;
#elif FASTNN_SIMD_AVX2
inline constexpr int kVecBytes = 32;
#else
inline constexpr int kVecBytes = 16;
#endif

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
    typedef float type __attribute__((vector_size(kVecBytes)));
    typedef std::uint32_t bits __attribute__((vector_size(kVecBytes)));
};
template <>
struct VecOf<double> {
    typedef double type __attribute__((vector_size(kVecBytes)));
    typedef std::uint64_t bits __attribute__((vector_size(kVecBytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
using BitsOf = typename VecOf<T>::bits;
template <class T>
using MaskOf = decltype(Vec<T>{} < Vec<T>{});

template <class T>
inline constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T));

using VecF = Vec<float>;
using VecD = Vec<double>;

FASTNN_SIMD_INLINE BitsOf<float> as_bits(VecF v) { return (BitsOf<float>)v; }
FASTNN_SIMD_INLINE BitsOf<double> as_bits(VecD v) { return (BitsOf<double>)v; }
template <class T>
FASTNN_SIMD_INLINE Vec<T> from_bits(BitsOf<T> b) {
    return (Vec<T>)b;
}

template <class M, class V>
FASTNN_SIMD_INLINE V select(M mask, V a, V b) {
    return mask ? a : b;
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> load(const T* p) {
    Vec<T> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

template <class T>
FASTNN_SIMD_INLINE void store(T* p, Vec<T> v) {
    __builtin_memcpy(p, &v, sizeof v);
}

// Specialised for float and double by the level's header below.
template <class T>
Vec<T> broadcast(T s);
template <class T>
Vec<T> load_partial(const T* p, int n, T fill = 0);
template <class T>
void store_partial(T* p, Vec<T> v, int n);

}  // namespace fastnn::FASTNN_ISA

// broadcast, load_partial, store_partial, kFused, fma, min, max, sqrt, floor, ceil, round_even for
// both types.
#if FASTNN_SIMD_AVX512
#include "simd/vec_avx512.h"
#elif FASTNN_SIMD_AVX2
#include "simd/vec_avx2.h"
#elif FASTNN_SIMD_SSE4
#include "simd/vec_sse4.h"
#elif FASTNN_SIMD_NEON
#include "simd/vec_neon.h"
#else
#include "simd/vec_generic.h"
#endif

namespace fastnn::FASTNN_ISA {

FASTNN_SIMD_INLINE VecF abs(VecF v) { return from_bits<float>(as_bits(v) & 0x7fffffffu); }
FASTNN_SIMD_INLINE VecD abs(VecD v) { return from_bits<double>(as_bits(v) & 0x7fffffffffffffffu); }

// The magnitude of the first with the sign of the second.
FASTNN_SIMD_INLINE VecF copysign(VecF magnitude, VecF sign) {
    return from_bits<float>((as_bits(magnitude) & 0x7fffffffu) | (as_bits(sign) & 0x80000000u));
}
FASTNN_SIMD_INLINE VecD copysign(VecD magnitude, VecD sign) {
    return from_bits<double>((as_bits(magnitude) & 0x7fffffffffffffffu) |
                             (as_bits(sign) & 0x8000000000000000u));
}

template <class V>
FASTNN_SIMD_INLINE V max_nan(V a, V b) {
    return select(a != a, a, max(a, b));
}

// c0 + c1 x + c2 x^2 + ... by Horner's rule.
template <class V, class T>
FASTNN_SIMD_INLINE V poly(V, T c0) {
    return broadcast(c0);
}
template <class V, class T, class... Ts>
FASTNN_SIMD_INLINE V poly(V x, T c0, Ts... higher) {
    return fma(poly(x, higher...), x, broadcast(c0));
}

// The same as even(x^2) + x odd(x^2): half the chain of dependent operations for one more. Long
// chains keep the processor waiting, as only a few vectors' worth of them fits into its window.
template <class V>
struct EvenOdd {
    V even, odd;
};
template <class V, class T>
FASTNN_SIMD_INLINE EvenOdd<V> poly_halves(V, T c0, T c1) {
    return {broadcast(c0), broadcast(c1)};
}
template <class V, class T>
FASTNN_SIMD_INLINE EvenOdd<V> poly_halves(V x2, T c0, T c1, T c2) {
    return {fma(broadcast(c2), x2, broadcast(c0)), broadcast(c1)};
}
template <class V, class T, class... Ts>
FASTNN_SIMD_INLINE EvenOdd<V> poly_halves(V x2, T c0, T c1, T c2, T c3, Ts... higher) {
    const EvenOdd<V> rest = poly_halves(x2, c2, c3, higher...);
    return {fma(rest.even, x2, broadcast(c0)), fma(rest.odd, x2, broadcast(c1))};
}
template <class V, class... Ts>
FASTNN_SIMD_INLINE V poly_even_odd(V x, Ts... c) {
    const EvenOdd<V> halves = poly_halves(x * x, c...);
    return fma(halves.odd, x, halves.even);
}

struct AddLanes {
    template <class V>
    FASTNN_SIMD_INLINE V operator()(V a, V b) const {
        return a + b;
    }
};

// b where they are equal, as max_nan.
struct MaxLanes {
    template <class V>
    FASTNN_SIMD_INLINE V operator()(V a, V b) const {
        return ((a > b) | (a != a)) ? a : b;
    }
};

template <class V, class F>
FASTNN_SIMD_INLINE auto fold_lanes(V v, F f) {
    constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(v[0]));
    if constexpr (lanes == 16) {
        return fold_lanes(f(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                            __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)),
                          f);
    } else if constexpr (lanes == 8) {
        return fold_lanes(
            f(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7)),
            f);
    } else if constexpr (lanes == 4) {
        return fold_lanes(
            f(__builtin_shufflevector(v, v, 0, 1), __builtin_shufflevector(v, v, 2, 3)), f);
    } else {
        // As a vector too: of scalars the compiler would make branches. + 0 makes 0 of -0, of which
        // the largest is one or the other depending on the number of lanes.
        const V folded = f(v, __builtin_shufflevector(v, v, 1, 0));
        return folded[0] + 0;
    }
}

FASTNN_SIMD_INLINE float reduce_add(VecF v) { return fold_lanes(v, AddLanes{}); }
FASTNN_SIMD_INLINE double reduce_add(VecD v) { return fold_lanes(v, AddLanes{}); }
FASTNN_SIMD_INLINE float reduce_max(VecF v) { return fold_lanes(v, MaxLanes{}); }
FASTNN_SIMD_INLINE double reduce_max(VecD v) { return fold_lanes(v, MaxLanes{}); }

// y[i] = f(x[i]) for i < n, kLanes<T> at a time. The last, shorter group takes the same vector code
// with its other lanes zero and not stored, so the bits of y[i] depend on x[i] alone and not on i,
// n or the addresses. y may be x (or, in map2 and map3, any of the inputs); they must not overlap
// otherwise. flatten: f stands here twice, and the inliner would give up on a large one.
template <class T, class F>
__attribute__((flatten)) inline void map1(const T* x, T* y, std::int64_t n, F f) {
    constexpr int lanes = kLanes<T>;
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        store<T>(y + i, f(load(x + i)));
    }
    if (i < n) {
        const int rest = static_cast<int>(n - i);
        store_partial(y + i, f(load_partial(x + i, rest)), rest);
    }
}

template <class T, class F>
__attribute__((flatten)) inline void map2(const T* a, const T* b, T* y, std::int64_t n, F f) {
    constexpr int lanes = kLanes<T>;
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        store<T>(y + i, f(load(a + i), load(b + i)));
    }
    if (i < n) {
        const int rest = static_cast<int>(n - i);
        store_partial(y + i, f(load_partial(a + i, rest), load_partial(b + i, rest)), rest);
    }
}

template <class T, class F>
__attribute__((flatten)) inline void map3(const T* a, const T* b, const T* c, T* y, std::int64_t n,
                                          F f) {
    constexpr int lanes = kLanes<T>;
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        store<T>(y + i, f(load(a + i), load(b + i), load(c + i)));
    }
    if (i < n) {
        const int rest = static_cast<int>(n - i);
        store_partial(
            y + i,
            f(load_partial(a + i, rest), load_partial(b + i, rest), load_partial(c + i, rest)),
            rest);
    }
}

}  // namespace fastnn::FASTNN_ISA
