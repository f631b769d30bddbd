// SPDX-License-Identifier: BSD-3-Clause
// The LSTM layer with the options that lstm.cpp leaves out, forward: projection, peepholes, layer
// norm, coupled gates, zoneout. Each by itself or together:
//
//   a = N(x_t w_ih^T; n_x) + N(h_{t-1} w_hh^T; n_h) + bias            N: layer norm, or nothing
//   i = sigmoid(a_i + p_i c_{t-1}),  f = sigmoid(a_f + p_f c_{t-1}) or 1 - i,  g = tanh(a_g)
//   c' = f c_{t-1} + i g,   o = sigmoid(a_o + p_o c')
//   h' = o tanh(N(c'; n_c)), or w_hr times it
//   c_t = s c' + (1 - s) c_{t-1} and so h_t, with s from the mask `zone` or s = 1 - zoneout
//
// gates comes in holding x_t w_ih^T and goes out holding the activated gates. raw, with layer norm,
// takes the products of x and of h as they were; units, with a projection, takes o tanh(.). Rows
// past their length as in lstm.cpp, with 0 in all that is left for the backward pass but the
// states.
//
// A thread takes some rows of the batch through all the steps, so a batch of one runs in one
// thread: these options need whole rows of gates at several places in a step.
//
// Sources: Sak, Senior and Beaufays 2014 (projection); Gers and Schmidhuber 2000 (peepholes); Ba,
// Kiros and Hinton 2016 (layer norm); Greff et al. 2017 (coupled gates); Krueger et al. 2017
// (zoneout).
#include "ops/lstm_variant.h"
#include "runtime/op.h"

namespace fastnn::FASTNN_ISA {

template <class T>
struct VariantForward : LstmOptions<T> {
    Panels<T> gate_panels, out_panels;
    const T* packed_hh;
    const T* packed_hr;  // or null
    const T* bias;       // or null
    const T* h0;
    const T* c0;
    T* states;
    T* cells;
    T* gates_data;
    T* raw;    // or null
    T* units;  // or null

    using Base = LstmOptions<T>;
    using Base::batch;
    using Base::hidden;
    using Base::lengths;
    using Base::order;
    using Base::out;

    template <class Span>
    FASTNN_SIMD_INLINE void mix(idx t, idx row, idx at, Vec<T> made, const T* before, T* to,
                                Span span) const {
        const Vec<T> s = this->shares(t, row, at, span);
        const Vec<T> old = load_span(before, span);
        store_span(to, Vec<T>(s * made + (broadcast(T(1)) - s) * old), span);
    }

    void normalize(T* gate, const T* x, const T* h) const {
        const idx n = this->gates * hidden;
        const RowStats<T> sx = row_stats(x, n);
        const RowStats<T> sh = row_stats(h, n);
        for_spans<T>(n, [&](idx j, auto span) {
            const Vec<T> nx = (load_span(x + j, span) - broadcast(sx.mean)) * broadcast(sx.scale);
            const Vec<T> nh = (load_span(h + j, span) - broadcast(sh.mean)) * broadcast(sh.scale);
            const Vec<T> a =
                nx * load_span(this->gain(0) + j, span) + nh * load_span(this->gain(1) + j, span);
            store_span(gate + j, a, span);
        });
    }

    // The row's gates and cell, from the sums in `gate`; leaves o tanh(.) in `made`.
    void cell(idx t, idx row, T* gate, const T* h_before, const T* c_before, T* made) const {
        T* c = cells + (t * batch + row) * hidden;
        if (bias != nullptr) {
            for_spans<T>(this->gates * hidden, [&](idx j, auto span) {
                const Vec<T> a = load_span(gate + j, span) + load_span(bias + j, span);
                store_span(gate + j, a, span);
            });
        }
        for_spans<T>(hidden, [&](idx j, auto span) {
            const Vec<T> old = load_span(c_before + j, span);
            Vec<T> i = load_span(gate + j, span);
            Vec<T> f = load_span(gate + this->f() + j, span);
            if (this->peephole != nullptr) {
                i += load_span(this->peephole + j, span) * old;
                if (!this->coupled()) f += load_span(this->peephole + hidden + j, span) * old;
            }
            i = sigmoid(i);
            f = this->coupled() ? Vec<T>(broadcast(T(1)) - i) : sigmoid(f);
            const Vec<T> g = tanh(load_span(gate + this->g() + j, span));
            store_span(gate + j, i, span);
            if (!this->coupled()) store_span(gate + this->f() + j, f, span);
            store_span(gate + this->g() + j, g, span);
            store_span(c + j, Vec<T>(f * old + i * g), span);
        });
        const RowStats<T> s = this->norm != nullptr ? row_stats(c, hidden) : RowStats<T>{0, 1};
        for_spans<T>(hidden, [&](idx j, auto span) {
            const Vec<T> cell = load_span(c + j, span);
            Vec<T> o = load_span(gate + this->o() + j, span);
            if (this->peephole != nullptr) o += load_span(this->peephole_o() + j, span) * cell;
            o = sigmoid(o);
            Vec<T> v = cell;
            if (this->norm != nullptr) {
                v = (cell - broadcast(s.mean)) * broadcast(s.scale) *
                        load_span(this->cell_gain() + j, span) +
                    load_span(this->cell_bias() + j, span);
            }
            store_span(gate + this->o() + j, o, span);
            const Vec<T> u = o * tanh(v);
            if (packed_hr != nullptr) {
                store_span(made + j, u, span);
            } else {
                mix(t, row, hidden + j, u, h_before + j, made + j, span);
            }
            mix(t, row, j, cell, c_before + j, c + j, span);
        });
    }

