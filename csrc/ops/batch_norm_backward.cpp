// SPDX-License-Identifier: BSD-3-Clause
// Gradients of batch normalisation, x and grad_y (n, c, l) contiguous, N = n l. With
// a = sum grad_y and b = sum grad_y (x - mean) of a channel:
//
//   grad_weight = b rstd,   grad_bias = a,   s = rstd weight
//   training:   grad_x = s grad_y - s a / N - (x - mean) s rstd^2 b / N
//   inference:  grad_x = s grad_y
//
// grad_x is `=`; grad_weight and grad_bias are `=`, or `+=` with their flag; each may be absent. As
// in the forward pass (ops/batch_norm.cpp) a channel is read for its sums and read again from the
// cache.
#include "ops/moment_columns.h"
#include "runtime/op.h"
#include "simd/streaming.h"

namespace fastnn::FASTNN_ISA {

namespace {

// grad_x = scale g + (x - centre) slope + shift; in inference only the first term.
template <class T>
struct GradientMap {
    T scale, centre, slope, shift;
};

template <class T>
void map_channel(const T* x, const T* g, T* to, const ChannelChunks& at, idx ch, idx begin, idx end,
                 const GradientMap<T>& f, bool training) {
    const Vec<T> scale = broadcast(f.scale);
    const Vec<T> centre = broadcast(f.centre);
    const Vec<T> slope = broadcast(f.slope);
    const Vec<T> shift = broadcast(f.shift);
    const Stores<T> out(at.n * at.c * at.l);
    for (idx k = begin; k < end; ++k) {
        at.runs(ch, k, [&](idx offset, idx length) {
            const T* p = x + offset;
            const T* q = g + offset;
            if (training) {
                out.write(to + offset, length, [&](idx i, auto span) {
                    const Vec<T> rest = fma(load_span(p + i, span) - centre, slope, shift);
                    return fma(load_span(q + i, span), scale, rest);
                });
            } else {
                out.write(to + offset, length,
                          [&](idx i, auto span) { return load_span(q + i, span) * scale; });
            }
        });
    }
}

template <class T>
struct ColumnMaps {
    T scale[kBlockColumns], slope[kBlockColumns], shift[kBlockColumns];
};

template <class T>
void map_columns(const T* x, const T* g, T* to, const ColumnBlock& at, const T* centre,
                 const ColumnMaps<T>& maps, bool training) {
    for_tiles<T>(at.columns, [&](idx j, auto tile, auto span) {
        constexpr int vecs = decltype(tile)::kCount;
        constexpr int lanes = kLanes<T>;
        Vec<T> m[vecs], s[vecs], slope[vecs], shift[vecs];
        for (int v = 0; v < vecs; ++v) {
            m[v] = load_span(centre + j + v * lanes, span);
            s[v] = load_span(maps.scale + j + v * lanes, span);
            slope[v] = load_span(maps.slope + j + v * lanes, span);
            shift[v] = load_span(maps.shift + j + v * lanes, span);
        }
        // Locals: what a closure refers to would be read again after every store.
        const idx start = at.first + j, stride = at.stride;
        const T* p = x + start;
        const T* q = g + start;
        T* out = to + start;
        if (!training) {
            for (idx i = at.n; i > 0; --i, q += stride, out += stride) {
                for (int v = 0; v < vecs; ++v)
                    store_span(out + v * lanes, load_span(q + v * lanes, span) * s[v], span);
            }
            return;
        }
        for (idx i = at.n; i > 0; --i, p += stride, q += stride, out += stride) {
            for (int v = 0; v < vecs; ++v) {
                const Vec<T> grad = load_span(q + v * lanes, span);
                const Vec<T> rest = fma(load_span(p + v * lanes, span) - m[v], slope[v], shift[v]);
                store_span(out + v * lanes, fma(grad, s[v], rest), span);
            }
        }
    });
}

template <class T>
void put_columns(const T* from, idx count, idx first, T* to, bool accumulate) {
    for (idx j = 0; to != nullptr && j < count; ++j)
        to[first + j] = accumulate ? to[first + j] + from[j] : from[j];
}

}  // namespace

template <class T>
void batch_norm_backward(In<T> x, In<T> weight, In<T> mean, In<T> rstd, In<T> grad_y, Out<T> grad_x,
                         InOut<T> grad_weight, InOut<T> grad_bias, bool training,
                         bool accumulate_weight, bool accumulate_bias) {
    const ChannelChunks at(x.shape[0], x.shape[1], x.shape[2]);
    const double count = static_cast<double>(at.n) * static_cast<double>(at.l);
    const bool sums = training || grad_weight.data != nullptr || grad_bias.data != nullptr;
    const bool map = grad_x.data != nullptr;
    const auto finish = [&](idx ch, const TwoSums& sum) {
        const double r = static_cast<double>(rstd.data[ch]);
        if (grad_weight.data != nullptr) {
            T& to = grad_weight.data[ch];
            const T value = static_cast<T>(sum.b * r);
            to = accumulate_weight ? to + value : value;
        }
        if (grad_bias.data != nullptr) {
            T& to = grad_bias.data[ch];
            const T value = static_cast<T>(sum.a);
            to = accumulate_bias ? to + value : value;
        }
        const double s = r * (weight.data == nullptr ? 1.0 : static_cast<double>(weight.data[ch]));
        return GradientMap<T>{static_cast<T>(s), mean.data[ch],
                              static_cast<T>(-s * r * r * (sum.b / count)),
                              static_cast<T>(-s * (sum.a / count))};
    };
    if (x.size == 0) {
        for (idx ch = 0; ch < at.c; ++ch) finish(ch, TwoSums(0));
        return;
    }
    if (at.l <= kShortRow) {
        for_column_blocks(at.n, at.c, at.l, [&](const ColumnBlock& block, idx first, idx channels) {
            const idx l = at.l;
            T centre[kBlockColumns], a[kBlockColumns], b[kBlockColumns];
            for (idx j = 0; j < channels * l; ++j) centre[j] = mean.data[first + j / l];
            if (sums) column_products(x.data, grad_y.data, centre, block, a, b);
            ColumnMaps<T> maps;
            if (l == 1) {
                // As `finish`, in loops that become vectors.
                T gw[kBlockColumns];
                T gb[kBlockColumns];
                for (idx j = 0; j < channels; ++j) {
                    const double r = static_cast<double>(rstd.data[first + j]);
                    const double w =
                        weight.data == nullptr ? 1.0 : static_cast<double>(weight.data[first + j]);
                    const double sum_a = sums ? 0.0 + static_cast<double>(a[j]) : 0.0;
                    const double sum_b = sums ? 0.0 + static_cast<double>(b[j]) : 0.0;
                    const double s = r * w;
                    gw[j] = static_cast<T>(sum_b * r);
                    gb[j] = static_cast<T>(sum_a);
                    maps.scale[j] = static_cast<T>(s);
                    maps.slope[j] = static_cast<T>(-s * r * r * (sum_b / count));
                    maps.shift[j] = static_cast<T>(-s * (sum_a / count));
                }
                put_columns(gw, channels, first, grad_weight.data, accumulate_weight);
                put_columns(gb, channels, first, grad_bias.data, accumulate_bias);
            }
            for (idx ch = 0; l > 1 && ch < channels; ++ch) {
                TwoSums all(0);
                for (idx j = ch * l; sums && j < (ch + 1) * l; ++j)
                    all = all + TwoSums(static_cast<double>(a[j]), static_cast<double>(b[j]));
                const GradientMap<T> f = finish(first + ch, all);
                for (idx j = ch * l; j < (ch + 1) * l; ++j) {
                    maps.scale[j] = f.scale;
                    maps.slope[j] = f.slope;
                    maps.shift[j] = f.shift;
                }
            }
            if (map) map_columns(x.data, grad_y.data, grad_x.data, block, centre, maps, training);
        });
        return;
    }
    for_channels<TwoSums>(
        at,
        [&](idx ch, idx begin, idx end) {
            if (!sums) return TwoSums(0);
            return channel_products(x.data, grad_y.data, mean.data[ch], at, ch, begin, end);
        },
        finish,
        [&](idx ch, idx begin, idx end, const GradientMap<T>& f) {
            if (map) map_channel(x.data, grad_y.data, grad_x.data, at, ch, begin, end, f, training);
        });
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(batch_norm_backward,
          "x(n,c,l) weight?(c) mean(c) rstd(c) grad_y(n,c,l) grad_x?(n,c,l) grad_weight?(c) "
          "grad_bias?(c) training accumulate_weight accumulate_bias",
          kPlain, batch_norm_backward<float>, batch_norm_backward<double>)
