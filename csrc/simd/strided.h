// SPDX-License-Identifier: BSD-3-Clause
// Iteration over operands of one shape and any strides, for elementwise kernels. Operand 0 is the
// output.
//
// A plan brings the dimensions into the order of the output's memory (its strides made positive),
// drops those of length 1 and merges neighbours that are one run in every operand. What is left is
// a nest of outer dimensions around a plane of rows and columns; the plane is cut into tiles, tiles
// are the pieces of a parallel loop, and the kernel is called with one row of a tile at a time.
// When an operand runs along the rows where the output runs along the columns (a transposed one),
// tiles are small squares, so that the cache lines of both stay in the first-level cache. The plan
// depends on shape and strides alone, and elementwise kernels compute an element in one way
// whatever the layout, so bits depend on neither layout nor threads.
//
// Source: the iterator of NumPy (enhancement proposal 10, Wiebe 2010) merges dimensions and follows
// the memory in the same way.
#pragma once

#include <type_traits>

#include "runtime/parallel.h"
#include "runtime/types.h"

// The loop has no dependence between iterations: operands are apart or exactly equal (checked at
// the launch). Without this, in-place loops fail the compiler's run-time overlap test and run
// element by element.
#if defined(__clang__)
#define FASTNN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FASTNN_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace fastnn::FASTNN_ISA {

// How elements are read and written: a bool through its byte, because memory that other code calls
// bool may hold bytes other than 0 and 1, and reading such a byte as bool is undefined.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, unsigned char, T>;

template <class T>
inline const Stored<T>* stored(const T* p) {
    return reinterpret_cast<const Stored<T>*>(p);
}
template <class T>
inline Stored<T>* stored(T* p) {
    return reinterpret_cast<Stored<T>*>(p);
}

template <int kCount>
struct Plan {
    int n_outer;  // outermost first
    idx outer_shape[kMaxDims];
    idx outer_strides[kMaxDims][kCount];
    idx rows;
    idx cols;
    idx row_strides[kCount];
    idx col_strides[kCount];
    idx tile_rows;
    idx tile_cols;
    idx start[kCount];
    idx size;
};

template <int kCount>
inline idx tiles_across(const Plan<kCount>& plan) {
    return (plan.cols + plan.tile_cols - 1) / plan.tile_cols;
}
template <int kCount>
inline idx tiles_down(const Plan<kCount>& plan) {
    return (plan.rows + plan.tile_rows - 1) / plan.tile_rows;
}

template <int kCount>
struct Dim {
    idx size;
    idx strides[kCount];
};

inline idx magnitude(idx v) { return v < 0 ? -v : v; }
inline idx lesser(idx a, idx b) { return a < b ? a : b; }
inline idx greater(idx a, idx b) { return a > b ? a : b; }

// Below this many elements a row is not worth its call: the loop then runs along the other
// dimension of the plane.
constexpr idx kShortRow = 8;
// Side of a square tile: the 64 cache lines and pages that a column of it touches stay in the
// first-level cache and in the translation buffers while its rows are worked through.
constexpr idx kTileSide = 64;

// The dimensions that matter, in the output's order, neighbours merged; returns how many, at least
// one.
template <int kCount>
inline int merged_dims(int ndim, const idx* shape, const idx* const (&strides)[kCount],
                       Dim<kCount>* dims, idx (&start)[kCount]) {
    for (int k = 0; k < kCount; ++k) start[k] = 0;
    int n = 0;
    for (int d = 0; d < ndim; ++d) {
        if (shape[d] == 1) continue;
        Dim<kCount> dim;
        dim.size = shape[d];
        for (int k = 0; k < kCount; ++k) dim.strides[k] = strides[k][d];
        if (dim.strides[0] < 0) {
            for (int k = 0; k < kCount; ++k) {
                start[k] += (dim.size - 1) * dim.strides[k];
                dim.strides[k] = -dim.strides[k];
            }
        }
        int at = n++;
        for (; at > 0 && dims[at - 1].strides[0] < dim.strides[0]; --at) dims[at] = dims[at - 1];
        dims[at] = dim;
    }
    if (n == 0) {
        dims[0].size = 1;
        for (int k = 0; k < kCount; ++k) dims[0].strides[k] = 0;
        return 1;
    }
    int last = 0;
    for (int d = 1; d < n; ++d) {
        bool one_run = true;
        for (int k = 0; k < kCount; ++k) {
            one_run = one_run && dims[last].strides[k] == dims[d].strides[k] * dims[d].size;
        }
        if (one_run) {
            dims[d].size *= dims[last].size;
            dims[last] = dims[d];
        } else {
            dims[++last] = dims[d];
        }
    }
    return last + 1;
}

