// SPDX-License-Identifier: BSD-3-Clause
// What the recurrent kernels (rnn, gru, lstm, lstm_variant) share. A sequence is (t, b, ...): all
// time steps' products with the input are one multiplication (simd/gemm.h), and each step adds the
// product of the previous state, or of the next step's gradient, with a weight that is packed once
// per call:
//
//   panel   up to kStepVectors vectors of columns by the whole depth, in the order of use. In the
//           forward pass of LSTM and GRU one for each gate of the same units follow each other, so
//           that the gates are applied to the tiles of sums while they are in the first-level
//           cache.
//   tile    kStepRows rows of the batch by one panel, in registers over the whole depth
//
// Where the weights of x and of the state are in L2 together, or x is narrow, a step may as well
// multiply both: the sums then need not go through memory (one_product). Bits: a sum is one chain
// of multiply-adds over the depth, in order, for each of the two. It depends on neither the tile
// nor the way in which the work is shared (run_steps), which may thus follow the number of threads,
// nor on the number of rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/blocked_sum.h"
#include "runtime/parallel.h"
#include "simd/gemm.h"
#include "simd/math.h"

namespace fastnn::FASTNN_ISA {

// Sums of a tile, the vectors of one row of the panel and a broadcast fit into the registers. Many
// rows rather than wide panels: each row tile reads the whole weight from L2 or L3.
#if FASTNN_SIMD_AVX512 || FASTNN_SIMD_NEON
inline constexpr int kStepRows = 8;
inline constexpr int kStepVectors = 3;
#elif FASTNN_SIMD_AVX2
inline constexpr int kStepRows = 6;
inline constexpr int kStepVectors = 2;
#else
inline constexpr int kStepRows = 4;
inline constexpr int kStepVectors = 2;
#endif
inline constexpr idx kStepsAhead = 16;           // of the depth, when fetching the panel into L1
inline constexpr idx kNearBytes = idx{3} << 19;  // of packed weights that L2 keeps between steps
inline constexpr idx kNarrow = 8;                // times as many units as x has columns

// A matrix with contiguous rows, `row` apart; depth: their length.
template <class T>
struct StepMatrix {
    const T* a;
    idx row, depth;
};

// What is multiplied: a matrix or two beside each other, and what is added to the product with the
// first of two, for each column in the panels' order.
template <class T>
struct StepInput {
    StepMatrix<T> matrices[2];  // the second has no columns where there is one
    const T* biases;

    bool two() const { return matrices[1].depth > 0; }
    idx depth() const { return matrices[0].depth + matrices[1].depth; }
};

template <class T>
StepInput<T> one_matrix(const T* a, idx row, idx depth) {
    return {{{a, row, depth}, {a, 0, 0}}, nullptr};
}

// One tile, whose first row is `row`.
template <class T>
struct StepTile {
    const StepMatrix<T>* matrices;
    idx row;
    const T* biases;  // null where there is one matrix
    const T* panel;
    T* sums;
};

// sums[i][v] = sum over p of a[row + i][p] * panel[p][v]; of two matrices, the first's sums plus
// the biases plus the second's: what one after the other gives.
template <class T, int R, int V>
__attribute__((noinline)) void step_tile(const StepTile<T>& tile) {
    constexpr int lanes = kLanes<T>;
    Vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};
    const T* panel = tile.panel;
    T* const sums = tile.sums;
    const T* const biases = tile.biases;
    for (const StepMatrix<T>* m = tile.matrices;; ++m) {
        const idx a_row = m->row;
        // Two pointers and three strides, which fit into registers; eight pointers do not.
        const T* low = m->a + tile.row * a_row;
        const T* high = R > 4 ? low + 4 * a_row : low;
        const T* const end = low + m->depth;
        for (; low != end; ++low, ++high, panel += V * lanes) {
            const char* ahead = reinterpret_cast<const char*>(panel) + kStepsAhead * V * kVecBytes;
#pragma GCC unroll 4
            for (int v = 0; v < V * kVecBytes; v += 64) __builtin_prefetch(ahead + v);
            Vec<T> w[V];
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) w[v] = load(panel + v * lanes);
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i) {
                const Vec<T> x = broadcast(i < 4 ? low[i * a_row] : high[(i - 4) * a_row]);
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) sum[i][v] = fma(x, w[v], sum[i][v]);
            }
        }
        if (biases == nullptr || m != tile.matrices) break;
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) {
                store<T>(sums + (i * V + v) * lanes, Vec<T>(sum[i][v] + load(biases + v * lanes)));
                sum[i][v] = Vec<T>{};
            }
    }
    const bool add = biases != nullptr;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            T* to = sums + (i * V + v) * lanes;
            store<T>(to, add ? Vec<T>(load(to) + sum[i][v]) : sum[i][v]);
        }
}

template <class T>
using StepTileKernel = void (*)(const StepTile<T>&);

template <class T, int R = kStepRows>
StepTileKernel<T> find_step_tile(idx rows, int vectors) {
    if constexpr (R > 1) {
        if (rows < R) return find_step_tile<T, R - 1>(rows, vectors);
    }
    if constexpr (kStepVectors >= 3) {
        if (vectors == 3) return step_tile<T, R, 3>;
    }
    return vectors == 2 ? step_tile<T, R, 2> : step_tile<T, R, 1>;
}

#if defined(FASTNN_SHARED_KERNELS)  // a level's other objects take these from rnn.cpp's
extern template StepTileKernel<float> find_step_tile<float>(idx, int);
extern template StepTileKernel<double> find_step_tile<double>(idx, int);
#endif

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

