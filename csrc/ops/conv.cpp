// SPDX-License-Identifier: BSD-3-Clause
// Convolution and the gradient of its input, which is transposed convolution. All arrays are
// contiguous with three directions in space (fewer are sizes of 1); y and grad_x are written with
// `=`.
//
//   conv_forward         y[n, o, p] = bias[o] + sum_{c, t} weight[o, c, t] x[n, c, p stride -
//                        padding + t dilation], x being zero outside
//   conv_backward_input  grad_x[n, c, i] = bias[c] + sum_{o, t} weight[o, c, t] grad_y[n, o, p]
//   over
//                        the p with p stride - padding + t dilation = i; grad_y is zero outside
//
// The gradient is gathered: the positions i of one remainder by the stride, a phase, are reached by
// the same taps, from places of grad_y that are neighbours; each phase is a convolution of stride 1
// with those taps in reverse. No element is written twice and no zero is inserted between the
// elements of grad_y.
//
// Which kernel computes a convolution depends on the shapes alone:
//
//   5 to 8 output channels, short rows, images for vectors    simd/conv_images.h
//   few output channels to a group, stride 1 along the rows   simd/conv_wide.h
//   output channels that fill vectors, more than one tap      simd/conv_direct.h
//   fewer than kLeastWide multiply-adds an element            ops/conv_depthwise.h
//   others: one tap, few channels with a stride               columns, simd/gemm_conv.h
//
// Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning"; the
// remainders: Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?".
#include "ops/conv_depthwise.h"
#include "ops/conv_shape.h"
#include "runtime/op.h"
#include "simd/conv_direct.h"
#include "simd/conv_images.h"
#include "simd/conv_wide.h"
#include "simd/gemm_conv.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPackPiece = 65536;  // weights that a piece of the parallel loop rearranges
constexpr int kWeightSlot = 3;     // of the caller's scratch memory

// Where nothing is added up: bias or zero in all of y.
template <class T>
bool fill_channels(idx images, idx channels, idx positions, const T* bias, T* y) {
    ConvProduct<T> p{};
    p.images = images;
    p.groups = 1;
    p.rows = channels;
    p.source.grid.out[0] = p.source.grid.out[1] = 1;
    p.source.grid.out[2] = positions;
    p.y = y;
    p.y_image = channels * positions;
    p.y_channel = positions;
    p.y_stride[2] = 1;
    p.bias = bias;
    return conv_product(p);
}

template <class T>
void flatten_positions(ConvProduct<T>& p) {
    ConvGrid& g = p.source.grid;
    g.in[2] = g.out[2] = g.positions();
    g.in[0] = g.in[1] = g.out[0] = g.out[1] = 1;
    p.plain = true;
}

// The positions of grad_x with remainder r in one direction, and the taps that reach them.
struct Phase {
    idx count;
    idx first_tap, taps, tap_step;
    idx base, step;  // of the places in grad_y, for the grid
};

inline idx common_divisor(idx a, idx b) {
    while (b != 0) {
        const idx rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

inline Phase phase_of(const ConvShape& s, int i, idx r) {
    const idx stride = s.stride[i];
    const idx dilation = s.dilation[i];
    const idx period = stride / common_divisor(stride, dilation);
    Phase phase{(s.in[i] - r + stride - 1) / stride,           0, 0, period, 0,
                -(dilation / common_divisor(stride, dilation))};
    const idx most = period < s.kernel[i] ? period : s.kernel[i];
    for (idx tap = 0; tap < most; ++tap) {
        const idx reach = r + s.padding[i] - tap * dilation;
        if (reach % stride != 0) continue;
        phase.first_tap = tap;
        phase.taps = (s.kernel[i] - tap + period - 1) / period;
        phase.base = reach / stride;
        break;
    }
    return phase;
}

// The weights of a phase as tiles of A: rows are the channels of x, steps (output channel, tap).
template <class T>
void pack_phase(const ConvShape& s, const Phase (&phase)[3], const T* weight, T* a) {
    const idx tiles = (s.group_channels + kTileRows - 1) / kTileRows;
    const idx depth = s.group_outputs * phase[0].taps * phase[1].taps * phase[2].taps;
    const idx volume = s.volume();
    const idx piece = kPackPiece / (depth * kTileRows);
    parallel_for(s.groups * tiles, piece < 1 ? 1 : piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) {
            const idx group = i / tiles;
            const idx row = i % tiles * s.group_channels / tiles;
            const idx rows = (i % tiles + 1) * s.group_channels / tiles - row;
            T* to = a + (group * s.group_channels + row) * depth;
            for (idx o = 0; o < s.group_outputs; ++o) {
                const T* from =
                    weight + ((group * s.group_outputs + o) * s.group_channels + row) * volume;
                for (idx d = 0; d < phase[0].taps; ++d) {
                    const idx tap_d = phase[0].first_tap + d * phase[0].tap_step;
                    for (idx h = 0; h < phase[1].taps; ++h) {
                        const idx tap_h = phase[1].first_tap + h * phase[1].tap_step;
                        const T* line =
                            from + (tap_d * s.kernel[1] + tap_h) * s.kernel[2] + phase[2].first_tap;
                        for (idx w = 0; w < phase[2].taps; ++w, line += phase[2].tap_step)
                            for (idx c = 0; c < rows; ++c) *to++ = line[c * volume];
                    }
                }
            }
        }
    });
}

