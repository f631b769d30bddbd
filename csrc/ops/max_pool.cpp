// SPDX-License-Identifier: BSD-3-Clause
// Maximum pooling over windows of up to three dimensions (ops/pooling.h), with the place of every
// maximum in its plane:
//
//   forward    y = max of the window; indices = (d H + h) W + w of it
//   backward   grad_x = 0, then grad_x[indices[o]] += grad_y[o] in the order of o
//
// The first of equal elements wins, and NaN over numbers (the last of several). A window without an
// element gives -inf and index -1, which backward leaves out. Outputs are `=`.
//
// Where an image is halved (ops/max_pool_halves.h): strips of rows, straight from x, and of grad_x.
// Else forward: padded copies of the rows of x that a strip of outputs sees, in the first-level
// cache (ops/pooling_rows.h); strips are the units of the parallel loop. Whether a strip has a NaN
// is found on the way, so that the comparisons of the others need not ask. Adaptive windows of
// several sizes and windows without an element go output by output; and backward too, with planes
// as the units, so that additions come in order on any number of threads.
#include "ops/max_pool_winners.h"
#include "ops/pooling_rows.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;  // comparisons, or additions, per piece of a parallel loop
constexpr idx kMostInPlane = 0x7fffffff;

// ---- forward ----

template <class T>
struct Forward {
    PoolShape s;
    const T* x;
    T* y;
    std::int32_t* indices;  // may be null
    PaddedRow<T> row;
    idx block;  // rows of outputs of a strip
    idx step;   // between the rows of x that are copied: of one row of outputs only the window's
    idx rows;   // that are, of one slice
};

// The taps of a window that lie in x, one after the other.
template <class T>
struct Taps {
    static constexpr idx kMost = 128;
    int count;
    idx offset[kMost];       // in the padded rows
    BitsOf<T> place[kMost];  // from the window's first element

    // Rows [d.first, d.end) and so on are those inside of a window whose first row is (d0, h0).
    void find(const Forward<T>& f, const Window& d, const Window& h, idx d0, idx h0, idx top) {
        const PoolShape& s = f.s;
        count = 0;
        for (idx a = d.first; a < d.end; a += d.step) {
            for (idx b = h.first; b < h.end; b += h.step) {
                for (idx k = 0; k < s.w.kernel; ++k) {
                    offset[count] =
                        ((a - d.first) / d.step * f.rows + (b - top) / f.step) * f.row.size +
                        f.row.tap(s.w, k);
                    place[count++] =
                        same_place<T>(((a - d0) * s.h.in + b - h0) * s.w.in + k * s.w.dilation);
                }
            }
        }
    }
};

// V vectors of outputs of a row, o[v], ... with n lanes that exist. `corner`: place of the first
// element of the window of output 0, which may lie outside.
template <class T, int kStride, int V, int kCount, bool kPlaces, bool kNan>
FASTNN_SIMD_INLINE void maxima(const PoolAxis& w, const Taps<T>& taps, const T* rows,
                               const Place<T>* skipped, BitsOf<T> apart, idx corner,
                               const idx (&o)[V], int n, T* y, std::int32_t* indices) {
    const int count = kCount != 0 ? kCount : taps.count;
    Vec<T> best[V];
    BitsOf<T> place[V];
    for (int v = 0; v < V; ++v) {
        best[v] = load_tap<T, kStride>(rows + taps.offset[0], o[v], w.stride, n);
        if (kPlaces) place[v] = taps.place[0] + load_places<T>(skipped + o[v]);
    }
    for (int t = 1; t < count; ++t) {
        const T* row = rows + taps.offset[t];
        for (int v = 0; v < V; ++v) {
            const Vec<T> x = load_tap<T, kStride>(row, o[v], w.stride, n);
            if constexpr (kNan) {
                const auto better = (x > best[v]) | (x != x);
                best[v] = select(better, x, best[v]);
                if (kPlaces) place[v] = select(better, taps.place[t], place[v]);
            } else {
                if (kPlaces) place[v] = select(x > best[v], taps.place[t], place[v]);
                best[v] = max(x, best[v]);
            }
        }
    }
    for (int v = 0; v < V; ++v) {
        if (kPlaces) place[v] += apart + static_cast<Place<T>>(corner + o[v] * w.stride);
        if (n == kLanes<T>) {
            store<T>(y + o[v], best[v]);
            if (kPlaces) store_places<T>(indices + o[v], place[v]);
        } else {
            store_partial(y + o[v], best[v], n);
            if (kPlaces)
                for (int i = 0; i < n; ++i)
                    indices[o[v] + i] = static_cast<std::int32_t>(place[v][i]);
        }
    }
}

