// SPDX-License-Identifier: BSD-3-Clause
// One LSTM layer in one direction over a whole sequence: x (t, b, i), states (t, b, h), gates
// (t, b, 4h) in the order i, f, g, o.
//
//   i, f, o = sigmoid(.), g = tanh(.) of x_t w_ih^T + b_ih + h_{t-1} w_hh^T + b_hh
//   c_t = f c_{t-1} + i g,   h_t = o tanh(c_t)
//
// The forward pass leaves the activated gates and all c_t for the backward pass. A row past its
// length keeps its state; there y and the gates are 0 and `states` has what was kept (without
// lengths, y is `states` itself, which is then absent). lstm_backward goes through time the other
// way and leaves the gradients of x, `=`, and of the gates' sums, from which the caller gets those
// of weights and biases: grad_gates `=`, 0 past a row's length. grad_h and grad_c hold the
// gradients of the last state, and then those of the first. Blocking and bits: ops/recurrent.h.
//
// Where a step multiplies x as well, the gates that the forward pass leaves are for the backward
// pass alone, in its order: for each time and each vector of units, the rows, and of each row the
// four gates (GatePlaces). What a tile writes and reads is then contiguous, not rows of 4h elements
// of which it has a few vectors each. Both passes must run at one level, whose vectors these are.
//
// The gradient of x, if that is narrow, is made in the steps, of rows that are in the caches for
// the state's; else it is one multiplication. Its last bits follow which of the two it was, and so
// the batch's size; on the threads they do not depend.
//
// Source: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000 (the forget gate).
#include "ops/recurrent.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

constexpr int kLstmGates = 4;

constexpr idx kNarrowGradient = 4;  // times as many units as x has columns

// Where the activated gates of a time are: strides from row to row, from gate to gate and from one
// vector of units to the next.
struct GatePlaces {
    idx row, gate, vector;

    template <class T>
    idx at(idx r, idx unit) const {
        return r * row + unit / kLanes<T> * vector;
    }
};

template <class T>
GatePlaces gate_places(idx batch, idx hidden, bool joint) {
    constexpr idx lanes = kLanes<T>;
    if (!joint || hidden % lanes != 0) return {kLstmGates * hidden, hidden, lanes};
    return {kLstmGates * lanes, lanes, kLstmGates * lanes * batch};
}

template <class T>
struct LstmForward {
    idx batch, hidden;
    Order order;
    Lengths lengths;
    Panels<T> panels;
    const T* h0;
    const T* c0;
    const T* packed;
    StepMatrix<T> x;  // of no depth where the gates have its products
    const T* biases;  // null there
    T* states;
    T* cells;
    T* gates;
    GatePlaces places;

    // Three loops over the tile: of a row's loads, those of the next rows' gates would wait for
    // its stores where rows are a multiple of 4 KB apart, and the way from the gates to h is longer
    // than what a processor sees ahead.
    void finish(const SumTile<T>& tile, idx t, const T* h_before, const T* c_before) const {
        constexpr idx step = kSumsStep<T>;
        const idx gates_row = kLstmGates * hidden;
        T* const gates_now = gates + t * batch * gates_row;
        T* const cells_now = cells + t * batch * hidden;
        T* const states_now = states + t * batch * hidden;
        if (x.depth == 0) {
            for_tile_vectors(tile, [&](idx row, idx j, T* sum, auto span) {
                const T* gate = gates_now + row * gates_row + j;
#pragma GCC unroll 4
                for (int g = 0; g < kLstmGates; ++g, gate += hidden, sum += step)
                    store<T>(sum, load_span(gate, span) + load(sum));
            });
        }
        for_tile_vectors(tile, [&](idx row, idx j, T* sum, auto span) {
            T* gate = gates_now + places.at<T>(row, j);
            const idx at = row * hidden + j;
            if (!lengths.active(row, t)) {
                store_span(states_now + at, load_span(h_before + at, span), span);
                store_span(cells_now + at, load_span(c_before + at, span), span);
                for (int g = 0; g < kLstmGates; ++g, gate += places.gate)
                    store_span(gate, Vec<T>{}, span);
                return;
            }
            const Vec<T> i = sigmoid(load(sum));
            const Vec<T> f = sigmoid(load(sum + step));
            const Vec<T> g = tanh(load(sum + 2 * step));
            const Vec<T> o = sigmoid(load(sum + 3 * step));
            const Vec<T> c = f * load_span(c_before + at, span) + i * g;
            store_span(gate, i, span);
            store_span(gate + places.gate, f, span);
            store_span(gate + 2 * places.gate, g, span);
            store_span(gate + 3 * places.gate, o, span);
            store_span(cells_now + at, c, span);
            store<T>(sum, c);
            store<T>(sum + step, o);
        });
        for_tile_vectors(tile, [&](idx row, idx j, const T* sum, auto span) {
            if (!lengths.active(row, t)) return;
            store_span(states_now + row * hidden + j, Vec<T>(load(sum + step) * tanh(load(sum))),
                       span);
        });
    }

    void operator()(idx s, idx row0, idx row1, idx panel0, idx panel1) const {
        const idx t = order.time(s);
        const idx before = s == 0 ? 0 : order.time(s - 1) * batch * hidden;
        const T* h_before = s == 0 ? h0 : states + before;
        const T* c_before = s == 0 ? c0 : cells + before;
        const auto wanted = [&](idx first, idx last) { return lengths.any(first, last, t); };
        const StepMatrix<T> state{h_before, hidden, hidden};
        const StepMatrix<T> now{x.a + t * batch * x.row, x.row, x.depth};
        const StepInput<T> input = x.depth == 0 ? one_matrix(h_before, hidden, hidden)
                                                : StepInput<T>{{now, state}, biases};
        for_tiles<T, kLstmGates>(
            row0, row1, panel0, panel1, input, packed, panels, wanted,
            [&](const SumTile<T>& tile) { finish(tile, t, h_before, c_before); });
    }
};

template <class T>
Status lstm_forward(In<T> x, In<T> h0, In<T> c0, In<T> w_ih, In<T> w_hh, In<T> b_ih, In<T> b_hh,
                    In<std::int64_t> lengths, Out<T> y, Out<T> states, Out<T> hn, Out<T> cn,
                    Out<T> gates, Out<T> cells, Out<T> workspace, bool reverse) {
    const idx steps = x.shape[0];
    const idx batch = x.shape[1];
    const idx hidden = h0.shape[1];
    const idx g = w_ih.shape[0];
    const Panels<T> panels(hidden);
    const Lengths active{lengths.data};
    if (g % kLstmGates != 0 || g / kLstmGates != hidden) return Status::kBadValue;
    if ((lengths.data == nullptr) != (states.data == nullptr) && y.size > 0)
        return Status::kBadValue;
    if (batch == 0 || hidden == 0) return Status::kOk;
    const idx inputs = x.shape[2];
    const bool joint = one_product<T>(batch, g, inputs, hidden);
    const StepMatrix<T> first{x.data, inputs, joint ? inputs : 0};
    const idx depth = first.depth + hidden;
    // The weights and, with x's, the biases.
    if (workspace.size < panels.packed(kLstmGates * (depth + (joint ? 1 : 0))))
        return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    T* const biases = joint ? workspace.data + panels.packed(kLstmGates * depth) : nullptr;
    if (joint) {
        pack_panel_rows(w_ih.data, inputs, panels, true, kLstmGates, 0, depth, workspace.data);
        pack_biases(b_ih.data, b_hh.data, panels, kLstmGates, biases);
    } else if (!input_products(x.data, w_ih.data, b_ih.data, b_hh.data, gates.data, steps * batch,
                               g, inputs)) {
        return Status::kNoMemory;
    }
    pack_panel_rows(w_hh.data, hidden, panels, true, kLstmGates, first.depth, depth,
                    workspace.data);
    T* const all = lengths.data != nullptr ? states.data : y.data;
    const LstmForward<T> step{batch,
                              hidden,
                              {steps, reverse},
                              active,
                              panels,
                              h0.data,
                              c0.data,
                              workspace.data,
                              first,
                              biases,
                              all,
                              cells.data,
                              gates.data,
                              gate_places<T>(batch, hidden, joint)};
    const double work = static_cast<double>(batch) * static_cast<double>(g * depth);
    run_steps(steps, batch, panels.count, work, false, step);
    const idx last = steps == 0 ? 0 : step.order.time(steps - 1) * batch * hidden;
    copy_block(steps == 0 ? h0.data : all + last, batch * hidden, hn.data);
    copy_block(steps == 0 ? c0.data : cells.data + last, batch * hidden, cn.data);
    if (lengths.data != nullptr) mask_outputs(all, active, steps, batch, hidden, y.data);
    return Status::kOk;
}

