// SPDX-License-Identifier: BSD-3-Clause
// Norms and clipping of the gradients of a list of parameters as if they were one vector;
// contiguous. grad_norm reads the list once and writes norm `=`; the others scale or bound the list
// in place, clip_by_norm by a factor made of the norm in memory: nothing is read by the host.
//
//   grad_norm      norm = (sum |g|^p)^(1/p); p = inf: max |g|, -inf: min |g|, 0: the number not 0
//   clip_by_norm   g = min(1, max_norm / (norm + 1e-6)) g
//   clip_by_value  g = g < -limit ? -limit : g > limit ? limit : g
//
// Sums are taken in double in blocks of one piece, 16 accumulators each, then pairwise over the
// pieces; pieces are cut from the whole list and depend on the sizes alone. Squares of float do not
// overflow in double. Memory-bound but for a p other than 0, 1, 2 and infinity (a power each).
//
// Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
// 2013.
#include <cmath>

#include "ops/blocked_sum.h"
#include "ops/parameter_list.h"

namespace fastnn::FASTNN_ISA {

namespace {

constexpr int kSlot = 3;  // of the pool's scratch: what the pieces found
constexpr int kWays = 16;
constexpr double kInfinity = __builtin_inf();

inline double magnitude(double v) { return v < 0.0 ? -v : v; }
// NaN wins over every number.
inline double larger(double a, double b) { return (a != a || a > b) ? a : b; }
inline double smaller(double a, double b) { return (a != a || a < b) ? a : b; }

// What p makes of an element, and how two results are joined.
struct Squares {
    static constexpr double kEmpty = 0.0;
    static double term(double v) { return v * v; }
    static double join(double a, double b) { return a + b; }
};
struct Magnitudes {
    static constexpr double kEmpty = 0.0;
    static double term(double v) { return magnitude(v); }
    static double join(double a, double b) { return a + b; }
};
struct Nonzeros {
    static constexpr double kEmpty = 0.0;
    static double term(double v) { return v != 0.0 ? 1.0 : 0.0; }
    static double join(double a, double b) { return a + b; }
};
struct Powers {
    double p;
    static constexpr double kEmpty = 0.0;
    double term(double v) const { return std::pow(magnitude(v), p); }
    static double join(double a, double b) { return a + b; }
};
struct Largest {
    static constexpr double kEmpty = 0.0;
    static double term(double v) { return magnitude(v); }
    static double join(double a, double b) { return larger(a, b); }
};
struct Smallest {
    static constexpr double kEmpty = kInfinity;
    static double term(double v) { return magnitude(v); }
    static double join(double a, double b) { return smaller(a, b); }
};

template <class T, class Rule>
inline double fold_range(const T* x, idx n, const Rule& rule) {
    double found[kWays];
    for (int k = 0; k < kWays; ++k) found[k] = Rule::kEmpty;
    idx i = 0;
    for (; i + kWays <= n; i += kWays) {
        for (int k = 0; k < kWays; ++k) {
            found[k] = Rule::join(found[k], rule.term(static_cast<double>(x[i + k])));
        }
    }
    for (int k = 0; i < n; ++i, ++k) {
        found[k] = Rule::join(found[k], rule.term(static_cast<double>(x[i])));
    }
    for (int width = kWays / 2; width > 0; width /= 2) {
        for (int k = 0; k < width; ++k) found[k] = Rule::join(found[k], found[k + width]);
    }
    return found[0];
}

template <class T, class Rule>
Status fold_list(const InList<T>& grads, const Rule& rule, double& result) {
    idx total = 0;
    for (idx i = 0; i < grads.count; ++i) total += grads.size(i);
    result = Rule::kEmpty;
    const idx pieces = (total + kParameterPiece - 1) / kParameterPiece;
    if (pieces == 0) return Status::kOk;
    double* found = static_cast<double*>(
        pool_scratch(static_cast<std::size_t>(pieces) * sizeof(double), kSlot));
    if (found == nullptr) return Status::kNoMemory;
    for (idx k = 0; k < pieces; ++k) found[k] = Rule::kEmpty;
    for_parameter_pieces(grads, [&](idx piece, idx item, idx begin, idx end) {
        const double part = fold_range(grads.data(item) + begin, end - begin, rule);
        found[piece] = Rule::join(found[piece], part);
    });
    for (idx width = pieces; width > 1; width = (width + 1) / 2) {
        for (idx k = 0; k + (width + 1) / 2 < width; ++k) {
            found[k] = Rule::join(found[k], found[k + (width + 1) / 2]);
        }
    }
    result = found[0];
    return Status::kOk;
}

}  // namespace

template <class T>
Status grad_norm(InList<T> grads, Out<T> norm, double p) {
    double found = 0.0;
    Status status = Status::kOk;
    if (p == 2.0) {
        status = fold_list(grads, Squares{}, found);
        found = std::sqrt(found);
    } else if (p == 1.0) {
        status = fold_list(grads, Magnitudes{}, found);
    } else if (p == 0.0) {
        status = fold_list(grads, Nonzeros{}, found);
    } else if (p == kInfinity) {
        status = fold_list(grads, Largest{}, found);
    } else if (p == -kInfinity) {
        status = fold_list(grads, Smallest{}, found);
    } else if (p == p) {
        status = fold_list(grads, Powers{p}, found);
        found = std::pow(found, 1.0 / p);
    } else {
        return Status::kBadValue;
    }
    if (status == Status::kOk) norm.data[0] = static_cast<T>(found);
    return status;
}

template <class T>
void clip_by_norm(InOutList<T> grads, In<T> norm, double max_norm) {
    const T factor = static_cast<T>(max_norm) / (norm.data[0] + static_cast<T>(1e-6));
    if (factor >= T(1)) return;  // nothing to do; a NaN goes on, and makes everything NaN
    const Vec<T> f = broadcast(factor);
    for_parameters(grads, [&](idx item, idx begin, idx end) {
        T* g = grads.data(item);
        for_lanes<T>(begin, end,
                     [g, f](auto lanes, idx i) { lanes.store(g + i, lanes.load(g + i) * f); });
    });
}

template <class T>
Status clip_by_value(InOutList<T> grads, double limit) {
    if (!(limit >= 0.0)) return Status::kBadValue;
    const Vec<T> high = broadcast(static_cast<T>(limit));
    const Vec<T> low = -high;
    for_parameters(grads, [&](idx item, idx begin, idx end) {
        T* g = grads.data(item);
        for_lanes<T>(begin, end, [g, low, high](auto lanes, idx i) {
            const Vec<T> v = lanes.load(g + i);
            lanes.store(g + i, select(v < low, low, select(v > high, high, v)));
        });
    });
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(grad_norm, "grads[n] norm(1) p", kPlain, grad_norm<float>, grad_norm<double>)
FASTNN_OP(clip_by_norm, "grads[n] norm(1) max_norm", kPlain, clip_by_norm<float>,
          clip_by_norm<double>)
FASTNN_OP(clip_by_value, "grads[n] limit", kPlain, clip_by_value<float>, clip_by_value<double>)
