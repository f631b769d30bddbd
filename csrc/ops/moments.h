// SPDX-License-Identifier: BSD-3-Clause
// Means, variances and sums by channel of x (n, c, l), contiguous, for the normalisations. A row is
// channel 0 of (1, 1, l).
//
// A channel is cut into chunks, at most 4096 elements where vectors are widest: a part of a long
// row of l, or several short rows. Of a chunk the deviations from the mean of its first vector are
// added up, and their squares, and what that guess was off by is taken back out. Where it was off
// by too much for that the chunk is read again, from the first-level cache, with its own mean as
// the guess. The chunks' moments are merged pairwise in double precision. The order of all sums
// depends on the shape and the values alone.
//
// Source: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American
// Statistician 37(3), 1983 (the corrected two-pass algorithm and the merging of parts).
#pragma once

#include "ops/blocked_sum.h"
#include "runtime/parallel.h"

namespace fastnn::FASTNN_ISA {

// A lane's sum of a chunk is 64 additions long (128 of doubles) whatever the vectors' width.
inline constexpr idx kMomentChunk = 64 * kVecBytes;
inline constexpr int kMomentWays = 4;

// Of `count` numbers: their mean and the sum of the squared deviations from it.
struct Moments {
    double mean, m2, count;
    Moments() = default;
    Moments(int) : mean(0), m2(0), count(0) {}  // of no numbers: where PairwiseSum starts
    Moments(double mean_, double m2_, double count_) : mean(mean_), m2(m2_), count(count_) {}
};

inline Moments operator+(const Moments& a, const Moments& b) {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    const double count = a.count + b.count;
    const double delta = b.mean - a.mean;
    return {a.mean + delta * (b.count / count),
            a.m2 + b.m2 + delta * delta * (a.count * b.count / count), count};
}

// m2 - correction, at least 0; infinities and NaN stay as they are.
inline double corrected(double m2, double correction) {
    if (correction < m2) return m2 - correction;
    return m2 - m2 == 0 ? 0 : m2;
}

inline double reciprocal_std(const Moments& m, double eps) {
    return 1.0 / __builtin_sqrt((m.count > 0 ? m.m2 / m.count : 0.0) + eps);
}

// Two sums that are taken in one pass.
struct TwoSums {
    double a, b;
    TwoSums() = default;
    TwoSums(int) : a(0), b(0) {}
    TwoSums(double a_, double b_) : a(a_), b(b_) {}
};

inline TwoSums operator+(const TwoSums& x, const TwoSums& y) { return {x.a + y.a, x.b + y.b}; }

// body(i, span, way) for the elements [0, n): neighbouring vectors have different ways, so that
// they can have accumulators of their own.
template <class T, class F>
__attribute__((flatten)) inline void for_ways(idx n, const F& body) {
    constexpr int lanes = kLanes<T>;
    constexpr idx step = kMomentWays * lanes;
    idx i = 0;
    for (; i + step <= n; i += step) {
        for (int k = 0; k < kMomentWays; ++k) body(i + k * lanes, Whole{}, k);
    }
    for (int k = 0; k + 1 < kMomentWays; ++k) {
        if (i + lanes <= n) {
            body(i, Whole{}, k);
            i += lanes;
        }
    }
    if (i < n) body(i, Part{static_cast<int>(n - i)}, kMomentWays - 1);
}

template <class T>
FASTNN_SIMD_INLINE T add_ways(const Vec<T> (&sums)[kMomentWays]) {
    return reduce_add((sums[0] + sums[2]) + (sums[1] + sums[3]));
}

struct ChannelChunks {
    idx n, c, l;
    idx rows;   // rows to a chunk where they are short, else 1
    idx parts;  // chunks to a row where it is long, else 1
    idx count;  // chunks to a channel

    ChannelChunks(idx n_, idx c_, idx l_) : n(n_), c(c_), l(l_), rows(1), parts(1), count(0) {
        if (n == 0 || l == 0) return;
        if (l > kMomentChunk) {
            parts = (l + kMomentChunk - 1) / kMomentChunk;
        } else {
            rows = kMomentChunk / l;
        }
        count = (n + rows - 1) / rows * parts;
    }

    // From any element of a chunk to its place in the next one of the channel, 0 after the last.
    idx ahead(idx chunk) const {
        if (chunk + 1 >= count) return 0;
        return parts == 1 ? rows * c * l : (chunk + 1) % parts == 0 ? 0 : kMomentChunk;
    }

    // Its first element.
    idx start(idx ch, idx chunk) const {
        if (parts == 1) return (chunk * rows * c + ch) * l;
        return (chunk / parts * c + ch) * l + chunk % parts * kMomentChunk;
    }

