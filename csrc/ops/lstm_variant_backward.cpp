// SPDX-License-Identifier: BSD-3-Clause
// The backward pass of lstm_variant.cpp through time. All outputs are `=`, and 0 past a row's
// length:
//
//   grad_gates      of the gates' sums: what the biases want, and without layer norm all products
//   grad_raw        with layer norm: of the products of x and of h
//   grad_projected  with a projection: of h' (before zoneout)
//   grad_options    (b, rows, h): of peephole's and then norm's rows, for each row of the batch by
//                   itself, summed over its steps in order; the caller adds them up
//
// grad_h and grad_c hold the gradients of the last state, and then those of the first. c' is made
// anew, and so are means and variances: they cost less than memory for them. Threads: as forward.
#include "ops/lstm_variant.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

template <class T>
struct VariantBackward : LstmOptions<T> {
    Panels<T> out_panels, unit_panels;
    const T* packed_hh;
    const T* packed_hr;  // or null
    const T* c0;
    const T* cells;
    const T* gates_data;
    const T* raw;  // or null
    const T* grad_y;
    T* grad_h;
    T* grad_c;
    T* grad_gates;
    T* grad_raw;        // or null
    T* grad_projected;  // or null
    T* grad_options;    // or null

    using Base = LstmOptions<T>;
    using Base::batch;
    using Base::hidden;
    using Base::lengths;
    using Base::order;
    using Base::out;

    idx peephole_rows() const { return this->peephole != nullptr ? this->gates - 1 : 0; }
    idx option_rows() const {
        return peephole_rows() + (this->norm != nullptr ? 2 * this->gates + 2 : 0);
    }
    T* options(idx row, idx option) const {
        return grad_options + (row * option_rows() + option) * hidden;
    }

    template <class Span>
    FASTNN_SIMD_INLINE static void add_span(T* p, Vec<T> v, Span span) {
        store_span(p, Vec<T>(load_span(p, span) + v), span);
    }

    // grad_x = the gradient before layer norm of that after it, x being a row of n elements; and
    // gain's gradient. `grad` is of the normalised, scaled row; scaled is scratch and may be
    // grad_x.
    void normalize_backward(const T* x, const RowStats<T>& s, const T* grad, const T* gain, idx n,
                            T* grad_gain, T* grad_x) const {
        const auto normal = [&](idx j, auto span) {
            const Vec<T> d = load_span(x + j, span, s.mean) - broadcast(s.mean);
            return Vec<T>(d * broadcast(s.scale));
        };
        for_spans<T>(n, [&](idx j, auto span) {
            const Vec<T> g = load_span(grad + j, span);
            add_span(grad_gain + j, Vec<T>(g * normal(j, span)), span);
            store_span(grad_x + j, Vec<T>(g * load_span(gain + j, span)), span);
        });
        const T count = static_cast<T>(n);
        const T mean =
            blocked_sum<T, 4>(n, [&](idx j, auto span) { return load_span(grad_x + j, span); }) /
            count;
        const T along =
            blocked_sum<T, 4>(n,
                              [&](idx j, auto span) {
                                  return Vec<T>(load_span(grad_x + j, span) * normal(j, span));
                              }) /
            count;
        for_spans<T>(n, [&](idx j, auto span) {
            const Vec<T> d =
                load_span(grad_x + j, span) - broadcast(mean) - normal(j, span) * broadcast(along);
            store_span(grad_x + j, Vec<T>(d * broadcast(s.scale)), span);
        });
    }

