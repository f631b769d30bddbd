// SPDX-License-Identifier: BSD-3-Clause
// Maximum pooling over windows of up to three dimensions (ops/pooling.h), with the place of every
// maximum in its plane:
//
//   forward    y = max of the window; indices = (d H + h) W + w of it
//   backward   grad_x = 0, then grad_x[indices[o]] += grad_y[o] in the order of o
//
// The first of equal elements wins, and NaN over numbers (the last of several). A window without an
// element gives -inf and index -1, which backward leaves out. Outputs are `=`. Forward: rows of
// outputs are the units of the parallel loop; where whole windows lie inside the row, a vector of
// neighbouring outputs goes through the taps together, its elements read one or two apart.
// Backward: planes are the units, so additions come in order on any number of threads.
#include "ops/pooling.h"
#include "runtime/parallel.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 32768;  // comparisons, or additions, per piece of a parallel loop
constexpr idx kMostInPlane = 0x7fffffff;

template <class T>
struct Largest {
    T value;
    idx place;
};

template <class T>
Largest<T> largest(const PoolShape& s, const T* plane, const Window& d, const Window& h,
                   const Window& w) {
    Largest<T> best{-static_cast<T>(__builtin_inf()), -1};
    if (d.empty() || h.empty() || w.empty()) return best;
    best.place = (d.first * s.h.in + h.first) * s.w.in + w.first;
    for (idx i = d.first; i < d.end; i += d.step) {
        for (idx j = h.first; j < h.end; j += h.step) {
            const idx row = (i * s.h.in + j) * s.w.in;
            for (idx k = w.first; k < w.end; k += w.step) {
                const T v = plane[row + k];
                if (v > best.value || v != v) best = {v, row + k};
            }
        }
    }
    return best;
}

// The outputs [first, end) of a row whose windows lie inside: none of them is empty.
template <class T, int kStride, int kTaps>
void whole_windows(const PoolShape& s, const T* plane, const Window& d, const Window& h, idx first,
                   idx end, T* y, std::int32_t* indices) {
    constexpr idx lanes = kLanes<T>;
    const idx taps = kTaps != 0 ? kTaps : s.w.kernel;
    const idx apart = s.w.dilation;
    BitsOf<T> step;
    for (int i = 0; i < kLanes<T>; ++i)
        step[i] = static_cast<decltype(step[0] + 0)>(i * s.w.stride);
    for (idx o = first; o < end; o += lanes) {
        const int n = static_cast<int>(end - o < lanes ? end - o : lanes);
        const idx left = s.w.left(o);
        Vec<T> best = broadcast(-static_cast<T>(__builtin_inf()));
        BitsOf<T> place =
            BitsOf<T>{} + static_cast<decltype(step[0] + 0)>((d.first * s.h.in + h.first) * s.w.in);
        for (idx i = d.first; i < d.end; i += d.step) {
            for (idx j = h.first; j < h.end; j += h.step) {
                const idx row = (i * s.h.in + j) * s.w.in;
                for (idx k = 0; k < taps; ++k) {
                    const idx at = row + k * apart;
                    const Vec<T> v = load_apart<T, kStride>(plane + (at + left), s.w.stride, n);
                    const auto better = (v > best) | (v != v);
                    best = select(better, v, best);
                    place =
                        select(better, BitsOf<T>{} + static_cast<decltype(step[0] + 0)>(at), place);
                }
            }
        }
        if (n == lanes) {
            store<T>(y + o, best);
        } else {
            store_partial(y + o, best, n);
        }
        if (indices == nullptr) continue;
        place += step + static_cast<decltype(step[0] + 0)>(left);
        for (int i = 0; i < n; ++i) indices[o + i] = static_cast<std::int32_t>(place[i]);
    }
}

template <class T>
using WholeFn = void (*)(const PoolShape&, const T*, const Window&, const Window&, idx, idx, T*,
                         std::int32_t*);

template <class T, int kStride>
WholeFn<T> choose_taps(idx taps) {
    if (taps == 2) return whole_windows<T, kStride, 2>;
    if (taps == 3) return whole_windows<T, kStride, 3>;
    return whole_windows<T, kStride, 0>;
}

}  // namespace

template <class T>
Status max_pool_forward(In<T> x, Out<T> y, Out<std::int32_t> indices, Ints kernel, Ints stride,
                        Ints padding, Ints dilation) {
    PoolShape s{};
    if (!read_pool(x.shape, y.shape, kernel, stride, padding, dilation, s))
        return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    const idx in_size = x.size / s.planes;
    if (in_size > kMostInPlane) return Status::kBadValue;
    const WholeFn<T> run = s.w.stride == 1   ? choose_taps<T, 1>(s.w.kernel)
                           : s.w.stride == 2 ? choose_taps<T, 2>(s.w.kernel)
                                             : whole_windows<T, 0, 0>;
    const idx rows = s.d.out * s.h.out;
    const Window whole = s.w.whole();
    const idx volume = s.volume();
    const idx piece = volume > kPiece ? 1 : kPiece / (volume * s.w.out);
    parallel_for(s.planes * rows, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const T* plane = x.data + u / rows * in_size;
            const Window d = s.d.window(u % rows / s.h.out);
            const Window h = s.h.window(u % s.h.out);
            T* to = y.data + u * s.w.out;
            std::int32_t* places = indices.data == nullptr ? nullptr : indices.data + u * s.w.out;
            const bool none = d.empty() || h.empty();
            const auto one = [&](idx o) {
                const Largest<T> best = largest(s, plane, d, h, s.w.window(o));
                to[o] = best.value;
                if (places != nullptr) places[o] = static_cast<std::int32_t>(best.place);
            };
            const idx first = none ? s.w.out : whole.first;
            for (idx o = 0; o < first; ++o) one(o);
            if (none) continue;
            if (whole.end > first) run(s, plane, d, h, first, whole.end, to, places);
            for (idx o = whole.end > first ? whole.end : first; o < s.w.out; ++o) one(o);
        }
    });
    return Status::kOk;
}

template <class T>
Status max_pool_backward(In<T> grad_y, In<std::int32_t> indices, Out<T> grad_x) {
    if (grad_x.size == 0) return Status::kOk;
    const idx planes = grad_x.shape[0];
    const idx in_size = grad_x.size / planes;
    const idx out_size = grad_y.size / planes;
    bool bad = false;
    const idx piece = kPiece / (in_size / 4 + out_size + 1);
    parallel_for(planes, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx p = begin; p < end; ++p) {
            T* to = grad_x.data + p * in_size;
            const T* from = grad_y.data + p * out_size;
            const std::int32_t* place = indices.data + p * out_size;
            for (idx i = 0; i < in_size; ++i) to[i] = T(0);
            for (idx o = 0; o < out_size; ++o) {
                const idx at = place[o];
                if (at >= 0 && at < in_size) {
                    to[at] += from[o];
                } else if (at != -1) {
                    __atomic_store_n(&bad, true, __ATOMIC_RELAXED);
                }
            }
        }
    });
    return bad ? Status::kBadIndex : Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(max_pool_forward,
          "x(p,d,h,w) y(p,od,oh,ow) indices?(p,od,oh,ow) kernel stride padding dilation", kPlain,
          max_pool_forward<float>, max_pool_forward<double>)
FASTNN_OP(max_pool_backward, "grad_y(p,od,oh,ow) indices(p,od,oh,ow) grad_x(p,d,h,w)", kPlain,
          max_pool_backward<float>, max_pool_backward<double>)
