// SPDX-License-Identifier: BSD-3-Clause
// Sums over the last dimensions of an array of any strides, and sums of columns.
//
//   sum_last:    y[kept] = (sum of x[kept, reduced]) / divisor        y `=`
//   column_sum:  y[j] (+)= sum_i x[i, j]                              y `=` or `+=`
//
// Dimensions that are one run in memory are merged, the reduced ones ordered by stride. Then memory
// decides between two loops:
//   rows:     the densest dimension is a reduced one. Every output is summed along it, in blocks of
//             1024 elements (blocked_sum.h); elements that are not neighbours are first gathered.
//   columns:  the densest dimension is a kept one. Up to 1024 neighbouring outputs are summed
//             together, eight rows at a time as a tree, in blocks of 256 rows. A matrix of few
//             columns is read as one of more columns and fewer rows, folded at the end.
// Both read memory once and in its order. Where there are too few outputs for the threads, the
// reduced elements are cut into at most 256 chunks of at least 32768; the number of chunks depends
// on the shape alone and their sums are added in order, so bits do not depend on the threads.
#include "ops/axes.h"
#include "ops/blocked_sum.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPieceWork = 65536;  // elements per piece of a parallel loop
constexpr idx kChunkWork = 32768;  // elements per chunk of one output's sum
constexpr idx kMaxChunks = 256;
constexpr idx kEnoughUnits = 32;  // with so many outputs or tiles, no output is cut into chunks
constexpr idx kTileCols = 1024;
constexpr idx kBlockRows = 256;
constexpr idx kShortSum = 16;  // sums of fewer elements go by columns
constexpr idx kShortRun = 64;  // shorter runs are gathered into blocks
constexpr idx kNarrow = 64;    // matrices of fewer columns are widened
constexpr int kSlot = 3;       // of the pool's scratch: partial sums

// Integers wrap around, as in NumPy.
template <class T>
using SumOf = std::conditional_t<std::is_same_v<T, std::int64_t>, std::uint64_t, T>;

template <class S>
struct Reduction {
    const S* x;
    S* y;
    Axis kept[kMaxDims];
    Axis reduced[kMaxDims];
    int n_kept;
    int n_reduced;
    idx outputs;
    idx count;  // elements per output
    S divisor;
    bool accumulate;

    void finish(idx place, S sum) const {
        if (divisor != S(1)) sum = sum / divisor;
        y[place] = accumulate ? y[place] + sum : sum;
    }
};

inline idx chunk_size(idx total, idx least) {
    const idx even = (total + kMaxChunks - 1) / kMaxChunks;
    return greater(least, even);
}

// ---- rows ----

// The sum of n neighbouring elements, at most a block.
template <class S>
inline S run_sum(const S* x, idx n) {
    if constexpr (std::is_same_v<S, std::uint64_t>) {
        S sum = 0;
        for (idx i = 0; i < n; ++i) sum += x[i];
        return sum;
    } else {
        return block_sum<S, 8>(0, n, [x](idx i, auto span) { return load_span(x + i, span); });
    }
}

// The sum of the reduced elements [begin, end) of the output whose first element is at x.
template <class S>
S range_sum(const Reduction<S>& job, const S* x, idx begin, idx end) {
    const Axis run = job.reduced[job.n_reduced - 1];
    Walk outer(job.reduced, job.n_reduced - 1, begin / run.size);
    idx at = begin % run.size;
    idx left = end - begin;
    PairwiseSum<S> sum;
    if (run.stride == 1 && (run.size >= kShortRun || job.n_reduced == 1)) {
        if (at + left <= run.size && left <= kSumBlock) return run_sum(x + outer.offset + at, left);
        while (left > 0) {
            const idx n = lesser(lesser(left, run.size - at), kSumBlock);
            sum.add(run_sum(x + outer.offset + at, n));
            left -= n;
            at += n;
            if (at == run.size) {
                at = 0;
                outer.next();
            }
        }
        return sum.total();
    }
    S block[kSumBlock];
    while (left > 0) {
        idx filled = 0;
        while (filled < kSumBlock && left > 0) {
            const idx n = lesser(lesser(left, run.size - at), kSumBlock - filled);
            const S* from = x + outer.offset + at * run.stride;
            for (idx i = 0; i < n; ++i) block[filled + i] = from[i * run.stride];
            filled += n;
            left -= n;
            at += n;
            if (at == run.size) {
                at = 0;
                outer.next();
            }
        }
        sum.add(run_sum(block, filled));
    }
    return sum.total();
}

template <class S>
Status sum_rows(const Reduction<S>& job) {
    const bool dense = job.n_reduced == 1 && job.reduced[0].stride == 1 && job.count <= kSumBlock;
    if (job.outputs >= kEnoughUnits || job.count < 2 * kChunkWork) {
        parallel_for(job.outputs, greater(1, kPieceWork / job.count), [&](idx begin, idx end) {
            Walk place(job.kept, job.n_kept, begin);
            for (idx i = begin; i < end; ++i, place.next()) {
                const S* x = job.x + place.offset;
                job.finish(place.out,
                           dense ? run_sum(x, job.count) : range_sum(job, x, 0, job.count));
            }
        });
        return Status::kOk;
    }
    const idx size = chunk_size(job.count, kChunkWork);
    const idx chunks = (job.count + size - 1) / size;
    const idx units = job.outputs * chunks;
    S* partial = static_cast<S*>(pool_scratch(static_cast<std::size_t>(units) * sizeof(S), kSlot));
    if (partial == nullptr) return Status::kNoMemory;
    parallel_for(units, 1, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx first = u % chunks * size;
            const Walk place(job.kept, job.n_kept, u / chunks);
            partial[u] =
                range_sum(job, job.x + place.offset, first, lesser(first + size, job.count));
        }
    });
    Walk place(job.kept, job.n_kept, 0);
    for (idx i = 0; i < job.outputs; ++i, place.next()) {
        PairwiseSum<S> sum;
        for (idx k = 0; k < chunks; ++k) sum.add(partial[i * chunks + k]);
        job.finish(place.out, sum.total());
    }
    return Status::kOk;
}

// ---- columns ----

template <bool kDense, class S>
inline void add_eight(S* __restrict sum, const S* const (&rows)[8], idx n, idx stride) {
    const S *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    const S *e = rows[4], *f = rows[5], *g = rows[6], *h = rows[7];
    const idx step = kDense ? 1 : stride;
    FASTNN_INDEPENDENT
    for (idx j = 0; j < n; ++j) {
        const idx k = j * step;
        sum[j] += ((a[k] + b[k]) + (c[k] + d[k])) + ((e[k] + f[k]) + (g[k] + h[k]));
    }
}

template <bool kDense, class S>
inline void add_one(S* __restrict sum, const S* row, idx n, idx stride) {
    const idx step = kDense ? 1 : stride;
    FASTNN_INDEPENDENT
    for (idx j = 0; j < n; ++j) sum[j] += row[j * step];
}

template <bool kDense, class S>
void add_block(S* sum, const S* x, Walk& row, idx rows, idx n, idx stride) {
    for (idx j = 0; j < n; ++j) sum[j] = 0;
    for (; rows >= 8; rows -= 8) {
        const S* eight[8];
        for (const S*& p : eight) {
            p = x + row.offset;
            row.next();
        }
        add_eight<kDense>(sum, eight, n, stride);
    }
    for (; rows > 0; --rows, row.next()) add_one<kDense>(sum, x + row.offset, n, stride);
}

// sum[0..n) = the sums of the rows [begin, end) of n columns from x on.
template <class S>
void tile_sum(const Reduction<S>& job, const S* x, idx stride, idx n, idx begin, idx end, S* sum) {
    Walk row(job.reduced, job.n_reduced, begin);
    S block[kTileCols];
    for (idx i = begin; i < end; i += kBlockRows) {
        S* into = i == begin ? sum : block;
        const idx rows = lesser(kBlockRows, end - i);
        if (stride == 1) {
            add_block<true>(into, x, row, rows, n, stride);
        } else {
            add_block<false>(into, x, row, rows, n, stride);
        }
        if (i == begin) continue;
        for (idx j = 0; j < n; ++j) sum[j] += block[j];
    }
}