    // The row's gates; comes with the gradient of o tanh(.) in the o block of `grad`.
    void cell(idx t, idx row, const T* c_before, const T* gate, T* grad) const {
        const Vec<T> one = broadcast(T(1));
        T* const made = grad;                // c', until da_i takes its place
        T* const from_h = grad + this->g();  // what c' gets through h, until da_g does
        const auto f_gate = [&](idx j, auto span) {
            return this->coupled() ? Vec<T>(one - load_span(gate + j, span))
                                   : load_span(gate + this->f() + j, span);
        };
        for_spans<T>(hidden, [&](idx j, auto span) {
            const Vec<T> c = f_gate(j, span) * load_span(c_before + j, span) +
                             load_span(gate + j, span) * load_span(gate + this->g() + j, span);
            store_span(made + j, c, span);
        });
        const bool normed = this->norm != nullptr;
        const idx cell_gain = peephole_rows() + 2 * this->gates;
        const RowStats<T> s = normed ? row_stats(made, hidden) : RowStats<T>{0, 1};
        for_spans<T>(hidden, [&](idx j, auto span) {
            Vec<T> v = load_span(made + j, span);
            if (normed) {
                v = (v - broadcast(s.mean)) * broadcast(s.scale) *
                        load_span(this->cell_gain() + j, span) +
                    load_span(this->cell_bias() + j, span);
            }
            const Vec<T> m = tanh(v);
            const Vec<T> o = load_span(gate + this->o() + j, span);
            const Vec<T> du = load_span(grad + this->o() + j, span);
            const Vec<T> dv = du * o * (one - m * m);
            store_span(from_h + j, dv, span);
            store_span(grad + this->o() + j, Vec<T>(du * m * (o * (one - o))), span);
            if (normed) add_span(options(row, cell_gain + 1) + j, dv, span);
        });
        if (normed)
            normalize_backward(made, s, from_h, this->cell_gain(), hidden, options(row, cell_gain),
                               from_h);
        T* const dc_carried = grad_c + row * hidden;
        for_spans<T>(hidden, [&](idx j, auto span) {
            const Vec<T> share = this->shares(t, row, j, span);
            const Vec<T> old = load_span(c_before + j, span);
            const Vec<T> i = load_span(gate + j, span);
            const Vec<T> f = f_gate(j, span);
            const Vec<T> g = load_span(gate + this->g() + j, span);
            const Vec<T> da_o = load_span(grad + this->o() + j, span);
            const Vec<T> carried = load_span(dc_carried + j, span);
            Vec<T> dc = carried * share + load_span(from_h + j, span);
            if (this->peephole != nullptr) {
                dc += da_o * load_span(this->peephole_o() + j, span);
                add_span(options(row, this->gates - 2) + j,
                         Vec<T>(da_o * load_span(made + j, span)), span);
            }
            const Vec<T> di = this->coupled() ? Vec<T>(dc * (g - old)) : Vec<T>(dc * g);
            const Vec<T> da_i = di * (i * (one - i));
            const Vec<T> da_f = dc * old * (f * (one - f));
            Vec<T> dc_before = dc * f + carried * (one - share);
            if (this->peephole != nullptr) {
                dc_before += da_i * load_span(this->peephole + j, span);
                add_span(options(row, 0) + j, Vec<T>(da_i * old), span);
                if (!this->coupled()) {
                    dc_before += da_f * load_span(this->peephole + hidden + j, span);
                    add_span(options(row, 1) + j, Vec<T>(da_f * old), span);
                }
            }
            store_span(grad + j, da_i, span);
            if (!this->coupled()) store_span(grad + this->f() + j, da_f, span);
            store_span(grad + this->g() + j, Vec<T>(dc * i * (one - g * g)), span);
            store_span(dc_carried + j, dc_before, span);
        });
    }

    void clear(idx t, idx row) const {
        const idx n = this->gates * hidden;
        set_zero(grad_gates + this->gate_row(t, row), n);
        if (this->norm != nullptr) {
            set_zero(grad_raw + this->gate_row(t, row), n);
            set_zero(grad_raw + this->gate_row(t + order.steps, row), n);
        }
        if (packed_hr != nullptr) set_zero(grad_projected + (t * batch + row) * out, out);
    }

    // Step s of steps + 1: the last only adds the share of the first gates to grad_h.
    void operator()(idx s, idx row0, idx row1, idx, idx) const {
        const idx steps = order.steps;
        const idx n = this->gates * hidden;
        if (s > 0) {
            const idx next = order.time(steps - s);
            const T* after = this->norm != nullptr ? grad_raw + this->gate_row(next + steps, 0)
                                                   : grad_gates + this->gate_row(next, 0);
            multiply_rows(row0, row1, after, packed_hh, n, out_panels,
                          [&](idx row, idx j, Vec<T> sum, auto span) {
                              add_span(grad_h + row * out + j, sum, span);
                          });
        }
        if (s == steps) return;
        const idx t = order.time(steps - 1 - s);
        const T* c_all = s + 1 >= steps ? c0 : cells + order.time(steps - 2 - s) * batch * hidden;
        for (idx row = row0; row < row1; ++row) {
            if (!lengths.active(row, t)) {
                clear(t, row);
                continue;
            }
            const idx at = (t * batch + row) * out;
            T* made = packed_hr != nullptr ? grad_projected + at
                                           : grad_gates + this->gate_row(t, row) + this->o();
            for_spans<T>(out, [&](idx j, auto span) {
                T* carried = grad_h + row * out + j;
                const Vec<T> share = this->shares(t, row, hidden + j, span);
                const Vec<T> dh = load_span(carried, span) + load_span(grad_y + at + j, span);
                store_span(made + j, Vec<T>(dh * share), span);
                store_span(carried, Vec<T>(dh * (broadcast(T(1)) - share)), span);
            });
        }
        if (packed_hr != nullptr) {
            multiply_rows(row0, row1, grad_projected + t * batch * out, packed_hr, out, unit_panels,
                          [&](idx row, idx j, Vec<T> sum, auto span) {
                              if (!lengths.active(row, t)) return;
                              store_span(grad_gates + this->gate_row(t, row) + this->o() + j, sum,
                                         span);
                          });
        }
        for (idx row = row0; row < row1; ++row) {
            if (!lengths.active(row, t)) continue;
            T* grad = grad_gates + this->gate_row(t, row);
            cell(t, row, c_all + row * hidden, gates_data + this->gate_row(t, row), grad);
            for (int k = 0; this->norm != nullptr && k < 2; ++k) {
                const idx place = this->gate_row(t + k * steps, row);
                normalize_backward(raw + place, row_stats(raw + place, n), grad, this->gain(k), n,
                                   options(row, peephole_rows() + k * this->gates),
                                   grad_raw + place);
            }
        }
    }
};

