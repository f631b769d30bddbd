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
//   3 x 3 taps of stride 1, many channels, float              simd/conv_winograd.h
//   7 or 8 rows of taps of stride 2, few channels, float      simd/conv_halving.h
//   one output channel to a group, 3 x 3 or 5 x 5 taps        ops/conv_depthwise.h
//   few output channels to a group, or few steps of k and up
//   to 32, stride 1 along the rows                            simd/conv_wide.h
//   such, three taps of stride 1 down the columns, float      simd/conv_wide_winograd.h
//   output channels that fill vectors, more than one tap      simd/conv_direct.h
//   fewer than kLeastWide multiply-adds an element            ops/conv_depthwise.h
//   others: one tap, few channels with a stride               columns, simd/gemm_conv.h
//
// Source: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning"; the
// remainders: Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?".
#include "ops/conv_depthwise.h"
#include "ops/conv_phases.h"
#include "ops/conv_shape.h"
#include "runtime/op.h"
#include "simd/conv_direct.h"
#include "simd/conv_halving.h"
#include "simd/conv_images.h"
#include "simd/conv_wide.h"
#include "simd/conv_wide_winograd.h"
#include "simd/conv_winograd.h"
#include "simd/gemm_conv.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr int kWeightSlot = 3;  // of the caller's scratch memory

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

// Whether an output channel of its own, which reads many, is computed by planes.
template <class T>
bool walks_planes(const ConvDirect<T>& job) {
    if (!kWalks || job.rows != 1 || job.y_stride[2] != 1) return false;
    ConvGrid g = job.source.grid;
    for (int i = 0; i < 3; ++i) {
        if (g.step[i] > 0) continue;
        g.base[i] += (g.taps[i] - 1) * g.step[i];
        g.step[i] = -g.step[i];
    }
    return walk_fits(g) && depthwise_fits<T>(g, job.rows, job.terms);
}

// The phases that are convolutions of conv_direct.h and conv_wide.h; they run together.
constexpr int kMostPhases = 16;
template <class T>
struct Phases {
    ConvDirect<T> direct[kMostPhases], wide[kMostPhases];
    // Of a stride of 1, where there is but one phase.
    ConvDirect<T> images;
    ConvWinograd<T> winograd;
    int n_direct = 0, n_wide = 0, n_images = 0, n_winograd = 0;
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
    if (walks_planes(job)) return false;
    if constexpr (kImageLanes<T>) {
        if (s.stride[0] * s.stride[1] * s.stride[2] == 1 && plan_images(job)) {
            phases.images = job;
            phases.n_images = 1;
            return true;
        }
    }
    if constexpr (kWinograd<T>) {
        if (phases.n_winograd == 0 && plan_winograd(job, phases.winograd)) {
            phases.n_winograd = 1;
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

// Bias or zero in the rows of grad_x that no tap reaches.
template <class T>
bool fill_rows(const ConvShape& s, const Phase (&phase)[3], const idx (&remainder)[3],
               const T* bias, T* grad_x) {
    ConvProduct<T> p{};
    p.images = s.images;
    p.groups = 1;
    p.rows = s.channels;
    ConvGrid& g = p.source.grid;
    g.out[0] = phase[0].count;
    g.out[1] = phase[1].count;
    g.out[2] = s.in[2];
    p.y = grad_x + (remainder[0] * s.in[1] + remainder[1]) * s.in[2];
    p.y_channel = s.in_size();
    p.y_image = s.channels * p.y_channel;
    p.y_stride[0] = s.stride[0] * s.in[1] * s.in[2];
    p.y_stride[1] = s.stride[1] * s.in[2];
    p.y_stride[2] = 1;
    p.bias = bias;
    return conv_product(p);
}

// With a stride of 2 along the rows: whether the second phase of a row is written together with the
// first one, which is the job `even`, if it has sums of its own as the job after that.
template <class T>
bool joins(const ConvShape& s, const Phase (&phase)[3], int even, Phases<T>& phases) {
    if (s.stride[2] != 2 || s.in[2] % 2 != 0 || even < 0 || even >= phases.n_direct) return false;
    if (phase[2].taps == 0) {
        phases.direct[even].between = Between::kZero;
        return true;
    }
    if (phases.n_direct != even + 2) return false;
    phases.direct[even].between = Between::kNext;
    phases.direct[even + 1].between = Between::kLast;
    return true;
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
    if constexpr (kWinograd<T>) {
        ConvHalving<T> halving;
        if (plan_halving(direct, halving))
            return conv_halving(halving) ? Status::kOk : Status::kNoMemory;
        ConvWinograd<T> winograd;
        if (plan_winograd(direct, winograd))
            return conv_winograd(winograd) ? Status::kOk : Status::kNoMemory;
    }
    const bool walks = walks_planes(direct);
    if (!walks && plan_wide(direct))
        return conv_wide_or_tall(&direct, 1) ? Status::kOk : Status::kNoMemory;
    if (!walks && plan_direct(direct))
        return conv_direct(&direct, 1) ? Status::kOk : Status::kNoMemory;
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
            if (phase[0].taps * phase[1].taps == 0) {
                if (!fill_rows(s, phase, r, bias.data, grad_x.data)) return Status::kNoMemory;
                continue;
            }
            const int even = phases.n_direct;
            for (r[2] = 0; r[2] < remainders[2]; ++r[2]) {
                phase[2] = phase_of(s, 2, r[2]);
                const bool added = add_phase(s, phase, r, grad_y.data, weight.data, bias.data,
                                             grad_x.data, phases);
                const bool joined = r[2] == 1 && joins(s, phase, even, phases);
                if (!added && !joined &&
                    !input_phase(s, phase, r, grad_y.data, weight.data, bias.data, grad_x.data))
                    return Status::kNoMemory;
            }
        }
    }
    if constexpr (kImageLanes<T>) {
        if (phases.n_images > 0 && !conv_images(phases.images)) return Status::kNoMemory;
    }
    if constexpr (kWinograd<T>) {
        if (phases.n_winograd > 0 && !conv_winograd(phases.winograd)) return Status::kNoMemory;
    }
    if (!conv_wide_or_tall(phases.wide, phases.n_wide) ||
        !conv_direct(phases.direct, phases.n_direct))
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
