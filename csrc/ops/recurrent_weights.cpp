// SPDX-License-Identifier: BSD-3-Clause
// The gradients of a recurrent layer's weights, from that of its gates' sums at all times: d (t, b,
// g), input x (t, b, i), states (t, b, h), initial state h0 (b, h), absent if it is 0.
//
//   grad_w_ih (+)= d^T x,   grad_w_hh (+)= d^T (the states before),   sums = the sums of d's rows
//
// The two products are one, of d^T and the matrices beside each other, so that d is read and packed
// once; its sums come from what is packed. grad_w_ih and grad_w_hh are `+=` where they are said to
// be, else `=`; sums is `=`.
//
// Blocking: that of simd/gemm.h for many rows. All threads pack x and the states, at most
// kSharedBytes of them. A task is a range of tiles of d's columns; for each block of d's rows it
// packs its part, which stays in L2, and takes panel after panel.
//
// Bits: as simd/gemm.h defines them for each product. The states' rows begin where there are some,
// at the first or second step of the sequence, but their blocks are those of d's rows. A sum adds
// the rows of a block in kSumChains chains, and the blocks' sums in order.
//
// Scratch: slots 0 (d, of each thread) and 1 (x and states, of the caller).
#include "ops/recurrent.h"
#include "runtime/op.h"
#include "runtime/pool.h"
#include "simd/gemm_task.h"

namespace fastnn::FASTNN_ISA {

constexpr int kSumChains = 4;
constexpr idx kWeightTasks = 8;

// Rows [begin, end) of a matrix, contiguous from `data` on.
template <class T>
struct WeightRows {
    const T* data;
    idx begin, end;
};

// One of the matrices beside each other: of the rows of d it has [begin, end), in two parts.
template <class T>
struct WeightFactor {
    Panels<T> panels;
    WeightRows<T> parts[2];
    idx begin, end;
    T* out;
    bool add;
};

template <class T>
struct WeightGradients {
    const T* d;
    idx rows, gates;  // of d, and columns
    idx depth;        // of a block of rows
    WeightFactor<T> factors[2];
    T* sums;

    // At least one, for what is divided by them.
    idx vectors() const {
        const idx both = factors[0].panels.vectors + factors[1].panels.vectors;
        return both < 1 ? 1 : both;
    }

    // Where a panel of the block at `block` is in what is packed from row `start` on.
    T* place(T* packed, idx start, idx block, idx deep, int f, idx q) const {
        const idx before = f == 0 ? 0 : factors[0].panels.vectors;
        return packed +
               ((block - start) * vectors() + deep * (before + factors[f].panels.vector(q))) *
                   kLanes<T>;
    }

    // The rows [from, to) of a panel.
    void pack_rows(const WeightFactor<T>& m, idx q, idx from, idx to, T* out) const {
        const int width = m.panels.width(q);
        const idx column = m.panels.column(q);
        const idx rest = m.panels.columns - column;
        const idx cols = rest < width * kLanes<T> ? rest : width * kLanes<T>;
        const idx n = m.panels.columns;
        for (const WeightRows<T>& part : m.parts) {
            const idx low = clamp_index(part.begin, from, to);
            const idx high = clamp_index(part.end, from, to);
            if (low < high)
                pack_b_panel(part.data + (low - part.begin) * n + column, n, idx{1}, high - low,
                             width, cols, out + (low - from) * width * kLanes<T>);
        }
    }

    void pack(idx start, idx end, T* packed) const {
        const idx panels = factors[0].panels.count + factors[1].panels.count;
        const idx pieces = (end - start + depth - 1) / depth * panels;
        parallel_for(pieces, clamp_index(pieces / 16, 1, pieces), [&](idx begin, idx stop) {
            for (idx i = begin; i < stop; ++i) {
                const idx block = start + i / panels * depth;
                const idx deep = end - block < depth ? end - block : depth;
                const int f = i % panels < factors[0].panels.count ? 0 : 1;
                const WeightFactor<T>& m = factors[f];
                const idx q = i % panels - (f == 0 ? 0 : factors[0].panels.count);
                const idx from = clamp_index(m.begin, block, block + deep);
                const idx to = clamp_index(m.end, block, block + deep);
                pack_rows(m, q, from, to, place(packed, start, block, deep, f, q));
            }
        });
    }

    // The sums of packed rows [0, deep) of a tile.
    void add_sums(const T* tile, idx row, idx count, idx deep, bool add) const {
        constexpr int width = kBlock<T>;
        for (idx i = 0; i < count; i += width) {
            Block<T, width> chain[kSumChains] = {};
            idx p = 0;
            for (; p + kSumChains <= deep; p += kSumChains) {
#pragma GCC unroll 4
                for (int k = 0; k < kSumChains; ++k)
                    chain[k] += load_block(tile + (p + k) * count + i);
            }
            for (; p < deep; ++p) chain[0] += load_block(tile + p * count + i);
            const Block<T, width> sum = (chain[0] + chain[1]) + (chain[2] + chain[3]);
            for (idx j = i; j < count && j < i + width; ++j)
                sums[row + j] = add ? sums[row + j] + sum[j - i] : sum[j - i];
        }
    }

    // Tiles [tile0, tile1) of `tiles` over the rows [start, end) of d.
    bool task(idx tiles, idx tile0, idx tile1, idx start, idx end, T* packed) const {
        const auto tile_row = [&](idx t) { return t * gates / tiles; };
        const idx row0 = tile_row(tile0);
        const idx size = (tile_row(tile1) - row0) * depth + (tile1 - tile0) * kPackSlack<T>;
        T* const packed_d =
            static_cast<T*>(pool_scratch(static_cast<std::size_t>(size) * sizeof(T), 0));
        if (packed_d == nullptr) return false;
        for (idx block = start; block < end; block += depth) {
            const idx deep = end - block < depth ? end - block : depth;
            const auto packed_tile = [&](idx t) {
                return packed_d + (tile_row(t) - row0) * deep + (t - tile0) * kPackSlack<T>;
            };
            // A few rows for all tiles, then the next few: a line of d holds parts of several.
            for (idx p = 0; p < deep; p += kPackSteps) {
                const idx steps = deep - p < kPackSteps ? deep - p : kPackSteps;
                for (idx t = tile0; t < tile1; ++t) {
                    const idx row = tile_row(t);
                    const idx count = tile_row(t + 1) - row;
                    pack_a_tile(d + (block + p) * gates + row, idx{1}, gates, count, gates - row,
                                steps, packed_tile(t) + p * count);
                }
            }
            if (sums != nullptr) {
                for (idx t = tile0; t < tile1; ++t)
                    add_sums(packed_tile(t), tile_row(t), tile_row(t + 1) - tile_row(t), deep,
                             block > 0);
            }
            for (int f = 0; f < 2; ++f) {
                const WeightFactor<T>& m = factors[f];
                const idx from = clamp_index(m.begin, block, block + deep);
                const idx to = clamp_index(m.end, block, block + deep);
                for (idx q = 0; q < m.panels.count && from < to; ++q) {
                    const int width = m.panels.width(q);
                    const idx column = m.panels.column(q);
                    const idx rest = m.panels.columns - column;
                    TileOperands<T> tile;
                    tile.b = place(packed, start, block, deep, f, q);
                    tile.b_step = width * kLanes<T>;
                    tile.depth = to - from;
                    tile.c_row = m.panels.columns;
                    tile.lanes = static_cast<int>((rest < tile.b_step ? rest : tile.b_step) -
                                                  (width - 1) * kLanes<T>);
                    tile.add = m.add || from > m.begin;
                    // The next panel comes from L3: the tiles of this one fetch it.
                    tile.ahead = reinterpret_cast<const char*>(tile.b + tile.b_step * deep);
                    const idx ahead_bytes = deep * width * kVecBytes / (tile1 - tile0);
                    tile.ahead_step = ahead_bytes / deep;
                    for (idx t = tile0; t < tile1; ++t) {
                        const idx row = tile_row(t);
                        const idx count = tile_row(t + 1) - row;
                        tile.a = packed_tile(t) + (from - block) * count;
                        tile.a_row = 1;
                        tile.a_step = count;
                        tile.c = m.out + row * m.panels.columns + column;
                        find_tile_kernel<T, true>(static_cast<int>(count), width)(tile);
                        tile.ahead += ahead_bytes;
                    }
                }
            }
        }
        return true;
    }

