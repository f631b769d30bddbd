// SPDX-License-Identifier: BSD-3-Clause
// Winograd's minimal filtering for 3 x 3 taps of stride 1: a tile of 2 x 2 outputs from 4 x 4
// elements of the source takes 16 multiplications for each pair of channels, not 36,
//
//   outputs       Y = A' [ (G g G') o (B' d B) ] A      d 4 x 4 of the source, g the taps
//   gradient      dg = C' [ (H e H') o (B' d B) ] C     e 2 x 2 of the gradient of Y
//
// where o multiplies element by element, and the sums over channels (or, for the gradient, over
// tiles) are sixteen products of matrices. This header has the transforms of a tile, with channels
// as lanes, and the products; simd/winograd_source.h has the way of a source there. B, A and H hold
// only 0, 1 and -1; G also halves, and C is scaled by halves and quarters in the end.
//
// Error: sums of two or four elements are rounded before they are multiplied, so that what rounding
// leaves is relative to the largest element that an output reads, whatever its tap is (no other
// element of the tile has a part in it); of the gradient, to the largest of a tile. What is not
// finite, or overflows on the way, shows as NaN or infinity in the outputs that read it; callers
// see that and compute those anew, without the transform.
//
// Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin and Gray 2016, "Fast
// algorithms for convolutional neural networks".
#pragma once

#include "simd/conv_columns.h"
#include "simd/gemm_tile.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

inline constexpr int kWinogradProducts = 16;  // places of a transformed tile
// Doubles are for checking gradients: they keep the sums of the definition.
template <class T>
inline constexpr bool kWinograd = sizeof(T) == 4;

inline constexpr idx kWinogradWeights = idx{1} << 18;  // elements of U or S, in L2
// Whether a convolution of `g` pays: it has the form, and what is saved is more than what the
// transforms take, `overhead` multiply-adds of a vector for each vector of a tile's channels. So
// much depends on the layer and the size of an image alone.
template <class T>
bool winograd_pays(const ConvGrid& g, idx rows, idx terms, idx overhead) {
    constexpr idx lanes = kLanes<T>;
    if (!kWinograd<T> || g.out[0] != 1 || g.in[0] != 1 || g.taps[0] != 1 || g.base[0] != 0)
        return false;
    for (int i = 1; i < 3; ++i)
        if (g.taps[i] != 3 || g.stride[i] != 1 || (g.step[i] != 1 && g.step[i] != -1)) return false;
    if (rows > kWinogradWeights || terms > kWinogradWeights) return false;
    const idx wide = (rows + lanes - 1) / lanes;
    const idx deep = (terms + lanes - 1) / lanes;
    if (rows * 4 < wide * lanes * 3 || terms * 4 < deep * lanes * 3 ||
        kWinogradProducts * terms * wide * lanes > kWinogradWeights)
        return false;
    const idx tiles = ((g.out[1] + 1) / 2) * ((g.out[2] + 1) / 2);
    const double tile =
        static_cast<double>(kWinogradProducts * terms * wide + overhead * (wide + deep));
    const double element = static_cast<double>(9 * terms * wide);
    return static_cast<double>(tiles) * tile <
           static_cast<double>(g.out[1]) * static_cast<double>(g.out[2]) * element;
}

// Lanes are channels: element (row, column) of a tile's 4 x 4, 2 x 2 or 3 x 3.
template <class T, int R, int C = R>
using Tile = Vec<T>[R][C];

template <class V>
FASTNN_SIMD_INLINE void winograd_source(V& a, V& b, V& c, V& d) {
    const V b0 = b;
    a = a - c;
    d = b - d;
    b = b + c;
    c = c - b0;
}

// B' d B.
template <class T>
FASTNN_SIMD_INLINE void winograd_source(const Tile<T, 4>& d, Tile<T, 4>& v) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) v[i][j] = d[i][j];
        winograd_source(v[0][j], v[1][j], v[2][j], v[3][j]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) winograd_source(v[i][0], v[i][1], v[i][2], v[i][3]);
}

