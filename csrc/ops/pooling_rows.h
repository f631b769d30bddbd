// SPDX-License-Identifier: BSD-3-Clause
// Rows as the vector code of the pooling kernels wants them, in scratch memory that stays in the
// first-level cache: padded, so that no tap needs a test, and with a stride of 2 taken apart.
//
//   forward    a padded row of x: [column % s][column / s] for s = 1 or 2, where a tap of outputs
//              that are neighbours reads neighbours; as it is for other strides
//   backward   rows of y between zeros. Element s m + e of a row of grad_x, 0 <= e < s, adds up
//              outputs m + offset[e] - t for t = taps[e] - 1, ..., 0, so that a vector of m reads
//              neighbours too; the s vectors are put together on the way out. Every element is
//              written once, and outputs are added in their order.
#pragma once

#include "ops/pooling.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kMostRowElements = idx{1} << 15;  // of a padded row
inline constexpr idx kMostRowTaps = 64;
inline constexpr idx kBlockElements = idx{1} << 13;  // that the rows of a block should have

template <class T>
constexpr idx up_to_lanes(idx n) {
    constexpr idx lanes = kLanes<T>;
    return (n + lanes - 1) / lanes * lanes;
}

// Lanes 0, 2, 4, ... of a, then of b.
template <class T>
FASTNN_SIMD_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                       30);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6);
    } else {
        return __builtin_shufflevector(a, b, 0, 2);
    }
}
// Lanes 1, 3, 5, ...
template <class T>
FASTNN_SIMD_INLINE Vec<T> odd_lanes(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29,
                                       31);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, b, 1, 3, 5, 7);
    } else {
        return __builtin_shufflevector(a, b, 1, 3);
    }
}
// The lower (or upper) halves, a lane of a and one of b in turn.
template <class T>
FASTNN_SIMD_INLINE Vec<T> zip_low(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                       23);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, b, 0, 4, 1, 5);
    } else {
        return __builtin_shufflevector(a, b, 0, 2);
    }
}
template <class T>
FASTNN_SIMD_INLINE Vec<T> zip_high(Vec<T> a, Vec<T> b) {
    if constexpr (kLanes<T> == 16) {
        return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                                       15, 31);
    } else if constexpr (kLanes<T> == 8) {
        return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    } else if constexpr (kLanes<T> == 4) {
        return __builtin_shufflevector(a, b, 2, 6, 3, 7);
    } else {
        return __builtin_shufflevector(a, b, 1, 3);
    }
}

template <class T>
FASTNN_SIMD_INLINE void store_up_to(T* to, Vec<T> v, idx n) {
    if (n >= kLanes<T>) {
        store<T>(to, v);
    } else if (n > 0) {
        store_partial(to, v, static_cast<int>(n));
    }
}

// A padded row of x.
template <class T>
struct PaddedRow {
    idx pitch;  // of one remainder
    idx size;

    explicit PaddedRow(const PoolAxis& w) {
        const idx reach = (w.kernel - 1) * w.dilation;
        idx read, written;
        if (w.stride == 1 || w.stride == 2) {
            read = up_to_lanes<T>(w.out) + reach / w.stride;
            written = (w.padding + w.stride - 1) / w.stride +
                      up_to_lanes<T>((w.in + w.stride - 1) / w.stride);
        } else {
            read = (w.out - 1) * w.stride + reach + 1;
            written = w.padding + up_to_lanes<T>(w.in);
        }
        pitch = up_to_lanes<T>(read > written ? read : written);
        size = w.stride == 2 ? 2 * pitch : pitch;
    }

    static bool fits(const PoolAxis& w) {
        return !w.adaptive && w.kernel <= kMostRowTaps && PaddedRow(w).pitch <= kMostRowElements;
    }

    // Where column i of x stands, and tap k of output 0.
    idx column(const PoolAxis& w, idx i) const { return place(w, i + w.padding); }
    idx tap(const PoolAxis& w, idx k) const { return place(w, k * w.dilation); }

  private:
    idx place(const PoolAxis& w, idx at) const {
        return w.stride == 2 ? at % 2 * pitch + at / 2 : at;
    }
};

// Tap by tap, outputs o, o + 1, ..., of which n are wanted; `at`: the tap of output 0.
template <class T, int kStride>
FASTNN_SIMD_INLINE Vec<T> load_tap(const T* at, idx o, idx stride, idx n) {
    if constexpr (kStride != 0) {
        return load(at + o);
    } else {
        Vec<T> v = {};
        const int count = n < kLanes<T> ? static_cast<int>(n) : kLanes<T>;
        for (int i = 0; i < count; ++i) v[i] = at[(o + i) * stride];
        return v;
    }
}

