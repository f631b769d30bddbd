// SPDX-License-Identifier: BSD-3-Clause
// What the optimiser kernels share: a parallel loop over the elements of a list of arrays as if
// they were one, and a loop over vectors that writes the body once for whole and for partial ones.
// Compiled once per level.
#pragma once

#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

// Elements per piece: the parameters of a small model are one piece and wake no thread.
constexpr idx kParameterPiece = 16384;

// body(piece, item, begin, end) for every stretch of every array, in pieces that depend on the
// sizes alone. Pieces are cut from the concatenation of all arrays: a thousand small parameters and
// one large one are the same amount of work. The stretches of a piece come in order, in one thread.
template <class List, class F>
inline void for_parameter_pieces(const List& list, const F& body) {
    idx total = 0;
    for (idx i = 0; i < list.count; ++i) total += list.size(i);
    parallel_for(total, kParameterPiece, [&](idx begin, idx end) {
        idx start = 0;
        for (idx i = 0; i < list.count && start < end; ++i) {
            const idx size = list.size(i);
            const idx low = begin > start ? begin - start : 0;
            const idx high = end - start < size ? end - start : size;
            if (low < high) body(begin / kParameterPiece, i, low, high);
            start += size;
        }
    });
}

// The same where the number of the piece does not matter.
template <class T, class F>
inline void for_parameters(const InOutList<T>& list, const F& body) {
    for_parameter_pieces(list, [&](idx, idx item, idx begin, idx end) { body(item, begin, end); });
}

template <class T>
struct WholeLanes {
    FASTNN_SIMD_INLINE Vec<T> load(const T* p) const { return FASTNN_ISA::load(p); }
    FASTNN_SIMD_INLINE void store(T* p, Vec<T> v) const { FASTNN_ISA::store(p, v); }
};
template <class T>
struct FirstLanes {
    int n;
    FASTNN_SIMD_INLINE Vec<T> load(const T* p) const { return load_partial(p, n); }
    FASTNN_SIMD_INLINE void store(T* p, Vec<T> v) const { store_partial(p, v, n); }
};

// body(lanes, i) for i = begin, begin + kLanes, ... < end; `lanes` loads and stores as much as
// there is.
template <class T, class F>
inline void for_lanes(idx begin, idx end, const F& body) {
    idx i = begin;
    for (; i + kLanes<T> <= end; i += kLanes<T>) body(WholeLanes<T>{}, i);
    if (i < end) body(FirstLanes<T>{static_cast<int>(end - i)}, i);
}

}  // namespace fastnn::FASTNN_ISA