// G g G'.
template <class T>
FASTNN_SIMD_INLINE void winograd_taps(const Tile<T, 3>& g, Tile<T, 4>& u) {
    const Vec<T> half = broadcast(T(0.5));
    Tile<T, 4, 3> rows;
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
        const Vec<T> outer = (g[0][j] + g[2][j]) * half;
        const Vec<T> middle = g[1][j] * half;
        rows[0][j] = g[0][j];
        rows[1][j] = outer + middle;
        rows[2][j] = outer - middle;
        rows[3][j] = g[2][j];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const Vec<T> outer = (rows[i][0] + rows[i][2]) * half;
        const Vec<T> middle = rows[i][1] * half;
        u[i][0] = rows[i][0];
        u[i][1] = outer + middle;
        u[i][2] = outer - middle;
        u[i][3] = rows[i][2];
    }
}

// A' m A.
template <class T>
FASTNN_SIMD_INLINE void winograd_outputs(const Tile<T, 4>& m, Tile<T, 2>& y) {
    Tile<T, 2, 4> rows;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        rows[0][j] = m[0][j] + m[1][j] + m[2][j];
        rows[1][j] = m[1][j] - m[2][j] - m[3][j];
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
        y[i][0] = rows[i][0] + rows[i][1] + rows[i][2];
        y[i][1] = rows[i][1] - rows[i][2] - rows[i][3];
    }
}

// H e H'.
template <class T>
FASTNN_SIMD_INLINE void winograd_grad(const Tile<T, 2>& e, Tile<T, 4>& w) {
    Tile<T, 4, 2> rows;
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
        rows[0][j] = e[0][j];
        rows[1][j] = e[0][j] + e[1][j];
        rows[2][j] = e[0][j] - e[1][j];
        rows[3][j] = e[1][j];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        w[i][0] = rows[i][0];
        w[i][1] = rows[i][0] + rows[i][1];
        w[i][2] = rows[i][0] - rows[i][1];
        w[i][3] = rows[i][1];
    }
}

// C' s C.
template <class T>
FASTNN_SIMD_INLINE void winograd_grad_taps(const Tile<T, 4>& s, Tile<T, 3>& g) {
    const Vec<T> half = broadcast(T(0.5));
    Tile<T, 3, 4> rows;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const Vec<T> sum = (s[1][j] + s[2][j]) * half;
        rows[0][j] = s[0][j] + sum;
        rows[1][j] = (s[1][j] - s[2][j]) * half;
        rows[2][j] = sum - s[3][j];
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
        const Vec<T> sum = (rows[i][1] + rows[i][2]) * half;
        g[i][0] = rows[i][0] + sum;
        g[i][1] = (rows[i][1] - rows[i][2]) * half;
        g[i][2] = sum - rows[i][3];
    }
}

// The grid of tiles: what one reads is `taps` elements in each direction, 2 apart from its
// neighbour's.
inline ConvGrid winograd_grid(const ConvGrid& g, idx taps, idx base1, idx base2) {
    ConvGrid t = g;
    t.base[1] = base1;
    t.base[2] = base2;
    for (int i = 1; i < 3; ++i) {
        t.out[i] = (g.out[i] + 1) / 2;
        t.stride[i] = 2;
        t.step[i] = 1;
        t.taps[i] = taps;
    }
    return t;
}

// The bias of a vector of channels, of which `rows` exist. Nothing changes by adding -0.
template <class T>
Vec<T> winograd_bias(const T* bias, idx rows) {
    constexpr idx lanes = kLanes<T>;
    if (bias == nullptr) return broadcast(T(-0.0));
    return load_partial(bias, static_cast<int>(rows < lanes ? rows : lanes));
}

// The size of one of the sixteen matrices (tiles x width); a line more than the elements, as
// planes a power of two apart would fall into the same sets of the cache.
template <class T>
idx winograd_plane(idx tiles, idx width) {
    constexpr idx line = 64 / static_cast<idx>(sizeof(T));
    return (tiles * width + line - 1) / line * line + line;
}

