// SPDX-License-Identifier: BSD-3-Clause
// Adagrad, Adadelta, RMSprop, NAdam, RAdam, Adamax, Rprop, ASGD and Lion as rules of
// ops/optimizer_rules.h. Multiplications and additions are rounded one by one; divisions by what
// does not differ between elements are multiplications. The first cell counts the steps t. The
// formulas, and where they come from: python/fastnn/ops/_optimizer_rules.py.
#include "ops/optimizer_rules.h"

#include <cmath>

namespace fastnn::FASTNN_ISA {

template <class T>
struct Adagrad : CountSteps {
    static constexpr int kStates = 1, kCells = 1, kOptions = 2;
    Vec<T> rate, eps;
    explicit Adagrad(const RuleNumbers& n)
        : rate(factor<T>(n.rate / (1.0 + (n.cells[0] - 1.0) * n.options[0]))),
          eps(factor<T>(n.options[1])) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        const Vec<T> sum = lanes.load(a.states[0] + i) + g * g;
        lanes.store(a.states[0] + i, sum);
        return x - rate * g / (sqrt(sum) + eps);
    }
};

template <class T>
struct Adadelta : CountSteps {
    static constexpr int kStates = 2, kCells = 1, kOptions = 2;
    Vec<T> rate, rho, fresh, eps;
    explicit Adadelta(const RuleNumbers& n)
        : rate(factor<T>(n.rate)),
          rho(factor<T>(n.options[0])),
          fresh(factor<T>(1.0 - n.options[0])),
          eps(factor<T>(n.options[1])) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        const Vec<T> square = rho * lanes.load(a.states[0] + i) + fresh * g * g;
        lanes.store(a.states[0] + i, square);
        const Vec<T> old = lanes.load(a.states[1] + i);
        const Vec<T> delta = sqrt(old + eps) / sqrt(square + eps) * g;
        lanes.store(a.states[1] + i, rho * old + fresh * delta * delta);
        return x - rate * delta;
    }
};

template <class T>
struct RMSprop : CountSteps {
    static constexpr int kStates = 3, kCells = 1, kOptions = 3;
    Vec<T> rate, alpha, fresh, eps, momentum;
    explicit RMSprop(const RuleNumbers& n)
        : rate(factor<T>(n.rate)),
          alpha(factor<T>(n.options[0])),
          fresh(factor<T>(1.0 - n.options[0])),
          eps(factor<T>(n.options[1])),
          momentum(factor<T>(n.options[2])) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        Vec<T> square = alpha * lanes.load(a.states[0] + i) + fresh * g * g;
        lanes.store(a.states[0] + i, square);
        if (a.states[1] != nullptr) {
            const Vec<T> old = lanes.load(a.states[1] + i);
            const Vec<T> mean = old + fresh * (g - old);
            lanes.store(a.states[1] + i, mean);
            square = square - mean * mean;
        }
        const Vec<T> root = sqrt(square) + eps;
        if (a.states[2] == nullptr) return x - rate * g / root;
        const Vec<T> step = momentum * lanes.load(a.states[2] + i) + g / root;
        lanes.store(a.states[2] + i, step);
        return x - rate * step;
    }
};

// The two running means of Adam and its relatives: states[0] of g, states[1] of g^2.
template <class T>
struct Means {
    Vec<T> new_m, old_v, new_v, eps;
    explicit Means(const RuleNumbers& n)
        : new_m(factor<T>(1.0 - n.options[0])),
          old_v(factor<T>(n.options[1])),
          new_v(factor<T>(1.0 - n.options[1])),
          eps(factor<T>(n.options[2])) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> mean(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> g) const {
        const Vec<T> old = lanes.load(a.states[0] + i);
        const Vec<T> mean = old + new_m * (g - old);
        lanes.store(a.states[0] + i, mean);
        return mean;
    }
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> square(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> g) const {
        const Vec<T> square = old_v * lanes.load(a.states[1] + i) + new_v * g * g;
        lanes.store(a.states[1] + i, square);
        return square;
    }
};

// The share of the momentum in step t: beta1 (1 - 0.96^(t momentum_decay) / 2).
inline double nadam_share(const RuleNumbers& n, double t) {
    return n.options[0] * (1.0 - 0.5 * std::pow(0.96, t * n.options[3]));
}

template <class T>
struct NAdam : Means<T> {
    static constexpr int kStates = 2, kCells = 2, kOptions = 4;
    Vec<T> root_scale, grad_step, mean_step;
    static void before(float* const* cells, const RuleNumbers& n) {
        *cells[0] += 1.0f;
        *cells[1] *= static_cast<float>(nadam_share(n, static_cast<double>(*cells[0])));
    }
    static void after(float* const*, const RuleNumbers&) {}
    explicit NAdam(const RuleNumbers& n) : Means<T>(n) {
        const double t = n.cells[0], product = n.cells[1];
        const double next = nadam_share(n, t + 1.0);
        root_scale = factor<T>(1.0 / __builtin_sqrt(1.0 - std::pow(n.options[1], t)));
        grad_step = factor<T>(n.rate * (1.0 - nadam_share(n, t)) / (1.0 - product));
        mean_step = factor<T>(n.rate * next / (1.0 - product * next));
    }
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        const Vec<T> m = this->mean(lanes, a, i, g), v = this->square(lanes, a, i, g);
        return x - (grad_step * g + mean_step * m) / (sqrt(v) * root_scale + this->eps);
    }
};

