// SPDX-License-Identifier: BSD-3-Clause
// One GRU layer in one direction over a whole sequence: x (t, b, i), states (t, b, h), gates
// (t, b, 3h) in the order r, z, n.
//
//   r, z = sigmoid(.) of x_t w_ih^T + b_ih + h_{t-1} w_hh^T + b_hh
//   q = h_{t-1} w_hn^T + b_hn,   n = tanh(x_t w_in^T + b_in + r q)
//   h_t = (1 - z) n + z h_{t-1}
//
// The forward pass leaves the activated gates and q. gru_backward leaves the gradients of the sums
// of r, z, q and n side by side, (t, b, 4h), `=`: the first three are what w_hh wants, the first
// two and the last what w_ih and x want. Lengths, `states` and grad_h as in lstm.cpp; blocking and
// bits: ops/recurrent.h.
//
// Source: Cho et al. 2014, with the reset gate after the product, which lets all products of a step
// be one.
#include "ops/recurrent.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

constexpr int kGruGates = 3;
constexpr int kGruGrads = 4;

template <class T>
struct GruForward {
    idx batch, hidden;
    Order order;
    Lengths lengths;
    Panels<T> panels;
    const T* h0;
    const T* b_hh;  // or null
    const T* packed;
    T* states;
    T* gates;
    T* products;

    template <class Span>
    FASTNN_SIMD_INLINE Vec<T> product(int gate, idx unit, const T* sum, Span span) const {
        return b_hh == nullptr ? load(sum)
                               : load(sum) + load_span(b_hh + gate * hidden + unit, span);
    }

    // sums: of r, z and q, sums_step apart.
    template <class Span>
    FASTNN_SIMD_INLINE void apply(idx row, idx t, idx unit, const T* h_before, const T* sums,
                                  idx sums_step, Span span) const {
        T* gate = gates + (t * batch + row) * kGruGates * hidden + unit;
        const idx at = (t * batch + row) * hidden + unit;
        const Vec<T> r = sigmoid(load_span(gate, span) + product(0, unit, sums, span));
        const Vec<T> z =
            sigmoid(load_span(gate + hidden, span) + product(1, unit, sums + sums_step, span));
        const Vec<T> q = product(2, unit, sums + 2 * sums_step, span);
        const Vec<T> n = tanh(load_span(gate + 2 * hidden, span) + r * q);
        const Vec<T> h = load_span(h_before + row * hidden + unit, span);
        store_span(gate, r, span);
        store_span(gate + hidden, z, span);
        store_span(gate + 2 * hidden, n, span);
        store_span(products + at, q, span);
        store_span(states + at, Vec<T>((broadcast(T(1)) - z) * n + z * h), span);
    }

    void operator()(idx s, idx row0, idx row1, idx panel0, idx panel1) const {
        const idx t = order.time(s);
        const T* h_before = s == 0 ? h0 : states + order.time(s - 1) * batch * hidden;
        const auto wanted = [&](idx first, idx last) { return lengths.any(first, last, t); };
        for_tiles<T, kGruGates>(
            row0, row1, panel0, panel1, one_matrix(h_before, hidden, hidden), packed, panels,
            wanted, [&](const SumTile<T>& tile) {
                for_tile_vectors(tile, [&](idx row, idx unit, const T* sums, auto span) {
                    if (lengths.active(row, t)) {
                        apply(row, t, unit, h_before, sums, kSumsStep<T>, span);
                        return;
                    }
                    const idx from = row * hidden + unit;
                    const idx at = t * batch * hidden + from;
                    store_span(states + at, load_span(h_before + from, span), span);
                    store_span(products + at, Vec<T>{}, span);
                    T* gate = gates + (t * batch + row) * kGruGates * hidden + unit;
                    for (int g = 0; g < kGruGates; ++g)
                        store_span(gate + g * hidden, Vec<T>{}, span);
                });
            });
    }
};

template <class T>
Status gru_forward(In<T> x, In<T> h0, In<T> w_ih, In<T> w_hh, In<T> b_ih, In<T> b_hh,
                   In<std::int64_t> lengths, Out<T> y, Out<T> states, Out<T> hn, Out<T> gates,
                   Out<T> products, Out<T> workspace, bool reverse) {
    const idx steps = x.shape[0];
    const idx batch = x.shape[1];
    const idx hidden = h0.shape[1];
    const idx g = w_ih.shape[0];
    const Panels<T> panels(hidden);
    const Lengths active{lengths.data};
    if (g % kGruGates != 0 || g / kGruGates != hidden) return Status::kBadValue;
    if ((lengths.data == nullptr) != (states.data == nullptr) && y.size > 0)
        return Status::kBadValue;
    if (batch == 0 || hidden == 0) return Status::kOk;
    if (workspace.size < panels.packed(g)) return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    if (!input_products<T>(x.data, w_ih.data, b_ih.data, nullptr, gates.data, steps * batch, g,
                           x.shape[2]))
        return Status::kNoMemory;
    pack_panels(w_hh.data, hidden, panels, true, kGruGates, workspace.data);
    T* const all = lengths.data != nullptr ? states.data : y.data;
    const GruForward<T> step{batch,  hidden,     {steps, reverse}, active,
                             panels, h0.data,    b_hh.data,        workspace.data,
                             all,    gates.data, products.data};
    const double work = static_cast<double>(batch) * static_cast<double>(g * hidden);
    run_steps(steps, batch, panels.count, work, false, step);
    const T* last = steps == 0 ? h0.data : all + step.order.time(steps - 1) * batch * hidden;
    copy_block(last, batch * hidden, hn.data);
    if (lengths.data != nullptr) mask_outputs(all, active, steps, batch, hidden, y.data);
    return Status::kOk;
}

