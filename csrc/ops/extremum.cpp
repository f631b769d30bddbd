// SPDX-License-Identifier: BSD-3-Clause
// The largest, the smallest and the product of the middle dimension of x (outer, n, inner),
// contiguous; y (outer, inner) is `=`. Order, chunks and threads: ops/fold.h. Along a row 128 bytes
// of running results take part at every level, so bits do not depend on the level either.
//
//   amax, amin   NaN if any element is; a bool is true if its byte is not 0, so that they are "any"
//                and "all" of bools; kBadValue for n == 0
//   prod         integers wrap modulo 2^64; 1 for n == 0
//
//   prod_backward: grad_x[o, j, i] = grad_y[o, i] * (product of the others), as the product of all
//   before times the product of all behind: no division, so zeros are no special case
#include "ops/fold.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kRunBytes = 128;

template <class T>
struct Largest {
    static Stored<T> pick(Stored<T> a, Stored<T> b) {
        if constexpr (std::is_same_v<T, bool>) {
            return a | b;
        } else if constexpr (std::is_floating_point_v<T>) {
            return static_cast<int>(b > a) | static_cast<int>(b != b) ? b : a;
        } else {
            return b > a ? b : a;
        }
    }
};

template <class T>
struct Smallest {
    static Stored<T> pick(Stored<T> a, Stored<T> b) {
        if constexpr (std::is_same_v<T, bool>) {
            return static_cast<unsigned char>(static_cast<int>(a != 0) & static_cast<int>(b != 0));
        } else if constexpr (std::is_floating_point_v<T>) {
            return static_cast<int>(b < a) | static_cast<int>(b != b) ? b : a;
        } else {
            return b < a ? b : a;
        }
    }
};

template <class T>
struct Product {
    static T pick(T a, T b) { return a * b; }
};

template <class V, class Pick>
struct Fold {
    const V* x;
    V* y;
    idx n, inner;
    bool as_bool;

    V row(idx o, idx begin, idx end) const {
        constexpr idx kRun = kRunBytes / static_cast<idx>(sizeof(V));
        const V* from = x + o * n + begin;
        const idx count = end - begin;
        if (count < 2 * kRun) {
            V best = from[0];
            for (idx j = 1; j < count; ++j) best = Pick::pick(best, from[j]);
            return best;
        }
        V best[kRun];
        for (idx l = 0; l < kRun; ++l) best[l] = from[l];
        idx j = kRun;
        for (; j + kRun <= count; j += kRun) {
            for (idx l = 0; l < kRun; ++l) best[l] = Pick::pick(best[l], from[j + l]);
        }
        for (idx half = kRun / 2; half > 0; half /= 2) {
            for (idx l = 0; l < half; ++l) best[l] = Pick::pick(best[l], best[l + half]);
        }
        for (; j < count; ++j) best[0] = Pick::pick(best[0], from[j]);
        return best[0];
    }
    void tile(idx o, idx at, idx width, idx begin, idx end, V* __restrict into) const {
        const V* from = x + (o * n + begin) * inner + at;
        for (idx i = 0; i < width; ++i) into[i] = from[i];
        for (idx j = begin + 1; j < end; ++j) {
            from += inner;
            FASTNN_INDEPENDENT
            for (idx i = 0; i < width; ++i) into[i] = Pick::pick(into[i], from[i]);
        }
    }
    V join(V a, V b) const { return Pick::pick(a, b); }
    void finish(idx place, V value) const {
        y[place] = as_bool ? static_cast<V>(value != V(0)) : value;
    }
};

template <template <class> class Order, class T>
Status extremum(const In<T>& x, const Out<T>& y) {
    const idx n = x.shape[1];
    if (y.size == 0) return Status::kOk;
    if (n == 0) return Status::kBadValue;
    const Fold<Stored<T>, Order<T>> body{stored(x.data), stored(y.data), n, x.shape[2],
                                         std::is_same_v<T, bool>};
    return fold_axis<Stored<T>>(x.shape[0], n, x.shape[2], body);
}

template <class T>
using ProductOf = std::conditional_t<std::is_same_v<T, std::int64_t>, std::uint64_t, T>;

}  // namespace

template <class T>
Status amax(In<T> x, Out<T> y) {
    return extremum<Largest>(x, y);
}
template <class T>
Status amin(In<T> x, Out<T> y) {
    return extremum<Smallest>(x, y);
}

template <class T>
Status prod_forward(In<T> x, Out<T> y) {
    using P = ProductOf<T>;
    if (x.shape[1] == 0) {
        for (idx i = 0; i < y.size; ++i) y.data[i] = T(1);
        return Status::kOk;
    }
    const Fold<P, Product<P>> body{reinterpret_cast<const P*>(x.data), reinterpret_cast<P*>(y.data),
                                   x.shape[1], x.shape[2], false};
    return fold_axis<P>(x.shape[0], x.shape[1], x.shape[2], body);
}

template <class T>
void prod_backward(In<T> x, In<T> grad_y, Out<T> grad_x) {
    const idx n = x.shape[1];
    const idx inner = x.shape[2];
    if (x.size == 0) return;
    const idx tiles = (inner + kFoldTile - 1) / kFoldTile;
    const idx piece = greater(1, 65536 / (n * lesser(inner, kFoldTile)));
    parallel_for(x.shape[0] * tiles, piece, [&](idx first, idx last) {
        for (idx u = first; u < last; ++u) {
            const idx at = u % tiles * kFoldTile;
            const idx width = lesser(kFoldTile, inner - at);
            const T* from = x.data + u / tiles * n * inner + at;
            T* to = grad_x.data + u / tiles * n * inner + at;
            const T* grad = grad_y.data + u / tiles * inner + at;
            T running[kFoldTile];
            for (idx i = 0; i < width; ++i) running[i] = grad[i];
            for (idx j = 0; j < n; ++j) {
                for (idx i = 0; i < width; ++i) {
                    to[j * inner + i] = running[i];
                    running[i] *= from[j * inner + i];
                }
            }
            for (idx i = 0; i < width; ++i) running[i] = 1;
            for (idx j = n - 1; j >= 0; --j) {
                for (idx i = 0; i < width; ++i) {
                    to[j * inner + i] *= running[i];
                    running[i] *= from[j * inner + i];
                }
            }
        }
    });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(amax, "x(outer,n,inner) y(outer,inner)", kPlain, amax<float>, amax<double>,
          amax<std::int64_t>, amax<std::int32_t>, amax<std::uint8_t>, amax<bool>)
FASTNN_OP(amin, "x(outer,n,inner) y(outer,inner)", kPlain, amin<float>, amin<double>,
          amin<std::int64_t>, amin<std::int32_t>, amin<std::uint8_t>, amin<bool>)
FASTNN_OP(prod_forward, "x(outer,n,inner) y(outer,inner)", kPlain, prod_forward<float>,
          prod_forward<double>, prod_forward<std::int64_t>)
FASTNN_OP(prod_backward, "x(outer,n,inner) grad_y(outer,inner) grad_x(outer,n,inner)", kPlain,
          prod_backward<float>, prod_backward<double>)
