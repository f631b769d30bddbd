// SPDX-License-Identifier: BSD-3-Clause
// maximum, minimum, fmod, remainder, floor_divide, trunc_divide and atan2 of two arrays of one
// shape and any strides (0 where one was broadcast); out is `=` and may be one of them. maximum and
// minimum are bound by memory; the others call the C library or divide, element by element, by
// threads.
//
//   maximum, minimum   NaN if either is; of two zeros the second
//   fmod               x - y trunc(x / y), of the sign of x
//   remainder          x - y floor(x / y), of the sign of y
//   floor_divide       floor(x / y) of the exact quotient;  trunc_divide: trunc(x / y)
//
// Integers: a divisor of 0 is kBadValue, found before anything is written; the least number divided
// by -1 wraps around.
#include "ops/binary_plan.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kMathPiece = 8192;

template <class T>
T library_fmod(T x, T y) {
    if constexpr (sizeof(T) == 4) {
        return __builtin_fmodf(x, y);
    } else {
        return __builtin_fmod(x, y);
    }
}

// Truncated division of integers. A zero or -1 would trap: the first may appear after it was looked
// for, if another thread writes it.
template <class T>
struct Division {
    T quotient, rest;
};
template <class T>
inline Division<T> divide(T x, T y) {
    if (y == 0) return {0, 0};
    if constexpr (std::is_signed_v<T>) {
        using U = std::make_unsigned_t<T>;
        if (y == T(-1)) return {static_cast<T>(U{0} - static_cast<U>(x)), 0};
    }
    return {static_cast<T>(x / y), static_cast<T>(x % y)};
}

template <class T>
inline bool has_zero(const StridedIn<T>& y) {
    const idx* const strides[] = {y.strides};
    const Plan<1> plan = make_plan(y.ndim, y.shape, strides, kBinaryPiece);
    bool zero = false;
    const idx step = plan.col_strides[0];
    for_rows(plan, kBinaryPiece, [&](const idx* at, idx n) {
        const T* row = y.data + at[0];
        idx zeros = 0;
        if (step == 1) {
            for (idx i = 0; i < n; ++i) zeros += row[i] == 0 ? 1 : 0;
        } else {
            for (idx i = 0; i < n; ++i) zeros += row[i * step] == 0 ? 1 : 0;
        }
        if (zeros > 0) __atomic_store_n(&zero, true, __ATOMIC_RELAXED);
    });
    return zero;
}

template <class T, class F>
Status divide_pairs(const StridedIn<T>& x, const StridedIn<T>& y, const StridedOut<T>& out,
                    const F& f) {
    if constexpr (!std::is_floating_point_v<T>) {
        if (has_zero(y)) return Status::kBadValue;
    }
    map_pairs_singly(x, y, out, f, kMathPiece);
    return Status::kOk;
}

}  // namespace

template <class T>
void maximum(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    using S = Stored<T>;
    map_pairs(x, y, out, [](S a, S b) {
        if constexpr (std::is_same_v<T, bool>) {
            return static_cast<S>((a | b) != 0);
        } else {
            return static_cast<int>(a > b) | static_cast<int>(a != a) ? a : b;
        }
    });
}

template <class T>
void minimum(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    using S = Stored<T>;
    map_pairs(x, y, out, [](S a, S b) {
        if constexpr (std::is_same_v<T, bool>) {
            return static_cast<S>(static_cast<int>(a != 0) & static_cast<int>(b != 0));
        } else {
            return static_cast<int>(a < b) | static_cast<int>(a != a) ? a : b;
        }
    });
}

template <class T>
Status fmod(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    return divide_pairs(x, y, out, [](T a, T b) {
        if constexpr (std::is_floating_point_v<T>) {
            return library_fmod(a, b);
        } else {
            return divide(a, b).rest;
        }
    });
}

template <class T>
Status remainder(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    return divide_pairs(x, y, out, [](T a, T b) {
        T rest;
        if constexpr (std::is_floating_point_v<T>) {
            rest = library_fmod(a, b);
        } else {
            rest = divide(a, b).rest;
        }
        return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
    });
}

template <class T>
Status floor_divide(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    return divide_pairs(x, y, out, [](T a, T b) {
        if constexpr (std::is_floating_point_v<T>) {
            if (b == 0) return a / b;
            // The quotient of a multiple of b is nearly whole, while a / b may round up to the next
            // whole number.
            const T rest = library_fmod(a, b);
            T quotient = (a - rest) / b;
            if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
            if (quotient == 0) return static_cast<T>(__builtin_copysign(0.0, a / b));
            const T whole = sizeof(T) == 4 ? static_cast<T>(__builtin_floorf(float(quotient)))
                                           : static_cast<T>(__builtin_floor(double(quotient)));
            return quotient - whole > T(0.5) ? whole + 1 : whole;
        } else {
            const Division<T> d = divide(a, b);
            return d.rest != 0 && (d.rest < 0) != (b < 0) ? static_cast<T>(d.quotient - 1)
                                                          : d.quotient;
        }
    });
}

template <class T>
Status trunc_divide(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    return divide_pairs(x, y, out, [](T a, T b) {
        if constexpr (std::is_floating_point_v<T>) {
            return sizeof(T) == 4 ? static_cast<T>(__builtin_truncf(float(a / b)))
                                  : static_cast<T>(__builtin_trunc(double(a / b)));
        } else {
            return divide(a, b).quotient;
        }
    });
}

template <class T>
void atan2(StridedIn<T> x, StridedIn<T> y, StridedOut<T> out) {
    map_pairs_singly(
        x, y, out,
        [](T a, T b) {
            return sizeof(T) == 4 ? static_cast<T>(__builtin_atan2f(float(a), float(b)))
                                  : static_cast<T>(__builtin_atan2(double(a), double(b)));
        },
        kMathPiece);
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(maximum, "x(...) y(...) out(...)", kInPlace | kAllocating, maximum<float>,
          maximum<double>, maximum<std::int64_t>, maximum<std::int32_t>, maximum<std::uint8_t>,
          maximum<bool>)
FASTNN_OP(minimum, "x(...) y(...) out(...)", kInPlace | kAllocating, minimum<float>,
          minimum<double>, minimum<std::int64_t>, minimum<std::int32_t>, minimum<std::uint8_t>,
          minimum<bool>)
FASTNN_OP(fmod, "x(...) y(...) out(...)", kInPlace, fmod<float>, fmod<double>, fmod<std::int64_t>,
          fmod<std::int32_t>, fmod<std::uint8_t>)
FASTNN_OP(remainder, "x(...) y(...) out(...)", kInPlace, remainder<float>, remainder<double>,
          remainder<std::int64_t>, remainder<std::int32_t>, remainder<std::uint8_t>)
FASTNN_OP(floor_divide, "x(...) y(...) out(...)", kInPlace, floor_divide<float>,
          floor_divide<double>, floor_divide<std::int64_t>, floor_divide<std::int32_t>,
          floor_divide<std::uint8_t>)
FASTNN_OP(trunc_divide, "x(...) y(...) out(...)", kInPlace, trunc_divide<float>,
          trunc_divide<double>, trunc_divide<std::int64_t>, trunc_divide<std::int32_t>,
          trunc_divide<std::uint8_t>)
FASTNN_OP(atan2, "x(...) y(...) out(...)", kInPlace | kAllocating, atan2<float>, atan2<double>)
