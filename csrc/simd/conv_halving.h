// SPDX-License-Identifier: BSD-3-Clause
// Convolution with a stride of 2 and seven or eight taps down the columns, and few channels: the
// first layer of many networks. The even and the odd rows of the source are convolved with the even
// and the odd taps, up to four of them, and stride 1, and that by Winograd's F(4, 4) in this one
// direction: four outputs from seven elements take 7 multiplications for each of the two, not 14 or
// 16,
//
//   y = A (sum over channels, parities and taps along the rows of  (G g) o (B d))
//
// so that there are seven products of matrices, summed over (channel, parity, tap along the row).
// B d is made of whole rows of a box (simd/conv_box.h), and read through tables as conv_direct.h
// does; so the direction along the rows may have any stride and dilation.
//
// The points are 0, 1, 2, 1/2, -3/4, -4/3 and infinity: closed under reciprocals, they keep the
// rounding errors of the outputs and of the taps alike, and with them B and A are exact. Error:
// relative to the largest elements of a tile, and mostly twice that of the sums of the definition
// (up to four times, where gradients are sparse or have a large mean).
//
// Bits of an element depend on its image and the weights alone: of k, equal blocks of at most
// kHalvingDepth; within one a multiply-add for each step in order, from zero; the blocks' sums in
// order; then A, then the bias. An image in which an output is not finite is computed anew by
// conv_direct.h.
//
// Scratch: slots 0 (B d), 1 (box), 2 (sums, outputs) and, of the caller, 3 (G g, steps).
//
// Source: Winograd 1980, "Arithmetic complexity of computations"; the points: Barabasz et al. 2020,
// "Error analysis and improving the accuracy of Winograd convolution for deep neural networks".
#pragma once

#include "simd/conv_winograd.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kHalvingProducts = 7;
inline constexpr int kHalvingOutputs = 4;     // of a tile, which are its taps too
inline constexpr idx kHalvingDepth = 24;      // of a block of k
inline constexpr idx kHalvingPositions = 64;  // of a box

inline constexpr float kHalvingSource[kHalvingProducts][kHalvingProducts] = {
    {0.75f, -1.0625f, -2.09375f, 2.09375f, 1.0625f, -0.75f, 0},
    {0, -0.75f, 0.3125f, 2.40625f, 0.3125f, -0.75f, 0},
    {0, 0.75f, -0.6875f, -2.4375f, 0.875f, 1.5f, 0},
    {0, 1.5f, 0.875f, -2.4375f, -0.6875f, 0.75f, 0},
    {0, -1, 2.75f, -0.875f, -1.625f, 0.75f, 0},
    {0, 0.75f, -1.625f, -0.875f, 2.75f, -1, 0},
    {0, -0.75f, 1.0625f, 2.09375f, -2.09375f, -1.0625f, 0.75f}};
inline constexpr float kHalvingTaps[kHalvingProducts][kHalvingOutputs] = {
    {4.0f / 3, 0, 0, 0},
    {32.0f / 49, 32.0f / 49, 32.0f / 49, 32.0f / 49},
    {32.0f / 165, 64.0f / 165, 128.0f / 165, 256.0f / 165},
    {256.0f / 165, 128.0f / 165, 64.0f / 165, 32.0f / 165},
    {4096.0f / 8085, -3072.0f / 8085, 2304.0f / 8085, -1728.0f / 8085},
    {1728.0f / 8085, -2304.0f / 8085, 3072.0f / 8085, -4096.0f / 8085},
    {0, 0, 0, 4.0f / 3}};
inline constexpr float kHalvingSums[kHalvingOutputs][kHalvingProducts] = {
    {1, 1, 0.125f, 1, 1, 0.421875f, 0},
    {0, 1, 0.25f, 0.5f, -0.75f, -0.5625f, 0},
    {0, 1, 0.5f, 0.25f, 0.5625f, 0.75f, 0},
    {0, 1, 1, 0.125f, -0.421875f, -1, 1}};

// y = the matrix, or its transpose, times x; its zeros are left out.
template <bool kTransposed, int R, int C, int M, int N, class V>
FASTNN_SIMD_INLINE void halving_map(const float (&matrix)[R][C], const V (&x)[N], V (&y)[M]) {
    static_assert(kTransposed ? R == N && C == M : R == M && C == N);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
        V sum{};
        bool any = false;
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
            const float entry = kTransposed ? matrix[j][i] : matrix[i][j];
            if (entry == 0) continue;
            const V factor = V{} + entry;
            sum = any ? fma(factor, x[j], sum) : factor * x[j];
            any = true;
        }
        y[i] = sum;
    }
}