template <class T>
struct LstmBackward {
    idx batch, hidden, inputs;
    Order order;
    Lengths lengths;
    Panels<T> panels;
    Panels<T> x_panels;
    const T* packed;
    const T* packed_x;
    const T* c0;
    const T* cells;
    const T* gates;
    GatePlaces places;
    const T* grad_y;
    idx grad_y_time, grad_y_row;  // strides
    T* grad_h;
    T* grad_c;
    T* grad_gates;
    T* grad_x;

    // The gradients of the gates' sums go to `grad`.
    template <class Span>
    FASTNN_SIMD_INLINE void apply(idx row, idx t, idx unit, const T* c_before, Vec<T> dh, T* grad,
                                  Span span) const {
        const Vec<T> one = broadcast(T(1));
        const idx at = (t * batch + row) * hidden + unit;
        const idx in_row = row * hidden + unit;
        const T* gate = gates + t * batch * kLstmGates * hidden + places.at<T>(row, unit);
        const Vec<T> i = load_span(gate, span);
        const Vec<T> f = load_span(gate + places.gate, span);
        const Vec<T> g = load_span(gate + 2 * places.gate, span);
        const Vec<T> o = load_span(gate + 3 * places.gate, span);
        const Vec<T> m = tanh(load_span(cells + at, span));
        dh += load_span(grad_y + t * grad_y_time + row * grad_y_row + unit, span);
        const Vec<T> dc = load_span(grad_c + in_row, span) + dh * o * (one - m * m);
        store_span(grad, Vec<T>(dc * g * (i * (one - i))), span);
        store_span(grad + hidden, Vec<T>(dc * load_span(c_before + in_row, span) * (f * (one - f))),
                   span);
        store_span(grad + 2 * hidden, Vec<T>(dc * i * (one - g * g)), span);
        store_span(grad + 3 * hidden, Vec<T>(dh * m * (o * (one - o))), span);
        store_span(grad_c + in_row, Vec<T>(dc * f), span);
        store_span(grad_h + in_row, Vec<T>{}, span);
    }

    void finish(const SumTile<T>& tile, idx s, idx t, const T* c_before) const {
        const idx steps = order.steps;
        for_tile_vectors(tile, [&](idx row, idx unit, const T* sum, auto span) {
            T* carried = grad_h + row * hidden + unit;
            const Vec<T> dh = load_span(carried, span) + load(sum);
            T* grad = grad_gates + (t * batch + row) * kLstmGates * hidden + unit;
            if (s < steps && lengths.active(row, t)) {
                apply(row, t, unit, c_before, dh, grad, span);
                return;
            }
            store_span(carried, dh, span);
            for (int g = 0; s < steps && g < kLstmGates; ++g)
                store_span(grad + g * hidden, Vec<T>{}, span);
        });
    }