template <class T>
struct GruBackward {
    idx batch, hidden;
    Order order;
    Lengths lengths;
    Panels<T> panels;
    const T* packed;
    const T* h0;
    const T* states;
    const T* gates;
    const T* products;
    const T* grad_y;
    T* grad_h;
    T* grad_gates;

    template <class Span>
    FASTNN_SIMD_INLINE void apply(idx row, idx t, idx unit, const T* h_before, Vec<T> dh,
                                  Span span) const {
        const Vec<T> one = broadcast(T(1));
        const idx at = (t * batch + row) * hidden + unit;
        const idx in_row = row * hidden + unit;
        const T* gate = gates + (t * batch + row) * kGruGates * hidden + unit;
        T* grad = grad_gates + (t * batch + row) * kGruGrads * hidden + unit;
        const Vec<T> r = load_span(gate, span);
        const Vec<T> z = load_span(gate + hidden, span);
        const Vec<T> n = load_span(gate + 2 * hidden, span);
        dh += load_span(grad_y + at, span);
        const Vec<T> dn = dh * (one - z) * (one - n * n);
        const Vec<T> dz = dh * (load_span(h_before + in_row, span) - n) * (z * (one - z));
        store_span(grad, Vec<T>(dn * load_span(products + at, span) * (r * (one - r))), span);
        store_span(grad + hidden, dz, span);
        store_span(grad + 2 * hidden, Vec<T>(dn * r), span);
        store_span(grad + 3 * hidden, dn, span);
        store_span(grad_h + in_row, Vec<T>(dh * z), span);
    }

    // Step s of steps + 1: the last only adds the share of the first gates to grad_h.
    void operator()(idx s, idx row0, idx row1, idx panel0, idx panel1) const {
        const idx steps = order.steps;
        const idx t = s == steps ? 0 : order.time(steps - 1 - s);
        const T* after =
            grad_gates + (s == 0 ? 0 : order.time(steps - s) * batch * kGruGrads * hidden);
        const T* h_before =
            s + 1 >= steps ? h0 : states + order.time(steps - 2 - s) * batch * hidden;
        const auto wanted = [&](idx, idx) { return s > 0; };
        for_tiles(row0, row1, panel0, panel1,
                  one_matrix(after, kGruGrads * hidden, kGruGates * hidden), packed, panels, wanted,
                  [&](const SumTile<T>& tile) {
                      for_tile_vectors(tile, [&](idx row, idx unit, const T* sum, auto span) {
                          T* carried = grad_h + row * hidden + unit;
                          const Vec<T> dh = load_span(carried, span) + load(sum);
                          if (s < steps && lengths.active(row, t)) {
                              apply(row, t, unit, h_before, dh, span);
                              return;
                          }
                          store_span(carried, dh, span);
                          T* grad = grad_gates + (t * batch + row) * kGruGrads * hidden + unit;
                          for (int g = 0; s < steps && g < kGruGrads; ++g)
                              store_span(grad + g * hidden, Vec<T>{}, span);
                      });
                  });
    }
};

template <class T>
Status gru_backward(In<T> w_hh, In<T> h0, In<std::int64_t> lengths, In<T> states, In<T> gates,
                    In<T> products, In<T> grad_y, InOut<T> grad_h, Out<T> grad_gates,
                    Out<T> workspace, bool reverse) {
    const idx steps = states.shape[0];
    const idx batch = states.shape[1];
    const idx hidden = states.shape[2];
    const idx g = w_hh.shape[0];
    const Lengths active{lengths.data};
    if (g % kGruGates != 0 || g / kGruGates != hidden) return Status::kBadValue;
    if (grad_gates.shape[2] % kGruGrads != 0 || grad_gates.shape[2] / kGruGrads != hidden)
        return Status::kBadValue;
    if (batch == 0 || hidden == 0 || steps == 0) return Status::kOk;
    const Panels<T> panels(hidden);
    if (workspace.size < panels.packed(g)) return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    pack_panels(w_hh.data, g, panels, false, 1, workspace.data);
    const GruBackward<T> step{batch,          hidden,         {steps, reverse}, active,
                              panels,         workspace.data, h0.data,          states.data,
                              gates.data,     products.data,  grad_y.data,      grad_h.data,
                              grad_gates.data};
    const double work = static_cast<double>(batch) * static_cast<double>(g * hidden);
    run_steps(steps + 1, batch, panels.count, work, false, step);
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(gru_forward,
          "x(t,b,i) h0(b,h) w_ih(g,i) w_hh(g,h) b_ih?(g) b_hh?(g) lengths?(b) y(t,b,h) "
          "states?(t,b,h) hn(b,h) gates(t,b,g) products(t,b,h) workspace(w) reverse",
          kPlain, gru_forward<float>, gru_forward<double>)
FASTNN_OP(gru_backward,
          "w_hh(g,h) h0(b,h) lengths?(b) states(t,b,h) gates(t,b,g) products(t,b,h) grad_y(t,b,h) "
          "grad_h(b,h) grad_gates(t,b,k) workspace(w) reverse",
          kPlain, gru_backward<float>, gru_backward<double>)