// Packs B (depth, columns) or, if `transposed`, one that is stored as (columns, depth); of the
// latter, `products` that follow each other in memory: panel q holds theirs one after the other. B
// is the rows from `row` on of panels of `rows`.
template <class T>
void pack_panel_rows(const T* b, idx depth, const Panels<T>& panels, bool transposed, int products,
                     idx row, idx rows, T* out) {
    constexpr int lanes = kLanes<T>;
    parallel_for(panels.count, 1, [&](idx begin, idx end) {
        for (idx q = begin; q < end; ++q) {
            const int width = panels.width(q);
            const idx column = panels.column(q);
            const idx rest = panels.columns - column;
            const idx cols = rest < idx{width} * lanes ? rest : idx{width} * lanes;
            T* to = out + column * products * rows + idx{width} * lanes * row;
            for (int g = 0; g < products; ++g, to += idx{width} * lanes * rows) {
                const idx first = g * panels.columns + column;
                pack_b_panel(transposed ? b + first * depth : b + column,
                             transposed ? idx{1} : panels.columns, transposed ? depth : idx{1},
                             depth, width, cols, to);
            }
        }
    });
}

template <class T>
void pack_panels(const T* b, idx depth, const Panels<T>& panels, bool transposed, int products,
                 T* out) {
    pack_panel_rows(b, depth, panels, transposed, products, 0, depth, out);
}

// b_ih + b_hh, either of which may be absent, in the order of the panels' columns. Of none it is
// the number that changes no sum, not even -0.
template <class T>
void pack_biases(const T* b_ih, const T* b_hh, const Panels<T>& panels, int products, T* out) {
    for (idx q = 0; q < panels.count; ++q) {
        for (int g = 0; g < products; ++g) {
            for (idx j = panels.column(q); j < panels.column(q + 1); ++j) {
                const idx at = g * panels.columns + j;
                T sum = T(-0.0);
                if (j < panels.columns && b_ih != nullptr) sum += b_ih[at];
                if (j < panels.columns && b_hh != nullptr) sum += b_hh[at];
                *out++ = sum;
            }
        }
    }
}

// Sums of rows [row0, row1) and of some vectors of columns, the first of which is `column` of
// `columns`: those of product g and row i begin at sums + g * kSumsStep<T> + (i - row0) * vectors *
// kLanes<T>.
template <class T>
struct SumTile {
    idx row0, row1, column, columns;
    int vectors;
    T* sums;
};
template <class T>
inline constexpr idx kSumsStep = idx{kStepRows} * kStepVectors * kLanes<T>;

// body(tile) for the rows [row0, row1) and the panels [panel0, panel1) of the products. Where
// `wanted` is false for all rows of a tile the sums are not to be used.
template <class T, int kProducts = 1, class W, class F>
void for_tiles(idx row0, idx row1, idx panel0, idx panel1, const StepInput<T>& input,
               const T* packed, const Panels<T>& panels, const W& wanted, const F& body) {
    constexpr int lanes = kLanes<T>;
    alignas(kVecBytes) T sums[kProducts * kSumsStep<T>];
    const StepMatrix<T> nothing[2] = {{input.matrices[0].a, 0, 0}, {input.matrices[0].a, 0, 0}};
    const idx depth = input.depth();
    const idx rows = row1 - row0;
    const idx tiles = (rows + kStepRows - 1) / kStepRows;
    for (idx q = panel0; q < panel1; ++q) {
        const int width = panels.width(q);
        const idx first_packed = panels.column(q) * kProducts;
        for (idx k = 0; k < tiles; ++k) {
            const idx first = row0 + k * rows / tiles;
            const idx last = row0 + (k + 1) * rows / tiles;
            const StepTileKernel<T> kernel = find_step_tile<T>(last - first, width);
            StepTile<T> tile{wanted(first, last) ? input.matrices : nothing, first,
                             input.two() ? input.biases + first_packed : nullptr,
                             packed + first_packed * depth, sums};
            for (int g = 0; g < kProducts; ++g) {
                kernel(tile);
                if (input.two()) tile.biases += width * lanes;
                tile.panel += depth * width * lanes;
                tile.sums += kSumsStep<T>;
            }
            body(SumTile<T>{first, last, panels.column(q), panels.columns, width, sums});
        }
    }
}

// body(row, column, sums, span) for the vectors of a tile.
template <class T, class F>
FASTNN_SIMD_INLINE void for_tile_vectors(const SumTile<T>& tile, const F& body) {
    constexpr int lanes = kLanes<T>;
    for (int v = 0; v < tile.vectors; ++v) {
        T* sums = tile.sums + v * lanes;
        const idx column = tile.column + v * lanes;
        const idx rest = tile.columns - column;
        if (rest >= lanes) {
            for (idx row = tile.row0; row < tile.row1; ++row, sums += tile.vectors * lanes)
                body(row, column, sums, Whole{});
        } else {
            const Part part{static_cast<int>(rest)};
            for (idx row = tile.row0; row < tile.row1; ++row, sums += tile.vectors * lanes)
                body(row, column, sums, part);
        }
    }
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

// Whether a step multiplies x and the state at once. With few rows all steps' products with x are
// better one multiplication, which reads the weight less often. The bits are the same, as long as
// that has one block of x's columns.
template <class T>
bool one_product(idx rows, idx gates, idx inputs, idx units) {
    const double bytes =
        static_cast<double>(gates) * static_cast<double>(inputs + units) * sizeof(T);
    return rows >= 2 * kStepRows && inputs > 0 && inputs <= block_depth(inputs) &&
           (inputs * kNarrow <= units || (bytes <= kNearBytes && inputs <= 2 * units));
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