    // Step s of steps + 1: the last only adds the share of the first gates to grad_h. The panels
    // of w_hh and then those of w_ih, which multiply the same.
    void operator()(idx s, idx row0, idx row1, idx panel0, idx panel1) const {
        const idx steps = order.steps;
        const idx own = panels.count;
        const idx t = s == steps ? 0 : order.time(steps - 1 - s);
        const idx later = s == 0 ? 0 : order.time(steps - s) * batch;
        const T* c_before =
            s + 1 >= steps ? c0 : cells + order.time(steps - 2 - s) * batch * hidden;
        const auto wanted = [&](idx, idx) { return s > 0; };
        const idx depth = kLstmGates * hidden;
        const StepInput<T> input = one_matrix<T>(grad_gates + later * depth, depth, depth);
        if (panel0 < own)
            for_tiles(row0, row1, panel0, panel1 < own ? panel1 : own, input, packed, panels,
                      wanted, [&](const SumTile<T>& tile) { finish(tile, s, t, c_before); });
        if (s > 0 && panel1 > own)
            for_tiles(row0, row1, panel0 > own ? panel0 - own : 0, panel1 - own, input, packed_x,
                      x_panels, wanted, [&](const SumTile<T>& tile) {
                          for_tile_vectors(tile, [&](idx row, idx j, const T* sum, auto span) {
                              store_span(grad_x + (later + row) * inputs + j, load(sum), span);
                          });
                      });
    }
};

template <class T>
Status lstm_backward(In<T> w_ih, In<T> w_hh, In<T> c0, In<std::int64_t> lengths, In<T> cells,
                     In<T> gates, StridedIn<T> grad_y, InOut<T> grad_h, InOut<T> grad_c,
                     Out<T> grad_gates, Out<T> grad_x, Out<T> workspace, bool reverse) {
    const idx steps = cells.shape[0];
    const idx batch = cells.shape[1];
    const idx hidden = cells.shape[2];
    const idx g = w_hh.shape[0];
    const idx inputs = w_ih.shape[1];
    const Lengths active{lengths.data};
    if (g % kLstmGates != 0 || g / kLstmGates != hidden) return Status::kBadValue;
    if (batch == 0 || steps == 0) return Status::kOk;
    if (hidden > 1 && grad_y.strides[2] != 1) return Status::kBadValue;
    const bool joint = one_product<T>(batch, g, inputs, hidden);
    const bool joint_x = joint && grad_x.data != nullptr && inputs * kNarrowGradient <= hidden;
    const Panels<T> panels(hidden);
    const Panels<T> x_panels(joint_x ? inputs : 0);
    if (workspace.size < panels.packed(g) + x_panels.packed(g)) return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    if (hidden > 0) {
        T* const packed_x = workspace.data + panels.packed(g);
        pack_panels(w_hh.data, g, panels, false, 1, workspace.data);
        if (joint_x) pack_panels(w_ih.data, g, x_panels, false, 1, packed_x);
        const LstmBackward<T> step{batch,
                                   hidden,
                                   inputs,
                                   {steps, reverse},
                                   active,
                                   panels,
                                   x_panels,
                                   workspace.data,
                                   packed_x,
                                   c0.data,
                                   cells.data,
                                   gates.data,
                                   gate_places<T>(batch, hidden, joint),
                                   grad_y.data,
                                   grad_y.strides[0],
                                   grad_y.strides[1],
                                   grad_h.data,
                                   grad_c.data,
                                   grad_gates.data,
                                   grad_x.data};
        const double work =
            static_cast<double>(batch) * static_cast<double>(g * (hidden + x_panels.columns));
        run_steps(steps + 1, batch, panels.count + x_panels.count, work, false, step);
    }
    if (grad_x.data != nullptr && !joint_x &&
        !gemm<T>(steps * batch, inputs, g, grad_gates.data, g, 1, w_ih.data, inputs, 1, grad_x.data,
                 inputs, false, TwoBiases<T>{nullptr, nullptr}))
        return Status::kNoMemory;
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(lstm_forward,
          "x(t,b,i) h0(b,h) c0(b,h) w_ih(g,i) w_hh(g,h) b_ih?(g) b_hh?(g) lengths?(b) y(t,b,h) "
          "states?(t,b,h) hn(b,h) cn(b,h) gates(t,b,g) cells(t,b,h) workspace(w) reverse",
          kPlain, lstm_forward<float>, lstm_forward<double>)
FASTNN_OP(lstm_backward,
          "w_ih(g,i) w_hh(g,h) c0(b,h) lengths?(b) cells(t,b,h) gates(t,b,g) grad_y(t,b,h) "
          "grad_h(b,h) grad_c(b,h) grad_gates(t,b,g) grad_x?(t,b,i) workspace(w) reverse",
          kPlain, lstm_backward<float>, lstm_backward<double>)
