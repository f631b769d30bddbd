// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation of x (n, c, l), contiguous, over n and l.
//
//   y = (x - mean) (rstd weight) + bias,   rstd = 1 / sqrt(var + eps)
//
// batch_norm_train takes mean and variance from x and moves the running statistics r towards them:
// r = (1 - momentum) r + momentum s, the variance with the divisor n l - 1. batch_norm_infer is
// given them. y, mean and rstd are `=`, the running statistics are updated; all but x, y, mean and
// rstd may be absent. With no elements mean and variance are 0 and nothing is updated.
//
// Traffic: x from memory once and y to it once, if a channel fits into the second-level cache: what
// is read for the statistics is there still when y is written (ops/moments.h), past the caches
// where it is large (simd/streaming.h). Rows of at most 16
// elements, as in (n, c), take columns as lanes instead (ops/moment_columns.h).
//
// Source: Ioffe, Szegedy, "Batch Normalization", ICML 2015.
#include <algorithm>

#include "ops/moment_columns.h"
#include "runtime/op.h"
#include "simd/streaming.h"

namespace fastnn::FASTNN_ISA {

namespace {

// y = (x - centre) * scale + shift.
template <class T>
struct ChannelMap {
    T centre, scale, shift;
};

template <class T>
void map_channel(const T* x, T* y, const ChannelChunks& at, idx ch, idx begin, idx end,
                 const ChannelMap<T>& f) {
    const Vec<T> centre = broadcast(f.centre);
    const Vec<T> scale = broadcast(f.scale);
    const Vec<T> shift = broadcast(f.shift);
    const Stores<T> out(at.n * at.c * at.l);
    for (idx k = begin; k < end; ++k) {
        at.runs(ch, k, [&](idx offset, idx length) {
            out.write(y + offset, length, [&](idx i, auto span) {
                return fma(load_span(x + offset + i, span) - centre, scale, shift);
            });
        });
    }
}

// The same for a block of columns, each with its own map.
template <class T>
void map_columns(const T* x, T* y, const ColumnBlock& at, const T* centre, const T* scale,
                 const T* shift) {
    for_tiles<T>(at.columns, [&](idx j, auto tile, auto span) {
        constexpr int vecs = decltype(tile)::kCount;
        constexpr int lanes = kLanes<T>;
        Vec<T> m[vecs], s[vecs], b[vecs];
        for (int v = 0; v < vecs; ++v) {
            m[v] = load_span(centre + j + v * lanes, span);
            s[v] = load_span(scale + j + v * lanes, span);
            b[v] = load_span(shift + j + v * lanes, span);
        }
        // Locals: what a closure refers to would be read again after every store.
        const idx stride = at.stride;
        const T* from = x + at.first + j;
        T* to = y + at.first + j;
        for (idx i = at.n; i > 0; --i, from += stride, to += stride) {
            for (int v = 0; v < vecs; ++v) {
                const Vec<T> value = load_span(from + v * lanes, span);
                store_span(to + v * lanes, fma(value - m[v], s[v], b[v]), span);
            }
        }
    });
}

template <class T>
struct ColumnMaps {
    T centre[kBlockColumns], scale[kBlockColumns], shift[kBlockColumns];
    void set(idx ch, idx l, const ChannelMap<T>& f) {
        for (idx j = ch * l; j < (ch + 1) * l; ++j) {
            centre[j] = f.centre;
            scale[j] = f.scale;
            shift[j] = f.shift;
        }
    }
};

// Where a channel is a column: as `finish` of batch_norm_train, in loops that become vectors.
template <class T>
void finish_columns(const T* base, const T* means, const T* m2, idx n, double eps, const T* weight,
                    const T* bias, idx count, double* centre, T* rstd, ColumnMaps<T>& maps) {
    const double rows = static_cast<double>(n);
    for (idx j = 0; j < count; ++j)
        centre[j] = static_cast<double>(base[j]) + static_cast<double>(means[j]);
    for (idx j = 0; j < count; ++j)
        rstd[j] = static_cast<T>(1.0 / __builtin_sqrt(static_cast<double>(m2[j]) / rows + eps));
    for (idx j = 0; j < count; ++j) maps.centre[j] = static_cast<T>(centre[j]);
    for (idx j = 0; j < count; ++j)
        maps.scale[j] = weight == nullptr ? rstd[j] : rstd[j] * weight[j];
    for (idx j = 0; j < count; ++j) maps.shift[j] = bias == nullptr ? T(0) : bias[j];
}

template <class T>
inline void move_towards(T& running, double momentum, double value) {
    running = static_cast<T>((1.0 - momentum) * static_cast<double>(running) + momentum * value);
}

}  // namespace

template <class T>
void batch_norm_train(In<T> x, In<T> weight, In<T> bias, Out<T> y, Out<T> mean, Out<T> rstd,
                      InOut<T> running_mean, InOut<T> running_var, double momentum, double eps) {
    const ChannelChunks at(x.shape[0], x.shape[1], x.shape[2]);
    // Moments of a channel into the outputs.
    const auto finish = [&](idx ch, const Moments& m) {
        const double r = reciprocal_std(m, eps);
        mean.data[ch] = static_cast<T>(m.mean);
        rstd.data[ch] = static_cast<T>(r);
        if (running_mean.data != nullptr && m.count > 0)
            move_towards(running_mean.data[ch], momentum, m.mean);
        if (running_var.data != nullptr && m.count > 0)
            move_towards(running_var.data[ch], momentum, m.m2 / (m.count - 1));
        const T w = weight.data == nullptr ? T(1) : weight.data[ch];
        const T b = bias.data == nullptr ? T(0) : bias.data[ch];
        return ChannelMap<T>{mean.data[ch], rstd.data[ch] * w, b};
    };
    if (x.size == 0) {
        for (idx ch = 0; ch < at.c; ++ch) finish(ch, Moments(0));
        return;
    }
    if (at.l <= kShortRow) {
        for_column_blocks(at.n, at.c, at.l, [&](const ColumnBlock& block, idx first, idx channels) {
            T base[kBlockColumns], means[kBlockColumns], m2[kBlockColumns];
            column_moments(x.data, block, base, means, m2);
            ColumnMaps<T> maps;
            if (at.l == 1) {
                double centre[kBlockColumns];
                T r[kBlockColumns];
                finish_columns(base, means, m2, at.n, eps,
                               weight.data == nullptr ? nullptr : weight.data + first,
                               bias.data == nullptr ? nullptr : bias.data + first, channels, centre,
                               r, maps);
                std::copy_n(maps.centre, channels, mean.data + first);
                std::copy_n(r, channels, rstd.data + first);
                for (idx j = 0; running_mean.data != nullptr && j < channels; ++j)
                    move_towards(running_mean.data[first + j], momentum, centre[j]);
                for (idx j = 0; running_var.data != nullptr && j < channels; ++j)
                    move_towards(running_var.data[first + j], momentum,
                                 static_cast<double>(m2[j]) / static_cast<double>(at.n - 1));
            }
            for (idx ch = 0; at.l > 1 && ch < channels; ++ch) {
                Moments all(0);
                for (idx j = ch * at.l; j < (ch + 1) * at.l; ++j) {
                    const double centre =
                        static_cast<double>(base[j]) + static_cast<double>(means[j]);
                    all = all +
                          Moments(centre, static_cast<double>(m2[j]), static_cast<double>(at.n));
                }
                maps.set(ch, at.l, finish(first + ch, all));
            }
            map_columns(x.data, y.data, block, maps.centre, maps.scale, maps.shift);
        });
        return;
    }
    for_channels<Moments>(
        at, [&](idx ch, idx begin, idx end) { return channel_moments(x.data, at, ch, begin, end); },
        finish,
        [&](idx ch, idx begin, idx end, const ChannelMap<T>& f) {
            map_channel(x.data, y.data, at, ch, begin, end, f);
        });
}

template <class T>
void batch_norm_infer(In<T> x, In<T> weight, In<T> bias, In<T> mean, In<T> var, Out<T> y,
                      Out<T> rstd, double eps) {
    const ChannelChunks at(x.shape[0], x.shape[1], x.shape[2]);
    for (idx ch = 0; ch < at.c; ++ch) {
        const double v = static_cast<double>(var.data[ch]);
        rstd.data[ch] = static_cast<T>(1.0 / __builtin_sqrt(v + eps));
    }
    if (x.size == 0) return;
    const auto map_of = [&](idx ch) {
        const T w = weight.data == nullptr ? T(1) : weight.data[ch];
        const T b = bias.data == nullptr ? T(0) : bias.data[ch];
        return ChannelMap<T>{mean.data[ch], rstd.data[ch] * w, b};
    };
    if (at.l <= kShortRow) {
        for_column_blocks(at.n, at.c, at.l, [&](const ColumnBlock& block, idx first, idx channels) {
            ColumnMaps<T> maps;
            for (idx ch = 0; ch < channels; ++ch) maps.set(ch, at.l, map_of(first + ch));
            map_columns(x.data, y.data, block, maps.centre, maps.scale, maps.shift);
        });
        return;
    }
    for_channels<TwoSums>(
        at, [](idx, idx, idx) { return TwoSums(0); },
        [&](idx ch, const TwoSums&) { return map_of(ch); },
        [&](idx ch, idx begin, idx end, const ChannelMap<T>& f) {
            map_channel(x.data, y.data, at, ch, begin, end, f);
        });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(batch_norm_train,
          "x(n,c,l) weight?(c) bias?(c) y(n,c,l) mean(c) rstd(c) running_mean?(c) running_var?(c) "
          "momentum eps",
          kPlain, batch_norm_train<float>, batch_norm_train<double>)
FASTNN_OP(batch_norm_infer, "x(n,c,l) weight?(c) bias?(c) mean(c) var(c) y(n,c,l) rstd(c) eps",
          kPlain, batch_norm_infer<float>, batch_norm_infer<double>)