    bool run() const {
        const idx tiles = (gates + kTileRows - 1) / kTileRows;
        const double work =
            static_cast<double>(rows) * static_cast<double>(gates * vectors() * kLanes<T>);
        const idx blocks = (rows + depth - 1) / depth;
        const idx most = clamp_index(kSharedBytes / kVecBytes / depth / vectors(), 1, blocks);
        const idx wanted = (gates + kTaskRows - 1) / kTaskRows;
        const idx tasks =
            work < static_cast<double>(kThreadWork)
                ? 1
                : clamp_index((wanted + kWeightTasks - 1) / kWeightTasks * kWeightTasks, 1, tiles);
        const idx size = vectors() * kVecBytes * (most * depth < rows ? most * depth : rows);
        T* const packed = static_cast<T*>(pool_scratch(static_cast<std::size_t>(size), 1));
        if (packed == nullptr) return false;
        bool ok = true;
        for (idx start = 0; start < rows; start += most * depth) {
            const idx end = rows - start < most * depth ? rows : start + most * depth;
            pack(start, end, packed);
            parallel_for(tasks, 1, [&](idx begin, idx stop) {
                for (idx i = begin; i < stop; ++i) {
                    if (!task(tiles, i * tiles / tasks, (i + 1) * tiles / tasks, start, end,
                              packed))
                        __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
                }
            });
        }
        return ok;
    }
};

template <class T>
Status recurrent_gradients(In<T> d, In<T> x, In<T> states, In<T> h0, InOut<T> grad_w_ih,
                           InOut<T> grad_w_hh, Out<T> sums, bool add_ih, bool add_hh,
                           bool reverse) {
    const idx batch = d.shape[1];
    const idx gates = d.shape[2];
    const idx inputs = x.shape[2];
    const idx units = states.shape[2];
    const idx rows = d.shape[0] * batch;
    const bool given = h0.data != nullptr;
    if (gates == 0) return Status::kOk;
    // What has no rows, or no columns, is not a product.
    if (inputs == 0 || units == 0 || rows == 0 || (rows == batch && !given))
        return Status::kBadValue;
    const WeightRows<T> none{nullptr, 0, 0};
    const WeightFactor<T> of_x{Panels<T>(grad_w_ih.data == nullptr ? 0 : inputs),
                               {{x.data, 0, rows}, none},
                               0,
                               rows,
                               grad_w_ih.data,
                               add_ih};
    // The rows of d whose step is the first one have h0 before them.
    const idx first = reverse ? rows - batch : 0;
    const WeightRows<T> initial{h0.data, first, given ? first + batch : first};
    const WeightRows<T> later = reverse ? WeightRows<T>{states.data + batch * units, 0, first}
                                        : WeightRows<T>{states.data, batch, rows};
    const WeightFactor<T> of_states{Panels<T>(grad_w_hh.data == nullptr ? 0 : units),
                                    {initial, later},
                                    given || reverse ? 0 : batch,
                                    given || !reverse ? rows : first,
                                    grad_w_hh.data,
                                    add_hh};
    const WeightGradients<T> gradients{d.data,   rows, gates, block_depth(rows), {of_x, of_states},
                                       sums.data};
    return gradients.run() ? Status::kOk : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(recurrent_gradients,
          "d(t,b,g) x(t,b,i) states(t,b,h) h0?(b,h) grad_w_ih?(g,i) grad_w_hh?(g,h) sums?(g) "
          "add_ih add_hh reverse",
          kPlain, recurrent_gradients<float>, recurrent_gradients<double>)
