# SPDX-License-Identifier: BSD-3-Clause
"""The references of connectionist temporal classification (ops/ctc_loss.py).

labels (n, 2 s + 1) is the label of every state, the blank in the even ones; skip says which states
may be reached from the last but one, past a blank: those of a label that does not repeat the label
before. Behind a shorter text stand states that nothing in front of them depends on.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.ops.softmax import wide


@reference
def ctc_states(
    targets: Any, starts: Any, sizes: Any, labels: Any, skip: Any, classes: int, blank: int
) -> None:
    """From targets, all labels behind one another, where those of a text start, and their number;
    IndexError for a label outside [0, classes)."""
    xp = array_module(targets)
    column = xp.arange(labels.shape[1] // 2)
    used = column < sizes[:, None]
    labels[...] = blank
    skip[...] = False
    if not targets.size:
        return
    texts = targets[xp.where(used, starts[:, None] + column, 0)]
    if bool((used & ((texts < 0) | (texts >= classes))).any()):
        message = "ctc_states: a label is no class"
        raise IndexError(message)
    labels[:, 1::2] = xp.where(used, texts, blank)
    skip[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]


def _emitted(x: Any, labels: Any) -> Any:
    """The logarithms (t, n, 2 s + 1) of the probabilities of the states' labels."""
    xp = array_module(x)
    shape = (x.shape[0], *labels.shape)
    return xp.take_along_axis(x, xp.broadcast_to(labels, shape), axis=2)


def _arrived(before: Any, skip: Any) -> Any:
    """What paths have that arrive in a state: from itself, the one before, the last but one."""
    xp = array_module(before)
    least = before.dtype.type(-xp.inf)
    ways = before.copy()
    ways[:, 1:] = xp.logaddexp(before[:, 1:], before[:, :-1])
    ways[:, 2:] = xp.logaddexp(ways[:, 2:], xp.where(skip[:, 2:], before[:, :-2], least))
    return ways


def _left(after: Any, skip: Any) -> Any:
    """What paths have that leave a state: `_arrived` seen from the end."""
    xp = array_module(after)
    least = after.dtype.type(-xp.inf)
    ways = after.copy()
    ways[:, :-1] = xp.logaddexp(after[:, :-1], after[:, 1:])
    ways[:, :-2] = xp.logaddexp(ways[:, :-2], xp.where(skip[:, 2:], after[:, 2:], least))
    return ways


def _is_end(labels: Any, sizes: Any) -> Any:
    """Which states a path may end in: the last label and the blank behind it."""
    state = array_module(labels).arange(labels.shape[1])
    behind = 2 * sizes[:, None]
    return (state == behind) | (state == behind - 1)


def _log_likelihood(alpha: Any, lengths: Any, sizes: Any) -> Any:
    """log p (n); of a text for which there is no time, 0 if it is empty, else -inf."""
    xp = array_module(alpha)
    least = alpha.dtype.type(-xp.inf)
    rows = xp.arange(lengths.size)
    last = alpha[xp.maximum(lengths - 1, 0), rows]
    label = xp.where(sizes > 0, last[rows, 2 * sizes - 1], least)
    found = xp.logaddexp(last[rows, 2 * sizes], label)
    return xp.where(lengths > 0, found, xp.where(sizes > 0, least, 0)).astype(alpha.dtype)


@reference
def ctc_loss_forward(
    x: Any, labels: Any, skip: Any, lengths: Any, sizes: Any, loss: Any, alpha: Any, zero: bool
) -> None:
    """loss (n); alpha (t, n, 2 s + 1), which times behind a sequence's length have too. ``zero``:
    a text that no path has gets the loss 0 in the place of infinity."""
    xp = array_module(x)
    emitted = _emitted(wide(x), labels)
    state = xp.full(labels.shape, -xp.inf, emitted.dtype)
    state[:, 0] = 0  # before the first time; from there on into the first two states
    for t in range(x.shape[0]):
        state = alpha[t] = _arrived(state, skip) + emitted[t]
    losses = -_log_likelihood(alpha, lengths, sizes)
    loss[...] = xp.where(xp.isinf(losses), 0, losses) if zero else losses


@reference
def ctc_loss_backward(
    x: Any,
    labels: Any,
    skip: Any,
    lengths: Any,
    sizes: Any,
    alpha: Any,
    grad_loss: Any,
    grad_x: Any,
    zero: bool,
) -> None:
    """grad_x = (exp(x) - the share of the paths that are at a label) grad_loss; 0 behind a
    sequence's length; where no path is, NaN, or 0 with ``zero``."""
    xp = array_module(x)
    values = wide(x)
    emitted = _emitted(values, labels)
    least = emitted.dtype.type(-xp.inf)
    whole = _log_likelihood(alpha, lengths, sizes)
    impossible = xp.isinf(whole)
    whole = xp.where(impossible, 0, whole).astype(whole.dtype)[:, None]
    ends = xp.where(_is_end(labels, sizes), emitted.dtype.type(0), least)
    rows = xp.arange(lengths.size)[:, None]
    scale = xp.where(impossible, 0 if zero else xp.nan, wide(grad_loss)).astype(emitted.dtype)
    after = xp.full(labels.shape, least, emitted.dtype)
    for t in range(x.shape[0] - 1, -1, -1):
        rest = xp.where((lengths == t + 1)[:, None], ends, _left(after, skip))
        share = xp.zeros(values.shape[1:], values.dtype)
        xp.add.at(share, (rows, labels), xp.exp(alpha[t] + rest - whole))
        grad = (xp.exp(values[t]) - share) * scale[:, None]
        grad_x[t] = xp.where((lengths > t)[:, None], grad, 0)
        after = rest + emitted[t]