template <class T>
struct ConvHalving {
    ConvDirect<T> direct;    // the same convolution
    ColumnSource<T> source;  // the grid's positions are tiles
    ConvBoxes boxes;
    idx depth, block;  // (channel, parity, tap along the row), and of a block
    idx vectors, panels, width;
    idx tasks;
    T* packed;  // (groups, panels, product, depth, of a panel)
    Offset* steps;

    idx panel_vector(idx q) const { return q * vectors / panels; }
    // Of B d: rows for each image, channel and parity.
    idx rows() const { return boxes.size[1]; }
    idx plane() const {
        constexpr idx line = 64 / static_cast<idx>(sizeof(T));
        const idx all = boxes.images * direct.terms * 2 * rows() * boxes.extent[2];
        return (all + line - 1) / line * line + line;
    }
};

template <class T>
bool plan_halving(const ConvDirect<T>& job, ConvHalving<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = job.source.grid;
    if (!kWinograd<T> || g.out[0] != 1 || g.in[0] != 1 || g.taps[0] != 1 || g.base[0] != 0 ||
        g.stride[1] != 2 || g.step[1] != 1 || g.taps[1] < 7 || g.taps[1] > 8)
        return false;
    if (job.terms > kDirectDepth || g.taps[2] > kDirectDepth) return false;
    p.depth = job.terms * 2 * g.taps[2];
    p.vectors = (job.rows + lanes - 1) / lanes;
    p.width = p.vectors * lanes;
    const idx tiles = (g.out[1] + kHalvingOutputs - 1) / kHalvingOutputs;
    // Half a tile wasted of two would leave nothing to gain.
    if (p.depth > kDirectDepth || job.rows * 4 < p.width * 3 || p.width * p.depth > kNearWeights ||
        tiles * kHalvingOutputs * 3 > g.out[1] * 4)
        return false;
    p.direct = job;
    if (!plan_direct(p.direct) || !p.direct.dense) return false;
    const idx blocks = (p.depth + kHalvingDepth - 1) / kHalvingDepth;
    p.block = (p.depth + blocks - 1) / blocks;
    p.panels = (p.vectors + kTileVectors - 1) / kTileVectors;
    p.source = job.source;
    ConvGrid& t = p.source.grid;
    t.out[1] = tiles;
    t.stride[1] = 2 * kHalvingOutputs;
    t.taps[1] = 2 * kHalvingProducts;
    const idx all = job.images * t.positions();
    const idx wanted =
        clamp_index((all + kWinogradTasks - 1) / kWinogradTasks, kTileRows, kHalvingPositions);
    if (!plan_boxes(t, job.images, 2 * job.terms, wanted, kTileRows, p.boxes)) return false;
    p.tasks = clamp_index(p.boxes.boxes, 1, kWinogradTasks);
    return true;
}

// G g of panel i % panels of group i / panels.
template <class T>
void pack_halving_panel(const ConvHalving<T>& p, idx i) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& job = p.direct;
    const ConvWeights<T>& w = job.weights;
    const ConvGrid& g = job.source.grid;
    const idx group = i / p.panels;
    const idx vector = p.panel_vector(i % p.panels);
    const idx vectors = p.panel_vector(i % p.panels + 1) - vector;
    const idx step = vectors * lanes;
    for (idx v = 0; v < vectors; ++v) {
        const idx row = (vector + v) * lanes;
        const idx rows = job.rows - row < lanes ? job.rows - row : lanes;
        const T* from = w.data + group * w.group + row * w.row;
        T* to =
            p.packed + (group * p.width + vector * lanes) * kHalvingProducts * p.depth + v * lanes;
        for (idx k = 0; k < p.depth; ++k, to += step) {
            const idx parity = k / g.taps[2] % 2;
            const T* tap = from + k / g.taps[2] / 2 * w.term + k % g.taps[2] * w.step[2];
            Vec<T> taps[kHalvingOutputs], product[kHalvingProducts];
            for (idx h = 0; h < kHalvingOutputs; ++h) {
                T lane[lanes] = {};
                if (2 * h + parity < g.taps[1])
                    for (idx j = 0; j < rows; ++j)
                        lane[j] = tap[(2 * h + parity) * w.step[1] + j * w.row];
                taps[h] = load(lane);
            }
            halving_map<false>(kHalvingTaps, taps, product);
            for (int h = 0; h < kHalvingProducts; ++h)
                store<T>(to + h * p.depth * step, product[h]);
        }
    }
}

