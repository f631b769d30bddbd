// SPDX-License-Identifier: BSD-3-Clause
// Folding the middle dimension of x (outer, n, inner), contiguous: y[o, i] from all x[o, j, i].
//
// A body says how, by member functions:
//   R row(o, begin, end)                      the fold of j in [begin, end), where inner is 1
//   void tile(o, at, width, begin, end, into) the same for `width` <= kFoldTile neighbours i
//   R join(a, b)                              of two folds, the first of lower j
//   void finish(place, value)                 stores y[place]
//
// Memory is read once and in its order. Where there are too few outputs for the threads, j is cut
// into at most 256 chunks; the number of chunks depends on the shape alone and they are joined as a
// binary tree, so bits do not depend on the threads. n must not be 0.
//
// Scratch: slot 3 of the caller, the chunks' folds.
#pragma once

#include "runtime/launch.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "simd/strided.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kFoldTile = 512;

template <class R, class Body>
inline Status fold_axis(idx outer, idx n, idx inner, const Body& body) {
    constexpr idx kPieceWork = 65536;  // elements per piece of a parallel loop
    constexpr idx kChunkWork = 32768;  // elements per chunk, at least
    constexpr idx kMaxChunks = 256;
    constexpr idx kEnoughUnits = 32;  // with so many outputs or tiles nothing is cut into chunks
    constexpr int kSlot = 3;
    if (outer == 0 || inner == 0) return Status::kOk;
    const idx tiles = (inner + kFoldTile - 1) / kFoldTile;
    const idx widest = lesser(inner, kFoldTile);
    const bool cut = outer * tiles < kEnoughUnits && n * widest >= 2 * kChunkWork;
    const idx least = greater(1, kChunkWork / widest);
    const idx size = cut ? greater(least, (n + kMaxChunks - 1) / kMaxChunks) : n;
    const idx chunks = (n + size - 1) / size;
    R* partial = nullptr;
    if (chunks > 1) {
        const auto cells = static_cast<std::size_t>(outer * chunks * inner);
        partial = static_cast<R*>(pool_scratch(cells * sizeof(R), kSlot));
        if (partial == nullptr) return Status::kNoMemory;
    }
    const auto fold_unit = [&](idx u) {
        const idx at = u % tiles * kFoldTile;
        const idx chunk = u / tiles % chunks;
        const idx o = u / tiles / chunks;
        const idx begin = chunk * size;
        const idx end = lesser(begin + size, n);
        if (inner == 1) {
            const R value = body.row(o, begin, end);
            if (partial == nullptr) {
                body.finish(o, value);
            } else {
                partial[u] = value;
            }
            return;
        }
        const idx width = lesser(kFoldTile, inner - at);
        if (partial != nullptr) {
            body.tile(o, at, width, begin, end, partial + (o * chunks + chunk) * inner + at);
            return;
        }
        R folds[kFoldTile];
        body.tile(o, at, width, begin, end, folds);
        for (idx i = 0; i < width; ++i) body.finish(o * inner + at + i, folds[i]);
    };
    parallel_for(outer * chunks * tiles, greater(1, kPieceWork / (size * widest)),
                 [&](idx first, idx last) {
                     for (idx u = first; u < last; ++u) fold_unit(u);
                 });
    if (partial == nullptr) return Status::kOk;
    for (idx o = 0; o < outer; ++o) {
        R* folds = partial + o * chunks * inner;
        for (idx step = 1; step < chunks; step *= 2) {
            for (idx k = 0; k + step < chunks; k += 2 * step) {
                R* left = folds + k * inner;
                const R* right = folds + (k + step) * inner;
                for (idx i = 0; i < inner; ++i) left[i] = body.join(left[i], right[i]);
            }
        }
        for (idx i = 0; i < inner; ++i) body.finish(o * inner + i, folds[i]);
    }
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA
