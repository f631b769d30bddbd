// SPDX-License-Identifier: BSD-3-Clause
// What the recurrent kernels (rnn, gru, lstm, lstm_variant) share. A sequence is (t, b, ...): all
// time steps' products with the input are one multiplication (simd/gemm.h), and each step adds the
// product of the previous state, or of the next step's gradient, with a weight that is packed once
// per call:
//
//   panel   up to kStepVectors vectors of columns by the whole depth, in the order of use. In the
//           forward pass of LSTM and GRU a panel holds the same units of all gates, so that the
//           gates are applied to a tile of sums while it is in the first-level cache.
//   tile    kStepRows rows of the batch by one panel, in registers over the whole depth
//
// Bits: a sum is one chain of multiply-adds over the depth, in order. It depends on neither the
// tile nor the way in which the work is shared (run_steps), which may thus follow the number of
// threads.
#pragma once

#include <type_traits>

#include "ops/blocked_sum.h"
#include "runtime/parallel.h"
#include "simd/gemm.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kStepVectors = 4;
// Sums of a tile, the vectors of one row of the panel and a broadcast fit into the registers.
#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_NEON
template <int V>
inline constexpr int kStepRows = V == 4 ? 6 : 8;
#elif FASTNN_SIMD_AVX2
template <int V>
inline constexpr int kStepRows = V == 4   ? 3
                                 : V == 3 ? 4
                                          : 6;
#else
template <int V>
inline constexpr int kStepRows = V >= 3 ? 2 : 4;
#endif

// sums[i][v] = sum over p of a[i * a_row + p] * panel[p][v].
template <class T, int R, int V>
__attribute__((noinline)) void step_tile(const T* a, idx a_row, const T* panel, idx depth,
                                         T* sums) {
    constexpr int lanes = kLanes<T>;
    Vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};
    for (idx p = 0; p < depth; ++p, panel += V * lanes) {
        if constexpr (R <= V) {  // the fewer ones stay in registers
            Vec<T> x[R];
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i) x[i] = broadcast(a[i * a_row + p]);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) {
                const Vec<T> w = load(panel + v * lanes);
#pragma GCC unroll 8
                for (int i = 0; i < R; ++i) sum[i][v] = fma(x[i], w, sum[i][v]);
            }
        } else {
            Vec<T> w[V];
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) w[v] = load(panel + v * lanes);
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i) {
                const Vec<T> x = broadcast(a[i * a_row + p]);
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) sum[i][v] = fma(x, w[v], sum[i][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) store<T>(sums + (i * V + v) * lanes, sum[i][v]);
}

template <class T>
using StepTile = void (*)(const T*, idx, const T*, idx, T*);

template <class T, int V, int R = kStepRows<V>>
StepTile<T> find_step_tile(idx rows) {
    if constexpr (R > 1) {
        if (rows < R) return find_step_tile<T, V, R - 1>(rows);
    }
    return step_tile<T, R, V>;
}

// Row b of a batch takes part in the steps [0, data[b]); in all without data.
struct Lengths {
    const std::int64_t* data;

    bool active(idx row, idx t) const { return data == nullptr || t < data[row]; }
    bool any(idx row0, idx row1, idx t) const {
        for (idx row = row0; row < row1; ++row)
            if (active(row, t)) return true;
        return false;
    }
    bool valid(idx rows, idx steps) const {
        for (idx row = 0; data != nullptr && row < rows; ++row)
            if (data[row] < 0 || data[row] > steps) return false;
        return true;
    }
};

// body(row, sums) for the rows [row0, row1), with the sums of one panel. Where `wanted` is false
// for all rows of a tile the sums are 0.
template <class T, int V, class W, class F>
void for_tile_rows(idx row0, idx row1, const T* a, idx a_row, const T* panel, idx depth,
                   const W& wanted, const F& body) {
    constexpr int lanes = kLanes<T>;
    alignas(kVecBytes) T sums[kStepRows<V> * V * lanes];
    const idx rows = row1 - row0;
    const idx tiles = (rows + kStepRows<V> - 1) / kStepRows<V>;
    for (idx k = 0; k < tiles; ++k) {
        const idx first = row0 + k * rows / tiles;
        const idx last = row0 + (k + 1) * rows / tiles;
        const idx steps = wanted(first, last) ? depth : 0;
        find_step_tile<T, V>(last - first)(a + first * a_row, a_row, panel, steps, sums);
        for (idx row = first; row < last; ++row) body(row, sums + (row - first) * V * lanes);
    }
}

// body(offset, span) for the units [unit, unit + V vectors) of `units`, a vector at a time.
template <class T, int V, class F>
FASTNN_SIMD_INLINE void for_unit_vectors(idx unit, idx units, const F& body) {
    constexpr int lanes = kLanes<T>;
    for (int v = 0; v < V; ++v) {
        const idx rest = units - unit - v * lanes;
        if (rest >= lanes) {
            body(v * lanes, Whole{});
        } else {
            body(v * lanes, Part{static_cast<int>(rest)});
        }
    }
}

// Columns of a matrix as panels of nearly equal width.
template <class T>
struct Panels {
    idx columns, vectors, count;