// The dimension along which some input is denser than along the innermost one, or -1.
template <int kCount>
inline int crossing_dim(const Dim<kCount>* dims, int n) {
    int found = -1;
    idx best = 0;
    for (int k = 1; k < kCount; ++k) {
        const idx inner = magnitude(dims[n - 1].strides[k]);
        if (inner <= 1) continue;
        for (int d = 0; d < n - 1; ++d) {
            const idx stride = magnitude(dims[d].strides[k]);
            if (stride == 0 || stride >= inner || (found >= 0 && stride >= best)) continue;
            found = d;
            best = stride;
        }
    }
    return found;
}

template <int kCount>
__attribute__((noinline)) Plan<kCount> make_plan(int ndim, const idx* shape,
                                                 const idx* const (&strides)[kCount], idx piece) {
    Plan<kCount> plan;
    plan.size = 1;
    for (int d = 0; d < ndim; ++d) plan.size *= shape[d];
    plan.n_outer = 0;
    if (plan.size == 0) return plan;

    Dim<kCount> dims[kMaxDims];
    int n = merged_dims(ndim, shape, strides, dims, plan.start);
    const Dim<kCount> last = dims[--n];
    Dim<kCount> rows{1, {}};
    bool square = false;
    if (n > 0) {
        const int crossing = crossing_dim(dims, n + 1);
        square = crossing >= 0;
        const int taken = square ? crossing : n - 1;
        rows = dims[taken];
        --n;
        for (int d = taken; d < n; ++d) dims[d] = dims[d + 1];
    }
    const bool swap = last.size < kShortRow && rows.size > last.size;
    square = square || swap;
    const Dim<kCount>& row_dim = swap ? last : rows;
    const Dim<kCount>& col_dim = swap ? rows : last;

    plan.rows = row_dim.size;
    plan.cols = col_dim.size;
    plan.n_outer = n;
    for (int k = 0; k < kCount; ++k) {
        plan.row_strides[k] = row_dim.strides[k];
        plan.col_strides[k] = col_dim.strides[k];
        for (int d = 0; d < n; ++d) plan.outer_strides[d][k] = dims[d].strides[k];
    }
    for (int d = 0; d < n; ++d) plan.outer_shape[d] = dims[d].size;
    if (square) {
        // A short side lets the other be longer.
        plan.tile_rows = lesser(plan.rows, kTileSide);
        plan.tile_cols = lesser(plan.cols, kTileSide * kTileSide / plan.tile_rows);
        plan.tile_rows = lesser(plan.rows, kTileSide * kTileSide / plan.tile_cols);
    } else {
        plan.tile_cols = lesser(plan.cols, piece);
        plan.tile_rows = lesser(plan.rows, greater(1, piece / plan.tile_cols));
    }
    return plan;
}

// The walk over the tiles exists once per number of operands, not once per kernel: it calls back
// through a pointer.
template <int kCount>
using TileFn = void (*)(const void* context, idx (&at)[kCount], idx rows, idx cols);