// B d of a box that stands at `data`: product i's at to + i * plane, in rows
// (image, channel, parity, tile). They overlap by up to a vector and are
// written in order.
template <class T>
void halving_transform(const ConvHalving<T>& p, const ConvBox& box, const T* data, T* to) {
    constexpr idx lanes = kLanes<T>;
    const idx row = p.boxes.extent[2];
    const idx plane = p.plane();
    const idx planes = box.images * p.direct.terms;
    for (idx c = 0; c < planes; ++c, data += p.boxes.channel()) {
        for (idx parity = 0; parity < 2; ++parity) {
            const T* from = data + parity * row;
            T* out = to + (2 * c + parity) * p.rows() * row;
            for (idx h = 0; h < box.count[1]; ++h, from += 2 * kHalvingOutputs * row, out += row) {
                for (idx w = 0; w < row; w += lanes) {
                    Vec<T> d[kHalvingProducts], v[kHalvingProducts];
#pragma GCC unroll 8
                    for (int i = 0; i < kHalvingProducts; ++i) d[i] = load(from + 2 * i * row + w);
                    halving_map<false>(kHalvingSource, d, v);
#pragma GCC unroll 8
                    for (int i = 0; i < kHalvingProducts; ++i) store<T>(out + i * plane + w, v[i]);
                }
            }
        }
    }
}

// A task's boxes of one group: B d, and the places of the positions in it.
template <class T>
struct HalvingBox {
    const ConvHalving<T>& p;
    ColumnSource<T> source;
    T *data, *v;
    Offset* places;

    HalvingBox(const ConvHalving<T>& plan, idx group) : p(plan), source(plan.source) {
        constexpr idx lanes = kLanes<T>;
        const ConvDirect<T>& job = p.direct;
        source.x += group * job.terms * source.channel;
        const idx transformed = kHalvingProducts * p.plane() + lanes;
        v = static_cast<T*>(
            pool_scratch(static_cast<std::size_t>(transformed) * sizeof(T) +
                             static_cast<std::size_t>(p.boxes.outputs()) * sizeof(Offset),
                         0));
        // The transform reads up to a vector beyond a row.
        const idx all = p.boxes.images * job.terms * p.boxes.channel() + 2 * lanes;
        data = static_cast<T*>(pool_scratch(static_cast<std::size_t>(all) * sizeof(T), 1));
        if (v != nullptr) places = static_cast<Offset*>(static_cast<void*>(v + transformed));
    }

    bool ok() const { return v != nullptr && data != nullptr; }

    // Returns how many positions there are.
    idx fill(const ConvBox& box) const {
        const idx terms = p.direct.terms;
        fill_box(source, p.boxes, box, terms, data);
        halving_transform(p, box, data, v);
        idx n = 0;
        for (idx image = 0; image < box.images; ++image)
            for (idx h = 0; h < box.count[1]; ++h)
                for (idx w = 0; w < box.count[2]; ++w)
                    places[n++] =
                        static_cast<Offset>((image * terms * 2 * p.rows() + h) * p.boxes.extent[2] +
                                            w * source.grid.stride[2]);
        return n;
    }
};

// Where the rows (channel, parity, tap along the row) of B d stand, relative to
// the places.
template <class T>
void fill_halving_steps(const ConvHalving<T>& p) {
    const ConvGrid& g = p.source.grid;
    for (idx k = 0; k < p.depth; ++k)
        p.steps[k] = static_cast<Offset>(k / g.taps[2] * p.rows() * p.boxes.extent[2] +
                                         k % g.taps[2] * g.step[2]);
}

// The sums of a panel, (product, position, of the panel) at m.
template <class T>
void halving_products(const ConvHalving<T>& p, idx group, idx q, idx positions, const T* v,
                      const Offset* places, T* m, idx m_plane) {
    constexpr idx lanes = kLanes<T>;
    const idx vector = p.panel_vector(q);
    const int vectors = static_cast<int>(p.panel_vector(q + 1) - vector);
    const idx parts = (positions + kTileRows - 1) / kTileRows;
    const idx least = positions / parts;  // positions of a part; the first `longer` have one more
    const idx longer = positions % parts;
    const int n = static_cast<int>(least);
    const ConvTileKernel<T> kernel = find_conv_tile<T>(n, vectors);
    const ConvTileKernel<T> longer_kernel =
        longer == 0 ? kernel : find_conv_tile<T>(n + 1, vectors);
    ConvTile<T> tile;
    tile.b_step = tile.c_row = vectors * lanes;
    const T* packed = p.packed + (group * p.width + vector * lanes) * kHalvingProducts * p.depth;
    for (int i = 0; i < kHalvingProducts; ++i) {
        tile.a = v + i * p.plane();
        for (idx k = 0; k < p.depth; k += p.block) {
            tile.depth = p.depth - k < p.block ? p.depth - k : p.block;
            tile.steps = p.steps + k;
            tile.add = k > 0;
            tile.b = packed + (i * p.depth + k) * tile.b_step;
            tile.rows = places;
            tile.c = m + i * m_plane;
            for (idx t = 0; t < parts; ++t) {
                (t < longer ? longer_kernel : kernel)(tile);
                const idx done = t < longer ? n + 1 : n;
                tile.rows += done;
                tile.c += done * tile.c_row;
            }
        }
    }
}

