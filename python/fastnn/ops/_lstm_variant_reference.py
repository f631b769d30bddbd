# SPDX-License-Identifier: BSD-3-Clause
"""The references of the LSTM layer with options; `lstm_variant` states the formulas."""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.ops import _recurrent
from fastnn.ops._recurrent import keep, sigmoid, times
from fastnn.ops.random_fill import words

EPSILON = 1e-5


def _normal(x: Any) -> tuple[Any, Any]:
    """Rows with mean 0 and variance 1, and by what they were scaled."""
    d = x - x.mean(1, keepdims=True)
    scale = 1 / ((d * d).mean(1, keepdims=True) + x.dtype.type(EPSILON)) ** x.dtype.type(0.5)
    return d * scale, scale


def _normal_backward(normal: Any, scale: Any, g: Any) -> Any:
    """The gradient before normalisation of that after it."""
    along = (g * normal).mean(1, keepdims=True)
    return (g - g.mean(1, keepdims=True) - normal * along) * scale


def _gains(norm: Any, k: int, n: int) -> tuple[Any, Any, Any, Any]:
    """The rows of norm by use: gains of the products and of the cell, the cell's bias."""
    return norm[:k].reshape(k * n), norm[k : 2 * k].reshape(k * n), norm[2 * k], norm[2 * k + 1]


def _shares(zone: Any, t: int, units: int, zoneout: float, dtype: Any) -> tuple[Any, Any]:
    """How much of the new cell and of the new output is taken."""
    if zone is None:
        return (dtype.type(1 - zoneout),) * 2
    return zone[t][:, :units].astype(dtype), zone[t][:, units:].astype(dtype)


def _forget(gates: Any, k: int, n: int) -> Any:
    return 1 - gates[:, :n] if k == 3 else gates[:, n : 2 * n]


@reference
def lstm_variant_forward(
    h0: Any,
    c0: Any,
    w_hh: Any,
    bias: Any,
    w_hr: Any,
    peephole: Any,
    norm: Any,
    lengths: Any,
    zone: Any,
    y: Any,
    states: Any,
    cells: Any,
    gates: Any,
    raw: Any,
    units: Any,
    workspace: Any,
    reverse: bool,
    zoneout: float,
) -> None:
    """The forward pass; gates comes in holding x w_ih^T and goes out holding the gates."""
    del workspace
    xp, (steps, _, n) = array_module(w_hh), cells.shape
    _recurrent.check_lengths("lstm_variant_forward", lengths, steps)
    k = w_hh.shape[0] // n if n else 4
    zero = xp.zeros((), w_hh.dtype)
    h, c = h0, c0
    kept = y if states is None else states
    for t in times(steps, reverse):
        product = xp.matmul(h, w_hh.T)
        a = gates[t] + product
        if norm is not None:
            gain_x, gain_h, gain_c, bias_c = _gains(norm, k, n)
            a = _normal(gates[t])[0] * gain_x + _normal(product)[0] * gain_h
            raw[0, t] = keep(xp, lengths, t, gates[t], zero)
            raw[1, t] = keep(xp, lengths, t, product, zero)
        if bias is not None:
            a = a + bias
        i, f, g, o = a[:, :n], a[:, n : 2 * n], a[:, (k - 2) * n : (k - 1) * n], a[:, (k - 1) * n :]
        if peephole is not None:
            i, f = i + peephole[0] * c, f + peephole[1] * c
        i, g = sigmoid(xp, i), xp.tanh(g)
        f = 1 - i if k == 3 else sigmoid(xp, f)
        made = f * c + i * g
        o = sigmoid(xp, o if peephole is None else o + peephole[k - 2] * made)
        out = o * xp.tanh(made if norm is None else _normal(made)[0] * gain_c + bias_c)
        parts = [i, g, o] if k == 3 else [i, f, g, o]
        gates[t] = keep(xp, lengths, t, xp.concatenate(parts, 1), zero)
        if w_hr is not None:
            units[t] = keep(xp, lengths, t, out, zero)
            out = xp.matmul(out, w_hr.T)
        s_c, s_h = _shares(zone, t, n, zoneout, w_hh.dtype)
        kept[t] = keep(xp, lengths, t, s_h * out + (1 - s_h) * h, h)
        cells[t] = keep(xp, lengths, t, s_c * made + (1 - s_c) * c, c)
        h, c = kept[t], cells[t]
    if states is not None:
        _recurrent.masked(xp, lengths, states, y)