// C (= or +=) A B for parts of R rows one after the other, as tile_kernel does one: what stands
// around a tile's few steps is done once for all, and the next part's A comes into L1 meanwhile.
template <class T>
struct WinogradProduct {
    const T* a;
    idx a_row, a_step, a_part;  // to the next row, step and part; a_row or a_step is 1
    const T* b;
    idx b_step;
    T* c;
    idx c_row;
    idx depth;
    bool add;
};

template <class T>
using WinogradKernel = void (*)(const WinogradProduct<T>&, idx parts);

// kPacked: a_row is 1, else a_step.
template <class T, int R, int V, bool kPacked>
__attribute__((noinline)) void winograd_kernel(const WinogradProduct<T>& t, idx parts) {
    constexpr int lanes = kLanes<T>;
    const idx a_row = kPacked ? 1 : t.a_row;
    const idx a_step = kPacked ? t.a_step : 1;
    const idx b_step = t.b_step, c_row = t.c_row;
    const T* part = t.a;
    T* c = t.c;
    for (; parts > 0; --parts, part += t.a_part, c += R * c_row) {
        const T* __restrict__ a = part;
        const T* __restrict__ b = t.b;
        const T* next = part + t.a_part;
        Vec<T> sum[R][V];
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};
        for (idx p = t.depth; p > 0; --p) {
            __builtin_prefetch(next, 0, 3);
            next += kPacked ? a_step : R;
            Vec<T> row[V];
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) row[v] = load(b + v * lanes);
#pragma GCC unroll 16
            for (int i = 0; i < R; ++i) {
                const Vec<T> x = broadcast(a[i * a_row]);
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) sum[i][v] = fma(x, row[v], sum[i][v]);
            }
            a += a_step;
            b += b_step;
        }
        if (t.add) {
#pragma GCC unroll 16
            for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) sum[i][v] += load(c + i * c_row + v * lanes);
        }
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) store<T>(c + i * c_row + v * lanes, sum[i][v]);
    }
}

inline int winograd_rows(int vectors) { return vectors > kTileVectors ? kBroadRows : kTileRows; }

template <class T, bool kPacked, int R = kTileRows>
WinogradKernel<T> find_winograd_kernel(int rows, int vectors) {
    if constexpr (R > 1) {
        if (rows < R) return find_winograd_kernel<T, kPacked, R - 1>(rows, vectors);
    }
    if constexpr (kBroadVectors == 4 && R <= kBroadRows) {
        if (vectors == 4) return winograd_kernel<T, R, 4, kPacked>;
    }
    if constexpr (kTileVectors >= 3) {
        if (vectors == 3) return winograd_kernel<T, R, 3, kPacked>;
    }
    return vectors == 2 ? winograd_kernel<T, R, 2, kPacked> : winograd_kernel<T, R, 1, kPacked>;
}

// All `rows` of a product, in parts of as equal sizes as there are.
template <class T, bool kPacked>
void winograd_product(WinogradProduct<T> t, idx rows, int vectors) {
    // A single vector of so many rows, as one of 8 leaves the multiply-adds to wait for each other.
    if constexpr (kPacked && kTileVectors >= 3) {
        if (vectors == 1 && rows % 16 == 0) {
            t.a_part = 16;
            winograd_kernel<T, 16, 1, true>(t, rows / 16);
            return;
        }
    }
    const idx most = winograd_rows(vectors);
    const idx parts = (rows + most - 1) / most;
    const idx least = rows / parts;  // of a part; the first `longer` have one more
    const idx longer = rows % parts;
    const idx a_row = kPacked ? 1 : t.a_row;
    if (longer > 0) {
        t.a_part = (least + 1) * a_row;
        find_winograd_kernel<T, kPacked>(static_cast<int>(least) + 1, vectors)(t, longer);
        t.a += longer * t.a_part;
        t.c += longer * (least + 1) * t.c_row;
    }
    t.a_part = least * a_row;
    find_winograd_kernel<T, kPacked>(static_cast<int>(least), vectors)(t, parts - longer);
}

}  // namespace fastnn::FASTNN_ISA
