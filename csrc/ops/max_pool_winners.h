// SPDX-License-Identifier: BSD-3-Clause
// The gradient of maximum pooling where an image is halved, from winners (ops/max_pool_halves.h): a
// pair of rows of grad_x at a time. An element has its terms from at most four outputs, which are
// known, and adds up those that name it, in their order: there are no stores to addresses that come
// from memory, and a winner that names none does no harm.
#pragma once

#include "ops/max_pool_halves.h"

namespace fastnn::FASTNN_ISA {

// The winners of a plane from its indices, if each of them names an element of its own window. By
// which windows that is so: 2 or 3; 0 if not.
template <class T>
int find_winners(const PoolAxis& h, const PoolAxis& w, const std::int32_t* indices,
                 Winner* winners) {
    constexpr idx lanes = kLanes<T>;
    using Bits = BitsOf<T>;
    const idx in = w.in;
    const Bits apart = places_apart<T>(2);
    const Bits width = same_place<T>(in);
    Bits bad2 = {}, bad3 = {};
    idx outside = 0;
    for (idx j = 0; j < h.out; ++j, indices += w.out, winners += w.out) {
        const idx corner = (2 * j - 1) * in - 1;  // of the window of 3 by 3 of output 0
        for (idx i = 0; i < w.out; i += lanes) {
            const idx o = last_vector<T>(i, w.out);
            const Bits index = load_stored<T>(indices + o);
            const Bits d = index - apart - static_cast<Place<T>>(corner + 2 * o);
            const Bits row = (Bits)(d >= width);
            const Bits row2 = (Bits)(d >= width + width);
            const Bits column = d - (row & width) - (row2 & width);
            bad3 |= (Bits)(column > same_place<T>(2)) | (index >> (8 * sizeof(T) - 1));
            bad2 |= (Bits)(column == Bits{}) | ~row;
            store_bytes<T>(winners + o, column - row - row - row - row2 - row2 - row2);
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

// A row of grad_y and its winners.
template <class T>
struct WonRow {
    const T* g;
    const Winner* winners;
};

// `spread_out` elements from o on, of which those with a bit in `beyond` are none of the row's.
template <class T>
struct Won {
    Vec<T> g;
    BitsOf<T> by;

    Won(const WonRow<T>& row, idx o) : g(load(row.g + o)), by(load_bytes<T>(row.winners + o)) {}
    Won(const WonRow<T>& row, idx o, BitsOf<T> beyond) : Won(row, o) { by |= beyond; }
    void add(Vec<T>& sum, idx winner) const {
        sum = select(by == same_place<T>(winner), sum + g, sum);
    }
};

// Rows 2 j and 2 j + 1 of grad_x, from rows j and j + 1 of grad_y, of which an element more than
// `spread_out` is read. `edge`: a bit in the lanes from that of the last output on.
template <class T, int kTaps>
FASTNN_SIMD_INLINE void give_pair(const PoolAxis& w, const WonRow<T>& row, const WonRow<T>& below,
                                  BitsOf<T> edge, T* x) {
    constexpr idx lanes = kLanes<T>;
    const idx out = w.out;
    const idx in = w.in;
    for (idx i = 0; i < out; i += lanes) {
        const idx o = last_vector<T>(i, out);
        const Won<T> own(row, o);
        Vec<T> even = {}, odd = {}, even_below = {}, odd_below = {};
        own.add(even, 4);
        own.add(odd, 5);
        own.add(even_below, 7);
        own.add(odd_below, 8);
        if constexpr (kTaps == 3) {
            const BitsOf<T> beyond = o + lanes < out ? BitsOf<T>{} : edge;
            const Won<T> right(row, o + 1, beyond);
            right.add(odd, 3);
            right.add(odd_below, 6);
            const Won<T> next(below, o);
            next.add(even_below, 1);
            next.add(odd_below, 2);
            const Won<T> next_right(below, o + 1, beyond);
            next_right.add(odd_below, 0);
        }
        T* to = x + 2 * o;
        store<T>(to, zip_low<T>(even, odd));
        store<T>(to + lanes, zip_high<T>(even, odd));
        store<T>(to + in, zip_low<T>(even_below, odd_below));
        store<T>(to + in + lanes, zip_high<T>(even_below, odd_below));
    }
}

// Gradients of planes, one after the other. A large grad_x is made in scratch memory, a strip of
// rows while the one before goes past the caches.
template <class T>
class GivenPlanes {
  public:
    static idx scratch(const PoolShape& s) {
        return 2 * strip(s) + 6 * (spread_out<T>(s.w.out) + 1);
    }
    // memory: `scratch` elements.
    GivenPlanes(const PoolShape& shape, T* memory)
        : s(shape),
          block(halving_rows(shape)),
          wide(spread_out<T>(shape.w.out) + 1),
          stores(shape.planes * shape.in_size()),
          strips(memory),
          copies(memory + 2 * strip(shape)),
          copied(reinterpret_cast<Winner*>(copies + 3 * wide)) {
        const idx first = s.w.out < kLanes<T> ? s.w.out - 1 : kLanes<T> - 1;
        for (int i = 0; i < kLanes<T>; ++i) edge[i] = i < first ? 0 : kNoWinner;
        for (idx i = 0; i < wide; ++i) {
            copies[2 * wide + i] = T(0);
            copied[2 * wide + i] = kNoWinner;
        }
    }

    // From g and the winners x, behind which there are as many elements as in all.
    template <int kTaps>
    void give(const T* g, const Winner* winners, idx in_all, T* x, idx room) {
        const idx in = s.w.in;
        const idx out = s.w.out;
        const auto row = [&](idx j) -> WonRow<T> {
            T* const copy = copies + (j == s.h.out ? 2 : j % 2) * wide;
            Winner* const winner = copied + (copy - copies);
            if (j < s.h.out && j * out + wide <= in_all) return {g + j * out, winners + j * out};
            for (idx o = 0; o < out && j < s.h.out; ++o) {
                copy[o] = g[j * out + o];
                winner[o] = winners[j * out + o];
            }
            return {copy, winner};
        };
        const idx beyond = 2 * (wide - 1 - out);
        for (idx first = 0; first < s.h.in; first += block) {
            const idx last = first + block < s.h.in ? first + block : s.h.in;
            T* const rows = strips + made++ % 2 * strip(s);
            for (idx r = first; r < last; r += 2) {
                const WonRow<T> own = row(r / 2), below = row(r / 2 + 1);
                if (stores.past()) {
                    fetch_far(own.g, out * static_cast<idx>(sizeof(T)));
                    fetch_far(own.winners, out);
                }
                const bool apart = stores.past() || (r + 2) * in + beyond > room;
                T* const to = apart ? rows + (r - first) * in : x + r * in;
                give_pair<T, kTaps>(s.w, own, below, edge, to);
                if (stores.past()) {
                    behind.some(stores, 2 * in);
                } else if (apart) {
                    for (idx i = 0; i < 2 * in; ++i) x[r * in + i] = to[i];
                }
            }
            if (!stores.past()) continue;
            behind.rest(stores);
            behind.begin(x + first * in, rows, (last - first) * in);
        }
    }
    void finish() { behind.rest(stores); }

  private:
    // Elements of a strip of grad_x, and of what is written behind its last row.
    static idx strip(const PoolShape& s) {
        return halving_rows(s) * s.w.in + 2 * (spread_out<T>(s.w.out) - s.w.out);
    }

    const PoolShape& s;
    idx block;
    idx wide;  // elements that are read of a row of outputs
    Stores<T> stores;
    Behind<T> behind;
    T* strips;
    T* copies;  // of rows at the end of grad_y, and a row of zeros that nobody won
    Winner* copied;
    BitsOf<T> edge;
    idx made = 0;
};

}  // namespace fastnn::FASTNN_ISA
