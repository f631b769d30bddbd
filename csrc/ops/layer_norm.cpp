// SPDX-License-Identifier: BSD-3-Clause
// Normalisation of the rows of x (n, d), contiguous; y, mean and rstd `=`.
//
//   layer_norm:  y = (x - mean) rstd weight + bias,  rstd = 1 / sqrt(var + eps) of the row
//   rms_norm:    y = x rstd weight,                  rstd = 1 / sqrt(mean of x^2 + eps)
//
// Backward, with h = grad_y weight, u = (x - mean) rstd (mean 0 for rms_norm) and means over a row:
//   grad_x = rstd (h - mean h - u mean(h u)),   without mean h for rms_norm
//   grad_weight = sum over rows of grad_y u,    grad_bias = sum over rows of grad_y
// grad_x `=`; grad_weight, grad_bias `=`, or `+=` with their flag; each may be absent.
//
// A row stays in the first-level cache between its passes, the next one is prefetched meanwhile.
// Backward adds a row to the sums for the weights in the pass that writes its grad_x; without
// grad_x the sums are taken 4 vectors of columns at a time in registers. Sums of 64 rows are added
// up by segment of the rows, and the segments in order: the shape alone decides both. Scratch: slot
// 3 of the caller, four rows of sums to a segment. Large outputs go past the caches
// (simd/streaming.h).
//
// Sources: Ba, Kiros, Hinton, "Layer Normalization", 2016; Zhang, Sennrich, "Root Mean Square Layer
// Normalization", NeurIPS 2019.
#include "ops/moment_columns.h"
#include "runtime/op.h"
#include "runtime/pool.h"
#include "simd/streaming.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr idx kPiece = 32768;  // elements per piece of a parallel loop
constexpr idx kBlockRows = 64;
constexpr idx kSegments = 32;
constexpr idx kSumColumns = 1024;

inline idx rows_per_piece(idx d) { return d < kPiece ? kPiece / (d + 1) + 1 : 1; }

template <class T, bool kCentred>
Moments row_moments(const T* row, const ChannelChunks& at, idx ahead) {
    if constexpr (kCentred) {
        return at.count == 1 ? chunk_moments(row, at, 0, 0, ahead)
                             : channel_moments(row, at, 0, 0, at.count);
    } else {
        const T squares = blocked_sum<T, kMomentWays>(at.l, [&](idx i, auto span) {
            const Vec<T> v = load_span(row + i, span);
            return v * v;
        });
        return {0, static_cast<double>(squares), static_cast<double>(at.l)};
    }
}

template <class T, bool kWeight, bool kBias>
void map_row(const T* x, const T* weight, const T* bias, T* y, idx d, T mean, T rstd,
             const Stores<T>& out) {
    const Vec<T> m = broadcast(mean);
    const Vec<T> r = broadcast(rstd);
    out.write(y, d, [&](idx j, auto span) {
        Vec<T> v = (load_span(x + j, span) - m) * r;
        if constexpr (kWeight) v *= load_span(weight + j, span);
        if constexpr (kBias) v += load_span(bias + j, span);
        return v;
    });
}

template <class T, bool kCentred>
void forward(In<T> x, const T* weight, const T* bias, T* y, T* mean, T* rstd, double eps) {
    const idx d = x.shape[1];
    const ChannelChunks at(1, 1, d);
    parallel_for(x.shape[0], rows_per_piece(d), [&](idx begin, idx end) {
        const Stores<T> out(x.size);
        for (idx i = begin; i < end; ++i) {
            const T* row = x.data + i * d;
            const Moments m =
                d == 0 ? Moments(0) : row_moments<T, kCentred>(row, at, i + 1 < end ? d : 0);
            const T centre = static_cast<T>(m.mean);
            const T scale = static_cast<T>(reciprocal_std(m, eps));
            if constexpr (kCentred) mean[i] = centre;
            rstd[i] = scale;
            T* to = y + i * d;
            if (weight != nullptr && bias != nullptr) {
                map_row<T, true, true>(row, weight, bias, to, d, centre, scale, out);
            } else if (weight != nullptr) {
                map_row<T, true, false>(row, weight, bias, to, d, centre, scale, out);
            } else if (bias != nullptr) {
                map_row<T, false, true>(row, weight, bias, to, d, centre, scale, out);
            } else {
                map_row<T, false, false>(row, weight, bias, to, d, centre, scale, out);
            }
        }
    });
}

