// SPDX-License-Identifier: BSD-3-Clause
// Convolution without columns, for layers whose output channels fill vectors: Y = W X + bias, as
// the product of X^T, an element broadcast for each output, and of W^T, vectors of output channels.
// X^T is read from boxes of the padded source through two tables (conv_box.h): any stride, dilation
// and width of the image are the same to it, and an element of the source is copied once, not once
// for every tap.
//
// Bits of an element: k = (channel, tap) is cut into equal blocks of at most kDirectDepth; within
// one a multiply-add for each step in order, from zero; the blocks' sums in order; then the bias.
//
// Blocking: a task is a box, or a box and a range of panels of W^T. It goes over the box's outputs
// in chunks. For each chunk and block of k a panel of W^T, which stays in L1, meets the chunk's
// tiles; the sums of a chunk stand in scratch memory and are transposed when they are written.
//
// Scratch: slots 0 (sums and places of a task), 1 (box) and, of the caller, 3 (W^T, steps).
#pragma once

#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/conv_box.h"
#include "simd/conv_store.h"
#include "simd/conv_taps_tile.h"
#include "simd/gemm.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kDirectDepth = 192;  // of a block of k
inline constexpr idx kDirectChunk = 64;   // outputs whose sums stand in scratch memory
inline constexpr idx kDirectTasks = 16;
inline constexpr idx kDirectOutputs = 1024;        // of a box at most, unless one's row has more
inline constexpr idx kNearWeights = idx{1} << 17;  // elements, in L2 beside the rest
inline constexpr idx kChunkSums = idx{1} << 17;    // of a longer chunk
inline constexpr idx kDirectWidth = idx{1} << 16;  // the most output channels of a group
inline constexpr idx kWeightPiece = 16384;         // weights that a piece of a loop rearranges

// Weights by group, row (output channel), term (source channel) and tap, with any strides.
template <class T>
struct ConvWeights {
    const T* data;
    idx group, row, term, step[3];
};

// Outputs with a step of 2 along the rows may be written together with those between them.
enum class Between {
    kNothing,  // are others', written alone
    kZero,     // have no sums
    kNext,     // are the next job's
    kLast,     // are the last job's: this one is done with it
};

template <class T>
struct ConvDirect {
    idx images, groups;
    idx rows;   // output channels of one group
    idx terms;  // source channels of one group
    ColumnSource<T> source;
    ConvWeights<T> weights;
    T* y;
    idx y_image, y_channel;
    idx y_stride[3];  // of an image's outputs
    const T* bias;    // or null
    Between between;

    ConvBoxes boxes;
    idx depth, block;            // k, and of a block
    idx width, vectors, panels;  // of W^T
    idx chunk;                   // outputs whose sums stand in scratch memory
    idx column_tasks, panel_parts;
    bool dense;  // an image's outputs follow each other
    T* packed;   // (groups, panels, depth, of a panel)
    Offset* steps;

    idx panel_vector(idx q) const { return q * vectors / panels; }
};

// Whether vectors of channels waste fewer lanes than vectors along the rows of outputs, which may
// be shorter than one.
template <class T>
bool channels_fill_better(const ConvGrid& g, idx rows) {
    constexpr idx lanes = kLanes<T>;
    const auto whole = [](idx n) { return (n + lanes - 1) / lanes * lanes; };
    return rows * whole(g.out[2]) > whole(rows) * g.out[2];
}

