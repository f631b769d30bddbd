# SPDX-License-Identifier: BSD-3-Clause
"""Connectionist temporal classification: the likelihood of a text of which no place is known.

    p(l | x) = sum over all paths of t symbols that read l once repeats are merged and blanks left
    out;  loss = -log p(l | x)

The blanks between and around the labels l make 2 s + 1 states; alpha (t, n, 2 s + 1) holds the
logarithms of what all paths to a state at a time have together, the symbol of that time included.

Shapes:   log_probs (t, n, c) or (t, c); targets (n, s), or all labels behind one another (sum of
          target_lengths); input_lengths, target_lengths (n) or () -> (), or (n) or () for 'none'.
Backward: dx_tnk = (exp(x_tnk) - q_tnk) dloss_n, q the share of the paths that are at label k then:
          as torch's, the gradient of what comes out of log_softmax. It adds up to 0 over k, so
          through log_softmax it is the derivative; of other numbers the first part is not.
Saved:    log_probs, the labels, alpha.
Source:   Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification", 2006.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from fastnn import _dtypes, autograd
from fastnn._backend import array_module
from fastnn.autograd import Op
from fastnn.ops import (
    _common,
    _ctc,  # noqa: F401  (puts the references into the kernel table)
    _losses,
)
from fastnn.ops.copy import to
from fastnn.ops.creation import tensor
from fastnn.ops.gather import gather_elements as gather
from fastnn.ops.join import cat, stack
from fastnn.ops.logsumexp import logsumexp_tensor as logsumexp
from fastnn.ops.softmax import log_softmax
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Sequence

_IMPOSSIBLE = -1e30  # as a logarithm, in the place of -inf, whose differences are NaN


class CTC(Op):
    """Losses (n) of texts."""

    name = "ctc_loss"

    def forward(
        self, x: Any, targets: Any, starts: Any, lengths: Any, sizes: Any, *options: Any
    ) -> Any:
        table = self.kernels
        longest, blank, self.zero = options
        given, x = x, _common.contiguous_array(table, x)
        targets = _common.contiguous_array(table, targets)
        t, n, c = x.shape
        states = 2 * longest + 1
        labels = table.empty((n, states), _dtypes.int64.numpy)
        skip = table.empty((n, states), _dtypes.bool_.numpy)
        table.ctc_states(targets, starts, sizes, labels, skip, c, blank)
        loss = table.empty((n,), x.dtype)
        kind = _dtypes.float32.numpy if x.dtype == _dtypes.float16.numpy else x.dtype
        alpha = table.empty((t, n, states), kind)
        table.ctc_loss_forward(x, labels, skip, lengths, sizes, loss, alpha, self.zero)
        if self.needs[0]:
            self.save(given, labels, skip, lengths, sizes, alpha)
        return loss

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        x, *rest = self.saved or ()
        x, g = (_common.contiguous_array(table, a) for a in (x, g))
        grad_x = table.empty(x.shape, x.dtype)
        table.ctc_loss_backward(x, *rest, g, grad_x, self.zero)
        return (grad_x, None, None, None, None)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, *rest, _ = self.saved_tensors()
        lengths = rest[2]
        likelihood = _log_likelihood(x, *rest)
        (share,) = autograd.grad(likelihood.sum(), x, create_graph=True)
        times = Tensor._wrap(self.kernels.xp.arange(x.shape[0]))
        inside = times.unsqueeze(1) < lengths
        possible = likelihood.detach() > 0.5 * _IMPOSSIBLE
        scale = where(possible, g, 0.0 if self.zero else float("nan"))
        grad_x = (x.exp() - share) * scale.unsqueeze(1)
        return (where(inside.unsqueeze(2), grad_x, 0.0), None, None, None, None)


def _log_likelihood(x: Tensor, labels: Tensor, skip: Tensor, lengths: Tensor, sizes: Tensor) -> Any:
    """log p (n) in operations that have derivatives of any order."""
    dtype = _dtypes.float32 if x.dtype is _dtypes.float16 else x.dtype
    x = to(x, dtype).clamp_min(_IMPOSSIBLE)
    t, (n, s) = x.shape[0], labels.shape
    emitted = gather(x, 2, labels.unsqueeze(0).expand(t, n, s))
    place = Tensor._wrap(_common.table_of(x).xp.arange(s))
    # Before the first time a path is in the first state, from where it may go on into the second.
    state = to(where(place == 0, 0.0, _IMPOSSIBLE), dtype).expand(n, s)
    low = to(where(place[:1] < 0, 0.0, _IMPOSSIBLE), dtype).expand(n, 2)
    for i in range(t):
        one = cat((low[:, :1], state), 1)[:, :s]
        two = cat((low, state), 1)[:, :s]
        ways = stack((state, one, where(skip, two, _IMPOSSIBLE)))
        state = where((lengths > i).unsqueeze(1), logsumexp(ways, 0) + emitted[i], state)
    ends = stack((2 * sizes + 1, where(sizes > 0, 2 * sizes, 0)), 1)
    return logsumexp(gather(cat((low[:, :1], state), 1), 1, ends), 1)


def _lengths(name: str, what: str, given: Any, n: int, most: int, cure: str) -> list[int]:
    """Lengths of n sequences as ints in [0, most]."""
    values = given.reshape(-1).tolist() if isinstance(given, Tensor) else given
    if not isinstance(values, list | tuple):
        values = [values]
    numbers = [_common.integer(name, what, v) for v in values]
    if len(numbers) != n:
        message = (
            f"{name}: expected {what} of {n} sequences, one for each of the batch, got "
            f"{len(numbers)}; of a batch log_probs are (t, n, c)"
        )
        raise RuntimeError(message)
    for v in numbers:
        if not 0 <= v <= most:
            message = f"{name}: expected {what} in [0, {most}], got {v}; {cure}"
            raise RuntimeError(message)
    return numbers


def _checked(
    name: str, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: Any
) -> tuple[Tensor, list[int], list[int], list[int]]:
    """(t, n, c), where every text starts in the flat targets, and both lengths."""
    _common.require_tensor(name, "log_probs", log_probs)
    _common.require_tensor(name, "targets", targets)
    _common.require_float(name, "log_probs", log_probs)
    if log_probs.ndim not in (2, 3) or log_probs.array.size == 0:
        message = (
            f"{name}: expected log_probs (t, n, c) or (t, c) that are not empty, got "
            f"{tuple(log_probs.shape)}; of a batch the time is the first dimension"
        )
        raise RuntimeError(message)
    x = log_probs if log_probs.ndim == 3 else log_probs.unsqueeze(1)
    t, n, c = x.shape
    if not 0 <= blank < c:
        message = (
            f"{name}: expected blank in [0, {c - 1}], as there are {c} labels, got {blank}; its "
            "default is 0"
        )
        raise RuntimeError(message)
    if targets.dtype.is_floating_point or targets.dtype is _dtypes.bool_ or targets.ndim > 2:
        message = (
            f"{name}: expected targets (n, s) or one behind the other, of integers, got shape "
            f"{tuple(targets.shape)} of {targets.dtype}; convert labels with .long()"
        )
        raise RuntimeError(message)
    times = _lengths(name, "input_lengths", input_lengths, n, t, "log_probs have no more times")
    most = targets.shape[1] if targets.ndim == 2 else targets.numel()
    sizes = _lengths(
        name, "target_lengths", target_lengths, n, most, "targets have no more labels of a text"
    )
    if targets.ndim == 2 and targets.shape[0] == n:
        return x, [i * most for i in range(n)], times, sizes
    if targets.ndim == 2 or targets.numel() != sum(sizes):
        message = (
            f"{name}: expected targets of shape ({n}, s), or ({sum(sizes)},), the sum of "
            f"target_lengths, got {tuple(targets.shape)}; leave padding away, or give it (n, s)"
        )
        raise RuntimeError(message)
    return x, [0, *itertools.accumulate(sizes)][:n], times, sizes


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int] | int,
    target_lengths: Tensor | Sequence[int] | int,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that a sequence reads a text, as torch.nn.functional.ctc_loss.

    log_probs: (t, n, c), or (t, c) for one sequence: logarithms of probabilities, from log_softmax.
    targets:   (n, s) labels in [0, c), of which the first ``target_lengths`` count, or all of them
        behind one another (sum of target_lengths). Integers; not the blank.
    input_lengths, target_lengths: (n) or (): tensors or lists of ints.
    blank:     the label of no symbol.
    reduction: 'mean' (each loss over its target length, then over the batch), 'sum' or 'none'.
    zero_infinity: the loss and the gradient of a text too long for its sequence are 0.

    The gradient is that of a loss of log_softmax's results: see the head of this file.
    Raises ValueError for an unknown reduction, IndexError for a label that does not exist,
    RuntimeError for shapes and lengths that do not go together and other types.
    Source: Graves et al., "Connectionist temporal classification", 2006.
    """
    name = "ctc_loss"
    _losses.check_reduction(name, reduction)
    blank = _common.integer(name, "blank", blank)
    x, *numbers = _checked(name, log_probs, targets, input_lengths, target_lengths, blank)
    starts, times, sizes = (tensor(v, dtype=_dtypes.int64) for v in numbers)
    flat = to(targets, _dtypes.int64).reshape(-1)
    longest = max(numbers[2])
    try:
        losses = CTC.apply((x, flat, starts, times, sizes), longest, blank, bool(zero_infinity))
    except IndexError:
        message = (
            f"{name}: expected labels in [0, {x.shape[2] - 1}], as log_probs have {x.shape[2]}, "
            f"got {flat.array.min()} ... {flat.array.max()}; number them from 0"
        )
        raise IndexError(message) from None
    if reduction == "mean":
        losses = losses / to(sizes.clamp_min(1), losses.dtype)
    losses = losses if log_probs.ndim == 3 else losses.reshape(())
    return _losses.reduced(losses, reduction)