@reference
def lstm_variant_backward(
    w_hh: Any,
    w_hr: Any,
    peephole: Any,
    norm: Any,
    lengths: Any,
    zone: Any,
    c0: Any,
    cells: Any,
    gates: Any,
    raw: Any,
    grad_y: Any,
    grad_h: Any,
    grad_c: Any,
    grad_gates: Any,
    grad_raw: Any,
    grad_projected: Any,
    grad_options: Any,
    workspace: Any,
    reverse: bool,
    zoneout: float,
) -> None:
    """Gradients of the gates' sums and of the options; grad_h, grad_c go from last to first."""
    del workspace
    xp, (steps, batch, n) = array_module(w_hh), cells.shape
    _recurrent.check_lengths("lstm_variant_backward", lengths, steps)
    k = w_hh.shape[0] // n if n else 4
    zero = xp.zeros((), w_hh.dtype)
    if grad_options is not None:
        grad_options[...] = 0
    first = 0 if peephole is None else k - 1
    order = list(times(steps, reverse))

    def add(row: int, value: Any) -> None:
        value = keep(xp, lengths, t, value, zero)
        rows = value.shape[1] // n
        grad_options[:, row : row + rows] += value.reshape(batch, rows, n)

    for s in range(steps - 1, -1, -1):
        t = order[s]
        before = cells[order[s - 1]] if s else c0
        i, g, o = (gates[t][:, p * n : (p + 1) * n] for p in (0, k - 2, k - 1))
        f = _forget(gates[t], k, n)
        made = f * before + i * g
        s_c, s_h = _shares(zone, t, n, zoneout, w_hh.dtype)
        dh = grad_h + grad_y[t]
        dout = dh * s_h
        if w_hr is not None:
            grad_projected[t] = keep(xp, lengths, t, dout, zero)
            dout = xp.matmul(dout, w_hr)
        if norm is None:
            m = xp.tanh(made)
            dmade = dout * o * (1 - m * m)
        else:
            gain_x, gain_h, gain_c, bias_c = _gains(norm, k, n)
            normal, scale = _normal(made)
            m = xp.tanh(normal * gain_c + bias_c)
            dv = dout * o * (1 - m * m)
            dmade = _normal_backward(normal, scale, dv * gain_c)
            add(first + 2 * k, dv * normal)
            add(first + 2 * k + 1, dv)
        da_o = dout * m * (o * (1 - o))
        dc = grad_c * s_c + dmade
        if peephole is not None:
            dc = dc + da_o * peephole[k - 2]
            add(k - 2, da_o * made)
        da_i = dc * (g - before if k == 3 else g) * (i * (1 - i))
        da_f = dc * before * (f * (1 - f))
        da_g = dc * i * (1 - g * g)
        dbefore = dc * f + grad_c * (1 - s_c)
        if peephole is not None:
            dbefore = dbefore + da_i * peephole[0]
            add(0, da_i * before)
            if k == 4:
                dbefore = dbefore + da_f * peephole[1]
                add(1, da_f * before)
        parts = [da_i, da_g, da_o] if k == 3 else [da_i, da_f, da_g, da_o]
        da = grad_gates[t] = keep(xp, lengths, t, xp.concatenate(parts, 1), zero)
        grad_c[...] = keep(xp, lengths, t, dbefore, grad_c)
        direct = keep(xp, lengths, t, dh * (1 - s_h), grad_h)
        if norm is not None:
            for p, gain in enumerate((gain_x, gain_h)):
                normal, scale = _normal(raw[p, t])
                add(first + p * k, da * normal)
                grad_raw[p, t] = _normal_backward(normal, scale, da * gain)
            da = grad_raw[1, t]
        grad_h[...] = direct + xp.matmul(da, w_hh)


def by_rows(
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    h0: Any = None,
    c0: Any = None,
    lengths: Any = None,
    w_hr: Any = None,
    peephole: Any = None,
    norm: Any = None,
    reverse: bool = False,
    zoneout: float = 0.0,
    training: bool = True,
) -> Any:
    """The layer again, for its cases: every row of the batch by itself, step by step."""
    xp = array_module(x)
    (steps, batch, _), out = x.shape, w_hh.shape[1]
    n = out if w_hr is None else w_hr.shape[1]
    k = w_ih.shape[0] // n
    y = xp.zeros((steps, batch, out), x.dtype)
    hn, cn = xp.zeros((batch, out), x.dtype), xp.zeros((batch, n), x.dtype)
    share = xp.full((steps, batch, n + out), 1 - zoneout)
    if zoneout and training:
        kept = words(xp, share.size, xp.asarray([1234, 0])) >= int(zoneout * 2**32)
        share = kept.reshape(share.shape).astype(x.dtype)
    for row in range(batch):
        h = hn[row] if h0 is None else h0[row]
        c = cn[row] if c0 is None else c0[row]
        for t in times(steps if lengths is None else int(lengths[row]), reverse):
            from_x, from_h = w_ih @ x[t, row], w_hh @ h
            if norm is not None:
                from_x = _normal(from_x[None])[0][0] * norm[:k].reshape(-1)
                from_h = _normal(from_h[None])[0][0] * norm[k : 2 * k].reshape(-1)
            a = from_x + from_h + sum(b for b in (b_ih, b_hh) if b is not None)
            p = xp.zeros((k - 1, n)) if peephole is None else peephole
            i = 1 / (1 + xp.exp(-(a[:n] + p[0] * c)))
            f = 1 - i if k == 3 else 1 / (1 + xp.exp(-(a[n : 2 * n] + p[1] * c)))
            new = f * c + i * xp.tanh(a[(k - 2) * n : (k - 1) * n])
            v = new if norm is None else _normal(new[None])[0][0] * norm[2 * k] + norm[2 * k + 1]
            made = xp.tanh(v) / (1 + xp.exp(-(a[(k - 1) * n :] + p[k - 2] * new)))
            made = made if w_hr is None else w_hr @ made
            s = share[t, row]
            c = s[:n] * new + (1 - s[:n]) * c
            h = y[t, row] = s[n:] * made + (1 - s[n:]) * h
        hn[row], cn[row] = h, c
    return y, hn, cn
