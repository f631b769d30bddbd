// SPDX-License-Identifier: BSD-3-Clause
// Normalisation of groups of channels: x (n, c, l), contiguous, mean and rstd (n, g) of the c / g
// channels of a group in one image, which are neighbours in memory.
//
//   y = (x - mean) (rstd weight[c]) + bias[c],   rstd = 1 / sqrt(var + eps)
//
// Backward, with a[n, c] = sum over l of grad_y, b[n, c] = sum over l of grad_y (x - mean), and
// D = (c / g) l elements to a group:
//   grad_x = rstd (weight grad_y - sum_c weight a / D - (x - mean) rstd^2 sum_c weight b / D)
//   grad_weight = sum_n b rstd,   grad_bias = sum_n a
// y, mean, rstd, grad_x `=`; grad_weight, grad_bias `=`, or `+=` with their flag; weight, bias and
// the gradients may be absent. Groups are the pieces of the parallel loops, each read a second time
// from the cache. Scratch: slot 3 of the caller, a and b.
//
// Source: Wu, He, "Group Normalization", ECCV 2018.
#include "ops/moments.h"
#include "runtime/op.h"
#include "runtime/pool.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 32768;

// (n, c, l) and the number of groups, or false where it does not divide c.
struct GroupShape {
    idx n, c, l, groups, channels;
    idx pieces;  // groups to a piece of a parallel loop

    bool read(const idx* x, idx g) {
        n = x[0];
        c = x[1];
        l = x[2];
        groups = g;
        if (g < 1 || c % g != 0) return false;
        channels = c / g;
        const idx elements = channels * l;
        pieces = elements < kPiece ? kPiece / (elements + 1) + 1 : 1;
        return true;
    }
};

}  // namespace

template <class T>
Status group_norm_forward(In<T> x, In<T> weight, In<T> bias, Out<T> y, Out<T> mean, Out<T> rstd,
                          double eps) {
    GroupShape s{};
    if (!s.read(x.shape, mean.shape[1])) return Status::kBadValue;
    const idx elements = s.channels * s.l;
    const ChannelChunks at(1, 1, elements);
    parallel_for(mean.size, s.pieces, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const T* from = x.data + u * elements;
            const Moments m = channel_moments(from, at, 0, 0, at.count);
            const T centre = static_cast<T>(m.mean);
            const T scale = static_cast<T>(reciprocal_std(m, eps));
            mean.data[u] = centre;
            rstd.data[u] = scale;
            const idx first = u % s.groups * s.channels;
            const Vec<T> middle = broadcast(centre);
            for (idx k = 0; k < s.channels; ++k) {
                const Vec<T> w =
                    broadcast(weight.data == nullptr ? scale : scale * weight.data[first + k]);
                const Vec<T> b = broadcast(bias.data == nullptr ? T(0) : bias.data[first + k]);
                map1<T>(from + k * s.l, y.data + u * elements + k * s.l, s.l,
                        [&](Vec<T> v) { return fma(v - middle, w, b); });
            }
        }
    });
    return Status::kOk;
}

template <class T>
Status group_norm_backward(In<T> x, In<T> weight, In<T> mean, In<T> rstd, In<T> grad_y,
                           Out<T> grad_x, InOut<T> grad_weight, InOut<T> grad_bias,
                           bool accumulate_weight, bool accumulate_bias) {
    GroupShape s{};
    if (!s.read(x.shape, mean.shape[1])) return Status::kBadValue;
    const idx rows = x.size == 0 ? 0 : s.n * s.c;
    double* a = static_cast<double*>(
        pool_scratch(static_cast<std::size_t>(rows * 2 + 1) * sizeof(double), 3));
    if (a == nullptr) return Status::kNoMemory;
    double* b = a + rows;
    const ChannelChunks at(1, 1, s.l);
    const double count = static_cast<double>(s.channels) * static_cast<double>(s.l);
    parallel_for(rows == 0 ? 0 : mean.size, s.pieces, [&](idx begin, idx end) {
        for (idx u = begin; u < end; ++u) {
            const T centre = mean.data[u];
            const double r = static_cast<double>(rstd.data[u]);
            const idx first = u % s.groups * s.channels;
            const auto weight_of = [&](idx k) {
                return weight.data == nullptr ? 1.0 : static_cast<double>(weight.data[first + k]);
            };
            PairwiseSum<TwoSums> total;
            for (idx k = 0; k < s.channels; ++k) {
                const idx row = u * s.channels + k;
                const T* p = x.data + row * s.l;
                const T* q = grad_y.data + row * s.l;
                const TwoSums sums = channel_products(p, q, centre, at, 0, 0, at.count);
                a[row] = sums.a;
                b[row] = sums.b * r;
                total.add({weight_of(k) * a[row], weight_of(k) * b[row]});
            }
            if (grad_x.data == nullptr) continue;
            const TwoSums sum = total.total();
            const Vec<T> middle = broadcast(centre);
            const Vec<T> slope = broadcast(static_cast<T>(-r * r * (sum.b / count)));
            const Vec<T> shift = broadcast(static_cast<T>(-r * (sum.a / count)));
            for (idx k = 0; k < s.channels; ++k) {
                const idx place = (u * s.channels + k) * s.l;
                const Vec<T> scale = broadcast(static_cast<T>(r * weight_of(k)));
                map2<T>(x.data + place, grad_y.data + place, grad_x.data + place, s.l,
                        [&](Vec<T> v, Vec<T> g) {
                            return fma(g, scale, fma(v - middle, slope, shift));
                        });
            }
        }
    });
    const auto give = [&](const InOut<T>& to, const double* rows_of, bool accumulate) {
        for (idx ch = 0; to.data != nullptr && ch < s.c; ++ch) {
            PairwiseSum<double> sum;
            for (idx i = 0; i * s.c < rows; ++i) sum.add(rows_of[i * s.c + ch]);
            const T value = static_cast<T>(sum.total());
            to.data[ch] = accumulate ? to.data[ch] + value : value;
        }
    };
    give(grad_weight, b, accumulate_weight);
    give(grad_bias, a, accumulate_bias);
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(group_norm_forward, "x(n,c,l) weight?(c) bias?(c) y(n,c,l) mean(n,g) rstd(n,g) eps",
          kPlain, group_norm_forward<float>, group_norm_forward<double>)
FASTNN_OP(group_norm_backward,
          "x(n,c,l) weight?(c) mean(n,g) rstd(n,g) grad_y(n,c,l) grad_x?(n,c,l) grad_weight?(c) "
          "grad_bias?(c) accumulate_weight accumulate_bias",
          kPlain, group_norm_backward<float>, group_norm_backward<double>)