template <int kCount>
__attribute__((noinline)) void walk_tiles(const Plan<kCount>& plan, idx begin, idx end,
                                          TileFn<kCount> tile, const void* context) {
    const idx across = tiles_across(plan);
    const idx down = tiles_down(plan);
    idx rest = begin;
    idx j = rest % across;
    rest /= across;
    idx i = rest % down;
    rest /= down;
    idx place[kMaxDims];
    idx base[kCount];
    for (int k = 0; k < kCount; ++k) base[k] = plan.start[k];
    for (int d = plan.n_outer - 1; d >= 0; --d) {
        place[d] = rest % plan.outer_shape[d];
        rest /= plan.outer_shape[d];
        for (int k = 0; k < kCount; ++k) base[k] += place[d] * plan.outer_strides[d][k];
    }
    for (idx t = begin; t < end; ++t) {
        const idx row = i * plan.tile_rows;
        const idx col = j * plan.tile_cols;
        idx at[kCount];
        for (int k = 0; k < kCount; ++k) {
            at[k] = base[k] + row * plan.row_strides[k] + col * plan.col_strides[k];
        }
        tile(context, at, lesser(plan.tile_rows, plan.rows - row),
             lesser(plan.tile_cols, plan.cols - col));
        if (++j < across) continue;
        j = 0;
        if (++i < down) continue;
        i = 0;
        for (int d = plan.n_outer - 1; d >= 0; --d) {
            for (int k = 0; k < kCount; ++k) base[k] += plan.outer_strides[d][k];
            if (++place[d] < plan.outer_shape[d]) break;
            for (int k = 0; k < kCount; ++k) base[k] -= place[d] * plan.outer_strides[d][k];
            place[d] = 0;
        }
    }
}

// tile(at, rows, cols) for every tile of the plan: `at` holds the offset of its first element in
// every operand, in elements. Parallel, in pieces of about `piece` elements.
template <int kCount, class Tile>
inline void for_tiles(const Plan<kCount>& plan, idx piece, const Tile& tile) {
    if (plan.size == 0) return;
    idx tiles = tiles_across(plan) * tiles_down(plan);
    for (int d = 0; d < plan.n_outer; ++d) tiles *= plan.outer_shape[d];
    const TileFn<kCount> call = [](const void* context, idx(&at)[kCount], idx rows, idx cols) {
        (*static_cast<const Tile*>(context))(at, rows, cols);
    };
    parallel_for(tiles, greater(1, piece / (plan.tile_rows * plan.tile_cols)),
                 [&](idx begin, idx end) { walk_tiles<kCount>(plan, begin, end, call, &tile); });
}

// row(at, n) for every row of every tile; consecutive elements of a row are plan.col_strides apart.
template <int kCount, class Row>
inline void for_rows(const Plan<kCount>& plan, idx piece, const Row& row) {
    for_tiles(plan, piece, [&](idx(&at)[kCount], idx rows, idx cols) {
        for (idx i = 0; i < rows; ++i) {
            row(at, cols);
            for (int k = 0; k < kCount; ++k) at[k] += plan.row_strides[k];
        }
    });
}

// ---- rows: one loop per pattern of strides that the compiler can vectorise, and one for all
// others ----

template <class O, class A, class F>
inline void map_row(O* o, idx so, const A* a, idx sa, idx n, const F& f) {
    if (so == 1 && sa == 1) {
        FASTNN_INDEPENDENT
        for (idx i = 0; i < n; ++i) o[i] = f(a[i]);
    } else if (so == 1 && sa == 0) {
        const O value = f(*a);
        for (idx i = 0; i < n; ++i) o[i] = value;
    } else {
        for (idx i = 0; i < n; ++i) o[i * so] = f(a[i * sa]);
    }
}

template <class O, class A, class B, class F>
inline void map_row(O* o, idx so, const A* a, idx sa, const B* b, idx sb, idx n, const F& f) {
    if (so == 1 && sa == 1 && sb == 1) {
        FASTNN_INDEPENDENT
        for (idx i = 0; i < n; ++i) o[i] = f(a[i], b[i]);
    } else if (so == 1 && sa == 1 && sb == 0) {
        const B right = *b;
        FASTNN_INDEPENDENT
        for (idx i = 0; i < n; ++i) o[i] = f(a[i], right);
    } else if (so == 1 && sa == 0 && sb == 1) {
        const A left = *a;
        FASTNN_INDEPENDENT
        for (idx i = 0; i < n; ++i) o[i] = f(left, b[i]);
    } else {
        for (idx i = 0; i < n; ++i) o[i * so] = f(a[i * sa], b[i * sb]);
    }
}

}  // namespace fastnn::FASTNN_ISA