    explicit Panels(idx n)
        : columns(n),
          vectors((n + kLanes<T> - 1) / kLanes<T>),
          count((vectors + kStepVectors - 1) / kStepVectors) {}
    idx vector(idx panel) const { return panel * vectors / count; }
    idx column(idx panel) const { return vector(panel) * kLanes<T>; }
    int width(idx panel) const { return static_cast<int>(vector(panel + 1) - vector(panel)); }
    // Elements of all panels, packed.
    idx packed(idx depth) const { return vectors * kLanes<T> * depth; }
};

// body(std::integral_constant<int, V>) for a panel's width.
template <class F>
void with_width(int width, const F& body) {
    switch (width) {
        case 1:
            return body(std::integral_constant<int, 1>{});
        case 2:
            return body(std::integral_constant<int, 2>{});
        case 3:
            return body(std::integral_constant<int, 3>{});
        default:
            return body(std::integral_constant<int, 4>{});
    }
}

// Packs B (depth, columns); `transposed`: B is stored as (columns, depth).
template <class T>
void pack_panels(const T* b, idx depth, const Panels<T>& panels, bool transposed, T* out) {
    constexpr int lanes = kLanes<T>;
    parallel_for(panels.count, 1, [&](idx begin, idx end) {
        for (idx q = begin; q < end; ++q) {
            const int width = panels.width(q);
            const idx column = panels.column(q);
            const idx rest = panels.columns - column;
            const idx cols = rest < idx{width} * lanes ? rest : idx{width} * lanes;
            pack_b_panel(transposed ? b + column * depth : b + column,
                         transposed ? idx{1} : panels.columns, transposed ? depth : idx{1}, depth,
                         width, cols, out + column * depth);
        }
    });
}

// Packs w (kGates units, depth) by units: panel u holds the vector u of units of every gate.
template <class T, int kGates>
void pack_gates(const T* w, idx depth, idx units, T* out) {
    constexpr int lanes = kLanes<T>;
    const idx vectors = (units + lanes - 1) / lanes;
    parallel_for(vectors, 1, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx rest = units - u * lanes;
            const int count = rest < lanes ? static_cast<int>(rest) : lanes;
            for (int g = 0; g < kGates; ++g) {
                pack_b_transposed(w + (g * units + u * lanes) * depth, depth, depth, count,
                                  idx{kGates} * lanes, out + (u * depth * kGates + g) * lanes);
            }
        }
    });
}

inline constexpr double kSequenceWork = 1 << 18;  // multiply-adds; below, one thread is faster
inline constexpr double kStepWork = 1 << 17;      // the least for which a step is shared out
inline constexpr idx kRowsOfThread = 12;

// step(s, row0, row1, panel0, panel1) for s = 0, 1, ... Rows are independent of each other, so with
// enough of them every thread takes some through all the steps; else the panels of each step are
// shared out. work: multiply-adds of a step.
template <class F>
void run_steps(idx steps, idx rows, idx panels, double work, bool rows_only, const F& step) {
    const idx threads = pool_threads();
    const auto through = [&](idx begin, idx end) {
        for (idx s = 0; s < steps; ++s) step(s, begin, end, idx{0}, panels);
    };
    if (threads == 1 || work * static_cast<double>(steps) < kSequenceWork) {
        through(idx{0}, rows);
        return;
    }
    if (rows_only || rows >= threads * kRowsOfThread) {
        const idx most = rows / (2 * kRowsOfThread * threads);
        const idx pieces = threads * (most < 1 ? 1 : most > 4 ? 4 : most);
        parallel_for(rows, (rows + pieces - 1) / pieces, through);
        return;
    }
    const idx shares = threads * 4 < panels ? threads * 4 : panels;
    const idx piece = work < kStepWork ? panels : (panels + shares - 1) / shares;
    for (idx s = 0; s < steps; ++s) {
        parallel_for(panels, piece, [&](idx begin, idx end) { step(s, idx{0}, rows, begin, end); });
    }
}

// value + (b_ih + b_hh), either of which may be absent.
template <class T>
struct TwoBiases {
    const T* b_ih;
    const T* b_hh;

    FASTNN_SIMD_INLINE Vec<T> operator()(Vec<T> value, idx, idx col, int n) const {
        if (b_ih != nullptr && b_hh != nullptr)
            return value + (load_partial(b_ih + col, n) + load_partial(b_hh + col, n));
        if (b_ih != nullptr) return value + load_partial(b_ih + col, n);
        return b_hh != nullptr ? value + load_partial(b_hh + col, n) : value;
    }
};

// gates (rows, n) = x (rows, k) weight^T + biases.
template <class T>
bool input_products(const T* x, const T* weight, const T* b_ih, const T* b_hh, T* gates, idx rows,
                    idx n, idx k) {
    return gemm<T>(rows, n, k, x, k, 1, weight, 1, k, gates, n, false, TwoBiases<T>{b_ih, b_hh});
}

// The order of the steps: s = 0, 1, ... of the forward pass are the times t.
struct Order {
    idx steps;
    bool reverse;

    idx time(idx s) const { return reverse ? steps - 1 - s : s; }
};

// y = states where the row takes part, else 0.
template <class T>
void mask_outputs(const T* states, const Lengths& lengths, idx steps, idx rows, idx units, T* y) {
    const idx piece = 65536 / units + 1;
    parallel_for(steps * rows, piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const bool active = lengths.active(i % rows, i / rows);
            for (idx j = i * units; j < (i + 1) * units; ++j) y[j] = active ? states[j] : T(0);
        }
    });
}

template <class T>
void copy_block(const T* from, idx n, T* to) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
}

}  // namespace fastnn::FASTNN_ISA
