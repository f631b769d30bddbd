// SPDX-License-Identifier: BSD-3-Clause
// One layer of the simple recurrent network in one direction over a whole sequence: x (t, b, i),
// states (t, b, h).
//
//   h_t = f(x_t w_ih^T + b_ih + h_{t-1} w_hh^T + b_hh),   f: tanh or ReLU (-0 and NaN stay)
//
// The products with the input are written to where the states will be. rnn_backward leaves the
// gradient of the sums, `=`. Lengths, `states` and grad_h as in lstm.cpp; blocking and bits:
// ops/recurrent.h.
//
// Source: Elman 1990, "Finding structure in time".
#include "ops/recurrent.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

template <class T>
struct RnnForward {
    idx batch, hidden;
    Order order;
    Lengths lengths;
    Panels<T> panels;
    bool relu;
    const T* h0;
    const T* packed;
    T* states;

    void operator()(idx s, idx row0, idx row1, idx panel0, idx panel1) const {
        const idx t = order.time(s);
        const T* h_before = s == 0 ? h0 : states + order.time(s - 1) * batch * hidden;
        const auto wanted = [&](idx first, idx last) { return lengths.any(first, last, t); };
        for_tiles(row0, row1, panel0, panel1, one_matrix(h_before, hidden, hidden), packed, panels,
                  wanted, [&](const SumTile<T>& tile) {
                      for_tile_vectors(tile, [&](idx row, idx unit, const T* sum, auto span) {
                          const idx in_row = row * hidden + unit;
                          T* h = states + t * batch * hidden + in_row;
                          const Vec<T> a = load_span(h, span) + load(sum);
                          const Vec<T> zero{};
                          if (!lengths.active(row, t)) {
                              store_span(h, load_span(h_before + in_row, span), span);
                          } else if (relu) {
                              store_span(h, select(a < zero, zero, a), span);
                          } else {
                              store_span(h, Vec<T>(tanh(a)), span);
                          }
                      });
                  });
    }
};

template <class T>
Status rnn_forward(In<T> x, In<T> h0, In<T> w_ih, In<T> w_hh, In<T> b_ih, In<T> b_hh,
                   In<std::int64_t> lengths, Out<T> y, Out<T> states, Out<T> hn, Out<T> workspace,
                   bool reverse, bool relu) {
    const idx steps = x.shape[0];
    const idx batch = x.shape[1];
    const idx hidden = h0.shape[1];
    const Lengths active{lengths.data};
    if ((lengths.data == nullptr) != (states.data == nullptr) && y.size > 0)
        return Status::kBadValue;
    if (batch == 0 || hidden == 0) return Status::kOk;
    const Panels<T> panels(hidden);
    if (workspace.size < panels.packed(hidden)) return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    T* const all = lengths.data != nullptr ? states.data : y.data;
    if (!input_products(x.data, w_ih.data, b_ih.data, b_hh.data, all, steps * batch, hidden,
                        x.shape[2]))
        return Status::kNoMemory;
    pack_panels(w_hh.data, hidden, panels, true, 1, workspace.data);
    const RnnForward<T> step{batch, hidden,  {steps, reverse}, active, panels,
                             relu,  h0.data, workspace.data,   all};
    const double work = static_cast<double>(batch) * static_cast<double>(hidden * hidden);
    run_steps(steps, batch, panels.count, work, false, step);
    const T* last = steps == 0 ? h0.data : all + step.order.time(steps - 1) * batch * hidden;
    copy_block(last, batch * hidden, hn.data);
    if (lengths.data != nullptr) mask_outputs(all, active, steps, batch, hidden, y.data);
    return Status::kOk;
}

template <class T>
struct RnnBackward {
    idx batch, hidden;
    Order order;
    Lengths lengths;
    Panels<T> panels;
    bool relu;
    const T* packed;
    const T* states;
    const T* grad_y;
    T* grad_h;
    T* grad_sums;

    // Step s of steps + 1: the last only adds the share of the first sums to grad_h.
    void operator()(idx s, idx row0, idx row1, idx panel0, idx panel1) const {
        const idx steps = order.steps;
        const idx t = s == steps ? 0 : order.time(steps - 1 - s);
        const T* after = grad_sums + (s == 0 ? 0 : order.time(steps - s) * batch * hidden);
        const auto wanted = [&](idx, idx) { return s > 0; };
        for_tiles(row0, row1, panel0, panel1, one_matrix(after, hidden, hidden), packed, panels,
                  wanted, [&](const SumTile<T>& tile) {
                      for_tile_vectors(tile, [&](idx row, idx unit, const T* sum, auto span) {
                          const idx in_row = row * hidden + unit;
                          const idx at = t * batch * hidden + in_row;
                          const Vec<T> zero{};
                          Vec<T> dh = load_span(grad_h + in_row, span) + load(sum);
                          const bool active = s < steps && lengths.active(row, t);
                          store_span(grad_h + in_row, active ? zero : dh, span);
                          if (s == steps) return;
                          if (active) {
                              const Vec<T> h = load_span(states + at, span);
                              dh += load_span(grad_y + at, span);
                              dh = relu ? select(h <= zero, zero, dh)
                                        : Vec<T>(dh * (broadcast(T(1)) - h * h));
                          }
                          store_span(grad_sums + at, active ? dh : zero, span);
                      });
                  });
    }
};

template <class T>
Status rnn_backward(In<T> w_hh, In<std::int64_t> lengths, In<T> states, In<T> grad_y,
                    InOut<T> grad_h, Out<T> grad_sums, Out<T> workspace, bool reverse, bool relu) {
    const idx steps = states.shape[0];
    const idx batch = states.shape[1];
    const idx hidden = states.shape[2];
    const Lengths active{lengths.data};
    if (batch == 0 || hidden == 0 || steps == 0) return Status::kOk;
    const Panels<T> panels(hidden);
    if (workspace.size < panels.packed(hidden)) return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    pack_panels(w_hh.data, hidden, panels, false, 1, workspace.data);
    const RnnBackward<T> step{batch,       hidden,      {steps, reverse}, active,
                              panels,      relu,        workspace.data,   states.data,
                              grad_y.data, grad_h.data, grad_sums.data};
    const double work = static_cast<double>(batch) * static_cast<double>(hidden * hidden);
    run_steps(steps + 1, batch, panels.count, work, false, step);
    return Status::kOk;
}

#if defined(FASTNN_SHARED_KERNELS)  // for all objects of the level
template StepTileKernel<float> find_step_tile<float>(idx, int);
template StepTileKernel<double> find_step_tile<double>(idx, int);
#endif

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(rnn_forward,
          "x(t,b,i) h0(b,h) w_ih(h,i) w_hh(h,h) b_ih?(h) b_hh?(h) lengths?(b) y(t,b,h) "
          "states?(t,b,h) hn(b,h) workspace(w) reverse relu",
          kPlain, rnn_forward<float>, rnn_forward<double>)
FASTNN_OP(rnn_backward,
          "w_hh(h,h) lengths?(b) states(t,b,h) grad_y(t,b,h) grad_h(b,h) grad_sums(t,b,h) "
          "workspace(w) reverse relu",
          kPlain, rnn_backward<float>, rnn_backward<double>)