// grad_x of one row; with kSums grad_y u and grad_y are added to sum_w and sum_b.
template <class T, bool kCentred, bool kWeight, bool kSums>
void row_gradient(const T* x, const T* weight, const T* g, T* to, idx d, T mean, T rstd, T* sum_w,
                  T* sum_b, idx ahead, const Stores<T>& out) {
    const Vec<T> m = broadcast(mean);
    const Vec<T> r = broadcast(rstd);
    const auto scaled = [&](idx j, auto span) {
        const Vec<T> grad = load_span(g + j, span);
        if constexpr (kWeight) return grad * load_span(weight + j, span);
        return grad;
    };
    PairwiseSum<TwoSums> total;
    for (idx begin = 0; begin < d; begin += kMomentChunk) {
        Vec<T> a[kMomentWays] = {};
        Vec<T> b[kMomentWays] = {};
        for_ways<T>(d - begin < kMomentChunk ? d - begin : kMomentChunk,
                    [&](idx i, auto span, int k) {
                        const Vec<T> h = scaled(begin + i, span);
                        const Vec<T> u = (load_span(x + begin + i, span, mean) - m) * r;
                        if constexpr (kCentred) a[k] += h;
                        b[k] = fma(h, u, b[k]);
                    });
        total.add({static_cast<double>(add_ways<T>(a)), static_cast<double>(add_ways<T>(b))});
    }
    const TwoSums sums = total.total();
    const double count = static_cast<double>(d);
    // grad_x = h rstd + u slope + shift.
    const double s = static_cast<double>(rstd);
    const Vec<T> slope = broadcast(static_cast<T>(-s * (sums.b / count)));
    const Vec<T> shift = broadcast(static_cast<T>(-s * (sums.a / count)));
    out.write(to, d, [&](idx j, auto span) {
        __builtin_prefetch(x + j + ahead);
        __builtin_prefetch(g + j + ahead);
        const Vec<T> u = (load_span(x + j, span) - m) * r;
        if constexpr (kSums) {
            const Vec<T> grad = load_span(g + j, span);
            store_span(sum_w + j, fma(grad, u, load_span(sum_w + j, span)), span);
            if constexpr (kCentred) store_span(sum_b + j, load_span(sum_b + j, span) + grad, span);
        }
        return fma(scaled(j, span), r, fma(u, slope, shift));
    });
}

// sink(column, sums of grad_y u, sums of grad_y, span) for the columns [first, last), over the rows
// [begin, end), at most a block of them.
template <class T, bool kCentred, class Sink>
__attribute__((flatten)) void weight_sums(const T* x, const T* g, const T* mean, const T* rstd,
                                          idx d, idx begin, idx end, idx first, idx last,
                                          const Sink& sink) {
    for_tiles<T>(last - first, [&](idx j, auto tile, auto span) {
        constexpr int vecs = decltype(tile)::kCount;
        constexpr int lanes = kLanes<T>;
        Vec<T> a[vecs] = {};
        Vec<T> b[vecs] = {};
        for (idx i = begin; i < end; ++i) {
            const Vec<T> r = broadcast(rstd[i]);
            const Vec<T> m = kCentred ? broadcast(mean[i]) : Vec<T>{};
            const idx place = i * d + first + j;
            for (int v = 0; v < vecs; ++v) {
                const Vec<T> grad = load_span(g + place + v * lanes, span);
                Vec<T> value = load_span(x + place + v * lanes, span);
                if constexpr (kCentred) {
                    value -= m;
                    b[v] += grad;
                }
                a[v] = fma(grad, value * r, a[v]);
            }
        }
        for (int v = 0; v < vecs; ++v) sink(first + j + v * lanes, a[v], b[v], span);
    });
}

template <class T>
struct Gradients {
    T *x, *weight, *bias;
    bool add_weight, add_bias;

    bool sums() const { return weight != nullptr || bias != nullptr; }
    template <class Span>
    void give(idx j, Vec<T> w, Vec<T> b, Span span) const {
        if (weight != nullptr)
            store_span(weight + j, add_weight ? load_span(weight + j, span) + w : w, span);
        if (bias != nullptr)
            store_span(bias + j, add_bias ? load_span(bias + j, span) + b : b, span);
    }
};

// grad_x of the rows [begin, end) of x.
template <class T, bool kCentred, bool kSums>
void row_gradients(const In<T>& x, const T* weight, const T* mean, const T* rstd, const T* g, T* to,
                   idx begin, idx end, T* sum_w, T* sum_b) {
    const idx d = x.shape[1];
    const Stores<T> out(x.size);
    for (idx i = begin; i < end; ++i) {
        const T centre = kCentred ? mean[i] : T(0);
        const idx at = i * d;
        const idx ahead = i + 1 < x.shape[0] ? d : 0;
        const auto row = weight != nullptr ? row_gradient<T, kCentred, true, kSums>
                                           : row_gradient<T, kCentred, false, kSums>;
        row(x.data + at, weight, g + at, to + at, d, centre, rstd[i], sum_w, sum_b, ahead, out);
    }
}

