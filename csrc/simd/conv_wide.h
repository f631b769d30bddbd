// SPDX-License-Identifier: BSD-3-Clause
// Convolution with few output channels and stride 1 along the rows: as conv_direct.h, with the two
// operands changed over. A vector holds neighbouring outputs of a row, whose sources are neighbours
// in the box too; an element of W is broadcast. A tile is all output channels of a group by as many
// vectors, from any rows, as the registers hold; so a tile of one channel has eight vectors.
//
// Bits of an element: as in conv_direct.h. Lanes beyond the end of a row are computed and dropped.
//
// Scratch: slots 0 (places), 1 (box) and, of the caller, 3 (W, steps).
#pragma once

#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/conv_direct.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kWideRows = 8;    // of kTileRows * kTileVectors sums at least
inline constexpr idx kLeastWide = 24;  // steps of k; below, ops/conv_depthwise.h has less to do

// Vectors of a tile of so many rows; each has a pointer.
constexpr int wide_vectors(int rows) {
    const int fit = kTileRows * kTileVectors / rows;
    return fit < kTileRows ? fit : kTileRows;
}

// Keeps a loaded vector in its register: left alone, GCC reads it anew for each multiply-add, and
// the loads, most of which touch two lines, are what the kernel waits for.
template <class V>
FASTNN_SIMD_INLINE void keep_in_register(V& v) {
#if FASTNN_SIMD_AVX512
    __asm__("" : "+v"(v));
#elif defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif FASTNN_SIMD_NEON
    __asm__("" : "+w"(v));
#else
    static_cast<void>(v);
#endif
}

// Sums of a tile, (rows, V) whole vectors at c. W (depth, R) at a.
template <class T, int R, int V>
__attribute__((noinline)) void wide_kernel(const ConvTile<T>& t) {
    constexpr int lanes = kLanes<T>;
    const T* __restrict__ column[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) column[v] = t.b + t.rows[v];
    const T* __restrict__ a = t.a;
    const Offset* __restrict__ step = t.steps;
    const Offset* const end = step + t.depth;
    Vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};

    for (; step != end; ++step, a += R) {
        const idx at = *step;
        Vec<T> w[R];
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) w[i] = broadcast(a[i]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            Vec<T> x = load(column[v] + at);
            keep_in_register(x);
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i) sum[i][v] = fma(w[i], x, sum[i][v]);
        }
    }

    T* __restrict__ c = t.c;
    const bool add = t.add;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v, c += lanes) store<T>(c, add ? load(c) + sum[i][v] : sum[i][v]);
}

template <class T, int R = kWideRows>
ConvTileKernel<T> find_wide_kernel(idx rows) {
    if constexpr (R > 1) {
        if (rows < R) return find_wide_kernel<T, R - 1>(rows);
    }
    return wide_kernel<T, R, wide_vectors(R)>;
}

template <class T>
bool plan_wide(ConvDirect<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = p.source.grid;
    if (p.rows > kWideRows || g.stride[2] != 1 || p.terms > kBoxElements ||
        g.volume() > kBoxElements)
        return false;
    p.depth = p.terms * g.volume();
    if (p.depth < kLeastWide || (p.terms == 1 && p.rows == 1) || channels_fill_better<T>(g, p.rows))
        return false;
    const idx blocks = (p.depth + kDirectDepth - 1) / kDirectDepth;
    p.block = (p.depth + blocks - 1) / blocks;
    const idx all = p.images * g.positions();
    const double each = static_cast<double>(p.rows) * static_cast<double>(p.depth);
    const idx least = static_cast<idx>(static_cast<double>(kTaskWork) / each) + 1;
    const idx wanted = clamp_index((all + kDirectTasks - 1) / kDirectTasks, 1, kDirectOutputs);
    if (!plan_boxes(g, p.images, p.terms, wanted > least ? wanted : least, 2 * lanes, p.boxes))
        return false;
    p.column_tasks = p.boxes.boxes;
    p.width = p.rows;
    return true;
}

// The places of a box's vectors; the last tile's may be more than there are. Returns how many.
template <class T>
idx fill_vectors(const ConvGrid& g, const ConvBoxes& b, const ConvBox& box, idx channels, int wide,
                 Offset* places) {
    constexpr idx lanes = kLanes<T>;
    const Offset* first = places;
    for (idx image = 0; image < box.images; ++image) {
        for (idx d = 0; d < box.count[0]; ++d) {
            for (idx h = 0; h < box.count[1]; ++h) {
                const idx row = image * channels * b.channel() +
                                (d * g.stride[0] * b.extent[1] + h * g.stride[1]) * b.extent[2];
                for (idx w = 0; w < box.count[2]; w += lanes)
                    *places++ = static_cast<Offset>(row + w);
            }
        }
    }
    const idx count = places - first;
    for (int v = 1; v < wide; ++v) *places++ = 0;
    return count;
}

