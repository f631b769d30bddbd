// SPDX-License-Identifier: BSD-3-Clause
// What the two directions of lstm_variant share: its options, and products with a packed weight
// over some rows of the batch.
#pragma once

#include <type_traits>

#include "ops/recurrent.h"

namespace fastnn::FASTNN_ISA {

inline constexpr double kNormEpsilon = 1e-5;

// Where there is no option its pointer is null.
template <class T>
struct LstmOptions {
    idx batch, hidden, out, gates;  // out: the size of h_t
    Order order;
    Lengths lengths;
    const T* peephole;  // rows for i, f, o; with coupled gates for i, o
    const T* norm;      // gains of x's products and of h's (gates rows each), of the cell; its bias
    const unsigned char*
        zone;  // for every element of c_t, then of h_t: whether it takes the new value
    double zoneout;

    bool coupled() const { return gates == 3; }
    idx gate_row(idx t, idx row) const { return (t * batch + row) * gates * hidden; }
    // The blocks of a row of gates.
    idx f() const { return hidden; }
    idx g() const { return (gates - 2) * hidden; }
    idx o() const { return (gates - 1) * hidden; }
    const T* peephole_o() const { return peephole + (gates - 2) * hidden; }
    const T* gain(int product) const { return norm + product * gates * hidden; }
    const T* cell_gain() const { return norm + 2 * gates * hidden; }
    const T* cell_bias() const { return cell_gain() + hidden; }

    // How much of an element's new value is taken; `at` counts c_t's elements, then h_t's.
    T share(idx t, idx row, idx at) const {
        if (zone == nullptr) return static_cast<T>(1.0 - zoneout);
        return zone[(t * batch + row) * (hidden + out) + at] != 0 ? T(1) : T(0);
    }
    // share() of the lanes of a span; exactly 1 without zoneout.
    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> shares(idx t, idx row, idx at, Span span) const {
        if (zone == nullptr) return broadcast(static_cast<T>(1.0 - zoneout));
        T values[kLanes<T>] = {};
        int n = kLanes<T>;
        if constexpr (std::is_same_v<Span, Part>) n = span.n;
        for (int k = 0; k < n; ++k) values[k] = share(t, row, at + k);
        return load(values);
    }

    bool valid(idx g_rows, idx peephole_rows, idx norm_rows, idx zone_size) const {
        if (hidden <= 0 || g_rows % hidden != 0 || (gates != 3 && gates != 4)) return false;
        if (peephole != nullptr && peephole_rows != gates - 1) return false;
        if (norm != nullptr && norm_rows != 2 * gates + 2) return false;
        if (zone != nullptr && (zone_size < out || zone_size - out != hidden)) return false;
        return zoneout >= 0.0 && zoneout < 1.0;
    }
};

template <class T>
struct RowStats {
    T mean, scale;
};

// Mean and 1 / sqrt(variance + epsilon) of a row.
template <class T>
RowStats<T> row_stats(const T* x, idx n) {
    const T count = static_cast<T>(n);
    const T mean =
        blocked_sum<T, 4>(n, [&](idx i, auto span) { return load_span(x + i, span); }) / count;
    const T square = blocked_sum<T, 4>(n, [&](idx i, auto span) {
        const Vec<T> d = load_span(x + i, span, mean) - broadcast(mean);
        return Vec<T>(d * d);
    });
    const Vec<T> deviation = sqrt(broadcast(square / count + static_cast<T>(kNormEpsilon)));
    return {mean, T(1) / deviation[0]};
}

// body(row, column, values, span) for rows [row0, row1) of a (., depth) times the packed matrix.
template <class T, class F>
void multiply_rows(idx row0, idx row1, const T* a, const T* packed, idx depth,
                   const Panels<T>& panels, const F& body) {
    const auto wanted = [](idx, idx) { return true; };
    for_tiles(row0, row1, idx{0}, panels.count, one_matrix(a, depth, depth), packed, panels, wanted,
              [&](const SumTile<T>& tile) {
                  for_tile_vectors(tile, [&](idx row, idx column, const T* sum, auto span) {
                      body(row, column, load(sum), span);
                  });
              });
}

template <class T>
void set_zero(T* p, idx n) {
    __builtin_memset(p, 0, static_cast<std::size_t>(n) * sizeof(T));
}

}  // namespace fastnn::FASTNN_ISA