// A row: two vectors of outputs at a time, the last of which ends with the row.
template <class T, int kStride, int kCount, bool kPlaces, bool kNan>
void maxima_of_row(const PoolAxis& w, const Taps<T>& taps, const T* rows, const Place<T>* skipped,
                   idx corner, T* y, std::int32_t* indices) {
    constexpr int lanes = kLanes<T>;
    const idx out = w.out;
    const BitsOf<T> apart = places_apart<T>(w.stride);
    idx i = 0;
    for (; i + lanes < out; i += 2 * lanes) {
        const idx last = out - lanes;
        const idx o[2] = {i, i + lanes < last ? i + lanes : last};
        maxima<T, kStride, 2, kCount, kPlaces, kNan>(w, taps, rows, skipped, apart, corner, o,
                                                     lanes, y, indices);
    }
    if (i >= out) return;
    const idx o[1] = {out < lanes ? 0 : out - lanes};
    maxima<T, kStride, 1, kCount, kPlaces, kNan>(w, taps, rows, skipped, apart, corner, o,
                                                 static_cast<int>(out < lanes ? out : lanes), y,
                                                 indices);
}

template <class T>
void no_maxima(idx n, T* y, std::int32_t* indices) {
    for (idx o = 0; o < n; ++o) {
        y[o] = -static_cast<T>(__builtin_inf());
        if (indices != nullptr) indices[o] = -1;
    }
}

// Copies the rows of a strip; returns whether there may be a NaN.
template <class T, int kStride>
bool copy_rows(const Forward<T>& f, const T* plane, const Window& d, const Window& h, T* to) {
    const PoolShape& s = f.s;
    const idx in = s.w.in;
    const idx apart = h.step * in;
    // v * 0 is NaN of a NaN (and of an infinity).
    Vec<T> nan = {};
    for (idx i = d.first; i < d.end; i += d.step, to += f.rows * f.row.size) {
        const T* from = plane + (i * s.h.in + h.first) * in;
        const auto source = [&](idx r, idx c, int n) {
            const T* p = from + r * apart + c;
            const Vec<T> v =
                n == kLanes<T> ? load(p) : load_partial(p, n, -static_cast<T>(__builtin_inf()));
            nan = fma(n == kLanes<T> ? v : load_partial(p, n), Vec<T>{}, nan);
            return v;
        };
        put_rows<T, kStride>(s.w, f.row, (h.end - h.first + h.step - 1) / h.step, source, to);
    }
    const T sum = reduce_add(nan);
    return sum != sum;
}

// The strips [begin, end). False: no memory.
template <class T, int kStride, int kCount>
bool maxima_of_strips(const Forward<T>& f, idx begin, idx end) {
    const PoolShape& s = f.s;
    const idx size = s.d.kernel * f.rows * f.row.size;
    const idx out = up_to_lanes<T>(s.w.out);
    T* rows = static_cast<T*>(pool_scratch(static_cast<std::size_t>(size + out) * sizeof(T), 0));
    if (rows == nullptr) return false;
    for (idx i = 0; i < size; ++i) rows[i] = -static_cast<T>(__builtin_inf());
    // How far the first element is from the left of the window.
    Place<T>* skipped = reinterpret_cast<Place<T>*>(rows + size);
    for (idx o = 0; o < out; ++o)
        skipped[o] = static_cast<Place<T>>(s.w.window(o).first - s.w.left(o));
    const Window whole = s.h.whole();
    Taps<T> taps;
    for (idx u = begin; u < end; ++u) {
        const OutputStrip strip(s, f.block, u);
        const Window d = s.d.window(strip.i);
        const idx left = s.h.left(strip.begin);
        const idx top = f.step > 1 ? s.h.window(strip.begin).first : left < 0 ? 0 : left;
        const bool nan = copy_rows<T, kStride>(f, f.x + strip.plane * s.in_size(), d,
                                               {top, s.h.window(strip.end - 1).end, f.step}, rows);
        const idx at = ((strip.plane * s.d.out + strip.i) * s.h.out + strip.begin) * s.w.out;
        T* y = f.y + at;
        std::int32_t* indices = f.indices == nullptr ? nullptr : f.indices + at;
        for (idx j = strip.begin, last; j < strip.end; j = last) {
            last = strip.run(whole, j);
            const Window h = s.h.window(j);
            taps.find(f, d, h, s.d.left(strip.i), s.h.left(j), top);
            auto run = maxima_of_row<T, kStride, 0, true, true>;
            const bool all = kCount != 0 && taps.count == kCount;
            if (indices != nullptr) {
                if (!nan) run = maxima_of_row<T, kStride, 0, true, false>;
                if (!nan && all) run = maxima_of_row<T, kStride, kCount, true, false>;
            } else {
                run = nan ? maxima_of_row<T, kStride, 0, false, true>
                          : maxima_of_row<T, kStride, 0, false, false>;
                if (!nan && all) run = maxima_of_row<T, kStride, kCount, false, false>;
            }
            const T* from = rows;
            for (; j < last; ++j, from += s.h.stride * f.row.size, y += s.w.out) {
                const idx corner =
                    (s.d.left(strip.i) * s.h.in + s.h.left(j)) * s.w.in - s.w.padding;
                if (taps.count == 0) {
                    no_maxima(s.w.out, y, indices);
                } else {
                    run(s.w, taps, from, skipped, corner, y, indices);
                }
                if (indices != nullptr) indices += s.w.out;
            }
        }
    }
    return true;
}

// The same where ops/pooling_halves.h applies.
template <class T, int kTaps, class P>
bool maxima_in_halves(const Forward<T>& f, idx begin, idx end) {
    const Maxima<T, P> maxima{f.s, f.x, f.y, f.indices, f.block};
    return maxima_of_strips_in_halves<T, kTaps, P>(maxima, begin, end);
}

template <class T>
bool maxima_of_elements(const Forward<T>& f, idx begin, idx end) {
    const PoolShape& s = f.s;
    for (idx u = begin; u < end; ++u) {
        const OutputStrip at(s, 1, u);
        const T* plane = f.x + at.plane * s.in_size();
        const Window d = s.d.window(at.i);
        const Window h = s.h.window(at.begin);
        for (idx o = 0; o < s.w.out; ++o) {
            const Window w = s.w.window(o);
            const bool none = d.empty() || h.empty() || w.empty();
            T best = -static_cast<T>(__builtin_inf());
            idx place = none ? -1 : (d.first * s.h.in + h.first) * s.w.in + w.first;
            for (idx i = d.first; i < d.end && !none; i += d.step) {
                for (idx j = h.first; j < h.end; j += h.step) {
                    const idx row = (i * s.h.in + j) * s.w.in;
                    for (idx k = w.first; k < w.end; k += w.step) {
                        const T v = plane[row + k];
                        if (!(v > best || v != v)) continue;
                        best = v;
                        place = row + k;
                    }
                }
            }
            f.y[u * s.w.out + o] = best;
            if (f.indices != nullptr) f.indices[u * s.w.out + o] = static_cast<std::int32_t>(place);
        }
    }
    return true;
}

template <class T>
bool strips_fit(const PoolShape& s) {
    if (!PaddedRow<T>::fits(s.w) || s.h.adaptive || s.d.kernel * s.h.kernel > Taps<T>::kMost ||
        s.d.kernel * s.h.kernel * s.w.kernel > Taps<T>::kMost)
        return false;
    for (idx o = 0; o < s.w.out; ++o)
        if (s.w.window(o).empty()) return false;
    return true;
}

template <class T>
auto choose_forward(const PoolShape& s, bool places) {
    if (!strips_fit<T>(s)) return maxima_of_elements<T>;
    const int halving = halving_kernel<T>(s);
    using P = std::int32_t;
    if (halving == 2) return places ? maxima_in_halves<T, 2, P> : maxima_in_halves<T, 2, void>;
    if (halving == 3) return places ? maxima_in_halves<T, 3, P> : maxima_in_halves<T, 3, void>;
    if (s.w.stride == 1 && s.volume() == 9) return maxima_of_strips<T, 1, 9>;
    if (s.w.stride == 1) return maxima_of_strips<T, 1, 0>;
    if (s.w.stride == 2) return maxima_of_strips<T, 2, 0>;
    return maxima_of_strips<T, 0, 0>;
}

// ---- backward ----

// The gradient of a plane, one output after the other. False: an index is outside.
template <class T>
bool give_outputs(const PoolShape& s, idx plane, const T* grad_y, const std::int32_t* indices,
                  T* grad_x) {
    const idx in_size = s.in_size();
    const idx out_size = s.out_size();
    T* to = grad_x + plane * in_size;
    const T* from = grad_y + plane * out_size;
    const std::int32_t* place = indices + plane * out_size;
    bool good = true;
    for (idx i = 0; i < in_size; ++i) to[i] = T(0);
    for (idx o = 0; o < out_size; ++o) {
        const idx at = place[o];
        if (at >= 0 && at < in_size) {
            to[at] += from[o];
        } else {
            good = good && at == -1;
        }
    }
    return good;
}

// The planes [begin, end) of images that are halved.
template <class T>
bool give_halves(const PoolShape& s, const T* grad_y, const std::int32_t* indices, T* grad_x,
                 idx begin, idx end, T* memory, Winner* winners) {
    const idx in_size = s.in_size();
    const idx out_size = s.out_size();
    GivenPlanes<T> given(s, memory);
    bool good = true;
    for (idx p = begin; p < end; ++p) {
        const T* g = grad_y + p * out_size;
        T* const x = grad_x + p * in_size;
        const int kernel = find_winners<T>(s.h, s.w, indices + p * out_size, winners);
        if (kernel == 0) {
            good = give_outputs(s, p, grad_y, indices, grad_x) && good;
        } else if (kernel == 2) {
            given.template give<2>(g, winners, out_size, x, in_size);
        } else {
            given.template give<3>(g, winners, out_size, x, in_size);
        }
    }
    given.finish();
    return good;
}

}  // namespace

template <class T>
Status max_pool_forward(In<T> x, Out<T> y, Out<std::int32_t> indices, Ints kernel, Ints stride,
                        Ints padding, Ints dilation) {
    PoolShape s{};
    if (!read_pool(x.shape, y.shape, kernel, stride, padding, dilation, s))
        return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    if (s.in_size() > kMostInPlane) return Status::kBadValue;
    Forward<T> f{s, x.data, y.data, indices.data, PaddedRow<T>(s.w), 1, 1, 1};
    if (strips_fit<T>(s)) {
        f.block = output_rows<T>(s);
        f.step = f.block == 1 ? s.h.dilation : 1;
        f.rows = ((f.block - 1) * s.h.stride + (s.h.kernel - 1) * s.h.dilation) / f.step + 1;
    }
    const auto run = choose_forward<T>(s, f.indices != nullptr);
    const idx volume = s.volume();
    const idx piece = volume > kPiece ? 1 : kPiece / (volume * s.w.out) / f.block;
    bool ok = true;
    parallel_for(OutputStrip::count(s, f.block), piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        if (!run(f, begin, end)) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok ? Status::kOk : Status::kNoMemory;
}

template <class T>
Status max_pool_backward(In<T> grad_y, In<std::int32_t> indices, Out<T> grad_x) {
    if (grad_x.size == 0) return Status::kOk;
    const auto axis = [&](int i) {
        return PoolAxis{grad_x.shape[i], grad_y.shape[i], 2, 2, 0, 1, false};
    };
    // As it is if it halves an image, which is all that the arrays tell.
    PoolShape s{grad_x.shape[0], axis(1), axis(2), axis(3)};
    s.d.kernel = s.d.stride = 1;
    const idx in_size = s.in_size();
    const idx out_size = s.out_size();
    const bool halves =
        s.d.in == 1 && in_size <= kMostInPlane && s.w.out >= kLanes<T> && halving_kernel<T>(s) != 0;
    const idx strips = halves ? GivenPlanes<T>::scratch(s) * static_cast<idx>(sizeof(T)) : 0;
    Status status = Status::kOk;
    const idx piece = kPiece / (in_size / 4 + out_size + 1);
    parallel_for(s.planes, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        void* const memory = pool_scratch(static_cast<std::size_t>(strips), 0);
        void* const won = pool_scratch(halves ? static_cast<std::size_t>(out_size) : 0, 1);
        if (memory == nullptr || won == nullptr) {
            __atomic_store_n(&status, Status::kNoMemory, __ATOMIC_RELAXED);
            return;
        }
        bool good = true;
        if (halves) {
            good = give_halves(s, grad_y.data, indices.data, grad_x.data, begin, end,
                               static_cast<T*>(memory), static_cast<Winner*>(won));
        } else {
            for (idx p = begin; p < end; ++p)
                good = give_outputs(s, p, grad_y.data, indices.data, grad_x.data) && good;
        }
        if (!good) __atomic_store_n(&status, Status::kBadIndex, __ATOMIC_RELAXED);
    });
    return status;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(max_pool_forward,
          "x(p,d,h,w) y(p,od,oh,ow) indices?(p,od,oh,ow) kernel stride padding dilation", kPlain,
          max_pool_forward<float>, max_pool_forward<double>)
FASTNN_OP(max_pool_backward, "grad_y(p,od,oh,ow) indices(p,od,oh,ow) grad_x(p,d,h,w)", kPlain,
          max_pool_backward<float>, max_pool_backward<double>)