// Writes `rows` padded rows. source(r, i, n) is a vector of the elements i, i + 1, ... of row r, of
// which n exist, the padding's value in the others. Rows go by inside, so that what the columns ask
// for is found once; the last vectors of a row end with it, where it is long enough.
template <class T, int kStride, class Source>
FASTNN_SIMD_INLINE void put_rows(const PoolAxis& w, const PaddedRow<T>& row, idx rows,
                                 const Source& source, T* to) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx step = kStride == 2 ? 2 * lanes : lanes;
    const idx size = row.size;
    const idx in = w.in;
    for (idx i = 0; i < in; i += step) {
        const idx at = i + step <= in || in < step ? i : in - step;
        const idx n = in - at < step ? in - at : step;
        if constexpr (kStride == 2) {
            T* even = to + row.column(w, at);
            T* odd = to + row.column(w, at + 1);
            if (n == step) {
                for (idx r = 0; r < rows; ++r, even += size, odd += size) {
                    const Vec<T> a = source(r, at, static_cast<int>(lanes));
                    const Vec<T> b = source(r, at + lanes, static_cast<int>(lanes));
                    store<T>(even, even_lanes<T>(a, b));
                    store<T>(odd, odd_lanes<T>(a, b));
                }
                continue;
            }
            const int low = static_cast<int>(n < lanes ? n : lanes);
            const int high = static_cast<int>(n) - low;
            for (idx r = 0; r < rows; ++r, even += size, odd += size) {
                const Vec<T> a = source(r, at, low);
                const Vec<T> b = source(r, at + lanes, high);
                store<T>(even, even_lanes<T>(a, b));
                store<T>(odd, odd_lanes<T>(a, b));
            }
        } else {
            T* out = to + row.column(w, at);
            if (n == step) {
                for (idx r = 0; r < rows; ++r, out += size)
                    store<T>(out, source(r, at, static_cast<int>(lanes)));
            } else {
                for (idx r = 0; r < rows; ++r, out += size)
                    store<T>(out, source(r, at, static_cast<int>(n)));
            }
        }
    }
}

// How the elements of a row of grad_x find the outputs that see them: strides 1 and 2.
template <class T>
struct SeenRow {
    idx before;  // zeros in front of output 0
    idx pitch;
    idx offset[2], taps[2];

    explicit SeenRow(const PoolAxis& w) : before(0), offset{}, taps{} {
        idx most = 0;
        for (idx e = 0; e < 2 && e < w.stride; ++e) {
            const idx remainder = (e + w.padding) % w.stride;
            offset[e] = (e + w.padding) / w.stride;
            taps[e] = w.kernel > remainder ? (w.kernel - remainder + w.stride - 1) / w.stride : 0;
            if (taps[e] > most) most = taps[e];
        }
        before = up_to_lanes<T>(most);
        const idx read =
            up_to_lanes<T>((w.in + w.stride - 1) / w.stride) + (w.padding + w.stride) / w.stride;
        const idx written = up_to_lanes<T>(w.out);
        pitch = before + up_to_lanes<T>(read > written ? read : written);
    }

    static bool fits(const PoolAxis& w) {
        return !w.adaptive && w.stride <= 2 && w.dilation == 1 && w.kernel <= kMostRowTaps &&
               SeenRow(w).pitch <= kMostRowElements;
    }
};

inline constexpr int kMostSeenRows = 64;  // rows of outputs that see a row

// At most how many rows of outputs see some of `rows` rows of one slice.
inline idx seen_rows(const PoolShape& s, idx rows) {
    return ((s.d.kernel - 1) / s.d.stride + 1) * ((rows + s.h.kernel - 2) / s.h.stride + 1);
}

// Rows of a strip, such that the rows of outputs, `pitch` elements each, make a block.
inline idx strip_rows(const PoolShape& s, idx pitch) {
    idx rows = 1;
    if (!s.d.adaptive) {
        const idx slices = (s.d.kernel - 1) / s.d.stride + 1;
        const idx fit = kBlockElements / pitch / slices;
        rows = (fit - 1) * s.h.stride - s.h.kernel + 2;
    }
    return rows < 1 ? 1 : rows < s.h.in ? rows : s.h.in;
}

inline bool seen_rows_fit(const PoolShape& s) {
    return s.d.dilation == 1 && s.h.dilation == 1 && seen_rows(s, 1) <= kMostSeenRows;
}

// The rows of outputs that see the rows of a strip, as places in a buffer that has those of the
// whole strip one after the other and then a row of zeros, which fills up the list of every row.
struct SeeingRows {
    idx most;           // of one row
    idx none;           // where the zeros are
    idx* offsets;       // [row][number]
    idx begin, slices;  // what they were found for