    // f(offset, length) for the runs of neighbouring elements of a chunk of channel ch.
    template <class F>
    FASTNN_SIMD_INLINE void runs(idx ch, idx chunk, const F& f) const {
        if (parts > 1) {
            const idx at = chunk % parts * kMomentChunk;
            f((chunk / parts * c + ch) * l + at, l - at < kMomentChunk ? l - at : kMomentChunk);
            return;
        }
        const idx last = (chunk + 1) * rows < n ? (chunk + 1) * rows : n;
        for (idx i = chunk * rows; i < last; ++i) f((i * c + ch) * l, l);
    }
};

// Of a chunk of n elements: the deviations from a guess of its mean, added up, and their squares.
template <class T>
__attribute__((flatten)) inline TwoSums chunk_deviations(const T* x, const ChannelChunks& at,
                                                         idx ch, idx chunk, T guess, idx ahead) {
    const Vec<T> centre = broadcast(guess);
    Vec<T> deviations[kMomentWays] = {};
    Vec<T> squares[kMomentWays] = {};
    at.runs(ch, chunk, [&](idx offset, idx length) {
        const T* p = x + offset;
        for_ways<T>(length, [&](idx i, auto span, int k) {
            // Rows of a channel lie far apart: the processor does not foresee the next one.
            __builtin_prefetch(p + i + ahead);
            const Vec<T> d = load_span(p + i, span, guess) - centre;
            deviations[k] += d;
            squares[k] = fma(d, d, squares[k]);
        });
    });
    return {static_cast<double>(add_ways<T>(deviations)),
            static_cast<double>(add_ways<T>(squares))};
}

template <class T>
__attribute__((flatten)) inline Moments chunk_moments(const T* x, const ChannelChunks& at, idx ch,
                                                      idx chunk, idx ahead) {
    const idx first = at.start(ch, chunk);
    idx run = 0;  // its first one
    idx count = 0;
    at.runs(ch, chunk, [&](idx, idx length) {
        if (count == 0) run = length;
        count += length;
    });
    const idx some = run < kLanes<T> ? run : kLanes<T>;
    const double n = static_cast<double>(count);
    T guess = reduce_add(load_partial(x + first, static_cast<int>(some))) / static_cast<T>(some);
    TwoSums sums = chunk_deviations(x, at, ch, chunk, guess, ahead);
    // Off by a standard deviation, beyond the numbers, or all are equal.
    if (!(sums.a * sums.a / n < 0.5 * sums.b) || sums.b - sums.b != 0) {
        Vec<T> totals[kMomentWays] = {};
        at.runs(ch, chunk, [&](idx offset, idx length) {
            const T* p = x + offset;
            for_ways<T>(length,
                        [&](idx i, auto span, int k) { totals[k] += load_span(p + i, span); });
        });
        guess = add_ways<T>(totals) / static_cast<T>(count);
        sums = chunk_deviations(x, at, ch, chunk, guess, 0);
    }
    const double shift = sums.a / n;
    const double m2 = corrected(sums.b, shift * shift * n);
    // An infinite mean has no deviations to correct it by.
    const double mean = static_cast<double>(guess);
    return {shift - shift == 0 ? mean + shift : mean, m2, n};
}

// Of the chunks [begin, end) of a channel.
template <class T>
inline Moments channel_moments(const T* x, const ChannelChunks& at, idx ch, idx begin, idx end) {
    PairwiseSum<Moments> sum;
    for (idx k = begin; k < end; ++k) sum.add(chunk_moments(x, at, ch, k, at.ahead(k)));
    return sum.total();
}

// a = sum g and b = sum g (x - centre) over the chunks [begin, end) of a channel.
template <class T>
__attribute__((flatten)) inline TwoSums channel_products(const T* x, const T* g, T centre,
                                                         const ChannelChunks& at, idx ch, idx begin,
                                                         idx end) {
    const Vec<T> middle = broadcast(centre);
    PairwiseSum<TwoSums> sum;
    for (idx chunk = begin; chunk < end; ++chunk) {
        const idx ahead = at.ahead(chunk);
        Vec<T> a[kMomentWays] = {};
        Vec<T> b[kMomentWays] = {};
        at.runs(ch, chunk, [&](idx offset, idx length) {
            const T* p = x + offset;
            const T* q = g + offset;
            for_ways<T>(length, [&](idx i, auto span, int k) {
                __builtin_prefetch(p + i + ahead, 0, 2);
                __builtin_prefetch(q + i + ahead, 0, 2);
                const Vec<T> v = load_span(q + i, span);
                a[k] += v;
                b[k] = fma(v, load_span(p + i, span, centre) - middle, b[k]);
            });
        });
        sum.add({static_cast<double>(add_ways<T>(a)), static_cast<double>(add_ways<T>(b))});
    }
    return sum.total();
}

// plan = finish(ch, stat(ch, all chunks)), then apply(ch, its chunks, plan), for every channel, one
// piece of the parallel loop doing both so that apply finds the channel in the cache. Few channels
// are cut into segments of chunks instead, their statistics added in order.
template <class S, class Stat, class Finish, class Apply>
inline void for_channels(const ChannelChunks& at, const Stat& stat, const Finish& finish,
                         const Apply& apply) {
    constexpr idx kPiece = 32768;  // elements per piece: each is visited three times
    constexpr idx kEnough = 16;    // channels that keep all threads busy
    const idx elements = at.n * at.l;
    if (at.c >= kEnough || at.count <= 1 || elements <= kPiece) {
        parallel_for(at.c, elements < kPiece ? kPiece / (elements + 1) + 1 : 1,
                     [&](idx first, idx last) {
                         for (idx ch = first; ch < last; ++ch)
                             apply(ch, 0, at.count, finish(ch, stat(ch, 0, at.count)));
                     });
        return;
    }
    idx segments = (kEnough + at.c - 1) / at.c;
    if (segments > at.count) segments = at.count;
    S parts[2 * kEnough];
    decltype(finish(0, S(0))) plans[kEnough];
    const auto bound = [&](idx s) { return at.count * s / segments; };
    parallel_for(at.c * segments, 1, [&](idx first, idx last) {
        for (idx u = first; u < last; ++u)
            parts[u] = stat(u / segments, bound(u % segments), bound(u % segments + 1));
    });
    for (idx ch = 0; ch < at.c; ++ch) {
        PairwiseSum<S> sum;
        for (idx s = 0; s < segments; ++s) sum.add(parts[ch * segments + s]);
        plans[ch] = finish(ch, sum.total());
    }
    parallel_for(at.c * segments, 1, [&](idx first, idx last) {
        for (idx u = first; u < last; ++u)
            apply(u / segments, bound(u % segments), bound(u % segments + 1), plans[u / segments]);
    });
}

}  // namespace fastnn::FASTNN_ISA
