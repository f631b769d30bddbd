// SPDX-License-Identifier: BSD-3-Clause
// Maximum pooling where an image is halved (ops/pooling_halves.h): a row of maxima and their
// places, and a pair of rows of the gradient.
//
// The gradient takes no row from the indices without a look at all of its plane's: each must name
// an element of its own window of 3 by 3, as those of windows of 2 by 2 do too. Then an element of
// grad_x has its terms from at most four outputs that are known, and adds up those that name it, in
// their order: no stores to addresses that come from memory.
#pragma once

#include "ops/pooling_halves.h"

namespace fastnn::FASTNN_ISA {

// ---- vectors of places: integers of T's width here, int32 in memory ----

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

// ---- forward ----

// A row of maxima over `rows` rows of x from `first` on, whose column 0 has the place `corner`.
// Returns `nan` with a NaN in it if x has one: then the row is another function's.
template <class T, int kTaps, bool kPlaces>
FASTNN_SIMD_INLINE Vec<T> maxima_of_halves(const PoolAxis& w, const T* first, idx rows, idx corner,
                                           BitsOf<T> apart, Vec<T> nan, T* y,
                                           std::int32_t* indices) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx before = kTaps == 3 ? -1 : 0;
    const idx out = w.out;
    const idx in = w.in;
    for (idx i = 0; i < out; i += lanes) {
        const idx o = last_vector<T>(i, out);
        const T* p = first + 2 * o;
        Vec<T> best = {};
        BitsOf<T> place = same_place<T>(before);
        if (kTaps == 3 && o == 0) place[0] = 0;  // its window starts outside
        for (idx r = 0; r < rows; ++r, p += in) {
            const Vec<T> low = load(p), high = load(p + lanes);
            // v * 0 is NaN of a NaN (and of an infinity).
            nan = fma(low, Vec<T>{}, fma(high, Vec<T>{}, nan));
            const auto take = [&](Vec<T> x, idx at) {
                if (kPlaces) place = select(x > best, same_place<T>(r * in + at), place);
                best = max(x, best);
            };
            const Vec<T> even = even_lanes<T>(low, high);
            const Vec<T> odd = odd_lanes<T>(low, high);
            const Vec<T> left =
                kTaps == 3
                    ? shift_in<T>(odd, broadcast(o == 0 ? -static_cast<T>(__builtin_inf()) : p[-1]))
                    : even;
            if (r == 0) {
                best = left;
            } else {
                take(left, before);
            }
            if (kTaps == 3) take(even, 0);
            take(odd, 1);
        }
        store<T>(y + o, best);
        if (kPlaces)
            store_places<T>(indices + o, place + apart + static_cast<Place<T>>(corner + 2 * o));
    }
    return nan;
}

// ---- backward ----

// Whether every index of a plane names an element of its window, and by which windows that is so:
// 2 or 3; 0 if not.
template <class T>
int windows_named(const PoolAxis& h, const PoolAxis& w, const std::int32_t* indices) {
    constexpr idx lanes = kLanes<T>;
    using Bits = BitsOf<T>;
    const idx in = w.in;
    const Bits apart = places_apart<T>(2);
    const Bits width = same_place<T>(in);
    Bits bad2 = {}, bad3 = {};
    idx outside = 0;
    for (idx j = 0; j < h.out; ++j, indices += w.out) {
        const idx corner = (2 * j - 1) * in - 1;  // of the window of 3 by 3 of output 0
        for (idx i = 0; i < w.out; i += lanes) {
            const idx o = last_vector<T>(i, w.out);
            const Bits index = load_stored<T>(indices + o);
            const Bits d = index - apart - static_cast<Place<T>>(corner + 2 * o);
            const Bits row = (Bits)(d >= width) & width;
            const Bits row2 = (Bits)(d >= width + width) & width;
            const Bits column = d - row - row2;
            bad3 |= (Bits)(column > same_place<T>(2)) | (index >> (8 * sizeof(T) - 1));
            bad2 |= (Bits)(column == Bits{}) | (Bits)(row == Bits{});
        }
        const idx d = indices[0] - corner;
        outside |= d == 0 || d == in || d == 2 * in;
    }
    idx any2 = 0, any3 = outside;
    for (int i = 0; i < lanes; ++i) {
        any2 |= bad2[i] != 0;
        any3 |= bad3[i] != 0;
    }
    return any3 != 0 ? 0 : any2 != 0 ? 3 : 2;
}

// A row of grad_y and its indices, minus the places of their windows' middles.
template <class T>
struct Named {
    Vec<T> g;
    BitsOf<T> at;

    Named(const T* grad, const std::int32_t* indices, BitsOf<T> middle)
        : g(load(grad)), at(load_stored<T>(indices) - middle) {}
    // From the outputs one further on, of which the last is behind this vector, if there is one.
    Named(const Named& v, bool more, const T* grad, const std::int32_t* indices, idx middle)
        : g(shift_out<T>(v.g, broadcast(more ? *grad : T(0)))),
          at(as_bits(
              shift_out<T>(from_bits<T>(v.at), from_bits<T>(same_place<T>(*indices - middle))))) {}
    void add(Vec<T>& sum, idx place) const {
        sum = select(at == same_place<T>(place), sum + g, sum);
    }
};

