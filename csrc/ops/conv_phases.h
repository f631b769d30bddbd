// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a convolution's input by phases: the positions i of one remainder by the stride
// are reached by the same taps, from places of grad_y that are neighbours, so that each phase is a
// convolution of stride 1 with those taps in reverse (ops/conv.cpp).
//
// Source: Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?".
#pragma once

#include "ops/conv_shape.h"
#include "runtime/parallel.h"
#include "simd/gemm_tile.h"

namespace fastnn::FASTNN_ISA {

inline constexpr idx kPackPiece = 65536;  // weights that a piece of the loop rearranges

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

}  // namespace fastnn::FASTNN_ISA