// The outputs of a box, channels [row, row + rows) of a group, from their sums.
// Returns lanes of NaN where one of them is not finite, else of zero.
template <class T>
Vec<T> halving_store(const ConvHalving<T>& p, const ConvBox& box, idx group, idx row, idx rows,
                     const T* m, idx m_plane, idx m_row, T* strip) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& job = p.direct;
    const ConvGrid& g = job.source.grid;
    const idx columns = box.count[2];
    const idx first = kHalvingOutputs * box.first[1];
    const idx most = kHalvingOutputs * box.count[1];
    const idx lines = most < g.out[1] - first ? most : g.out[1] - first;
    const Vec<T> bias =
        winograd_bias(job.bias == nullptr ? nullptr : job.bias + group * job.rows + row, rows);
    Vec<T> check{};
    for (idx image = 0; image < box.images; ++image) {
        for (idx h = 0; h < box.count[1]; ++h) {
            T* to = strip + kHalvingOutputs * h * columns * lanes;
            for (idx w = 0; w < columns; ++w, m += m_row, to += lanes) {
                Vec<T> sums[kHalvingProducts], y[kHalvingOutputs];
#pragma GCC unroll 8
                for (int i = 0; i < kHalvingProducts; ++i) sums[i] = load(m + i * m_plane);
                halving_map<false>(kHalvingSums, sums, y);
#pragma GCC unroll 8
                for (int i = 0; i < kHalvingOutputs; ++i) {
                    y[i] += bias;
                    store<T>(to + i * columns * lanes, y[i]);
                    check = fma(y[i], Vec<T>{}, check);
                }
            }
        }
        T* y = job.y + (box.image + image) * job.y_image +
               (group * job.rows + row) * job.y_channel + first * job.y_stride[1] + box.first[2];
        if (columns == g.out[2]) {
            store_direct<T>(strip, lanes, lines * columns, rows, nullptr, y, job.y_channel, idx{1});
            continue;
        }
        for (idx h = 0; h < lines; ++h)
            store_direct<T>(strip + h * columns * lanes, lanes, columns, rows, nullptr,
                            y + h * job.y_stride[1], job.y_channel, idx{1});
    }
    return check;
}

// Boxes [box0, box1). False: no memory. Clears `finite` where an output is not.
template <class T>
bool run_halving_task(const ConvHalving<T>& p, idx group, idx box0, idx box1, bool& finite) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& job = p.direct;
    const idx most = p.boxes.outputs();
    const HalvingBox<T> data(p, group);
    const idx sums = kHalvingProducts * (most + 1) * kTileVectors * lanes;
    const idx strip = kHalvingOutputs * most * lanes;
    T* m = static_cast<T*>(pool_scratch(static_cast<std::size_t>(sums + strip) * sizeof(T), 2));
    if (!data.ok() || m == nullptr) return false;
    Vec<T> check{};
    for (idx i = box0; i < box1; ++i) {
        const ConvBox box = conv_box(p.source.grid, p.boxes, job.images, i);
        const idx positions = data.fill(box);
        for (idx q = 0; q < p.panels; ++q) {
            const idx vector = p.panel_vector(q);
            const idx m_row = (p.panel_vector(q + 1) - vector) * lanes;
            const idx m_plane = (positions + 1) * m_row;
            halving_products(p, group, q, positions, data.v, data.places, m, m_plane);
            for (idx o = vector * lanes; o < vector * lanes + m_row; o += lanes)
                check +=
                    halving_store(p, box, group, o, job.rows - o < lanes ? job.rows - o : lanes,
                                  m + o - vector * lanes, m_plane, m_row, m + sums);
        }
    }
    if (!(reduce_add(check) == T(0))) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
    return true;
}

// After plan_halving. False: there was no memory, and Y is undefined.
template <class T>
bool conv_halving(ConvHalving<T>& p) {
    const ConvDirect<T>& job = p.direct;
    const idx weights = (job.groups * p.width * kHalvingProducts * p.depth + 15) / 16 * 16;
    p.packed = static_cast<T*>(pool_scratch(static_cast<std::size_t>(weights) * sizeof(T) +
                                                static_cast<std::size_t>(p.depth) * sizeof(Offset),
                                            3));
    if (p.packed == nullptr) return false;
    p.steps = static_cast<Offset*>(static_cast<void*>(p.packed + weights));
    fill_halving_steps(p);
    parallel_for(job.groups * p.panels, 1, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) pack_halving_panel(p, i);
    });
    return run_winograd_tasks(job, p.source.grid, p.boxes, p.tasks, kHalvingProducts * p.depth,
                              [&](idx group, idx box0, idx box1, bool& finite) {
                                  return run_halving_task(p, group, box0, box1, finite);
                              });
}

}  // namespace fastnn::FASTNN_ISA
