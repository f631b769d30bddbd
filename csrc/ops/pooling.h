// SPDX-License-Identifier: BSD-3-Clause
// The windows of the pooling kernels: sizes read from the arguments and checked, the part of a
// window that lies in the input, and the windows that see an element.
//
//   x (planes, d, h, w)   y (planes, od, oh, ow); a plane is one channel of one image
//
// Output o of an axis sees o * stride - padding + k * dilation for 0 <= k < kernel. An empty list
// of kernel sizes asks for adaptive windows: output o sees [floor(o in / out), ceil((o + 1) in /
// out)).
#pragma once

#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

struct Window {
    idx first, end, step;

    bool empty() const { return first >= end; }
    idx count() const { return end - first; }  // of a window with step 1
};

struct PoolAxis {
    idx in, out, kernel, stride, padding, dilation;
    bool adaptive;

    idx left(idx o) const { return o * stride - padding; }
    Window window(idx o) const {
        if (adaptive) return {o * in / out, ((o + 1) * in + out - 1) / out, 1};
        const idx from = left(o);
        const idx stop = from + (kernel - 1) * dilation + 1;
        const idx skipped = from < 0 ? (dilation - 1 - from) / dilation : 0;
        return {from + skipped * dilation, stop < in ? stop : in, dilation};
    }
    // The outputs [first, end) whose windows lie inside as a whole; none of adaptive ones.
    Window whole() const {
        const idx last = in - 1 - (kernel - 1) * dilation + padding;
        if (adaptive || last < 0) return {0, 0, 1};
        const idx start = (padding + stride - 1) / stride;
        const idx first = start < out ? start : out;
        const idx end = last / stride + 1 < out ? last / stride + 1 : out;
        return {first, end < first ? first : end, 1};
    }
    // The outputs whose windows, without dilation, see element i.
    Window seen_by(idx i) const {
        idx first, end;
        if (adaptive) {
            first = i * out / in;
            end = ((i + 1) * out + in - 1) / in;
        } else {
            const idx at = i + padding;
            first = at < kernel ? 0 : (at - kernel) / stride + 1;
            end = at / stride + 1;
        }
        return {first, end < out ? end : out, 1};
    }
    // From those that see element i - 1, or i, to those that see i.
    void move_on(Window& seen, idx i) const {
        if (adaptive) {
            seen = seen_by(i);
            return;
        }
        const idx at = i + padding;
        while (seen.end < out && seen.end * stride <= at) ++seen.end;
        while (seen.first * stride + kernel <= at) ++seen.first;
    }
};

struct PoolShape {
    idx planes;
    PoolAxis d, h, w;

    idx in_size() const { return d.in * h.in * w.in; }
    idx out_size() const { return d.out * h.out * w.out; }
    idx volume() const {
        if (!d.adaptive) return d.kernel * h.kernel * w.kernel;
        return greater_or_one(in_size() / greater_or_one(out_size()));
    }
    static idx greater_or_one(idx v) { return v < 1 ? 1 : v; }
};

inline constexpr idx kLargestPoolSize = idx{1} << 31;
inline constexpr idx kLargestPoolStep = idx{1} << 20;

// False where the sizes are such that a product of them could overflow, or make no sense.
inline bool read_pool(const idx* x, const idx* y, Ints kernel, Ints stride, Ints padding,
                      Ints dilation, PoolShape& s) {
    const bool adaptive = kernel.count == 0;
    const idx count = adaptive ? 0 : 3;
    if (kernel.count != count || stride.count != count || padding.count != count ||
        dilation.count != count)
        return false;
    s.planes = x[0];
    PoolAxis* const axes[] = {&s.d, &s.h, &s.w};
    for (int i = 0; i < 3; ++i) {
        PoolAxis& a = *axes[i];
        a = {x[1 + i], y[1 + i], 1, 1, 0, 1, adaptive};
        if (a.in > kLargestPoolSize || a.out > kLargestPoolSize) return false;
        if (adaptive) continue;
        a.kernel = kernel.values[i];
        a.stride = stride.values[i];
        a.padding = padding.values[i];
        a.dilation = dilation.values[i];
        if (a.kernel < 1 || a.stride < 1 || a.padding < 0 || a.dilation < 1 ||
            a.kernel > kLargestPoolStep || a.stride > kLargestPoolStep ||
            a.padding > kLargestPoolStep || a.dilation > kLargestPoolStep)
            return false;
    }
    return true;
}

// The dilations of windows that have none, as many as there are kernel sizes.
inline Ints ones_like(Ints kernel) {
    static constexpr idx kOnes[kMaxDims] = {1, 1, 1, 1, 1, 1, 1, 1};
    return {kOnes, kernel.count};
}

// Rows [begin, end) of slice i of a plane of y. Strips have `rows` rows, but for the last of a
// slice; they follow each other through all planes.
struct OutputStrip {
    idx plane, i, begin, end;

    OutputStrip(const PoolShape& s, idx rows, idx u) {
        const idx strips = (s.h.out + rows - 1) / rows;
        plane = u / strips / s.d.out;
        i = u / strips % s.d.out;
        begin = u % strips * rows;
        end = begin + rows < s.h.out ? begin + rows : s.h.out;
    }

    static idx count(const PoolShape& s, idx rows) {
        return s.planes * s.d.out * ((s.h.out + rows - 1) / rows);
    }
    // Of the rows from j on, where the next run ends: of rows whose windows lie inside (`whole`),
    // or of one row.
    idx run(const Window& whole, idx j) const {
        if (j < whole.first || j >= whole.end) return j + 1;
        return whole.end < end ? whole.end : end;
    }
};

// Rows [begin, end) of slice i of a plane of x, and the outputs that see some of them. Strips have
// `rows` rows, but for the last of a slice.
struct InputStrip {
    idx plane, i, begin, end;
    Window d, h;

    InputStrip(const PoolShape& s, idx rows, idx u) {
        const idx strips = (s.h.in + rows - 1) / rows;
        plane = u / strips / s.d.in;
        i = u / strips % s.d.in;
        begin = u % strips * rows;
        end = begin + rows < s.h.in ? begin + rows : s.h.in;
        d = s.d.seen_by(i);
        h = {s.h.seen_by(begin).first, s.h.seen_by(end - 1).end, 1};
    }

    static idx count(const PoolShape& s, idx rows) {
        return s.planes * s.d.in * ((s.h.in + rows - 1) / rows);
    }
};

}  // namespace fastnn::FASTNN_ISA
