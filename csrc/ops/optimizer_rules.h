// SPDX-License-Identifier: BSD-3-Clause
// The family of optimisers that update every element by itself. A rule is a struct template over
// the element type: how many arrays of state (kStates), float32 cells (kCells) and options
// (kOptions) it has, a constructor that turns the numbers of a step into factors, in double,
//
//   Vec<T> rule(lanes, arrays, i, p, g)     the new p[i], from p and
//                                           g = (maximize ? -grad : grad) + weight_decay * p
//
// which also stores the states, and `before` and `after`, which change the cells of a parameter
// before and after the pass over its elements. With `decoupled` it is instead
// p = (1 - lr * weight_decay) * p before, and nothing is added to g. FASTNN_RULE makes NAME_step of
// it: over a list of parameters, in place, all lists but grads read and written, every array
// contiguous. Memory-bound: one pass over all arrays, cut into pieces across the whole list. lr and
// the cells are read when the kernel runs.
#pragma once

#include "ops/parameter_list.h"

namespace fastnn::FASTNN_ISA {

constexpr int kMaxStates = 3, kMaxCells = 3;

// What a step has for one parameter: its learning rate, the rule's options, and the cells' values.
struct RuleNumbers {
    double rate;
    const double* options;
    double cells[kMaxCells];
};

template <class T>
struct RuleArrays {
    T* p;
    const T* grad;
    T* states[kMaxStates];  // null where there is none
};

template <class T>
struct RuleDecay {
    Vec<T> sign, keep, decay;
    MaskOf<T> any;
};

template <class T>
FASTNN_SIMD_INLINE Vec<T> factor(double value) {
    return broadcast(static_cast<T>(value));
}

template <class T>
FASTNN_SIMD_INLINE Vec<T> sign_of(Vec<T> v) {
    const Vec<T> zero{}, one = broadcast(T(1));
    return select(v > zero, one, select(v < zero, -one, zero));
}

// Most rules count the steps of a parameter before the pass and change no other cell.
struct CountSteps {
    static void before(float* const* cells, const RuleNumbers&) { *cells[0] += 1.0f; }
    static void after(float* const*, const RuleNumbers&) {}
};

// What the driver needs of a rule, so that it is compiled once for all of them.
template <class T>
struct RuleEntry {
    int states, cells;
    void (*before)(float* const* cells, const RuleNumbers&);
    void (*after)(float* const* cells, const RuleNumbers&);
    void (*range)(const RuleArrays<T>&, idx begin, idx end, const RuleDecay<T>&,
                  const RuleNumbers&);
};

template <template <class> class Rule, class T>
void rule_range(const RuleArrays<T>& a, idx begin, idx end, const RuleDecay<T>& d,
                const RuleNumbers& numbers) {
    const Rule<T> rule(numbers);
    for_lanes<T>(begin, end, [=](auto lanes, idx i) {
        const Vec<T> x = d.keep * lanes.load(a.p + i);
        const Vec<T> g = d.sign * lanes.load(a.grad + i);
        // 0 * p would make an infinite p NaN.
        lanes.store(a.p + i, rule(lanes, a, i, x, select(d.any, g + d.decay * x, g)));
    });
}

template <class T>
struct RuleLists {
    const InOutList<T>* states;
    const InOutList<float>* cells;

    // The numbers of one parameter, and where its cells are.
    RuleNumbers numbers(const RuleEntry<T>& entry, idx item, double rate, const double* options,
                        float** cell) const {
        RuleNumbers n{rate, options, {}};
        for (int k = 0; k < entry.cells; ++k) {
            cell[k] = cells[k].data(item);
            n.cells[k] = static_cast<double>(*cell[k]);
        }
        return n;
    }
};

template <class T>
__attribute__((noinline)) void run_rule(const RuleEntry<T>& entry, const InOutList<T>& params,
                                        const InList<T>& grads, const RuleLists<T>& lists,
                                        double rate, const double* options, double weight_decay,
                                        bool decoupled, bool maximize) {
    float* cell[kMaxCells] = {};
    for (idx item = 0; item < params.count; ++item) {
        const RuleNumbers n = lists.numbers(entry, item, rate, options, cell);
        entry.before(cell, n);
    }
    const bool added = weight_decay != 0.0 && !decoupled;
    const RuleDecay<T> decay{broadcast(maximize ? T(-1) : T(1)),
                             factor<T>(decoupled ? 1.0 - rate * weight_decay : 1.0),
                             factor<T>(weight_decay), factor<T>(added ? 1.0 : 0.0) > Vec<T>{}};
    for_parameters(params, [&](idx item, idx begin, idx end) {
        float* mine[kMaxCells] = {};
        RuleArrays<T> a{params.data(item), grads.data(item), {}};
        for (int k = 0; k < entry.states; ++k)
            a.states[k] = lists.states[k].count != 0 ? lists.states[k].data(item) : nullptr;
        entry.range(a, begin, end, decay, lists.numbers(entry, item, rate, options, mine));
    });
    for (idx item = 0; item < params.count; ++item) {
        const RuleNumbers n = lists.numbers(entry, item, rate, options, cell);
        entry.after(cell, n);
    }
}

// The kernel of a rule: its lists, cells and options are as many arguments.
template <template <class> class Rule, class T, class S, class C, class O>
struct RuleKernel;
template <template <class> class Rule, class T, std::size_t... kS, std::size_t... kC,
          std::size_t... kO>
struct RuleKernel<Rule, T, Indices<kS...>, Indices<kC...>, Indices<kO...>> {
    template <std::size_t>
    using States = InOutList<T>;
    template <std::size_t>
    using Cells = InOutList<float>;
    template <std::size_t>
    using Option = double;

    static void step(InOutList<T> params, InList<T> grads, States<kS>... states, Cells<kC>... cells,
                     In<double> lr, Option<kO>... options, double weight_decay, bool decoupled,
                     bool maximize) {
        static constexpr RuleEntry<T> kEntry{Rule<T>::kStates, Rule<T>::kCells, &Rule<T>::before,
                                             &Rule<T>::after, &rule_range<Rule, T>};
        const double given[] = {options...};
        const InOutList<T> lists[] = {states...};
        const InOutList<float> cell_lists[] = {cells..., InOutList<float>{nullptr, 0}};
        run_rule(kEntry, params, grads, RuleLists<T>{lists, cell_lists}, lr.data[0], given,
                 weight_decay, decoupled, maximize);
    }
};

template <template <class> class Rule, class T>
inline constexpr auto rule_step = &RuleKernel<Rule, T, typename MakeIndices<Rule<T>::kStates>::type,
                                              typename MakeIndices<Rule<T>::kCells>::type,
                                              typename MakeIndices<Rule<T>::kOptions>::type>::step;

}  // namespace fastnn::FASTNN_ISA

// NAME_step of a rule: the names of its states and cells, then of its options.
#define FASTNN_RULE(NAME, RULE, MEMORY, OPTIONS)                                                 \
    FASTNN_OP(NAME##_step,                                                                       \
              "params[n] grads[n] " MEMORY " lr(1) " OPTIONS " weight_decay decoupled maximize", \
              kPlain, (rule_step<RULE, float>), (rule_step<RULE, double>))