// Rows 2 j and 2 j + 1 of grad_x, from rows j and j + 1 of grad_y; `last`: there is no row j + 1.
template <class T, int kTaps>
FASTNN_SIMD_INLINE void give_pair(const PoolAxis& w, const T* grad, const std::int32_t* indices,
                                  idx corner, bool last, BitsOf<T> apart, T* x) {
    constexpr idx lanes = kLanes<T>;
    const idx out = w.out;
    const idx in = w.in;
    for (idx i = 0; i < out; i += lanes) {
        const idx o = last_vector<T>(i, out);
        const idx middle = corner + 2 * o;
        const BitsOf<T> middles = apart + static_cast<Place<T>>(middle);
        const Named<T> own(grad + o, indices + o, middles);
        Vec<T> even = {}, odd = {}, even_below = {}, odd_below = {};
        own.add(even, 0);
        own.add(odd, 1);
        own.add(even_below, in);
        own.add(odd_below, in + 1);
        if constexpr (kTaps == 3) {
            const bool more = o + lanes < out;
            const idx after = o + (more ? lanes : 0);
            const Named<T> right(own, more, grad + after, indices + after, middle + 2 * lanes);
            right.add(odd, -1);
            right.add(odd_below, in - 1);
            if (!last) {
                const Named<T> next(grad + out + o, indices + out + o,
                                    middles + same_place<T>(2 * in));
                const Named<T> next_right(next, more, grad + out + after, indices + out + after,
                                          middle + 2 * lanes + 2 * in);
                next.add(even_below, -in);
                next.add(odd_below, -in + 1);
                next_right.add(odd_below, -in - 1);
            }
        }
        T* to = x + 2 * o;
        store<T>(to, zip_low<T>(even, odd));
        store<T>(to + lanes, zip_high<T>(even, odd));
        store<T>(to + in, zip_low<T>(even_below, odd_below));
        store<T>(to + in + lanes, zip_high<T>(even_below, odd_below));
    }
}

template <class T>
struct PoolGradient {
    PoolShape s;  // as it is if it halves an image, which is all that the arrays tell
    const T* grad_y;
    const std::int32_t* indices;
    T* grad_x;
    bool halves;
};

// The gradient of a plane, one output after the other. False: an index is outside.
template <class T>
bool give_outputs(const PoolGradient<T>& b, idx plane) {
    const idx in_size = b.s.in_size();
    const idx out_size = b.s.out_size();
    T* to = b.grad_x + plane * in_size;
    const T* from = b.grad_y + plane * out_size;
    const std::int32_t* place = b.indices + plane * out_size;
    bool good = true;
    for (idx i = 0; i < in_size; ++i) to[i] = T(0);
    for (idx o = 0; o < out_size; ++o) {
        const idx at = place[o];
        if (at >= 0 && at < in_size) {
            to[at] += from[o];
        } else {
            good = good && at == -1;
        }
    }
    return good;
}

// Planes [begin, end). A large grad_x is made in `memory`, a strip of rows while the one before
// goes past the caches.
template <class T>
bool give_planes(const PoolGradient<T>& b, idx begin, idx end, T* memory) {
    const PoolShape& s = b.s;
    const idx in = s.w.in;
    const idx out = s.w.out;
    const idx block = halving_rows(s);
    const BitsOf<T> apart = places_apart<T>(2);
    const Stores<T> stores(s.planes * s.in_size());
    Behind<T> behind;
    bool good = true;
    idx made = 0;
    for (idx p = begin; p < end; ++p) {
        const T* grad = b.grad_y + p * s.out_size();
        const std::int32_t* indices = b.indices + p * s.out_size();
        const int kernel = b.halves ? windows_named<T>(s.h, s.w, indices) : 0;
        if (kernel == 0) {
            good = give_outputs(b, p) && good;
            continue;
        }
        const auto give = kernel == 2 ? give_pair<T, 2> : give_pair<T, 3>;
        for (idx first = 0; first < s.h.in; first += block) {
            const idx last = first + block < s.h.in ? first + block : s.h.in;
            T* const x = b.grad_x + (p * s.h.in + first) * in;
            T* const rows = stores.past() ? memory + made++ % 2 * block * in : x;
            for (idx r = first; r < last; r += 2, grad += out, indices += out) {
                fetch_far(grad, out * static_cast<idx>(sizeof(T)));
                fetch_far(indices, out * static_cast<idx>(sizeof *indices));
                give(s.w, grad, indices, r * in, r + 2 == s.h.in, apart, rows + (r - first) * in);
                behind.some(stores, 2 * in);
            }
            if (!stores.past()) continue;
            behind.rest(stores);
            behind.begin(x, rows, (last - first) * in);
        }
    }
    behind.rest(stores);
    return good;
}

}  // namespace fastnn::FASTNN_ISA
