// SPDX-License-Identifier: BSD-3-Clause
// Families of elementwise kernels. A row is a struct template over the element type whose members
// are the function's options, with
//
//   Vec<T> value(Vec<T> x)                     y = value(x)
//   Vec<T> gradient(Vec<T> v, Vec<T> grad_y)   grad_x, from v: x or y, whichever is saved
//
// and FASTNN_ROW makes NAME_forward and NAME_backward of it: any shape, contiguous, in == out
// allowed, outputs `=`, one pass each way. An element's bits depend on its operands alone (map1 of
// simd/vec.h).
#pragma once

#include "runtime/op.h"
#include "runtime/parallel.h"
#include "simd/ahead.h"
#include "simd/streaming.h"
#include "simd/vec.h"

namespace fastnn::FASTNN_ISA {

constexpr idx kRowPiece = 8192;  // elements per piece of a parallel loop

// Elements per piece where the arrays are far (simd/ahead.h), at least: every piece starts with
// lines that nobody has asked for.
constexpr idx kFarPiece = 32768;

inline idx piece_of(bool far, idx piece) { return far && piece < kFarPiece ? kFarPiece : piece; }

// y = f(x) and y = f(a, b) over whole arrays, in pieces of `piece` elements or more.
template <class T, class F>
inline void elementwise(const In<T>& x, const Out<T>& y, idx piece, const F& f) {
    const bool far = x.size * static_cast<idx>(sizeof(T)) >= kFarBytes;
    parallel_for(x.size, piece_of(far, piece), [&](idx begin, idx end) {
        if (far) begin += map1_ahead<T>(x.data + begin, y.data + begin, end - begin, f);
        map1<T>(x.data + begin, y.data + begin, end - begin, f);
    });
}
template <class T, class F>
inline void elementwise(const In<T>& a, const In<T>& b, const Out<T>& y, idx piece, const F& f) {
    const bool far = a.size * static_cast<idx>(sizeof(T)) >= kFarBytes;
    const bool past = a.size * static_cast<idx>(sizeof(T)) >= kStreamBytes;
    parallel_for(a.size, piece_of(far, piece), [&](idx begin, idx end) {
        if (far) {
            begin +=
                map2_far<T>(a.data + begin, b.data + begin, y.data + begin, end - begin, past, f);
        }
        map2<T>(a.data + begin, b.data + begin, y.data + begin, end - begin, f);
    });
}

template <class Row, class T>
inline void row_forward(const In<T>& x, const Out<T>& y, const Row& row) {
    elementwise(x, y, kRowPiece, [row](Vec<T> v) { return row.value(v); });
}
template <class Row, class T>
inline void row_backward(const In<T>& v, const In<T>& grad_y, const Out<T>& grad_x,
                         const Row& row) {
    elementwise(v, grad_y, grad_x, kRowPiece,
                [row](Vec<T> a, Vec<T> g) { return row.gradient(a, g); });
}

// Forward and backward of a row with no, one, two or three options.
template <template <class> class Row, class T>
void forward0(In<T> x, Out<T> y) {
    row_forward(x, y, Row<T>{});
}
template <template <class> class Row, class T>
void forward1(In<T> x, Out<T> y, double a) {
    row_forward(x, y, Row<T>{static_cast<T>(a)});
}
template <template <class> class Row, class T>
void forward2(In<T> x, Out<T> y, double a, double b) {
    row_forward(x, y, Row<T>{static_cast<T>(a), static_cast<T>(b)});
}
template <template <class> class Row, class T>
void forward3(In<T> x, Out<T> y, double a, double b, double c) {
    row_forward(x, y, Row<T>{static_cast<T>(a), static_cast<T>(b), static_cast<T>(c)});
}
template <template <class> class Row, class T>
void backward0(In<T> v, In<T> grad_y, Out<T> grad_x) {
    row_backward(v, grad_y, grad_x, Row<T>{});
}
template <template <class> class Row, class T>
void backward1(In<T> v, In<T> grad_y, Out<T> grad_x, double a) {
    row_backward(v, grad_y, grad_x, Row<T>{static_cast<T>(a)});
}
template <template <class> class Row, class T>
void backward2(In<T> v, In<T> grad_y, Out<T> grad_x, double a, double b) {
    row_backward(v, grad_y, grad_x, Row<T>{static_cast<T>(a), static_cast<T>(b)});
}
template <template <class> class Row, class T>
void backward3(In<T> v, In<T> grad_y, Out<T> grad_x, double a, double b, double c) {
    row_backward(v, grad_y, grad_x,
                 Row<T>{static_cast<T>(a), static_cast<T>(b), static_cast<T>(c)});
}

}  // namespace fastnn::FASTNN_ISA

// NAME_forward and NAME_backward of a row: COUNT options, whose names stand in OPTIONS (" a b"),
// and SAVED, "x" or "y".
#define FASTNN_ROW(NAME, ROW, COUNT, SAVED, OPTIONS)                                        \
    FASTNN_OP(NAME##_forward, "x(...) y(...)" OPTIONS,                                      \
              (COUNT) == 0 ? kInPlace | kAllocating : kInPlace, forward##COUNT<ROW, float>, \
              forward##COUNT<ROW, double>)                                                  \
    FASTNN_OP(NAME##_backward, SAVED "(...) grad_y(...) grad_x(...)" OPTIONS, kInPlace,     \
              backward##COUNT<ROW, float>, backward##COUNT<ROW, double>)