template <class T>
ConvGrid phase_grid(const ConvShape& s, const Phase (&phase)[3], const idx (&remainder)[3], T*& y,
                    idx (&y_stride)[3]) {
    ConvGrid g{};
    idx inner = 1;
    for (int i = 2; i >= 0; --i) {
        g.out[i] = phase[i].count;
        g.in[i] = s.out[i];
        g.stride[i] = 1;
        g.base[i] = phase[i].base;
        g.step[i] = phase[i].step;
        g.taps[i] = phase[i].taps;
        y += remainder[i] * inner;
        y_stride[i] = s.stride[i] * inner;
        inner *= s.in[i];
    }
    return g;
}

// The phases that are convolutions of conv_direct.h and conv_wide.h; they run together.
constexpr int kMostPhases = 16;
template <class T>
struct Phases {
    ConvDirect<T> direct[kMostPhases], wide[kMostPhases];
    ConvDirect<T> images;  // of a stride of 1, where there is but one phase
    int n_direct = 0, n_wide = 0, n_images = 0;
};

// Whether the phase is one of them.
template <class T>
bool add_phase(const ConvShape& s, const Phase (&phase)[3], const idx (&remainder)[3],
               const T* grad_y, const T* weight, const T* bias, T* grad_x, Phases<T>& phases) {
    ConvDirect<T> job{};
    job.y = grad_x;
    job.source = {grad_y, s.outputs * s.out_size(), s.out_size(),
                  phase_grid(s, phase, remainder, job.y, job.y_stride)};
    if (job.source.grid.volume() == 0) return false;
    job.images = s.images;
    job.groups = s.groups;
    job.rows = s.group_channels;
    job.terms = s.group_outputs;
    job.weights.data = weight;
    idx inner = 1;
    for (int i = 2; i >= 0; --i) {
        job.weights.data += phase[i].first_tap * inner;
        job.weights.step[i] = phase[i].tap_step * inner;
        inner *= s.kernel[i];
    }
    job.weights.row = s.volume();
    job.weights.term = s.group_channels * job.weights.row;
    job.weights.group = s.group_outputs * job.weights.term;
    job.bias = bias;
    job.y_channel = s.in_size();
    job.y_image = s.channels * job.y_channel;
    if constexpr (kImageLanes<T>) {
        if (s.stride[0] * s.stride[1] * s.stride[2] == 1 && plan_images(job)) {
            phases.images = job;
            phases.n_images = 1;
            return true;
        }
    }
    if (phases.n_wide < kMostPhases && plan_wide(job)) {
        phases.wide[phases.n_wide++] = job;
        return true;
    }
    if (phases.n_direct < kMostPhases && plan_direct(job)) {
        phases.direct[phases.n_direct++] = job;
        return true;
    }
    return false;
}

