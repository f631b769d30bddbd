// SPDX-License-Identifier: BSD-3-Clause
// fmax, fmin and copysign of two arrays and lerp of three, of one shape and any strides (0 where
// one was broadcast); out is `=` and may be one of them. Bound by memory: one pass of vector code,
// for rows that are not contiguous through blocks, so that there is one loop for each function.
//
//   fmax, fmin   the number if one of both is NaN; of two zeros the first
//   copysign     |x| with the sign of y
//   lerp         x + w (y - x), from the nearer end: y - (y - x) (1 - w) where |w| >= 1/2, so that
//                w = 1 gives y to the bit
#include "ops/binary_plan.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPairPiece = 32768;
constexpr idx kBlock = 256;

// What is not contiguous is copied into a block; one number for all once, before the first.
template <class T>
__attribute__((noinline)) void spread(const T* from, idx step, T* block) {
    for (idx i = 0; step == 0 && i < kBlock; ++i) block[i] = *from;
}
template <class T>
__attribute__((noinline)) const T* gathered(const T* from, idx step, idx begin, idx n, T* block) {
    if (step == 1) return from + begin;
    for (idx i = 0; step != 0 && i < n; ++i) block[i] = from[(begin + i) * step];
    return block;
}

// Of three rows; functions of two ignore the third.
template <class T>
using Row = void (*)(const T* a, const T* b, const T* c, T* o, idx n);

template <class T>
__attribute__((noinline)) void map_strided(Row<T> row, const StridedOut<T>& out,
                                           const StridedIn<T>& x, const StridedIn<T>& y,
                                           const StridedIn<T>& z) {
    const idx* const strides[] = {out.strides, x.strides, y.strides, z.strides};
    const Plan<4> plan = make_plan(out.ndim, out.shape, strides, kPairPiece);
    const idx* step = plan.col_strides;
    const bool contiguous = step[0] == 1 && step[1] == 1 && step[2] == 1 && step[3] == 1;
    for_rows(plan, kPairPiece, [&](const idx* at, idx n) {
        T* o = out.data + at[0];
        const T* a = x.data + at[1];
        const T* b = y.data + at[2];
        const T* c = z.data + at[3];
        if (contiguous) {
            row(a, b, c, o, n);
            return;
        }
        T first[kBlock];
        T second[kBlock];
        T third[kBlock];
        T result[kBlock];
        spread(a, step[1], first);
        spread(b, step[2], second);
        spread(c, step[3], third);
        for (idx i = 0; i < n; i += kBlock) {
            const idx count = lesser(kBlock, n - i);
            row(gathered(a, step[1], i, count, first), gathered(b, step[2], i, count, second),
                gathered(c, step[3], i, count, third), step[0] == 1 ? o + i : result, count);
            for (idx k = 0; step[0] != 1 && k < count; ++k) o[(i + k) * step[0]] = result[k];
        }
    });
}

struct Fmax {
    template <class T>
    FASTNN_SIMD_INLINE static Vec<T> of(Vec<T> x, Vec<T> y) {
        return select((x >= y) | (y != y), x, y);
    }
};
struct Fmin {
    template <class T>
    FASTNN_SIMD_INLINE static Vec<T> of(Vec<T> x, Vec<T> y) {
        return select((x <= y) | (y != y), x, y);
    }
};
struct Copysign {
    template <class T>
    FASTNN_SIMD_INLINE static Vec<T> of(Vec<T> x, Vec<T> y) {
        return copysign(x, y);
    }
};

template <class F, class T>
void pairs(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    const Row<T> row = [](const T* a, const T* b, const T*, T* o, idx n) {
        map2<T>(a, b, o, n, [](Vec<T> v, Vec<T> w) { return F::template of<T>(v, w); });
    };
    map_strided<T>(row, out, x, y, y);
}

}  // namespace

template <class T>
void lerp(StridedIn<T> x, StridedIn<T> y, StridedIn<T> weight, StridedOut<T> out) {
    const Row<T> row = [](const T* a, const T* b, const T* c, T* o, idx n) {
        map3<T>(a, b, c, o, n, [](Vec<T> u, Vec<T> v, Vec<T> w) {
            const Vec<T> d = v - u;
            return select(abs(w) >= broadcast(T(0.5)), v - d * (broadcast(T(1)) - w), u + w * d);
        });
    };
    map_strided<T>(row, out, x, y, weight);
}

}  // namespace fastnn::FASTNN_ISA

#define FASTNN_PAIR(NAME, F)                                                           \
    FASTNN_OP(NAME, "x(...) y(...) out(...)", kInPlace | kAllocating, pairs<F, float>, \
              pairs<F, double>)
FASTNN_PAIR(fmax, Fmax)
FASTNN_PAIR(fmin, Fmin)
FASTNN_PAIR(copysign, Copysign)
FASTNN_OP(lerp, "x(...) y(...) weight(...) out(...)", kInPlace, lerp<float>, lerp<double>)