    static idx size(const PoolShape& s, idx rows) { return rows * seen_rows(s, 1); }
    SeeingRows(const PoolShape& s, idx zeros, idx* memory)
        : most(seen_rows(s, 1)), none(zeros), offsets(memory), begin(-1), slices(0) {}

    // The same for a strip of the next plane.
    void find(const PoolShape& s, const InputStrip& strip, idx pitch) {
        if (strip.begin == begin && strip.d.end - strip.d.first == slices) return;
        begin = strip.begin;
        slices = strip.d.end - strip.d.first;
        const idx between = strip.h.empty() ? 0 : strip.h.count();
        Window h = s.h.seen_by(begin);
        for (idx j = begin; j < strip.end; ++j) {
            s.h.move_on(h, j);
            idx* to = offsets + (j - begin) * most;
            idx n = 0;
            for (idx a = 0; a < slices; ++a)
                for (idx b = h.first; b < h.end; ++b)
                    to[n++] = (a * between + b - strip.h.first) * pitch;
            for (; n < most; ++n) to[n] = none;
        }
    }
};

// Rows of a strip of outputs, such that the rows of x that it sees, padded, make a block.
template <class T>
idx output_rows(const PoolShape& s) {
    const idx halo = (s.h.kernel - 1) * s.h.dilation + 1;
    const idx fit = kBlockElements / PaddedRow<T>(s.w).size / s.d.kernel;
    const idx rows = fit <= halo ? 1 : (fit - halo) / s.h.stride + 1;
    return rows < s.h.out ? rows : s.h.out;
}

// What sees elements i, i + stride, ... of a row of grad_x adds up.
template <int kMost, int kTaps, class T, class Term>
FASTNN_SIMD_INLINE Vec<T> add_seeing(const SeeingRows& seeing, const idx* rows, idx taps, idx first,
                                     const Term& term) {
    const idx most = kMost != 0 ? kMost : seeing.most;
    const idx count = kTaps != 0 ? kTaps : taps;
    Vec<T> sum = {};
    for (idx q = 0; q < most; ++q)
        for (idx t = 0; t < count; ++t) sum += term(rows[q] + first + t);
    return sum;
}

// `rows` rows of grad_x. term(at, r, i): what the outputs at `at`, at + 1, ... of the buffer add to
// elements i, i + stride, ... of row r. kMost: the most rows that see a row, kTaps: of even and odd
// elements; 0 where they are to be read. As in put_rows, rows go by inside.
template <class T, int kStride, int kMost, int kTaps0, int kTaps1, class Term>
FASTNN_SIMD_INLINE void gather_rows(const PoolAxis& w, const SeenRow<T>& seen,
                                    const SeeingRows& seeing, idx rows, const Term& term, T* to) {
    constexpr idx lanes = kLanes<T>;
    constexpr idx step = kStride * lanes;
    const idx most = kMost != 0 ? kMost : seeing.most;
    const idx in = w.in;
    const bool aligned = in >= step && in % kStride == 0;
    for (idx i = 0; i < in; i += step) {
        const idx at = i + step <= in || !aligned ? i : in - step;
        const idx n = in - at;
        idx first[2];
        for (int e = 0; e < 2; ++e)
            first[e] = seen.before + seen.offset[e] - (seen.taps[e] - 1) + at / kStride;
        const idx* from = seeing.offsets;
        T* x = to + at;
        const auto row = [&](idx r, auto&& put) {
            const Vec<T> even = add_seeing<kMost, kTaps0, T>(seeing, from, seen.taps[0], first[0],
                                                             [&](idx p) { return term(p, r, at); });
            if constexpr (kStride == 1) {
                put(even, even);
            } else {
                const Vec<T> odd =
                    add_seeing<kMost, kTaps1, T>(seeing, from, seen.taps[1], first[1],
                                                 [&](idx p) { return term(p, r, at + 1); });
                put(zip_low<T>(even, odd), zip_high<T>(even, odd));
            }
        };
        if (n >= step) {
            for (idx r = 0; r < rows; ++r, x += in, from += most)
                row(r, [&](Vec<T> low, Vec<T> high) {
                    store<T>(x, low);
                    if (kStride == 2) store<T>(x + lanes, high);
                });
        } else {
            for (idx r = 0; r < rows; ++r, x += in, from += most)
                row(r, [&](Vec<T> low, Vec<T> high) {
                    store_up_to(x, low, n);
                    if (kStride == 2) store_up_to(x + lanes, high, n - lanes);
                });
        }
    }
}

}  // namespace fastnn::FASTNN_ISA