    void operator()(idx s, idx row0, idx row1, idx, idx) const {
        const idx t = order.time(s);
        const idx before = s == 0 ? 0 : order.time(s - 1) * batch;
        const T* h_all = s == 0 ? h0 : states + before * out;
        const T* c_all = s == 0 ? c0 : cells + before * hidden;
        const idx n = this->gates * hidden;
        T* const gates_t = gates_data + this->gate_row(t, 0);
        T* const raw_x = raw + this->gate_row(t, 0);
        T* const raw_h = raw + this->gate_row(t + order.steps, 0);
        multiply_rows(row0, row1, h_all, packed_hh, out, gate_panels,
                      [&](idx row, idx j, Vec<T> sum, auto span) {
                          T* gate = gates_t + row * n + j;
                          if (this->norm != nullptr) {
                              store_span(raw_h + row * n + j, sum, span);
                          } else {
                              store_span(gate, Vec<T>(load_span(gate, span) + sum), span);
                          }
                      });
        for (idx row = row0; row < row1; ++row) {
            T* gate = gates_t + row * n;
            const T* h_before = h_all + row * out;
            const T* c_before = c_all + row * hidden;
            const idx at = t * batch + row;
            if (!lengths.active(row, t)) {
                copy_block(h_before, out, states + at * out);
                copy_block(c_before, hidden, cells + at * hidden);
                set_zero(gate, n);
                if (this->norm != nullptr) {
                    set_zero(raw_x + row * n, n);
                    set_zero(raw_h + row * n, n);
                }
                if (packed_hr != nullptr) set_zero(units + at * hidden, hidden);
                continue;
            }
            if (this->norm != nullptr) {
                copy_block(gate, n, raw_x + row * n);
                normalize(gate, raw_x + row * n, raw_h + row * n);
            }
            cell(t, row, gate, h_before, c_before,
                 packed_hr != nullptr ? units + at * hidden : states + at * out);
        }
        if (packed_hr == nullptr) return;
        multiply_rows(row0, row1, units + t * batch * hidden, packed_hr, hidden, out_panels,
                      [&](idx row, idx j, Vec<T> sum, auto span) {
                          if (!lengths.active(row, t)) return;
                          mix(t, row, hidden + j, sum, h_all + row * out + j,
                              states + (t * batch + row) * out + j, span);
                      });
    }
};

template <class T>
Status lstm_variant_forward(In<T> h0, In<T> c0, In<T> w_hh, In<T> bias, In<T> w_hr, In<T> peephole,
                            In<T> norm, In<std::int64_t> lengths, In<bool> zone, Out<T> y,
                            Out<T> states, Out<T> cells, InOut<T> gates, Out<T> raw, Out<T> units,
                            Out<T> workspace, bool reverse, double zoneout) {
    const idx steps = cells.shape[0];
    const idx batch = cells.shape[1];
    const idx hidden = cells.shape[2];
    const idx out = h0.shape[1];
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
    if (batch == 0 || steps == 0) return Status::kOk;
    if ((lengths.data == nullptr) != (states.data == nullptr)) return Status::kBadValue;
    if ((norm.data == nullptr) != (raw.data == nullptr)) return Status::kBadValue;
    if ((w_hr.data == nullptr) != (units.data == nullptr)) return Status::kBadValue;
    if (w_hr.data == nullptr && out != hidden) return Status::kBadValue;
    const Panels<T> gate_panels(g);
    const Panels<T> out_panels(out);
    const idx hh = gate_panels.packed(out);
    const idx hr = w_hr.data == nullptr ? 0 : out_panels.packed(hidden);
    if (workspace.size < hh + hr) return Status::kBadValue;
    if (!active.valid(batch, steps)) return Status::kBadIndex;
    pack_panels(w_hh.data, out, gate_panels, true, 1, workspace.data);
    if (hr > 0) pack_panels(w_hr.data, hidden, out_panels, true, 1, workspace.data + hh);
    T* const all = lengths.data != nullptr ? states.data : y.data;
    const VariantForward<T> step{options,
                                 gate_panels,
                                 out_panels,
                                 workspace.data,
                                 hr > 0 ? workspace.data + hh : nullptr,
                                 bias.data,
                                 h0.data,
                                 c0.data,
                                 all,
                                 cells.data,
                                 gates.data,
                                 raw.data,
                                 units.data};
    const double work = static_cast<double>(batch) * static_cast<double>(g * out);
    run_steps(steps, batch, 1, work, true, step);
    if (lengths.data != nullptr) mask_outputs(all, active, steps, batch, out, y.data);
    return Status::kOk;
}

}  // namespace fastnn::FASTNN_ISA

FASTNN_OP(lstm_variant_forward,
          "h0(b,r) c0(b,h) w_hh(g,r) bias?(g) w_hr?(r,h) peephole?(p,h) norm?(q,h) lengths?(b) "
          "zone?(t,b,z) y(t,b,r) states?(t,b,r) cells(t,b,h) gates(t,b,g) raw?(2,t,b,g) "
          "units?(t,b,h) workspace(w) reverse zoneout",
          kPlain, lstm_variant_forward<float>, lstm_variant_forward<double>)
