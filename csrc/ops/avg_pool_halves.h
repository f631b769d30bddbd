// SPDX-License-Identifier: BSD-3-Clause
// What the strips of average pooling work on, and the strips where an image is halved
// (ops/pooling_halves.h).
//
// A large grad_x (simd/streaming.h) is made in the first-level cache, one strip while the one
// before goes to memory.
//
// Narrow rows, with windows of 2 by 2, go by pairs: the pairs of rows of x follow each other
// through all planes, as the rows of y do. So the sums of a pair's columns, or the elements of a
// row of grad_y each written twice, stand in a buffer in the first-level cache without gaps, and
// the vectors over them are full.
#pragma once

#include "ops/pooling_halves.h"
#include "runtime/pool.h"

namespace fastnn::FASTNN_ISA {

// n of the windows, by direction.
struct MeanDivisor {
    bool include_pad;
    idx fixed;

    idx extent(const PoolAxis& a, idx o) const {
        if (fixed != 0) return 1;
        const idx room = a.in + a.padding - a.left(o);
        const idx count = a.adaptive || !include_pad ? a.window(o).count()
                          : room < a.kernel          ? room
                                                     : a.kernel;
        return count < 0 ? 0 : count;
    }
    template <class T>
    T scale(idx extent) const {
        if (fixed != 0) return T(1) / static_cast<T>(fixed);
        return extent == 0 ? T(0) : T(1) / static_cast<T>(extent);
    }
};

// 1/n of the outputs of a row, made again where the extent of d and h changes.
template <class T>
class MeanScales {
  public:
    MeanScales(const MeanDivisor& d, const PoolShape& shape, T* memory)
        : divide(d),
          s(shape),
          values(memory),
          whole(shape.h.whole()),
          known(-1),
          slice(-1),
          slices(0) {}

    const T* of_row(idx i, idx j) {
        if (i != slice) {
            slice = i;
            slices = divide.extent(s.d, i);
        }
        const bool inside = j >= whole.first && j < whole.end && divide.fixed == 0;
        const idx extent = slices * (inside ? s.h.kernel : divide.extent(s.h, j));
        if (extent == known) return values;
        known = extent;
        for (idx o = 0; o < s.w.out; ++o)
            values[o] = divide.template scale<T>(extent * divide.extent(s.w, o));
        return values;
    }