template <class T>
bool plan_direct(ConvDirect<T>& p) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = p.source.grid;
    if (p.rows > kDirectWidth || p.terms > kBoxElements || g.volume() > kBoxElements) return false;
    p.depth = p.terms * g.volume();
    p.vectors = (p.rows + lanes - 1) / lanes;
    p.width = p.vectors * lanes;
    p.dense =
        p.y_stride[2] == 1 && p.y_stride[1] == g.out[2] && p.y_stride[0] == g.out[1] * g.out[2];
    // One tap: the columns are the source or a part of it. And where a third of the lanes would
    // stand idle, outputs make better vectors than channels, unless their rows are shorter still.
    if (p.depth == 0 || (g.volume() == 1 && p.dense) ||
        (p.rows * 3 < p.width * 2 && !channels_fill_better<T>(g, p.rows)))
        return false;
    const idx blocks = (p.depth + kDirectDepth - 1) / kDirectDepth;
    p.block = (p.depth + blocks - 1) / blocks;
    p.panels = (p.vectors + kTileVectors - 1) / kTileVectors;
    const idx all = p.images * g.positions();
    const double each = static_cast<double>(p.rows) * static_cast<double>(p.depth);
    const idx least = static_cast<idx>(static_cast<double>(kTaskWork) / each) + 1;
    const idx wanted = clamp_index((all + kDirectTasks - 1) / kDirectTasks, 1, kDirectOutputs);
    if (!plan_boxes(g, p.images, p.terms, wanted > least ? wanted : least, 2 * kTileRows, p.boxes))
        return false;
    // Weights that do not stay in L2 come from L3 once for each chunk.
    p.chunk = kDirectChunk;
    if (p.depth * p.width > kNearWeights)
        p.chunk = clamp_index(kChunkSums / p.width, kDirectChunk, 4 * kDirectChunk);
    p.column_tasks = clamp_index(p.boxes.boxes, 1, kDirectTasks);
    const idx tasks = p.column_tasks * p.groups;
    p.panel_parts = tasks >= 8 ? 1 : clamp_index((8 + tasks - 1) / tasks, 1, p.panels);
    const double worth =
        each * static_cast<double>(all / p.column_tasks) / static_cast<double>(kTaskWork);
    if (worth < static_cast<double>(p.panel_parts))
        p.panel_parts = clamp_index(static_cast<idx>(worth), 1, p.panel_parts);
    return true;
}

// Panel i % panels of group i / panels.
template <class T>
void pack_direct_panel(const ConvDirect<T>& p, idx i) {
    constexpr idx lanes = kLanes<T>;
    const ConvGrid& g = p.source.grid;
    const ConvWeights<T>& w = p.weights;
    const idx group = i / p.panels;
    const idx vector = p.panel_vector(i % p.panels);
    const int vectors = static_cast<int>(p.panel_vector(i % p.panels + 1) - vector);
    const idx row = vector * lanes;
    const idx step = vectors * lanes;
    const idx rows = p.rows - row < step ? p.rows - row : step;
    const T* from = w.data + group * w.group + row * w.row;
    T* to = p.packed + (group * p.width + row) * p.depth;
    if (w.step[2] == 1 && w.step[1] == g.taps[2] && w.step[0] == g.taps[1] * g.taps[2] &&
        w.term == g.volume()) {
        pack_b_panel(from, idx{1}, w.row, p.depth, vectors, rows, to);
        return;
    }
    for (idx c = 0; c < p.terms; ++c, from += w.term) {
        for (idx d = 0; d < g.taps[0]; ++d) {
            for (idx h = 0; h < g.taps[1]; ++h) {
                const T* tap = from + d * w.step[0] + h * w.step[1];
                for (idx t = 0; t < g.taps[2]; ++t, tap += w.step[2], to += step) {
                    for (idx j = 0; j < rows; ++j) to[j] = tap[j * w.row];
                    for (idx j = rows; j < step; ++j) to[j] = T(0);
                }
            }
        }
    }
}

// Outputs [first, first + count) of a box, panels from row0 on; `odd` are the sums of the outputs
// between, if there are any.
template <class T>
void place_direct(const ConvDirect<T>& p, const ConvBox& box, idx group, idx row0, idx rows,
                  idx first, idx count, const T* c, const T* odd, idx c_row) {
    const ConvGrid& g = p.source.grid;
    const T* bias = p.bias == nullptr ? nullptr : p.bias + group * p.rows + row0;
    T* y = p.y + (group * p.rows + row0) * p.y_channel;
    for (idx j = 0; j < count;) {
        const BoxRun run = box_run(g, box, p.dense, first + j);
        const idx n = count - j < run.count ? count - j : run.count;
        T* to = y + run.image * p.y_image;
        for (int i = 0; i < 3; ++i) to += run.place[i] * p.y_stride[i];
        if (p.between == Between::kNothing) {
            store_direct(c + j * c_row, c_row, n, rows, bias, to, p.y_channel, p.y_stride[2]);
        } else {
            store_pairs(c + j * c_row, odd == nullptr ? odd : odd + j * c_row, c_row, n, rows, bias,
                        to, p.y_channel);
        }
        j += n;
    }
}

// Brings the part of y that a chunk's sums will be written to: each tile of the chunk some
// channels.
template <class T>
FASTNN_SIMD_INLINE void fetch_outputs(T* y, idx y_channel, idx channel0, idx channel1, idx count) {
    constexpr idx line = 64 / static_cast<idx>(sizeof(T));
    for (idx c = channel0; c < channel1; ++c) {
        const T* row = y + c * y_channel;
        for (idx i = 0; i < count; i += line) __builtin_prefetch(row + i, 1);
        __builtin_prefetch(row + count - 1, 1);
    }
}

// The sums of one box, and Y; of `p` and, where that is what is between, the job after it.
template <class T>
void run_direct_box(const ConvDirect<T>& p, const ConvBox& box, idx group, idx panel0, idx panel1,
                    const T* data, T* sums, const Offset* places, BoxAhead<T>& next) {
    constexpr idx lanes = kLanes<T>;
    const idx row0 = p.panel_vector(panel0) * lanes;
    const idx row1 = p.panel_vector(panel1) * lanes;
    const idx rows = (row1 < p.rows ? row1 : p.rows) - row0;
    const idx outputs = box.outputs();
    const idx blocks = (p.depth + p.block - 1) / p.block;
    // Neighbouring outputs read neighbours.
    const bool narrow = row1 - row0 == lanes && p.source.grid.stride[2] == 1;
    const idx neighbours = !narrow ? 1 : box.count[2] % 5 == 0 ? 5 : box.count[2] % 3 == 0 ? 3 : 1;
    const idx lines =
        next.lines() * row_tile(neighbours) / (outputs * blocks * (panel1 - panel0)) + 1;
    ConvTile<T> tile;
    tile.a = data;
    tile.c_row = row1 - row0;
    const idx step = p.chunk / neighbours * neighbours;
    for (idx first = 0; first < outputs; first += step) {
        const idx count = outputs - first < step ? outputs - first : step;
        const idx together = tap_run(count, neighbours);
        const idx tiles = count_row_tiles(count, together);
        // Outputs of a tile; the first `longer` have a run more.
        const idx least = count / together / tiles * together;
        const idx longer = count / together % tiles;
        const BoxRun run = box_run(p.source.grid, box, p.dense, first);
        const idx wanted = run.count < count ? run.count : count;
        T* to = p.y + run.image * p.y_image + (group * p.rows + row0) * p.y_channel;
        for (int i = 0; i < 3; ++i) to += run.place[i] * p.y_stride[i];
        const idx share = (rows + (panel1 - panel0) * tiles - 1) / ((panel1 - panel0) * tiles);
        idx fetched = p.dense ? 0 : rows;
        const T* odd = p.between == Between::kNext ? sums + p.chunk * tile.c_row : nullptr;
        for (int half = 0; half < (odd == nullptr ? 1 : 2); ++half) {
            const ConvDirect<T>& job = (&p)[half];
            T* c = sums + half * p.chunk * tile.c_row;
            for (idx k = 0; k < job.depth; k += job.block) {
                tile.depth = job.depth - k < job.block ? job.depth - k : job.block;
                tile.steps = job.steps + k;
                tile.add = k > 0;
                for (idx q = panel0; q < panel1; ++q) {
                    const idx vector = p.panel_vector(q);
                    const int vectors = static_cast<int>(p.panel_vector(q + 1) - vector);
                    tile.b_step = vectors * lanes;
                    tile.b = job.packed + (group * p.width + vector * lanes) * job.depth +
                             k * tile.b_step;
                    const ConvTileKernel<T> kernel = find_tile_of_runs<T>(together, least, vectors);
                    const ConvTileKernel<T> longer_kernel =
                        longer == 0 ? kernel
                                    : find_tile_of_runs<T>(together, least + together, vectors);
                    tile.rows = places + first;
                    tile.c = c + vector * lanes - row0;
                    for (idx t = 0; t < tiles; ++t) {
                        const idx until = fetched + share < rows ? fetched + share : rows;
                        fetch_outputs(to, p.y_channel, fetched, until, wanted);
                        fetched = until;
                        next.fetch(lines);
                        (t < longer ? longer_kernel : kernel)(tile);
                        const idx n = t < longer ? least + together : least;
                        tile.rows += n;
                        tile.c += n * tile.c_row;
                    }
                }
            }
        }
        place_direct(p, box, group, row0, rows, first, count, sums, odd, tile.c_row);
    }
}

// Boxes [box0, box1) times panels [panel0, panel1) of all jobs. False: no memory.
template <class T>
bool run_direct_task(const ConvDirect<T>* jobs, int count, idx group, idx box0, idx box1,
                     idx panel0, idx panel1) {
    constexpr idx lanes = kLanes<T>;
    const ConvDirect<T>& p = jobs[0];
    const ColumnSource<T> source{p.source.x + group * p.terms * p.source.channel, p.source.image,
                                 p.source.channel, p.source.grid};
    idx chunk = 0;
    for (int j = 0; j < count; ++j) chunk = jobs[j].chunk > chunk ? jobs[j].chunk : chunk;
    chunk *= 2 * (p.panel_vector(panel1) - p.panel_vector(panel0)) * lanes;
    T* sums = static_cast<T*>(
        pool_scratch(static_cast<std::size_t>(chunk) * sizeof(T) +
                         static_cast<std::size_t>(p.boxes.outputs()) * sizeof(Offset),
                     0));
    T* data = static_cast<T*>(pool_scratch(
        static_cast<std::size_t>(p.boxes.images * p.terms * p.boxes.channel() + lanes) * sizeof(T),
        1));
    if (sums == nullptr || data == nullptr) return false;
    Offset* places = static_cast<Offset*>(static_cast<void*>(sums + chunk));
    for (idx i = box0; i < box1; ++i) {
        fill_box(source, p.boxes, conv_box(source.grid, p.boxes, p.images, i), p.terms, data);
        BoxAhead<T> next;
        if (i + 1 < box1)
            next = BoxAhead<T>(source, p.boxes, conv_box(source.grid, p.boxes, p.images, i + 1),
                               p.terms);
        for (int j = 0; j < count; ++j) {
            const ConvGrid& g = jobs[j].source.grid;
            const ConvBox box = conv_box(g, p.boxes, p.images, i);
            if (box.outputs() == 0 || jobs[j].between == Between::kLast) continue;
            fill_places(g, p.boxes, box, p.terms, places);
            run_direct_box(jobs[j], box, group, panel0, panel1, data, sums, places, next);
        }
    }
    return true;
}

// Gives all jobs the boxes of the first, the largest, with what every one of them reads. False
// where that is too much; then each goes alone.
template <class T>
bool share_boxes(ConvDirect<T>* jobs, int count) {
    ConvBoxes b = jobs[0].boxes;
    for (int j = 1; j < count; ++j) {
        widen_boxes(jobs[0].source.grid, jobs[j].source.grid, b);
        for (int i = 0; i < 3; ++i)
            if (jobs[j].source.grid.out[i] > jobs[0].source.grid.out[i]) return false;
    }
    idx left = 2 * kBoxElements / jobs[0].terms / b.images;
    for (int i = 0; i < 3; ++i) left /= b.extent[i];
    if (left == 0) return false;
    for (int j = 0; j < count; ++j) {
        jobs[j].boxes = b;
        jobs[j].column_tasks = jobs[0].column_tasks;
        jobs[j].panel_parts = jobs[0].panel_parts;
    }
    return true;
}

