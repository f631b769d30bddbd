// SPDX-License-Identifier: BSD-3-Clause
// The sizes of a convolution, read from the arguments of its kernels and checked: nothing that a
// caller passes makes a product of them overflow or an index leave its array.
//
//   x (n, c, d, h, w)   weight (o, c / groups, kd, kh, kw)   y (n, o, od, oh, ow)
//
// Output (od, oh, ow) reads x at od * stride - padding + kd * dilation, and so on; padding is what
// stands in front, the size of y says how much stands behind.
#pragma once

#include "runtime/op.h"
#include "simd/conv_columns.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kLargestSize = idx{1} << 31;
inline constexpr idx kLargestStep = idx{1} << 27;  // so that step * size * 8 bytes is a number

struct ConvShape {
    idx images, groups;
    idx channels, group_channels;  // of x
    idx outputs, group_outputs;    // channels of y
    idx in[3], out[3], kernel[3];
    idx stride[3], padding[3], dilation[3];

    idx volume() const { return kernel[0] * kernel[1] * kernel[2]; }
    idx in_size() const { return in[0] * in[1] * in[2]; }
    idx out_size() const { return out[0] * out[1] * out[2]; }

    // Columns of x: rows are (channel, tap).
    ConvGrid grid() const {
        ConvGrid g{};
        for (int i = 0; i < 3; ++i) {
            g.out[i] = out[i];
            g.in[i] = in[i];
            g.stride[i] = stride[i];
            g.base[i] = -padding[i];
            g.step[i] = dilation[i];
            g.taps[i] = kernel[i];
        }
        return g;
    }

    // Whether the columns of x are x.
    bool pointwise() const {
        for (int i = 0; i < 3; ++i)
            if (kernel[i] != 1 || stride[i] != 1 || padding[i] != 0 || in[i] != out[i])
                return false;
        return true;
    }
};

inline bool in_range(idx value, idx low, idx high) { return value >= low && value <= high; }

inline bool read_steps(Ints stride, Ints padding, Ints dilation, ConvShape& s) {
    if (stride.count != 3 || padding.count != 3 || dilation.count != 3) return false;
    for (int i = 0; i < 3; ++i) {
        s.stride[i] = stride.values[i];
        s.padding[i] = padding.values[i];
        s.dilation[i] = dilation.values[i];
        if (!in_range(s.stride[i], 1, kLargestStep) || !in_range(s.dilation[i], 1, kLargestStep) ||
            !in_range(s.padding[i], 0, kLargestStep))
            return false;
    }
    return true;
}

// False where the sizes do not go together.
inline bool read_conv(const idx* x, const idx* weight, const idx* y, Ints stride, Ints padding,
                      Ints dilation, idx groups, ConvShape& s) {
    s.images = x[0];
    s.channels = x[1];
    s.outputs = weight[0];
    s.group_channels = weight[1];
    s.groups = groups;
    if (!in_range(groups, 1, kLargestSize) || s.channels % groups != 0 ||
        s.channels / groups != s.group_channels || s.outputs % groups != 0)
        return false;
    s.group_outputs = s.outputs / groups;
    for (int i = 0; i < 3; ++i) {
        s.in[i] = x[2 + i];
        s.kernel[i] = weight[2 + i];
        s.out[i] = y[2 + i];
        if (s.in[i] > kLargestSize || s.kernel[i] > kLargestSize || s.out[i] > kLargestSize)
            return false;
    }
    return read_steps(stride, padding, dilation, s);
}

}  // namespace fastnn::FASTNN_ISA
