// SPDX-License-Identifier: BSD-3-Clause
// y[o, i] = the first j at which x[o, j, i] is largest; NaN counts as largest. x (outer, n, inner),
// y (outer, inner), contiguous; y is `=`.
//
// inner == 1: the largest element of each block of 1024 by vectors; the first block that has the
// largest of all is then looked through for its place, 64 elements at a time. A long row is cut
// into at most 256 chunks, which compete in order. inner > 1: up to 512 neighbouring columns
// together, row by row.
#include "ops/blocked_sum.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kBlock = 1024;
constexpr idx kMiddleRow = 4096;  // up to here a quarter: there is less to look through
constexpr int kGroup = 64;
constexpr idx kShortBytes = 32;
constexpr idx kPiece = 65536;  // elements per piece of a parallel loop, and least per chunk
constexpr idx kMaxChunks = 256;
constexpr idx kEnoughRows = 32;  // with so many rows, none is cut into chunks
constexpr idx kTile = 512;
constexpr int kSlot = 3;  // of the pool's scratch: the chunks' winners

// What is compared: a bool by whether its byte is zero.
template <class T>
using Value = Stored<T>;
template <class T>
inline Value<T> value_of(Value<T> v) {
    if constexpr (std::is_same_v<T, bool>) {
        return v != 0 ? 1 : 0;
    } else {
        return v;
    }
}

template <class V>
inline bool is_nan(V v) {
    if constexpr (std::is_floating_point_v<V>) {
        return v != v;
    } else {
        return false;
    }
}

// Whether b, which comes later, takes the place of a.
template <class V>
inline bool beats(V b, V a) {
    return b > a || (is_nan(b) && !is_nan(a));
}

// Whether nothing can beat v.
template <class T>
inline bool is_last(Value<T> v) {
    if constexpr (std::is_same_v<T, bool>) return v != 0;
    if constexpr (std::is_same_v<T, std::uint8_t>) return v == 255;
    return is_nan(v);
}

template <class T>
inline Value<T> block_max(const Value<T>* x, idx n) {
    if constexpr (std::is_floating_point_v<T>) {
        return row_max(x, n);
    } else if constexpr (std::is_same_v<T, bool>) {
        Value<T> any = 0;
        for (idx i = 0; i < n; ++i) any |= x[i];
        return value_of<T>(any);
    } else {
        Value<T> top = x[0];
        for (idx i = 1; i < n; ++i) top = x[i] > top ? x[i] : top;
        return top;
    }
}

// Unsigned and as wide as an element: a vector of places goes with a vector of elements.
template <class T>
using Place = std::conditional_t<sizeof(T) == 8, std::uint64_t,
                                 std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint8_t>>;

// The first of at most kGroup elements that is `top` or NaN; kGroup if none is.
template <class T>
FASTNN_SIMD_INLINE Place<T> place_in_group(const Value<T>* x, Place<T> n, Value<T> top) {
    Place<T> at = kGroup;
    for (Place<T> i = 0; i < n; ++i) {
        const Value<T> v = value_of<T>(x[i]);
        const Place<T> here = (v == top) | is_nan(v) ? i : Place<T>{kGroup};
        at = here < at ? here : at;
    }
    return at;
}

// The place of the largest element, `top`, of the n; a place also if another thread has overwritten
// it.
template <class T>
inline idx place_of(const Value<T>* x, idx n, Value<T> top) {
    idx i = 0;
    for (; i + kGroup <= n; i += kGroup) {
        const Place<T> at = place_in_group<T>(x + i, Place<T>{kGroup}, top);
        if (at < kGroup) return i + static_cast<idx>(at);
    }
    const Place<T> at = place_in_group<T>(x + i, static_cast<Place<T>>(n - i), top);
    return lesser(i + static_cast<idx>(at), n - 1);
}

struct MinLanes {
    template <class V>
    FASTNN_SIMD_INLINE V operator()(V a, V b) const {
        return a < b ? a : b;
    }
};

// The same for a row that fits into one vector.
template <class T>
inline idx place_in_vector(const T* x, int n) {
    BitsOf<T> places;
    for (int i = 0; i < kLanes<T>; ++i) places[i] = static_cast<Place<T>>(i);
    const Vec<T> v = load_partial(x, n, kLeast<T>);
    const auto hit = (v == broadcast(reduce_max(v))) | (v != v);
    return static_cast<idx>(fold_lanes(select(hit, places, ~BitsOf<T>{}), MinLanes{}));
}