template <class T>
bool input_phase(const ConvShape& s, const Phase (&phase)[3], const idx (&remainder)[3],
                 const T* grad_y, const T* weight, const T* bias, T* grad_x) {
    ConvProduct<T> p{};
    p.y = grad_x;
    p.source.grid = phase_grid(s, phase, remainder, p.y, p.y_stride);
    const idx volume = p.source.grid.volume();
    if (volume > 0 && depthwise_fits<T>(p.source.grid, s.group_channels, s.group_outputs)) {
        Depthwise<T> job{};
        job.images = s.images;
        job.groups = s.groups;
        job.rows = s.group_channels;
        job.terms = s.group_outputs;
        job.grid = p.source.grid;
        job.source = grad_y;
        job.weight = weight;
        idx inner = 1;
        for (int i = 2; i >= 0; --i) {
            // From the last tap to the first, so that the places go up.
            const Phase& f = phase[i];
            job.weight += (f.first_tap + (f.taps - 1) * f.tap_step) * inner;
            job.weight_step[i] = -f.tap_step * inner;
            job.grid.base[i] += (f.taps - 1) * f.step;
            job.grid.step[i] = -f.step;
            job.y_stride[i] = p.y_stride[i];
            inner *= s.kernel[i];
        }
        job.weight_row = s.volume();
        job.weight_term = s.group_channels * job.weight_row;
        job.weight_group = s.group_outputs * job.weight_term;
        job.bias = bias;
        job.y = p.y;
        job.y_channel = s.in_size();
        return depthwise_forward(job);
    }
    p.images = s.images;
    p.groups = s.groups;
    p.rows = s.group_channels;
    p.depth = s.group_outputs * volume;
    if (p.depth > 0) {
        T* a = static_cast<T*>(
            pool_scratch(static_cast<std::size_t>(s.channels * p.depth) * sizeof(T), kWeightSlot));
        if (a == nullptr) return false;
        pack_phase(s, phase, weight, a);
        p.a = a;
    }
    p.tiled = true;
    p.source.x = grad_y;
    p.source.channel = s.out_size();
    p.source.image = s.outputs * p.source.channel;
    p.group_channels = s.group_outputs;
    p.y_channel = s.in_size();
    p.y_image = s.channels * p.y_channel;
    p.bias = bias;
    if (s.pointwise()) flatten_positions(p);
    return conv_product(p);
}

}  // namespace

template <class T>
Status conv_forward(In<T> x, In<T> weight, In<T> bias, Out<T> y, Ints stride, Ints padding,
                    Ints dilation, idx groups) {
    ConvShape s;
    if (!read_conv(x.shape, weight.shape, y.shape, stride, padding, dilation, groups, s))
        return Status::kBadValue;
    if (y.size == 0) return Status::kOk;
    if (x.size == 0 || weight.size == 0) {
        const bool done = fill_channels(s.images, s.outputs, s.out_size(), bias.data, y.data);
        return done ? Status::kOk : Status::kNoMemory;
    }
    ConvDirect<T> direct{};
    direct.images = s.images;
    direct.groups = s.groups;
    direct.rows = s.group_outputs;
    direct.terms = s.group_channels;
    direct.source = {x.data, s.channels * s.in_size(), s.in_size(), s.grid()};
    direct.weights.data = weight.data;
    direct.weights.term = s.volume();
    direct.weights.row = s.group_channels * s.volume();
    direct.weights.group = s.group_outputs * direct.weights.row;
    direct.weights.step[0] = s.kernel[1] * s.kernel[2];
    direct.weights.step[1] = s.kernel[2];
    direct.weights.step[2] = 1;
    direct.bias = bias.data;
    direct.y = y.data;
    direct.y_channel = s.out_size();
    direct.y_image = s.outputs * s.out_size();
    direct.y_stride[0] = s.out[1] * s.out[2];
    direct.y_stride[1] = s.out[2];
    direct.y_stride[2] = 1;
    if constexpr (kImageLanes<T>) {
        if (plan_images(direct)) return conv_images(direct) ? Status::kOk : Status::kNoMemory;
    }
    if (plan_wide(direct)) return conv_wide(&direct, 1) ? Status::kOk : Status::kNoMemory;
    if (plan_direct(direct)) return conv_direct(&direct, 1) ? Status::kOk : Status::kNoMemory;
    if (depthwise_fits<T>(s.grid(), s.group_outputs, s.group_channels)) {
        Depthwise<T> job{};
        job.images = s.images;
        job.groups = s.groups;
        job.rows = s.group_outputs;
        job.terms = s.group_channels;
        job.grid = s.grid();
        job.source = x.data;
        job.weight = weight.data;
        job.weight_term = s.volume();
        job.weight_row = s.group_channels * job.weight_term;
        job.weight_group = s.group_outputs * job.weight_row;
        job.weight_step[0] = s.kernel[1] * s.kernel[2];
        job.weight_step[1] = s.kernel[2];
        job.weight_step[2] = 1;
        job.bias = bias.data;
        job.y = y.data;
        job.y_channel = s.out_size();
        job.y_stride[0] = s.out[1] * s.out[2];
        job.y_stride[1] = s.out[2];
        job.y_stride[2] = 1;
        return depthwise_forward(job) ? Status::kOk : Status::kNoMemory;
    }
    ConvProduct<T> p{};
    p.images = s.images;
    p.groups = s.groups;
    p.rows = s.group_outputs;
    p.depth = s.group_channels * s.volume();
    p.a = weight.data;
    p.source.x = x.data;
    p.source.channel = s.in_size();
    p.source.image = s.channels * p.source.channel;
    p.source.grid = s.grid();
    p.group_channels = s.group_channels;
    p.y = y.data;
    p.y_channel = s.out_size();
    p.y_image = s.outputs * p.y_channel;
    p.y_stride[0] = s.out[1] * s.out[2];
    p.y_stride[1] = s.out[2];
    p.y_stride[2] = 1;
    p.bias = bias.data;
    if (s.pointwise()) flatten_positions(p);
    return conv_product(p) ? Status::kOk : Status::kNoMemory;
}