def _of_scores(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return ctc_loss(log_softmax(x, -1), *args, **options)


def _plain(
    x: Any, targets: Any, times: Any, sizes: Any, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """By all paths there are."""
    xp = array_module(x)
    single = x.ndim == 2
    x = x[:, None] if single else x
    p = xp.exp(x) / xp.exp(x).sum(2, keepdims=True)
    cuts = [0, *itertools.accumulate(sizes)]
    losses = []
    for i, (t, s) in enumerate(zip(times, sizes, strict=True)):
        text = list(targets[i, :s] if targets.ndim == 2 else targets[cuts[i] : cuts[i + 1]])
        total = x.dtype.type(0)
        for path in itertools.product(range(x.shape[2]), repeat=t):
            if [k for k, _ in itertools.groupby(path) if k != blank] == text:
                total = total + xp.prod(p[list(range(t)), i, list(path)])
        loss = -xp.log(total) if total > 0 else x.dtype.type(0 if zero_infinity else xp.inf)
        losses.append(loss / max(s, 1) if reduction == "mean" else loss)
    out = xp.asarray(losses, x.dtype)
    out = out[0] if single else out
    return out if reduction == "none" else getattr(out, reduction)()


_CTC = "ctc_loss"
_TEXTS = ("cells", [[1, 2], [2, 2]])
CASES = [
    OpCase(_of_scores, _CTC, shapes, kwargs=k, ref=_plain)
    for shapes, k in (
        ([(4, 2, 3), _TEXTS, [4, 3], [2, 2]], {}),
        ([(4, 2, 3), _TEXTS, [3, 4], [1, 2]], {"reduction": "none"}),
        ([(4, 2, 3), ("cells", [0, 1, 0]), [4, 4], [2, 1]], {"blank": 2, "reduction": "sum"}),
        ([(3, 3), ("cells", [2, 1]), [3], [2]], {}),
        ([(3, 2, 3), _TEXTS, [2, 3], [0, 2]], {"reduction": "none"}),
        ([(3, 2, 3), _TEXTS, [2, 2], [2, 2]], {"reduction": "sum", "zero_infinity": True}),
        ([(2, 1, 2), ("cells", [[1]]), [0], [0]], {"reduction": "none"}),
    )
]
ERRORS = [
    ErrorCase(ctc_loss, _CTC, given, error, text, options)
    for given, error, text, options in (
        ([(4, 2, 3), _TEXTS, [5, 4], [2, 2]], RuntimeError, "input_lengths in [0, 4], got 5", {}),
        ([(4, 2, 3), _TEXTS, [4, 4], [2, -1]], RuntimeError, "target_lengths in [0, 2]", {}),
        ([(4, 2, 3), _TEXTS, [4], [2, 2]], RuntimeError, "input_lengths of 2 sequences", {}),
        ([(4, 2, 3), _TEXTS, [4, 4.5], [2, 2]], TypeError, "input_lengths as an int", {}),
        ([(4, 2, 3), ("cells", [1, 2, 2]), [4, 4], [2, 2]], RuntimeError, "or (4,), the sum", {}),
        ([(4, 2, 3), ("cells", [[1, 2]]), [4, 4], [2, 2]], RuntimeError, "shape (2, s)", {}),
        ([(4, 2, 3), (2, 2), [4, 4], [2, 2]], RuntimeError, "of integers, got shape (2, 2)", {}),
        ([(4, 2, 2), _TEXTS, [4, 4], [2, 2]], IndexError, "expected labels in [0, 1]", {}),
        ([(4, 0, 3), _TEXTS, [4, 4], [2, 2]], RuntimeError, "that are not empty", {}),
        ([("int", (4, 2, 3), 0, 2), _TEXTS, [4, 4], [2, 2]], RuntimeError, "floating-point", {}),
        ([(4, 2, 3), _TEXTS, [4, 4], [2, 2], 3], RuntimeError, "blank in [0, 2]", {}),
        ([(4, 2, 3), [[1]], [4, 4], [2, 2]], TypeError, "targets as a Tensor", {}),
        ([(4, 2, 3), _TEXTS, [4, 4], [2, 2]], ValueError, "reduction", {"reduction": "avg"}),
    )
]