// The place of the first largest of x[begin, end), not empty.
template <class T>
idx first_largest(const Value<T>* x, idx begin, idx end) {
    if constexpr (std::is_floating_point_v<T>) {
        if (end - begin <= kLanes<T>)
            return begin + place_in_vector<T>(x + begin, static_cast<int>(end - begin));
    } else if constexpr (sizeof(T) == 1) {
        if (end - begin <= kShortBytes) {
            // One number, value and place, so that the largest is found without a branch.
            int most = 0;
            for (idx i = begin; i < end; ++i) {
                const int key = value_of<T>(x[i]) * kGroup + static_cast<int>(end - i);
                most = key > most ? key : most;
            }
            return end - most % kGroup;
        }
    }
    const idx block = end - begin <= kMiddleRow ? kBlock / 4 : kBlock;
    idx found = begin;
    Value<T> best = block_max<T>(x + begin, lesser(block, end - begin));
    for (idx i = begin + block; i < end && !is_last<T>(best); i += block) {
        const Value<T> top = block_max<T>(x + i, lesser(block, end - i));
        if (!beats(top, best)) continue;
        best = top;
        found = i;
    }
    return found + place_of<T>(x + found, lesser(block, end - found), best);
}

template <class T>
Status argmax_rows(const Value<T>* x, idx* y, idx outer, idx n) {
    if (outer >= kEnoughRows || n < 2 * kPiece) {
        parallel_for(outer, greater(1, kPiece / n), [&](idx begin, idx end) {
            for (idx o = begin; o < end; ++o) y[o] = first_largest<T>(x + o * n, 0, n);
        });
        return Status::kOk;
    }
    const idx size = greater(kPiece, (n + kMaxChunks - 1) / kMaxChunks);
    const idx chunks = (n + size - 1) / size;
    const idx units = outer * chunks;
    auto* winners =
        static_cast<idx*>(pool_scratch(static_cast<std::size_t>(units) * sizeof(idx), kSlot));
    if (winners == nullptr) return Status::kNoMemory;
    parallel_for(units, 1, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx first = u % chunks * size;
            winners[u] = first_largest<T>(x + u / chunks * n, first, lesser(first + size, n));
        }
    });
    for (idx o = 0; o < outer; ++o) {
        const Value<T>* row = x + o * n;
        idx found = winners[o * chunks];
        for (idx k = 1; k < chunks; ++k) {
            const idx next = winners[o * chunks + k];
            if (beats(value_of<T>(row[next]), value_of<T>(row[found]))) found = next;
        }
        y[o] = found;
    }
    return Status::kOk;
}

template <class T>
void argmax_columns(const Value<T>* x, idx* y, idx outer, idx n, idx inner) {
    const idx tiles = (inner + kTile - 1) / kTile;
    const idx piece = greater(1, kPiece / (n * lesser(inner, kTile)));
    parallel_for(outer * tiles, piece, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx at = u % tiles * kTile;
            const idx width = lesser(kTile, inner - at);
            const Value<T>* from = x + u / tiles * n * inner + at;
            idx* to = y + u / tiles * inner + at;
            Value<T> best[kTile];
            for (idx i = 0; i < width; ++i) {
                best[i] = value_of<T>(from[i]);
                to[i] = 0;
            }
            for (idx j = 1; j < n; ++j) {
                const Value<T>* row = from + j * inner;
                FASTNN_INDEPENDENT
                for (idx i = 0; i < width; ++i) {
                    const Value<T> v = value_of<T>(row[i]);
                    const bool better = beats(v, best[i]);
                    best[i] = better ? v : best[i];
                    to[i] = better ? j : to[i];
                }
            }
        }
    });
}

}  // namespace

template <class T>
Status argmax_forward(In<T> x, Out<std::int64_t> y) {
    const idx n = x.shape[1];
    if (y.size == 0) return Status::kOk;
    if (n == 0) return Status::kBadValue;
    if (x.shape[2] == 1) return argmax_rows<T>(stored(x.data), y.data, x.shape[0], n);
    argmax_columns<T>(stored(x.data), y.data, x.shape[0], n, x.shape[2]);
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(argmax_forward, "x(outer,n,inner) y(outer,inner)", kPlain, argmax_forward<float>,
          argmax_forward<double>, argmax_forward<std::int64_t>, argmax_forward<std::int32_t>,
          argmax_forward<std::uint8_t>, argmax_forward<bool>)
