// SPDX-License-Identifier: BSD-3-Clause
// Families of losses of every element of x against the same element of target, contiguous. A loss
// is a struct with the arrays that it reads and
//
//   value(i, span)     the losses of a vector of elements
//   slopes(i, span)    their derivatives by x and by target
//   kPiece, kWays      elements per piece of a parallel loop; accumulators of a sum
//
// forward:   loss = all of them, or with `reduce` their sum over `divisor`
// backward:  grad_x and grad_target, each only if it is wanted, in one pass; outputs are `=`
//
// One pass over memory each way. With `reduce` the losses of a piece are added in blocks, then the
// sums of the pieces pairwise: pieces depend on the number of elements alone.
#pragma once

#include "ops/blocked_sum.h"
#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

constexpr int kLossSlot = 3;  // of the pool's scratch: the pieces' sums

// The derivatives by x and by target of the loss of an element.
template <class T>
struct Slopes {
    Vec<T> x, target;
};

template <class T, class Loss>
inline Status losses_forward(const Loss& of, idx n, const Out<T>& loss, bool reduce,
                             double divisor) {
    if (loss.size != (reduce ? 1 : n)) return Status::kBadValue;
    const idx pieces = (n + Loss::kPiece - 1) / Loss::kPiece;
    T* sums = nullptr;
    if (reduce && pieces > 0) {
        sums =
            static_cast<T*>(pool_scratch(static_cast<std::size_t>(pieces) * sizeof(T), kLossSlot));
        if (sums == nullptr) return Status::kNoMemory;
    }
    parallel_for(n, Loss::kPiece, [&](idx begin, idx end) {
        const Loss local = of;  // its pointers in registers: stores cannot change them
        if (sums != nullptr) {
            sums[begin / Loss::kPiece] =
                blocked_sum<T, Loss::kWays>(end - begin, [local, begin](idx i, auto span) {
                    return only(local.value(begin + i, span), span);
                });
            return;
        }
        T* out = loss.data + begin;
        for_spans<T>(end - begin, [local, begin, out](idx i, auto span) {
            store_span(out + i, local.value(begin + i, span), span);
        });
    });
    if (!reduce) return Status::kOk;
    PairwiseSum<T> total;
    for (idx k = 0; k < pieces; ++k) total.add(sums[k]);
    loss.data[0] = total.total() / static_cast<T>(divisor);
    return Status::kOk;
}

template <class T, class Loss>
inline Status losses_backward(const Loss& of, idx n, const In<T>& grad_loss, const Out<T>& grad_x,
                              const Out<T>& grad_target, bool reduce, double divisor) {
    if (grad_loss.size != (reduce ? 1 : n)) return Status::kBadValue;
    const T whole = reduce ? grad_loss.data[0] / static_cast<T>(divisor) : T(0);
    parallel_for(n, Loss::kPiece, [&](idx begin, idx end) {
        const Loss local = of;
        const T* given = reduce ? nullptr : grad_loss.data + begin;
        T* by_x = grad_x.data == nullptr ? nullptr : grad_x.data + begin;
        T* by_target = grad_target.data == nullptr ? nullptr : grad_target.data + begin;
        for_spans<T>(end - begin, [=](idx i, auto span) {
            const Vec<T> g = given == nullptr ? broadcast(whole) : load_span(given + i, span);
            const Slopes<T> slope = local.slopes(begin + i, span);
            if (by_x != nullptr) store_span<T>(by_x + i, slope.x * g, span);
            if (by_target != nullptr) store_span<T>(by_target + i, slope.target * g, span);
        });
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA
