// SPDX-License-Identifier: BSD-3-Clause
// Average pooling over windows of up to three dimensions (ops/pooling.h).
//
//   forward    y = 1/n * sum of the window: down its columns, then across
//   backward   grad_x = the sum, in the order of the outputs, of 1/n * grad_y over the windows that
//              see the element
//
// n: `divisor` unless that is 0; else the size of the window, where padding counts if
// `count_include_pad` says so (what a window reaches beyond the padding never does). A window
// without an element gives 0. Outputs are `=` and written once.
//
// Both work on blocks of rows in the first-level cache (ops/pooling_rows.h). Forward: the columns'
// sums of some rows of outputs, then from them the outputs; rows are the units of the parallel
// loop. Backward: the rows of grad_y that a strip of rows of grad_x needs, times 1/n, then the
// strip; strips are the units. What does not fit there (adaptive windows of several sizes, large
// strides, backward) goes element by element.
#include "ops/avg_pool_halves.h"
#include "ops/pooling_rows.h"
#include "runtime/parallel.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 65536;      // additions per piece of a parallel loop
constexpr idx kPairPiece = 16384;  // of one over pairs of rows, which are quickly done

// ---- forward ----

// The rows of x that a row of outputs sees: `rows` of each of some slices.
template <class T>
struct Seen {
    const T* first;
    idx rows, slices;
    idx row, slice;  // from one to the next
    idx next;        // to what the next row of outputs sees
};

// The sums down the columns for `count` rows of outputs.
template <class T, int kStride, int kRows>
void add_down(const PoolAxis& w, const PaddedRow<T>& row, const Seen<T>& seen, idx count, T* to) {
    const T* const first = seen.first;
    const idx next = seen.next;
    const idx apart = seen.row;
    const idx rows = kRows != 0 ? kRows : seen.rows;
    const idx slices = kRows != 0 ? 1 : seen.slices;
    const idx slice = seen.slice;
    const auto source = [=](idx r, idx c, int n) {
        Vec<T> sum = {};
        const T* p = first + r * next + c;
        for (idx i = 0; i < slices; ++i) {
            for (idx j = 0; j < rows; ++j) {
                const T* q = p + i * slice + j * apart;
                sum += n == kLanes<T> ? load(q) : load_partial(q, n);
            }
        }
        return sum;
    };
    put_rows<T, kStride>(w, row, count, source, to);
}

template <class T, int kStride, int kTaps>
FASTNN_SIMD_INLINE void add_across(const PoolAxis& w, const idx* taps, const T* sums,
                                   const T* scales, T* y) {
    constexpr idx lanes = kLanes<T>;
    const idx count = kTaps != 0 ? kTaps : w.kernel;
    const idx out = w.out;
    for (idx i = 0; i < out; i += lanes) {
        const idx o = i + lanes <= out || out < lanes ? i : out - lanes;
        Vec<T> sum = load_tap<T, kStride>(sums + taps[0], o, w.stride, out - o);
        for (idx k = 1; k < count; ++k)
            sum += load_tap<T, kStride>(sums + taps[k], o, w.stride, out - o);
        store_up_to(y + o, sum * load(scales + o), out - o);
    }
}

// The strips [begin, end) of y. False: no memory.
template <class T, int kStride, int kTaps>
bool mean_strips(const MeanJob<T>& job, idx begin, idx end) {
    const PoolShape& s = job.s;
    const PaddedRow<T> row(s.w);
    const idx size = job.block * row.size;
    T* sums = mean_scratch<T>(size + up_to_lanes<T>(s.w.out));
    if (sums == nullptr) return false;
    for (idx i = 0; i < size; ++i) sums[i] = T(0);
    idx taps[kMostRowTaps];
    for (idx k = 0; k < s.w.kernel; ++k) taps[k] = row.tap(s.w, k);
    MeanScales<T> scales{job.divide, s, sums + size};
    const Window whole = s.h.whole();
    for (idx u = begin; u < end; ++u) {
        const OutputStrip strip(s, job.block, u);
        const T* plane = job.from + strip.plane * s.in_size();
        T* y = job.to + ((strip.plane * s.d.out + strip.i) * s.h.out + strip.begin) * s.w.out;
        const Window d = s.d.window(strip.i);
        T* to = sums;
        for (idx j = strip.begin, last; j < strip.end; j = last) {
            last = strip.run(whole, j);
            const Window h = s.h.window(j);
            const bool none = d.empty() || h.empty();
            const Seen<T> seen{plane + (none ? 0 : (d.first * s.h.in + h.first) * s.w.in),
                               none ? 0 : h.count(),
                               none ? 0 : d.count(),
                               s.w.in,
                               s.h.in * s.w.in,
                               s.h.stride * s.w.in};
            if (kTaps != 0 && seen.rows == kTaps && seen.slices == 1) {
                add_down<T, kStride, kTaps>(s.w, row, seen, last - j, to);
            } else {
                add_down<T, kStride, 0>(s.w, row, seen, last - j, to);
            }
            to += (last - j) * row.size;
        }
        const T* from = sums;
        for (idx j = strip.begin; j < strip.end; ++j, from += row.size, y += s.w.out)
            add_across<T, kStride, kTaps>(s.w, taps, from, scales.of_row(strip.i, j), y);
    }
    return true;
}

template <class T>
bool mean_elements(const MeanJob<T>& job, idx begin, idx end) {
    const PoolShape& s = job.s;
    for (idx u = begin; u < end; ++u) {
        const OutputStrip at(s, 1, u);
        const T* plane = job.from + at.plane * s.in_size();
        const Window d = s.d.window(at.i);
        const Window h = s.h.window(at.begin);
        const idx extent = job.divide.extent(s.d, at.i) * job.divide.extent(s.h, at.begin);
        for (idx o = 0; o < s.w.out; ++o) {
            const Window w = s.w.window(o);
            T sum = 0;
            for (idx k = w.first; k < w.end; ++k) {
                T down = 0;
                for (idx i = d.first; i < d.end; ++i)
                    for (idx j = h.first; j < h.end; ++j)
                        down += plane[(i * s.h.in + j) * s.w.in + k];
                sum += down;
            }
            const bool none = d.empty() || h.empty() || w.empty();
            job.to[u * s.w.out + o] =
                none ? T(0)
                     : sum * job.divide.template scale<T>(extent * job.divide.extent(s.w, o));
        }
    }
    return true;
}

template <class T>
bool forward_fits(const PoolShape& s) {
    return PaddedRow<T>::fits(s.w) && s.d.kernel <= kMostRowTaps;
}

template <class T, int kStride>
auto choose_forward(idx taps) {
    if constexpr (kStride != 0) {
        if (taps == 2) return mean_strips<T, kStride, 2>;
        if (taps == 3) return mean_strips<T, kStride, 3>;
    }
    return mean_strips<T, kStride, 0>;
}

template <class T>
auto choose_forward(const MeanJob<T>& job) {
    const PoolShape& s = job.s;
    if (takes_pairs(job)) return mean_pairs<T>;
    const int halving = mean_halving_kernel<T>(s);
    if (halving == 2) return mean_halves<T, 2>;
    if (halving == 3) return mean_halves<T, 3>;
    if (!forward_fits<T>(s)) return mean_elements<T>;
    if (s.w.stride == 1) return choose_forward<T, 1>(s.w.kernel);
    if (s.w.stride == 2) return choose_forward<T, 2>(s.w.kernel);
    return choose_forward<T, 0>(s.w.kernel);
}

// ---- backward ----

// 1/n of a row of grad_y.
template <class T>
FASTNN_SIMD_INLINE void scale_row(const T* from, const T* scale, idx n, T* to) {
    constexpr idx lanes = kLanes<T>;
    if (n < lanes) {
        const int few = static_cast<int>(n);
        store<T>(to, load_partial(from, few) * load_partial(scale, few));
        return;
    }
    for (idx i = 0; i < n; i += lanes) {
        const idx o = i + lanes <= n ? i : n - lanes;
        store<T>(to + o, load(from + o) * load(scale + o));
    }
}

// The strips [begin, end) of grad_x. False: no memory.
template <class T, int kStride, int kMost, int kTaps0, int kTaps1>
bool spread_strips(const MeanJob<T>& job, idx begin, idx end) {
    const PoolShape& s = job.s;
    const SeenRow<T> seen(s.w);
    const idx none = seen_rows(s, job.block) * seen.pitch;
    const idx size = none + seen.pitch;
    T* values = mean_scratch<T>(size + up_to_lanes<T>(s.w.out));
    idx* table = static_cast<idx*>(
        pool_scratch(static_cast<std::size_t>(SeeingRows::size(s, job.block)) * sizeof(idx), 1));
    if (values == nullptr || table == nullptr) return false;
    for (idx i = 0; i < size; ++i) values[i] = T(0);
    SeeingRows seeing(s, none, table);
    MeanScales<T> scales{job.divide, s, values + size};
    for (idx u = begin; u < end; ++u) {
        const InputStrip strip(s, job.block, u);
        const T* g = job.from + strip.plane * s.out_size();
        T* to = values + seen.before;
        for (idx i = strip.d.first; i < strip.d.end; ++i)
            for (idx j = strip.h.first; j < strip.h.end; ++j, to += seen.pitch)
                scale_row(g + (i * s.h.out + j) * s.w.out, scales.of_row(i, j), s.w.out, to);
        seeing.find(s, strip, seen.pitch);
        const auto term = [=](idx at, idx, idx) { return load(values + at); };
        gather_rows<T, kStride, kMost, kTaps0, kTaps1>(
            s.w, seen, seeing, strip.end - strip.begin, term,
            job.to + strip.plane * s.in_size() + (strip.i * s.h.in + strip.begin) * s.w.in);
    }
    return true;
}

template <class T>
bool spread_elements(const MeanJob<T>& job, idx begin, idx end) {
    const PoolShape& s = job.s;
    T* values = mean_scratch<T>(s.w.out);
    if (values == nullptr) return false;
    MeanScales<T> scales{job.divide, s, values};
    for (idx u = begin; u < end; ++u) {
        const InputStrip strip(s, job.block, u);
        const T* g = job.from + strip.plane * s.out_size();
        T* x = job.to + strip.plane * s.in_size() + (strip.i * s.h.in + strip.begin) * s.w.in;
        for (idx j = strip.begin; j < strip.end; ++j, x += s.w.in) {
            for (idx k = 0; k < s.w.in; ++k) x[k] = T(0);
            const Window h = s.h.seen_by(j);
            for (idx a = strip.d.first; a < strip.d.end; ++a) {
                for (idx b = h.first; b < h.end; ++b) {
                    const T* from = g + (a * s.h.out + b) * s.w.out;
                    const T* scale = scales.of_row(a, b);
                    for (idx o = 0; o < s.w.out; ++o) {
                        const Window w = s.w.window(o);
                        const T value = from[o] * scale[o];
                        for (idx k = w.first; k < w.end; ++k) x[k] += value;
                    }
                }
            }
        }
    }
    return true;
}

template <class T>
auto choose_backward(const MeanJob<T>& job) {
    const PoolShape& s = job.s;
    if (takes_pairs(job)) return spread_pairs<T>;
    const int halving = mean_halving_kernel<T>(s);
    if (halving == 2) return spread_halves<T, 2>;
    if (halving == 3) return spread_halves<T, 3>;
    if (!SeenRow<T>::fits(s.w) || !seen_rows_fit(s)) return spread_elements<T>;
    const SeenRow<T> seen(s.w);
    const idx most = seen_rows(s, 1);
    if (s.w.stride == 1) return spread_strips<T, 1, 0, 0, 0>;
    if (most == 1 && seen.taps[0] == 1 && seen.taps[1] == 1) return spread_strips<T, 2, 1, 1, 1>;
    if (most == 2 && seen.taps[0] == 1 && seen.taps[1] == 2) return spread_strips<T, 2, 2, 1, 2>;
    return spread_strips<T, 2, 0, 0, 0>;
}

}  // namespace

template <class T>
Status avg_pool_forward(In<T> x, Out<T> y, Ints kernel, Ints stride, Ints padding,
                        bool count_include_pad, idx divisor) {
    MeanJob<T> job{{},     {count_include_pad, divisor},
                   x.data, y.data,
                   1,      x.size * static_cast<idx>(sizeof(T)) >= kFarBytes};
    PoolShape& s = job.s;
    const Ints dilation = ones_like(kernel);
    if (!read_pool(x.shape, y.shape, kernel, stride, padding, dilation, s))
        return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    if (forward_fits<T>(s)) job.block = output_rows<T>(s);
    const bool pairs = takes_pairs(job);
    if (pairs) job.block = 1;
    const auto run = choose_forward(job);
    const idx volume = s.volume();
    const idx additions = pairs ? kPairPiece : kPiece;
    const idx piece = volume > additions ? 1 : additions / (volume * s.w.out) / job.block;
    bool ok = true;
    parallel_for(OutputStrip::count(s, job.block), piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        if (!run(job, begin, end)) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok ? Status::kOk : Status::kNoMemory;
}

template <class T>
Status avg_pool_backward(In<T> grad_y, Out<T> grad_x, Ints kernel, Ints stride, Ints padding,
                         bool count_include_pad, idx divisor) {
    MeanJob<T> job{{},          {count_include_pad, divisor},
                   grad_y.data, grad_x.data,
                   1,           grad_x.size * static_cast<idx>(sizeof(T)) >= kFarBytes};
    PoolShape& s = job.s;
    const Ints dilation = ones_like(kernel);
    if (!read_pool(grad_x.shape, grad_y.shape, kernel, stride, padding, dilation, s))
        return Status::kBadValue;
    if (grad_x.size == 0) return Status::kOk;
    job.block = strip_rows(s, SeenRow<T>::fits(s.w) ? SeenRow<T>(s.w).pitch : s.w.out + 1);
    if (mean_halving_kernel<T>(s) != 0) job.block = halving_rows(s);
    const bool pairs = takes_pairs(job);
    if (pairs) job.block = 2;
    const auto run = choose_backward(job);
    const idx strips = InputStrip::count(s, job.block);
    const idx piece = (pairs ? kPairPiece : kPiece) / (job.block * s.w.in);
    bool ok = true;
    parallel_for(strips, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        if (!run(job, begin, end)) __atomic_store_n(&ok, false, __ATOMIC_RELAXED);
    });
    return ok ? Status::kOk : Status::kNoMemory;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(avg_pool_forward,
          "x(p,d,h,w) y(p,od,oh,ow) kernel stride padding count_include_pad divisor", kPlain,
          avg_pool_forward<float>, avg_pool_forward<double>)
FASTNN_OP(avg_pool_backward,
          "grad_y(p,od,oh,ow) grad_x(p,d,h,w) kernel stride padding count_include_pad divisor",
          kPlain, avg_pool_backward<float>, avg_pool_backward<double>)