template <class T>
Status lstm_variant_backward(In<T> w_hh, In<T> w_hr, In<T> peephole, In<T> norm,
                             In<std::int64_t> lengths, In<bool> zone, In<T> c0, In<T> cells,
                             In<T> gates, In<T> raw, In<T> grad_y, InOut<T> grad_h, InOut<T> grad_c,
                             Out<T> grad_gates, Out<T> grad_raw, Out<T> grad_projected,
                             Out<T> grad_options, Out<T> workspace, bool reverse, double zoneout) {
    const idx steps = cells.shape[0];
    const idx batch = cells.shape[1];
    const idx hidden = cells.shape[2];
    const idx out = grad_h.shape[1];
    const idx g = w_hh.shape[0];
    if (hidden == 0 && out == 0 && g == 0) return Status::kOk;
    if (hidden == 0 || out == 0) return Status::kBadValue;
    const Lengths active{lengths.data};
    const LstmOptions<T> options{
        batch,         hidden,           out,
        g / hidden,    {steps, reverse}, active,
        peephole.data, norm.data,        reinterpret_cast<const unsigned char*>(zone.data),
        zoneout};
    if (!options.valid(g, peephole.data == nullptr ? 0 : peephole.shape[0],
                       norm.data == nullptr ? 0 : norm.shape[0],
                       zone.data == nullptr ? 0 : zone.shape[2]))
        return Status::kBadValue;
    if (grad_options.data != nullptr) set_zero(grad_options.data, grad_options.size);
    if (batch == 0 || steps == 0) return Status::kOk;
    if ((norm.data == nullptr) != (raw.data == nullptr)) return Status::kBadValue;
    if ((norm.data == nullptr) != (grad_raw.data == nullptr)) return Status::kBadValue;
    if ((w_hr.data == nullptr) != (grad_projected.data == nullptr)) return Status::kBadValue;
    if (w_hr.data == nullptr && out != hidden) return Status::kBadValue;
    const Panels<T> out_panels(out);
    const Panels<T> unit_panels(hidden);
    const idx hh = out_panels.packed(g);
    const idx hr = w_hr.data == nullptr ? 0 : unit_panels.packed(out);
    if (workspace.size < hh + hr) return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    const VariantBackward<T> step{options,
                                  out_panels,
                                  unit_panels,
                                  workspace.data,
                                  hr > 0 ? workspace.data + hh : nullptr,
                                  c0.data,
                                  cells.data,
                                  gates.data,
                                  raw.data,
                                  grad_y.data,
                                  grad_h.data,
                                  grad_c.data,
                                  grad_gates.data,
                                  grad_raw.data,
                                  grad_projected.data,
                                  grad_options.data};
    const idx rows = step.option_rows();
    if ((rows == 0) != (grad_options.data == nullptr)) return Status::kBadValue;
    if (rows > 0 && grad_options.shape[1] != rows) return Status::kBadValue;
    pack_panels(w_hh.data, g, out_panels, false, 1, workspace.data);
    if (hr > 0) pack_panels(w_hr.data, out, unit_panels, false, 1, workspace.data + hh);
    const double work = static_cast<double>(batch) * static_cast<double>(g * out);
    run_steps(steps + 1, batch, 1, work, true, step);
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(lstm_variant_backward,
          "w_hh(g,r) w_hr?(r,h) peephole?(p,h) norm?(q,h) lengths?(b) zone?(t,b,z) c0(b,h) "
          "cells(t,b,h) gates(t,b,g) raw?(2,t,b,g) grad_y(t,b,r) grad_h(b,r) grad_c(b,h) "
          "grad_gates(t,b,g) grad_raw?(2,t,b,g) grad_projected?(t,b,r) grad_options?(b,k,h) "
          "workspace(w) reverse zoneout",
          kPlain, lstm_variant_backward<float>, lstm_variant_backward<double>)
