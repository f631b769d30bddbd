// SPDX-License-Identifier: BSD-3-Clause
// Average pooling over windows of up to three dimensions (ops/pooling.h).
//
//   forward    y = sum of the window / n
//   backward   grad_x = 0, then grad_y / n added to every element of the window, in the order of
//              the outputs
//
// n: `divisor` unless that is 0; else the size of the window, where padding counts if
// `count_include_pad` says so (what a window reaches beyond the padding never does). A window
// without an element gives 0. Outputs are `=`. Forward: rows of outputs are the units of the
// parallel loop; where whole windows lie inside the row, a vector of neighbouring outputs goes
// through the taps together. Backward: planes are the units, so additions come in order on any
// number of threads; vectors where the stride is 1, or 2 with two taps.
#include "ops/pooling.h"
#include "runtime/parallel.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 32768;  // additions per piece of a parallel loop

struct Divisor {
    const PoolShape& s;
    bool include_pad;
    idx fixed;

    idx extent(const PoolAxis& a, idx o) const {
        if (a.adaptive || !include_pad) return a.window(o).count();
        const idx room = a.in + a.padding - a.left(o);
        return room < a.kernel ? room : a.kernel;
    }
    // Of the windows of a row that lie inside it, and of one window; rows: extent of d times of h.
    template <class T>
    T whole(idx rows) const {
        return static_cast<T>(fixed != 0 ? fixed : rows * s.w.kernel);
    }
    template <class T>
    T one(idx rows, idx o) const {
        return static_cast<T>(fixed != 0 ? fixed : rows * extent(s.w, o));
    }
};

template <class T, int kStride>
void whole_windows(const PoolShape& s, const T* plane, const Window& d, const Window& h, idx first,
                   idx end, T divisor, T* y) {
    constexpr idx lanes = kLanes<T>;
    const Vec<T> by = broadcast(divisor);
    for (idx o = first; o < end; o += lanes) {
        const int n = static_cast<int>(end - o < lanes ? end - o : lanes);
        Vec<T> sum = {};
        for (idx i = d.first; i < d.end; ++i) {
            for (idx j = h.first; j < h.end; ++j) {
                const T* from = plane + ((i * s.h.in + j) * s.w.in + s.w.left(o));
                for (idx k = 0; k < s.w.kernel; ++k)
                    sum += load_apart<T, kStride>(from + k, s.w.stride, n);
            }
        }
        if (n == lanes) {
            store<T>(y + o, sum / by);
        } else {
            store_partial(y + o, sum / by, n);
        }
    }
}

template <class T>
T mean_of(const PoolShape& s, const T* plane, const Window& d, const Window& h, const Window& w,
          T divisor) {
    if (d.empty() || h.empty() || w.empty()) return T(0);
    T sum = 0;
    for (idx i = d.first; i < d.end; ++i) {
        for (idx j = h.first; j < h.end; ++j) {
            const T* from = plane + (i * s.h.in + j) * s.w.in;
            for (idx k = w.first; k < w.end; ++k) sum += from[k];
        }
    }
    return sum / divisor;
}

template <class T>
void spread(const PoolShape& s, T* plane, const Window& d, const Window& h, const Window& w,
            T value) {
    for (idx i = d.first; i < d.end; ++i) {
        for (idx j = h.first; j < h.end; ++j) {
            T* to = plane + (i * s.h.in + j) * s.w.in;
            for (idx k = w.first; k < w.end; ++k) to[k] += value;
        }
    }
}

// The outputs [first, end) of a row whose windows lie inside, as far as whole vectors go; returns
// where they end.
template <class T>
idx spread_whole(const PoolShape& s, T* plane, const Window& d, const Window& h, idx first, idx end,
                 T divisor, const T* grad_y) {
    constexpr idx lanes = kLanes<T>;
    const bool pairs = s.w.stride == 2 && s.w.kernel == 2;
    if (s.w.stride != 1 && !pairs) return first;
    const Vec<T> by = broadcast(divisor);
    idx o = first;
    for (; o + lanes <= end; o += lanes) {
        const Vec<T> value = load(grad_y + o) / by;
        for (idx i = d.first; i < d.end; ++i) {
            for (idx j = h.first; j < h.end; ++j) {
                T* to = plane + ((i * s.h.in + j) * s.w.in + s.w.left(o));
                if (pairs) {
                    store<T>(to, load(to) + doubled_low<T>(value));
                    store<T>(to + lanes, load(to + lanes) + doubled_high<T>(value));
                } else {
                    for (idx k = 0; k < s.w.kernel; ++k) store<T>(to + k, load(to + k) + value);
                }
            }
        }
    }
    return o;
}

}  // namespace

template <class T>
Status avg_pool_forward(In<T> x, Out<T> y, Ints kernel, Ints stride, Ints padding,
                        bool count_include_pad, idx divisor) {
    PoolShape s{};
    const Ints dilation = ones_like(kernel);
    if (!read_pool(x.shape, y.shape, kernel, stride, padding, dilation, s))
        return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    const idx in_size = x.size / s.planes;
    const idx rows = s.d.out * s.h.out;
    const Window whole = s.w.whole();
    const Divisor divide{s, count_include_pad, divisor};
    const idx volume = s.volume();
    const idx piece = volume > kPiece ? 1 : kPiece / (volume * s.w.out);
    parallel_for(s.planes * rows, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const T* plane = x.data + u / rows * in_size;
            const idx i = u % rows / s.h.out;
            const idx j = u % s.h.out;
            const Window d = s.d.window(i);
            const Window h = s.h.window(j);
            const idx extent = divide.extent(s.d, i) * divide.extent(s.h, j);
            T* to = y.data + u * s.w.out;
            const auto one = [&](idx o) {
                to[o] = mean_of(s, plane, d, h, s.w.window(o), divide.one<T>(extent, o));
            };
            const bool none = d.empty() || h.empty();
            const idx first = none ? s.w.out : whole.first;
            const idx last = none ? s.w.out : whole.end;
            for (idx o = 0; o < first; ++o) one(o);
            if (last > first) {
                const T by = divide.whole<T>(extent);
                if (s.w.stride == 1) {
                    whole_windows<T, 1>(s, plane, d, h, first, last, by, to);
                } else if (s.w.stride == 2) {
                    whole_windows<T, 2>(s, plane, d, h, first, last, by, to);
                } else {
                    whole_windows<T, 0>(s, plane, d, h, first, last, by, to);
                }
            }
            for (idx o = last; o < s.w.out; ++o) one(o);
        }
    });
    return Status::kOk;
}

template <class T>
Status avg_pool_backward(In<T> grad_y, Out<T> grad_x, Ints kernel, Ints stride, Ints padding,
                         bool count_include_pad, idx divisor) {
    PoolShape s{};
    const Ints dilation = ones_like(kernel);
    if (!read_pool(grad_x.shape, grad_y.shape, kernel, stride, padding, dilation, s))
        return Status::kBadValue;
    if (grad_x.size == 0) return Status::kOk;
    const idx in_size = grad_x.size / s.planes;
    const idx out_size = grad_y.size / s.planes;
    const Window whole = s.w.whole();
    const Divisor divide{s, count_include_pad, divisor};
    const idx volume = s.volume();
    const idx piece = volume > kPiece ? 1 : kPiece / (volume * out_size + in_size / 4 + 1);
    parallel_for(s.planes, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx p = begin; p < end; ++p) {
            T* plane = grad_x.data + p * in_size;
            for (idx i = 0; i < in_size; ++i) plane[i] = T(0);
            if (out_size == 0) continue;
            for (idx u = 0; u < s.d.out * s.h.out; ++u) {
                const idx i = u / s.h.out;
                const idx j = u % s.h.out;
                const Window d = s.d.window(i);
                const Window h = s.h.window(j);
                if (d.empty() || h.empty()) continue;
                const idx extent = divide.extent(s.d, i) * divide.extent(s.h, j);
                const T* from = grad_y.data + p * out_size + u * s.w.out;
                idx o = 0;
                const auto one = [&] {
                    const Window w = s.w.window(o);
                    if (w.empty()) return;
                    spread(s, plane, d, h, w, from[o] / divide.one<T>(extent, o));
                };
                for (; o < whole.first; ++o) one();
                if (whole.end > o)
                    o = spread_whole(s, plane, d, h, o, whole.end, divide.whole<T>(extent), from);
                for (; o < s.w.out; ++o) one();
            }
        }
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(avg_pool_forward,
          "x(p,d,h,w) y(p,od,oh,ow) kernel stride padding count_include_pad divisor", kPlain,
          avg_pool_forward<float>, avg_pool_forward<double>)
FASTNN_OP(avg_pool_backward,
          "grad_y(p,od,oh,ow) grad_x(p,d,h,w) kernel stride padding count_include_pad divisor",
          kPlain, avg_pool_backward<float>, avg_pool_backward<double>)