// How many of `tasks`, which do `work` multiply-adds in all, make a piece that is worth a thread.
inline idx piece_of_tasks(double work, idx tasks) {
    const double each = work / static_cast<double>(tasks);
    if (work < static_cast<double>(kThreadWork)) return tasks;
    if (each >= static_cast<double>(kTaskWork)) return 1;
    return static_cast<idx>(static_cast<double>(kTaskWork) / (each + 1)) + 1;
}

// task(i) for i < tasks, small ones several to a piece.
template <class T, class F>
void run_direct_tasks(const ConvDirect<T>* jobs, int count, idx tasks, const F& task) {
    double work = 0;
    for (int j = 0; j < count; ++j) {
        const ConvDirect<T>& p = jobs[j];
        work += static_cast<double>(p.images * p.source.grid.positions()) *
                static_cast<double>(p.groups * p.rows) * static_cast<double>(p.depth);
    }
    parallel_for(tasks, piece_of_tasks(work, tasks), [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) task(i);
    });
}

// Memory for the weights and steps of all jobs, from slot 3. False: there is none.
template <class T>
bool place_direct_weights(ConvDirect<T>* jobs, int count) {
    const auto align = [](idx elements) { return (elements + 15) / 16 * 16; };
    idx weights = 0, steps = 0;
    for (int j = 0; j < count; ++j) {
        weights += align(jobs[j].groups * jobs[j].width * jobs[j].depth);
        steps += jobs[j].depth;
    }
    T* data = static_cast<T*>(pool_scratch(static_cast<std::size_t>(weights) * sizeof(T) +
                                               static_cast<std::size_t>(steps) * sizeof(Offset),
                                           3));
    if (data == nullptr) return false;
    Offset* step = static_cast<Offset*>(static_cast<void*>(data + weights));
    for (int j = 0; j < count; ++j) {
        ConvDirect<T>& p = jobs[j];
        p.packed = data;
        p.steps = step;
        fill_steps(p.source.grid, p.boxes, 0, p.depth, step);
        data += align(p.groups * p.width * p.depth);
        step += p.depth;
    }
    return true;
}

// Several jobs, each after plan_direct, with one source and the same numbers of images and
// channels: a task's boxes of the source are copied once for all of them. False: there was no
// memory, and Y is undefined.
template <class T>
bool conv_direct(ConvDirect<T>* jobs, int count) {
    if (count > 1 && !share_boxes(jobs, count)) {
        for (int j = 0; j < count; ++j) {
            if (jobs[j].between != Between::kZero) jobs[j].between = Between::kNothing;
            if (!conv_direct(jobs + j, 1)) return false;
        }
        return true;
    }
    if (count == 0) return true;
    if (!place_direct_weights(jobs, count)) return false;
    const ConvDirect<T>& p = jobs[0];
    const idx piece = kWeightPiece / (p.depth * kTileVectors * kLanes<T>);
    const idx panels = p.groups * p.panels;
    parallel_for(count * panels, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) pack_direct_panel(jobs[i / panels], i % panels);
    });
    bool ok = true;
    run_direct_tasks(jobs, count, p.groups * p.column_tasks * p.panel_parts, [&](idx i) {
        const idx part = i % p.panel_parts;
        const idx group = i / p.panel_parts % p.groups;
        const idx column = i / p.panel_parts / p.groups;
        if (!run_direct_task(jobs, count, group, column * p.boxes.boxes / p.column_tasks,
                             (column + 1) * p.boxes.boxes / p.column_tasks,
                             part * p.panels / p.panel_parts,
                             (part + 1) * p.panels / p.panel_parts))
            __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok;
}

}  // namespace fastnn::FASTNN_ISA
