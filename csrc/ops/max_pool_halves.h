// SPDX-License-Identifier: BSD-3-Clause
// Maximum pooling where an image is halved (ops/pooling_halves.h): strips of maxima and what is
// kept of their places.
//
// Every window lies in the 3 by 3 elements around (2 j, 2 i), so that a byte says which of them
// won: its winner, 3 r + c with r and c the row and column there. A byte for four of an index is
// what the gradient's reads and the forward pass's writes save; and it cannot name an element of
// another window, so that nothing has to be checked and an element of grad_x has its terms from at
// most four outputs that are known. They are added in their order, by no stores to addresses that
// come from memory.
#pragma once

#include "ops/pooling_halves.h"
#include "runtime/pool.h"
#include "simd/bytes.h"

namespace fastnn::FASTNN_ISA {

// ---- vectors of places: integers of T's width here, int32 or bytes in memory ----

template <class T>
using Place = decltype(as_bits(Vec<T>{})[0] + 0);

template <class T>
FASTNN_SIMD_INLINE BitsOf<T> same_place(idx place) {
    return BitsOf<T>{} + static_cast<Place<T>>(place);
}

// 0, step, 2 step, ...
template <class T>
BitsOf<T> places_apart(idx step) {
    BitsOf<T> v;
    for (int i = 0; i < kLanes<T>; ++i) v[i] = static_cast<Place<T>>(i * step);
    return v;
}

template <class T>
FASTNN_SIMD_INLINE BitsOf<T> load_places(const Place<T>* p) {
    BitsOf<T> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

template <class T>
struct StoredPlaces {
    typedef std::int32_t type __attribute__((vector_size(4 * kLanes<T>)));
};

template <class T>
FASTNN_SIMD_INLINE BitsOf<T> load_stored(const std::int32_t* from) {
    typename StoredPlaces<T>::type v;
    __builtin_memcpy(&v, from, sizeof v);
    return __builtin_convertvector(v, BitsOf<T>);
}

template <class T>
FASTNN_SIMD_INLINE void store_places(std::int32_t* to, BitsOf<T> places) {
    const auto v = __builtin_convertvector(places, typename StoredPlaces<T>::type);
    __builtin_memcpy(to, &v, sizeof v);
}

using Winner = std::uint8_t;
inline constexpr Winner kNoWinner = 0xff;

// ---- forward ----

// What is kept of a maximum: nothing (void), its place in the plane or its winner.
template <class T, class P>
struct Maxima {
    static constexpr bool kPlaces = std::is_same<P, std::int32_t>::value;
    static constexpr bool kWinners = std::is_same<P, Winner>::value;

    PoolShape s;
    const T* x;
    T* y;
    P* kept;
    idx block;  // rows of outputs of a strip
};

// Row j of slice `slice` of all; at: of y.
template <class T, class P>
void maxima_one_by_one(const Maxima<T, P>& f, idx slice, idx j, idx at) {
    const PoolShape& s = f.s;
    const idx in = s.w.in;
    const T* x = f.x + slice * s.h.in * in;
    const idx plane = slice % s.d.in * s.h.in * in;
    const Window h = s.h.window(j);
    for (idx o = 0; o < s.w.out; ++o) {
        const Window w = s.w.window(o);
        T best = -static_cast<T>(__builtin_inf());
        idx row = h.first, column = w.first;
        for (idx r = h.first; r < h.end; ++r) {
            for (idx c = w.first; c < w.end; ++c) {
                const T v = x[r * in + c];
                if (!(v > best || v != v)) continue;
                best = v;
                row = r;
                column = c;
            }
        }
        f.y[at + o] = best;
        if constexpr (Maxima<T, P>::kPlaces)
            f.kept[at + o] = static_cast<std::int32_t>(plane + row * in + column);
        if constexpr (Maxima<T, P>::kWinners)
            f.kept[at + o] = static_cast<Winner>(3 * (row - 2 * j + 1) + column - 2 * o + 1);
    }
}

// The maxima of columns 2 o - 1 (of windows of three), 2 o and 2 o + 1 of a row, and which of the
// three they are.
template <class T>
struct RowMaxima {
    Vec<T> best;
    BitsOf<T> at;
};

template <class T, int kTaps, bool kKeeps>
FASTNN_SIMD_INLINE RowMaxima<T> maxima_across(const T* p, bool start, Vec<T>& sum) {
    const Vec<T> low = load(p), high = load(p + kLanes<T>);
    sum += low + high;
    const Vec<T> even = even_lanes<T>(low, high);
    const Vec<T> odd = odd_lanes<T>(low, high);
    RowMaxima<T> m{even, same_place<T>(1)};
    const auto take = [&](Vec<T> x, idx column) {
        if (kKeeps) m.at = select(x > m.best, same_place<T>(column), m.at);
        m.best = max(x, m.best);
    };
    if constexpr (kTaps == 3) {
        const T left = start ? -static_cast<T>(__builtin_inf()) : p[-1];
        m.best = shift_in<T>(odd, broadcast(left));
        m.at = BitsOf<T>{};
        if (start) m.at[0] = 1;  // what is left of it is outside
        take(even, 1);
    }
    take(odd, 2);
    return m;
}

// What the row of windows below sees of a row of x again.
template <class T>
struct Shared {
    T* best;
    Place<T>* at;

    void put(idx i, const RowMaxima<T>& m) const {
        store<T>(best + i, m.best);
        __builtin_memcpy(at + i, &m.at, sizeof m.at);
    }
    RowMaxima<T> get(idx i) const { return {load(best + i), load_places<T>(at + i)}; }
};

// A row of maxima over the rows of x from `row` on, which is the second of windows of three; the
// first is in `shared` if it lies inside. corner: the place of the element above, and left, of
// row[0]. Returns `nan`, with a NaN added to it if x has one: then the row is another function's.
template <class T, int kTaps, class P>
FASTNN_SIMD_INLINE Vec<T> maxima_of_halves(const PoolAxis& w, const T* row, bool inside, idx corner,
                                           BitsOf<T> apart, Vec<T> nan, Shared<T> shared, T* y,
                                           P* kept) {
    constexpr bool winners = Maxima<T, P>::kWinners;
    constexpr bool keeps = winners || Maxima<T, P>::kPlaces;
    constexpr idx lanes = kLanes<T>;
    const idx out = w.out;
    const idx in = w.in;
    const BitsOf<T> down = same_place<T>(winners ? 3 : in);
    for (idx i = 0; i < out; i += lanes) {
        const idx o = last_vector<T>(i, out);
        Vec<T> sum = {};
        const RowMaxima<T> own = maxima_across<T, kTaps, keeps>(row + 2 * o, o == 0, sum);
        const RowMaxima<T> last = maxima_across<T, kTaps, keeps>(row + 2 * o + in, o == 0, sum);
        RowMaxima<T> m{own.best, own.at + down};
        if (kTaps == 3 && inside) {
            const RowMaxima<T> first = shared.get(i);
            if (keeps) m.at = select(own.best > first.best, m.at, first.at);
            m.best = max(own.best, first.best);
        }
        if (keeps) m.at = select(last.best > m.best, last.at + down + down, m.at);
        m.best = max(last.best, m.best);
        if (kTaps == 3) shared.put(i, last);
        nan += sum;
        store<T>(y + o, m.best);
        if constexpr (winners) store_bytes<T>(kept + o, m.at);
        if constexpr (keeps && !winners)
            store_places<T>(kept + o, m.at + apart + static_cast<Place<T>>(corner + 2 * o));
    }
    return nan;
}

// The strips [begin, end). False: no memory.
template <class T, int kTaps, class P>
bool maxima_of_strips_in_halves(const Maxima<T, P>& f, idx begin, idx end) {
    const PoolShape& s = f.s;
    const idx in = s.w.in;
    const idx out = s.w.out;
    const idx vectors = up_to_lanes<T>(out);
    T* const memory =
        static_cast<T*>(pool_scratch(static_cast<std::size_t>(2 * vectors) * sizeof(T), 0));
    if (memory == nullptr) return false;
    const Shared<T> shared{memory, reinterpret_cast<Place<T>*>(memory + vectors)};
    const BitsOf<T> apart = places_apart<T>(2);
    const bool far = s.planes * s.in_size() * static_cast<idx>(sizeof(T)) >= kFarBytes;
    const OutputStrip last(s, f.block, end - 1);
    const idx stop = ((last.plane * s.d.in + last.i) * s.h.out + last.end) * out;
    for (idx u = begin; u < end; ++u) {
        const OutputStrip strip(s, f.block, u);
        const idx slice = strip.plane * s.d.in + strip.i;
        const T* x = f.x + slice * s.h.in * in;
        const idx start = (slice * s.h.out + strip.begin) * out;
        Vec<T> nan = {};
        const bool above_too = kTaps == 3 && strip.begin != 0 && start + spread_out<T>(out) <= stop;
        for (idx i = 0; i < out && above_too; i += kLanes<T>) {
            const idx o = last_vector<T>(i, out);
            const T* above = x + (2 * strip.begin - 1) * in + 2 * o;
            shared.put(i, maxima_across<T, kTaps, true>(above, o == 0, nan));
        }
        idx at = start;
        for (idx j = strip.begin; j < strip.end; ++j, at += out) {
            if (at + spread_out<T>(out) > stop) {
                maxima_one_by_one(f, slice, j, at);
                continue;
            }
            const T* row = x + 2 * j * in;
            P* kept = nullptr;
            if constexpr (Maxima<T, P>::kPlaces || Maxima<T, P>::kWinners) {
                kept = f.kept + at;
                if (far) fetch_far(kept, out * static_cast<idx>(sizeof(P)));
            }
            if (far) {
                fetch_far(row, 2 * in * static_cast<idx>(sizeof(T)));
                fetch_far(f.y + at, out * static_cast<idx>(sizeof(T)));
            }
            const idx corner = (strip.i * s.h.in + 2 * j - 1) * in - 1;
            nan = maxima_of_halves<T, kTaps, P>(s.w, row, j != 0, corner, apart, nan, shared,
                                                f.y + at, kept);
        }
        // NaN of a NaN, and of infinities of both signs.
        const T sum = reduce_add(nan);
        if (sum == sum) continue;
        at = start;
        for (idx j = strip.begin; j < strip.end; ++j, at += out) maxima_one_by_one(f, slice, j, at);
    }
    return true;
}

template <class T, class P>
auto choose_halves(int kernel) {
    return kernel == 2 ? maxima_of_strips_in_halves<T, 2, P> : maxima_of_strips_in_halves<T, 3, P>;
}

}  // namespace fastnn::FASTNN_ISA