  private:
    const MeanDivisor& divide;
    const PoolShape& s;
    T* values;
    Window whole;
    idx known;          // extent of d and h that they were made for
    idx slice, slices;  // i of the last, and its extent
};

template <class T>
struct MeanJob {
    PoolShape s;
    MeanDivisor divide;
    const T* from;
    T* to;
    idx block;  // rows that are worked on together
    bool far;   // simd/ahead.h
};

// halving_kernel, where there is something to gain: rows of half a vector at least.
template <class T>
int mean_halving_kernel(const PoolShape& s) {
    return 2 * s.w.out < kLanes<T> ? 0 : halving_kernel<T>(s);
}

template <class T>
T* mean_scratch(idx size) {
    return static_cast<T*>(pool_scratch(static_cast<std::size_t>(size) * sizeof(T), 0));
}

// A row that is narrower than a vector, and nothing beyond it.
template <class T, int kTaps>
void mean_narrow_row(const PoolAxis& w, const T* first, idx rows, const T* scales, T* y) {
    constexpr idx lanes = kLanes<T>;
    T x[(kTaps + 1) * 2 * lanes] = {}, made[lanes];
    for (idx i = 0; i < rows * w.in; ++i) x[i] = first[i];
    mean_row<T, kTaps>(w, x, rows, scales, made);
    for (idx o = 0; o < w.out; ++o) y[o] = made[o];
}

// The strips [begin, end) of y. False: no memory.
template <class T, int kTaps>
bool mean_halves(const MeanJob<T>& job, idx begin, idx end) {
    const PoolShape& s = job.s;
    T* const values = mean_scratch<T>(spread_out<T>(s.w.out));
    if (values == nullptr) return false;
    for (idx i = 0; i < spread_out<T>(s.w.out); ++i) values[i] = T(0);
    MeanScales<T> scales{job.divide, s, values};
    const OutputStrip last(s, job.block, end - 1);
    const T* const stop = job.to + ((last.plane * s.d.in + last.i) * s.h.out + last.end) * s.w.out;
    const idx ahead = job.far ? 2 * s.w.in * static_cast<idx>(sizeof(T)) : 0;
    for (idx u = begin; u < end; ++u) {
        const OutputStrip strip(s, job.block, u);
        const idx slice = strip.plane * s.d.in + strip.i;
        const T* x = job.from + slice * s.h.in * s.w.in;
        T* y = job.to + (slice * s.h.out + strip.begin) * s.w.out;
        for (idx j = strip.begin; j < strip.end; ++j, y += s.w.out) {
            const Window h = s.h.window(j);
            const T* first = x + h.first * s.w.in;
            fetch_far(first, ahead);
            if (job.far) fetch_far(y, s.w.out * static_cast<idx>(sizeof(T)));
            const T* by = scales.of_row(strip.i, j);
            if (stop - y >= spread_out<T>(s.w.out)) {
                mean_row<T, kTaps>(s.w, first, h.count(), by, y);
            } else {
                mean_narrow_row<T, kTaps>(s.w, first, h.count(), by, y);
            }
        }
    }
    return true;
}

// The strips [begin, end) of grad_x.
template <class T, int kTaps>
bool spread_halves(const MeanJob<T>& job, idx begin, idx end) {
    const PoolShape& s = job.s;
    const Stores<T> out(s.planes * s.in_size());
    const idx pitch = up_to_lanes<T>(s.w.out);
    const idx pair = 2 * s.w.in;
    const idx beyond = 2 * (spread_out<T>(s.w.out) - s.w.out);
    const idx made = (out.past() ? job.block * s.w.in : pair) + beyond;
    T* const memory = mean_scratch<T>(3 * pitch + 2 * made);
    if (memory == nullptr) return false;
    for (idx i = 0; i < 3 * pitch; ++i) memory[i] = T(0);
    T* const none = memory + 2 * pitch;
    MeanScales<T> scales{job.divide, s, memory};
    MeanScales<T> next_scales{job.divide, s, memory + pitch};
    const InputStrip final_strip(s, job.block, end - 1);
    const T* const stop =
        job.to + ((final_strip.plane * s.d.in + final_strip.i) * s.h.in + final_strip.end) * s.w.in;
    Behind<T> behind;
    for (idx u = begin; u < end; ++u) {
        const InputStrip strip(s, job.block, u);
        const idx slice = strip.plane * s.d.in + strip.i;
        const T* g = job.from + (slice * s.h.out + strip.begin / 2) * s.w.out;
        T* const x = job.to + (slice * s.h.in + strip.begin) * s.w.in;
        T* const rows = none + pitch + u % 2 * made;
        idx at = 0;
        for (idx j = strip.begin / 2; j < strip.end / 2; ++j, g += s.w.out, at += pair) {
            const bool last = j + 1 == s.h.out;
            if (job.far) fetch_far(g, s.w.out * static_cast<idx>(sizeof(T)));
            const T* by = scales.of_row(strip.i, j);
            const T* next = last ? none : g + s.w.out;
            const T* next_by = last ? none : next_scales.of_row(strip.i, j + 1);
            const bool fits = stop - x - at >= pair + beyond;
            T* const to = out.past() ? rows + at : fits ? x + at : rows;
            const int n = static_cast<int>(s.w.out);
            if (beyond == 0) {
                using Row = Scaled<T, false>;
                spread_pair<T, kTaps>(s.w, Row{g, by, n}, Row{next, next_by, n}, to);
            } else {
                using Row = Scaled<T, true>;
                spread_pair<T, kTaps>(s.w, Row{g, by, n}, Row{next, next_by, n}, to);
            }
            if (out.past()) {
                behind.some(out, pair);
            } else if (!fits) {
                for (idx i = 0; i < pair; ++i) x[at + i] = to[i];
            }
        }
        if (!out.past()) continue;
        behind.rest(out);
        behind.begin(x, rows, at);
    }
    behind.rest(out);
    return true;
}

// ---- pairs of rows ----

inline constexpr idx kPairElements = 4096;  // of a buffer

// The shapes that go by pairs: rows of x of fewer than four vectors; if they come from memory and
// not from a cache, only those that are too narrow for the strips above.
template <class T>
bool takes_pairs(const MeanJob<T>& job) {
    const idx out = job.s.w.out;
    return out * (job.far ? 2 : 1) < kLanes<T> * (job.far ? 1 : 2) && halving_kernel<T>(job.s) == 2;
}

// f(at) for every vector of a row of x.
template <class T, class F>
FASTNN_SIMD_INLINE void over_row(idx in, const F& f) {
    for (idx i = 0; i < in; i += kLanes<T>) f(i);
}

// Rows [begin, end) of y, counted through all planes. False: no memory.
template <class T>
bool mean_pairs(const MeanJob<T>& job, idx begin, idx end) {
    constexpr idx lanes = kLanes<T>;
    const idx in = job.s.w.in;
    const idx out = job.s.w.out;
    const idx most = kPairElements / in;
    T* const sums = mean_scratch<T>(kPairElements + 2 * lanes);
    if (sums == nullptr) return false;
    const Vec<T> scale = broadcast(job.divide.template scale<T>(4));
    const T* const stop = job.from + job.s.planes * job.s.in_size();
    for (idx u = begin; u < end; u += most) {
        const idx rows = end - u < most ? end - u : most;
        const T* x = job.from + 2 * u * in;
        T* to = sums;
        for (idx r = 0; r < rows; ++r, x += 2 * in, to += in) {
            if (stop - x >= 2 * in + lanes) {
                over_row<T>(in, [&](idx i) {
                    store<T>(to + i, Vec<T>{} + load(x + i) + load(x + in + i));
                });
            } else {
                over_row<T>(in, [&](idx i) {
                    const int n = static_cast<int>(in - i < lanes ? in - i : lanes);
                    store<T>(to + i,
                             Vec<T>{} + load_partial(x + i, n) + load_partial(x + in + i, n));
                });
            }
        }
        T* const y = job.to + u * out;
        const idx count = rows * out;
        for (idx i = 0; i < count; i += lanes) {
            const Vec<T> low = load(sums + 2 * i);
            const Vec<T> high = load(sums + 2 * i + lanes);
            const Vec<T> sum = even_lanes<T>(low, high) + odd_lanes<T>(low, high);
            store_up_to(y + i, sum * scale, count - i);
        }
    }
    return true;
}

// Pairs [begin, end) of rows of grad_x, counted through all planes. False: no memory.
template <class T>
bool spread_pairs(const MeanJob<T>& job, idx begin, idx end) {
    constexpr idx lanes = kLanes<T>;
    const idx in = job.s.w.in;
    const idx out = job.s.w.out;
    const idx most = kPairElements / in;
    T* const twice = mean_scratch<T>(kPairElements + 2 * lanes);
    if (twice == nullptr) return false;
    const Vec<T> scale = broadcast(job.divide.template scale<T>(4));
    T* const stop = job.to + 2 * end * in;
    for (idx u = begin; u < end; u += most) {
        const idx pairs = end - u < most ? end - u : most;
        const T* const g = job.from + u * out;
        const idx count = pairs * out;
        for (idx i = 0; i < count; i += lanes) {
            const idx n = count - i;
            const Vec<T> value =
                Vec<T>{} +
                (n < lanes ? load_partial(g + i, static_cast<int>(n)) : load(g + i)) * scale;
            store<T>(twice + 2 * i, zip_low<T>(value, value));
            store<T>(twice + 2 * i + lanes, zip_high<T>(value, value));
        }
        T* x = job.to + 2 * u * in;
        const T* from = twice;
        for (idx r = 0; r < pairs; ++r, from += in) {
            for (int half = 0; half < 2; ++half, x += in) {
                // What a vector writes beyond its row is the next one's, which is written later.
                if (stop - x >= in + lanes) {
                    over_row<T>(in, [&](idx i) { store<T>(x + i, load(from + i)); });
                } else {
                    over_row<T>(in, [&](idx i) { store_up_to(x + i, load(from + i), in - i); });
                }
            }
        }
    }
    return true;
}

}  // namespace fastnn::FASTNN_ISA