template <class T>
Status conv_backward_input(In<T> grad_y, In<T> weight, In<T> bias, Out<T> grad_x, Ints stride,
                           Ints padding, Ints dilation, idx groups) {
    ConvShape s;
    if (!read_conv(grad_x.shape, weight.shape, grad_y.shape, stride, padding, dilation, groups, s))
        return Status::kBadValue;
    if (grad_x.size == 0) return Status::kOk;
    if (grad_y.size == 0 || weight.size == 0) {
        const bool done = fill_channels(s.images, s.channels, s.in_size(), bias.data, grad_x.data);
        return done ? Status::kOk : Status::kNoMemory;
    }
    idx remainders[3];
    for (int i = 0; i < 3; ++i) remainders[i] = s.stride[i] < s.in[i] ? s.stride[i] : s.in[i];
    idx r[3];
    Phase phase[3];
    Phases<T> phases;
    for (r[0] = 0; r[0] < remainders[0]; ++r[0]) {
        phase[0] = phase_of(s, 0, r[0]);
        for (r[1] = 0; r[1] < remainders[1]; ++r[1]) {
            phase[1] = phase_of(s, 1, r[1]);
            for (r[2] = 0; r[2] < remainders[2]; ++r[2]) {
                phase[2] = phase_of(s, 2, r[2]);
                if (!add_phase(s, phase, r, grad_y.data, weight.data, bias.data, grad_x.data,
                               phases) &&
                    !input_phase(s, phase, r, grad_y.data, weight.data, bias.data, grad_x.data))
                    return Status::kNoMemory;
            }
        }
    }
    if constexpr (kImageLanes<T>) {
        if (phases.n_images > 0 && !conv_images(phases.images)) return Status::kNoMemory;
    }
    if (!conv_wide(phases.wide, phases.n_wide) || !conv_direct(phases.direct, phases.n_direct))
        return Status::kNoMemory;
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(conv_forward,
          "x(n,c,d,h,w) weight(o,cg,kd,kh,kw) bias?(o) y(n,o,od,oh,ow) stride padding dilation "
          "groups",
          kPlain, conv_forward<float>, conv_forward<double>)
FASTNN_OP(conv_backward_input,
          "grad_y(n,o,od,oh,ow) weight(o,cg,kd,kh,kw) bias?(c) grad_x(n,c,d,h,w) stride padding "
          "dilation groups",
          kPlain, conv_backward_input<float>, conv_backward_input<double>)