template <class S>
Status sum_columns(Reduction<S> job, int column) {
    const Axis col = job.kept[column];
    --job.n_kept;
    for (int d = column; d < job.n_kept; ++d) job.kept[d] = job.kept[d + 1];
    const idx outer = job.outputs / col.size;
    const idx tiles = (col.size + kTileCols - 1) / kTileCols;
    const idx widest = lesser(col.size, kTileCols);
    const bool cut = outer * tiles < kEnoughUnits && job.count * widest >= 2 * kChunkWork;
    const idx size =
        cut ? chunk_size(job.count, greater(kBlockRows, kChunkWork / widest)) : job.count;
    const idx chunks = (job.count + size - 1) / size;
    S* partial = nullptr;
    if (chunks > 1) {
        const idx cells = outer * chunks * col.size;
        partial = static_cast<S*>(pool_scratch(static_cast<std::size_t>(cells) * sizeof(S), kSlot));
        if (partial == nullptr) return Status::kNoMemory;
    }
    const idx piece = greater(1, kPieceWork / (size * widest));
    parallel_for(outer * chunks * tiles, piece, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const idx at = u % tiles * kTileCols;
            const idx chunk = u / tiles % chunks;
            const idx o = u / tiles / chunks;
            const Walk place(job.kept, job.n_kept, o);
            const idx n = lesser(kTileCols, col.size - at);
            const S* x = job.x + place.offset + at * col.stride;
            const idx first = chunk * size;
            const idx last = lesser(first + size, job.count);
            if (partial != nullptr) {
                S* into = partial + (o * chunks + chunk) * col.size + at;
                tile_sum(job, x, col.stride, n, first, last, into);
                continue;
            }
            S sum[kTileCols];
            tile_sum(job, x, col.stride, n, first, last, sum);
            for (idx j = 0; j < n; ++j) job.finish(place.out + (at + j) * col.out, sum[j]);
        }
    });
    if (partial == nullptr) return Status::kOk;
    Walk place(job.kept, job.n_kept, 0);
    for (idx o = 0; o < outer; ++o, place.next()) {
        S* total = partial + o * chunks * col.size;
        for (idx k = 1; k < chunks; ++k) add_one<true>(total, total + k * col.size, col.size, 1);
        for (idx j = 0; j < col.size; ++j) job.finish(place.out + j * col.out, total[j]);
    }
    return Status::kOk;
}

// A dense matrix of few columns: k of its rows stand as one, their sums are folded at the end.
template <class S>
Status sum_narrow(const Reduction<S>& job) {
    const idx cols = job.kept[0].size;
    const idx k = 4 * kNarrow / cols;
    const idx wide = k * cols;
    S sum[4 * kNarrow];
    Reduction<S> whole = job;
    whole.y = sum;
    whole.kept[0] = {wide, 1, 1};
    whole.reduced[0] = {job.count / k, wide, 0};
    whole.outputs = wide;
    whole.count = job.count / k;
    whole.divisor = S(1);
    whole.accumulate = false;
    const Status status = sum_columns(whole, 0);
    if (status != Status::kOk) return status;
    for (idx i = 1; i < k; ++i) add_one<true>(sum, sum + i * cols, cols, 1);
    for (idx i = whole.count * k; i < job.count; ++i) {
        add_one<true>(sum, job.x + i * cols, cols, 1);
    }
    for (idx j = 0; j < cols; ++j) job.finish(j * job.kept[0].out, sum[j]);
    return Status::kOk;
}

template <class S>
Status sum_axes(Reduction<S>& job) {
    if (job.outputs == 0) return Status::kOk;
    if (job.count == 0) {
        for (idx i = 0; i < job.outputs; ++i) job.finish(i, S(0));
        return Status::kOk;
    }
    job.n_kept = merged(job.kept, job.n_kept);
    int sorted = 0;
    for (int d = 0; d < job.n_reduced; ++d) {
        Axis axis = job.reduced[d];
        if (axis.size == 1) continue;
        if (axis.stride < 0) {
            job.x += (axis.size - 1) * axis.stride;
            axis.stride = -axis.stride;
        }
        int at = sorted++;
        for (; at > 0 && job.reduced[at - 1].stride < axis.stride; --at) {
            job.reduced[at] = job.reduced[at - 1];
        }
        job.reduced[at] = axis;
    }
    job.n_reduced = merged(job.reduced, sorted);
    if (job.n_reduced == 0) job.reduced[job.n_reduced++] = {1, 1, 0};
    if (job.n_kept == 0) return sum_rows(job);

    int column = job.n_kept - 1;
    for (int d = job.n_kept - 1; d >= 0; --d) {
        const idx stride = magnitude(job.kept[d].stride);
        const idx least = magnitude(job.kept[column].stride);
        if (stride != 0 && (stride < least || least == 0)) column = d;
    }
    const Axis run = job.reduced[job.n_reduced - 1];
    const Axis col = job.kept[column];
    // Very short sums of many outputs go by columns even across memory: no horizontal additions.
    const bool rows = run.stride <= magnitude(col.stride) || col.stride == 0;
    if (rows && !(job.count < kShortSum && col.size >= 2 * kShortRow)) return sum_rows(job);
    if (job.n_kept == 1 && col.size < kNarrow && col.stride == 1 && job.n_reduced == 1 &&
        run.stride == col.size && job.count * col.size >= 16 * kNarrow) {
        return sum_narrow(job);
    }
    return sum_columns(job, column);
}

}  // namespace

template <class T>
Status sum_last(StridedIn<T> x, Out<T> y, idx n_reduced, double divisor) {
    using S = SumOf<T>;
    if (n_reduced < 0 || n_reduced > x.ndim) return Status::kBadValue;
    if (!std::is_floating_point_v<T> && divisor != 1.0) return Status::kBadValue;
    Reduction<S> job{};
    job.x = reinterpret_cast<const S*>(x.data);
    job.y = reinterpret_cast<S*>(y.data);
    job.divisor = static_cast<S>(divisor);
    job.outputs = job.count = 1;
    job.n_reduced = static_cast<int>(n_reduced);
    job.n_kept = x.ndim - job.n_reduced;
    for (int d = x.ndim - 1; d >= 0; --d) {
        if (d < job.n_kept) {
            job.kept[d] = {x.shape[d], x.strides[d], job.outputs};
            job.outputs *= x.shape[d];
        } else {
            job.reduced[d - job.n_kept] = {x.shape[d], x.strides[d], 0};
            job.count *= x.shape[d];
        }
    }
    if (y.size != job.outputs) return Status::kBadValue;
    return sum_axes(job);
}

template <class T>
Status column_sum(In<T> x, InOut<T> y, bool accumulate) {
    using S = SumOf<T>;
    Reduction<S> job{};
    job.x = reinterpret_cast<const S*>(x.data);
    job.y = reinterpret_cast<S*>(y.data);
    job.divisor = S(1);
    job.accumulate = accumulate;
    job.outputs = x.shape[1];
    job.count = x.shape[0];
    job.n_kept = job.n_reduced = 1;
    job.kept[0] = {x.shape[1], 1, 1};
    job.reduced[0] = {x.shape[0], x.shape[1], 0};
    return sum_axes(job);
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(sum_last, "x(*) y(*) n_reduced divisor", kPlain, sum_last<float>, sum_last<double>,
          sum_last<std::int64_t>)
FASTNN_OP(column_sum, "x(n,o) y(o) accumulate", kPlain, column_sum<float>, column_sum<double>,
          column_sum<std::int64_t>)