// Writes the vectors [first, first + count) of a box.
template <class T>
void place_wide(const ConvDirect<T>& p, const ConvBox& box, idx group, idx first, idx count,
                int wide, const T* sums) {
    constexpr idx lanes = kLanes<T>;
    const idx per_row = (box.count[2] + lanes - 1) / lanes;
    for (idx v = 0; v < count; ++v) {
        const idx row = (first + v) / per_row;
        const idx w = (first + v) % per_row * lanes;
        const idx n = box.count[2] - w < lanes ? box.count[2] - w : lanes;
        T* to = p.y + (box.image + row / (box.count[0] * box.count[1])) * p.y_image +
                (box.first[0] + row / box.count[1] % box.count[0]) * p.y_stride[0] +
                (box.first[1] + row % box.count[1]) * p.y_stride[1] +
                (box.first[2] + w) * p.y_stride[2];
        for (idx i = 0; i < p.rows; ++i) {
            const idx channel = group * p.rows + i;
            Vec<T> value = load(sums + (i * wide + v) * lanes);
            if (p.bias != nullptr) value += broadcast(p.bias[channel]);
            T* out = to + channel * p.y_channel;
            if (p.y_stride[2] != 1) {
                for (idx at = 0; at < n; ++at) out[at * p.y_stride[2]] = value[at];
            } else if (n == lanes) {
                store<T>(out, value);
            } else {
                store_partial(out, value, static_cast<int>(n));
            }
        }
    }
}

// One box of all jobs. False: no memory.
template <class T>
bool run_wide_task(const ConvDirect<T>* jobs, int count, idx group, idx box_number) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& p = jobs[0];
    const ColumnSource<T> source{p.source.x + group * p.terms * p.source.channel, p.source.image,
                                 p.source.channel, p.source.grid};
    const int wide = wide_vectors(static_cast<int>(p.rows));
    const idx elements = p.boxes.images * p.terms * p.boxes.channel();
    Offset* places = static_cast<Offset*>(
        pool_scratch(static_cast<std::size_t>(p.boxes.outputs() + wide) * sizeof(Offset), 0));
    // A row's last vector may read beyond the box.
    T* data = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(elements + 2 * lanes) * sizeof(T), 1));
    if (places == nullptr || data == nullptr) return false;
    fill_box(source, p.boxes, conv_box(source.grid, p.boxes, p.images, box_number), p.terms, data);
    T sums[kTileRows * kTileVectors * lanes];
    const ConvTileKernel<T> kernel = find_wide_kernel<T>(p.rows);
    ConvTile<T> tile;
    tile.b = data;
    tile.c = sums;
    for (int j = 0; j < count; ++j) {
        const ConvDirect<T>& job = jobs[j];
        const ConvBox box = conv_box(job.source.grid, p.boxes, p.images, box_number);
        if (box.outputs() == 0) continue;
        const idx all = fill_vectors<T>(job.source.grid, p.boxes, box, p.terms, wide, places);
        for (idx first = 0; first < all; first += wide) {
            tile.rows = places + first;
            for (idx k = 0; k < job.depth; k += job.block) {
                tile.depth = job.depth - k < job.block ? job.depth - k : job.block;
                tile.steps = job.steps + k;
                tile.a = job.packed + (group * job.depth + k) * job.rows;
                tile.add = k > 0;
                kernel(tile);
            }
            place_wide(job, box, group, first, all - first < wide ? all - first : wide, wide, sums);
        }
    }
    return true;
}

template <class T>
void pack_wide_weights(const ConvDirect<T>& p) {
    const ConvGrid& g = p.source.grid;
    const ConvWeights<T>& w = p.weights;
    T* to = p.packed;
    for (idx group = 0; group < p.groups; ++group) {
        const T* from = w.data + group * w.group;
        for (idx c = 0; c < p.terms; ++c, from += w.term) {
            for (idx d = 0; d < g.taps[0]; ++d) {
                for (idx h = 0; h < g.taps[1]; ++h) {
                    const T* tap = from + d * w.step[0] + h * w.step[1];
                    for (idx t = 0; t < g.taps[2]; ++t, tap += w.step[2])
                        for (idx i = 0; i < p.rows; ++i) *to++ = tap[i * w.row];
                }
            }
        }
    }
}

// As conv_direct, of jobs after plan_wide.
template <class T>
bool conv_wide(ConvDirect<T>* jobs, int count) {
    if (count > 1 && !share_boxes(jobs, count)) {
        for (int j = 0; j < count; ++j)
            if (!conv_wide(jobs + j, 1)) return false;
        return true;
    }
    if (count == 0) return true;
    if (!place_direct_weights(jobs, count)) return false;
    for (int j = 0; j < count; ++j) pack_wide_weights(jobs[j]);
    const ConvDirect<T>& p = jobs[0];
    bool ok = true;
    run_direct_tasks(jobs, count, p.groups * p.boxes.boxes, [&](idx i) {
        if (!run_wide_task(jobs, count, i % p.groups, i / p.groups))
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