template <class T>
struct RAdam : Means<T>, CountSteps {
    static constexpr int kStates = 2, kCells = 1, kOptions = 3;
    Vec<T> step;
    MaskOf<T> rectified;
    explicit RAdam(const RuleNumbers& n) : Means<T>(n) {
        const double t = n.cells[0], power = std::pow(n.options[1], t), most = 1.0 - power;
        const double longest = 2.0 / (1.0 - n.options[1]) - 1.0;
        const double length = longest - 2.0 * t * power / most;
        double rate = n.rate / (1.0 - std::pow(n.options[0], t));
        if (length > 5.0) {
            rate *= __builtin_sqrt((length - 4.0) * (length - 2.0) * longest /
                                   ((longest - 4.0) * (longest - 2.0) * length) * most);
        }
        step = factor<T>(rate);
        rectified = factor<T>(length) > factor<T>(5.0);
    }
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        const Vec<T> m = this->mean(lanes, a, i, g), v = this->square(lanes, a, i, g);
        return x - step * m / select(rectified, sqrt(v) + this->eps, broadcast(T(1)));
    }
};

template <class T>
struct Adamax : Means<T>, CountSteps {
    static constexpr int kStates = 2, kCells = 1, kOptions = 3;
    Vec<T> step;
    explicit Adamax(const RuleNumbers& n)
        : Means<T>(n), step(factor<T>(n.rate / (1.0 - std::pow(n.options[0], n.cells[0])))) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        const Vec<T> m = this->mean(lanes, a, i, g);
        const Vec<T> most = max_nan(this->old_v * lanes.load(a.states[1] + i), abs(g) + this->eps);
        lanes.store(a.states[1] + i, most);
        return x - step * m / most;
    }
};

template <class T>
struct Rprop : CountSteps {
    static constexpr int kStates = 2, kCells = 1, kOptions = 4;
    Vec<T> minus, plus, least, most;
    explicit Rprop(const RuleNumbers& n)
        : minus(factor<T>(n.options[0])),
          plus(factor<T>(n.options[1])),
          least(factor<T>(n.options[2])),
          most(factor<T>(n.options[3])) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        const Vec<T> zero{}, along = g * lanes.load(a.states[0] + i);
        const Vec<T> change =
            select(along > zero, plus, select(along < zero, minus, broadcast(T(1))));
        const Vec<T> size = min(max(lanes.load(a.states[1] + i) * change, least), most);
        lanes.store(a.states[1] + i, size);
        const Vec<T> used = select(along < zero, zero, g);
        lanes.store(a.states[0] + i, used);
        return x - sign_of<T>(used) * size;
    }
};

template <class T>
struct ASGD {
    static constexpr int kStates = 1, kCells = 3, kOptions = 3;
    Vec<T> keep, eta, mu;
    MaskOf<T> copies;
    static void before(float* const* cells, const RuleNumbers&) { *cells[0] += 1.0f; }
    // The rate and the weight of the next step.
    static void after(float* const* cells, const RuleNumbers& n) {
        const double t = static_cast<double>(*cells[0]), past = t - n.options[2];
        *cells[1] =
            static_cast<float>(n.rate / std::pow(1.0 + n.options[0] * n.rate * t, n.options[1]));
        *cells[2] = static_cast<float>(1.0 / (past > 1.0 ? past : 1.0));
    }
    explicit ASGD(const RuleNumbers& n)
        : keep(factor<T>(1.0 - n.options[0] * n.cells[1])),
          eta(factor<T>(n.cells[1])),
          mu(factor<T>(n.cells[2])),
          copies(mu == broadcast(T(1))) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        x = keep * x - eta * g;
        const Vec<T> old = lanes.load(a.states[0] + i);
        lanes.store(a.states[0] + i, select(copies, x, old + (x - old) * mu));
        return x;
    }
};

template <class T>
struct Lion {
    static constexpr int kStates = 1, kCells = 0, kOptions = 2;
    Vec<T> rate, old_m, new_m, fresh;
    static void before(float* const*, const RuleNumbers&) {}
    static void after(float* const*, const RuleNumbers&) {}
    explicit Lion(const RuleNumbers& n)
        : rate(factor<T>(n.rate)),
          old_m(factor<T>(n.options[0])),
          new_m(factor<T>(1.0 - n.options[0])),
          fresh(factor<T>(1.0 - n.options[1])) {}
    template <class Lanes>
    FASTNN_SIMD_INLINE Vec<T> operator()(Lanes lanes, const RuleArrays<T>& a, idx i, Vec<T> x,
                                         Vec<T> g) const {
        const Vec<T> old = lanes.load(a.states[0] + i);
        lanes.store(a.states[0] + i, old + fresh * (g - old));
        return x - rate * sign_of<T>(old_m * old + new_m * g);
    }
};

}  // namespace fastnn::FASTNN_ISA

FASTNN_RULE(adagrad, Adagrad, "sums[n] steps[1]", "lr_decay eps")
FASTNN_RULE(adadelta, Adadelta, "square_avgs[n] acc_deltas[n] steps[1]", "rho eps")
FASTNN_RULE(rmsprop, RMSprop, "square_avgs[n] grad_avgs?[n] momentum_buffers?[n] steps[1]",
            "alpha eps momentum")
FASTNN_RULE(nadam, NAdam, "exp_avgs[n] exp_avg_sqs[n] steps[1] mu_products[1]",
            "beta1 beta2 eps momentum_decay")
FASTNN_RULE(radam, RAdam, "exp_avgs[n] exp_avg_sqs[n] steps[1]", "beta1 beta2 eps")
FASTNN_RULE(adamax, Adamax, "exp_avgs[n] exp_infs[n] steps[1]", "beta1 beta2 eps")
FASTNN_RULE(rprop, Rprop, "prevs[n] step_sizes[n] steps[1]", "etaminus etaplus least most")
FASTNN_RULE(asgd, ASGD, "axs[n] steps[1] etas[1] mus[1]", "lambd alpha t0")
FASTNN_RULE(lion, Lion, "exp_avgs[n]", "beta1 beta2")