template <class T, bool kCentred>
Status backward(In<T> x, const T* weight, const T* mean, const T* rstd, const T* g,
                const Gradients<T>& to) {
    const idx n = x.shape[0];
    const idx d = x.shape[1];
    const auto gradient = [&](idx begin, idx end) {
        if (to.x != nullptr) {
            row_gradients<T, kCentred, false>(x, weight, mean, rstd, g, to.x, begin, end, nullptr,
                                              nullptr);
        }
    };
    if (!to.sums()) {
        parallel_for(n, rows_per_piece(d), gradient);
        return Status::kOk;
    }
    if (n <= kBlockRows) {
        parallel_for(n, rows_per_piece(d), gradient);
        parallel_for(d, kSumColumns, [&](idx first, idx last) {
            weight_sums<T, kCentred>(
                x.data, g, mean, rstd, d, 0, n, first, last,
                [&](idx j, Vec<T> w, Vec<T> b, auto span) { to.give(j, w, b, span); });
        });
        return Status::kOk;
    }
    if (d == 0) return Status::kOk;
    idx rows = (n + kSegments - 1) / kSegments;
    if (rows < rows_per_piece(d)) rows = rows_per_piece(d);
    rows = (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
    const idx segments = (n + rows - 1) / rows;
    const std::size_t bytes = static_cast<std::size_t>(segments * 4 * d) * sizeof(T);
    T* partial = static_cast<T*>(pool_scratch(bytes, 3));
    if (partial == nullptr) return Status::kNoMemory;
    parallel_for(segments, 1, [&](idx s, idx) {
        T* sums = partial + s * 4 * d;  // of the segment, then of a block
        T* block_w = sums + 2 * d;
        T* block_b = block_w + d;
        const idx last = (s + 1) * rows < n ? (s + 1) * rows : n;
        for (idx i = s * rows; i < last; i += kBlockRows) {
            const idx end = i + kBlockRows < last ? i + kBlockRows : last;
            if (to.x != nullptr) {
                for (idx j = 0; j < 2 * d; ++j) block_w[j] = 0;
                row_gradients<T, kCentred, true>(x, weight, mean, rstd, g, to.x, i, end, block_w,
                                                 block_b);
            } else {
                weight_sums<T, kCentred>(x.data, g, mean, rstd, d, i, end, 0, d,
                                         [&](idx j, Vec<T> w, Vec<T> b, auto span) {
                                             store_span(block_w + j, w, span);
                                             store_span(block_b + j, b, span);
                                         });
            }
            const bool start = i == s * rows;
            for_spans<T>(2 * d, [&](idx j, auto span) {
                const Vec<T> block = load_span(block_w + j, span);
                store_span(sums + j, start ? block : load_span(sums + j, span) + block, span);
            });
        }
    });
    for_spans<T>(d, [&](idx j, auto span) {
        Vec<T> w = {};
        Vec<T> b = {};
        for (idx s = 0; s < segments; ++s) {
            w += load_span(partial + s * 4 * d + j, span);
            b += load_span(partial + (s * 4 + 1) * d + j, span);
        }
        to.give(j, w, b, span);
    });
    return Status::kOk;
}

}  // namespace

template <class T>
void layer_norm_forward(In<T> x, In<T> weight, In<T> bias, Out<T> y, Out<T> mean, Out<T> rstd,
                        double eps) {
    forward<T, true>(x, weight.data, bias.data, y.data, mean.data, rstd.data, eps);
}

template <class T>
Status layer_norm_backward(In<T> x, In<T> weight, In<T> mean, In<T> rstd, In<T> grad_y,
                           Out<T> grad_x, InOut<T> grad_weight, InOut<T> grad_bias,
                           bool accumulate_weight, bool accumulate_bias) {
    return backward<T, true>(
        x, weight.data, mean.data, rstd.data, grad_y.data,
        {grad_x.data, grad_weight.data, grad_bias.data, accumulate_weight, accumulate_bias});
}

template <class T>
void rms_norm_forward(In<T> x, In<T> weight, Out<T> y, Out<T> rstd, double eps) {
    forward<T, false>(x, weight.data, static_cast<const T*>(nullptr), y.data,
                      static_cast<T*>(nullptr), rstd.data, eps);
}

template <class T>
Status rms_norm_backward(In<T> x, In<T> weight, In<T> rstd, In<T> grad_y, Out<T> grad_x,
                         InOut<T> grad_weight, bool accumulate_weight) {
    return backward<T, false>(x, weight.data, static_cast<const T*>(nullptr), rstd.data,
                              grad_y.data,
                              {grad_x.data, grad_weight.data, nullptr, accumulate_weight, false});
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(layer_norm_forward, "x(n,d) weight?(d) bias?(d) y(n,d) mean(n) rstd(n) eps", kPlain,
          layer_norm_forward<float>, layer_norm_forward<double>)
FASTNN_OP(layer_norm_backward,
          "x(n,d) weight?(d) mean(n) rstd(n) grad_y(n,d) grad_x?(n,d) grad_weight?(d) "
          "grad_bias?(d) accumulate_weight accumulate_bias",
          kPlain, layer_norm_backward<float>, layer_norm_backward<double>)
FASTNN_OP(rms_norm_forward, "x(n,d) weight?(d) y(n,d) rstd(n) eps", kPlain, rms_norm_forward<float>,
          rms_norm_forward<double>)
FASTNN_OP(rms_norm_backward,
          "x(n,d) weight?(d) rstd(n) grad_y(n,d) grad_x?(n,d) grad_weight?(d) accumulate_weight",
          kPlain, rms_norm_backward<float>, rms_norm_backward<double>)
