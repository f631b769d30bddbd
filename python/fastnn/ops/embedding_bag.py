# SPDX-License-Identifier: BSD-3-Clause
"""Sums, means and maxima of rows that are looked up by number.

    y[b, :] = sum, mean or max over k in bag b of s_k weight[index[k], :];  0 of an empty bag

Shapes:   index (b, n), a bag in every row, or (m), a bag from every offset to the next; weight
          (v, d), s like index -> y (b, d).
Backward: through the rows, the products and the sums or maxima that it is made of.
Source:   Joulin, Grave, Bojanowski and Mikolov, "Bag of tricks for efficient text classification",
          2016.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._embedding_options import check_options, renormalise
from fastnn.ops._refusal import refusal
from fastnn.ops.binary import div_tensors
from fastnn.ops.compare import ne_tensors
from fastnn.ops.copy import to
from fastnn.ops.creation import tensor, zeros
from fastnn.ops.embedding import Embedding
from fastnn.ops.extremum import max as largest
from fastnn.ops.minmax import clamp_min
from fastnn.ops.reduce import sum as add
from fastnn.ops.rows import index_add, index_select
from fastnn.ops.truth import any
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

MODES: Final = ("sum", "mean", "max")
_NAME: Final = "embedding_bag"


def _check(input: Any, weight: Any, offsets: Any, mode: Any, samples: Any, scaled: Any) -> None:
    _common.require_tensor(_NAME, "input", input)
    _common.require_tensor(_NAME, "weight", weight)
    if weight.ndim != 2:
        raise refusal(ValueError, _NAME, "weight (v, d)", weight.shape, "reshape() it")
    _common.require_float(_NAME, "weight", weight)
    if mode not in MODES:
        raise refusal(
            ValueError, _NAME, "mode as 'sum', 'mean' or 'max'", repr(mode), "'mean' is the default"
        )
    if input.array.dtype.kind not in "iu":
        raise refusal(RuntimeError, _NAME, "input of integers", input.dtype, "convert with .long()")
    if mode == "max" and scaled:
        text = "scale_grad_by_freq=False in mode 'max'"
        raise refusal(ValueError, _NAME, text, scaled, "leave it out, or use mode 'sum'")
    if input.ndim == 1:
        if not isinstance(offsets, Tensor) or offsets.ndim != 1:
            got = offsets.shape if isinstance(offsets, Tensor) else _kind(offsets)
            text = "offsets (b,) as a 1-D tensor for input (m,)"
            raise refusal(ValueError, _NAME, text, got, "give the place where every bag starts")
        if offsets.array.dtype.kind not in "iu":
            raise refusal(RuntimeError, _NAME, "offsets of integers", offsets.dtype, "use .long()")
    elif input.ndim != 2:
        raise refusal(
            ValueError, _NAME, "input (b, n), or (m,) with offsets", input.shape, "flatten() it"
        )
    elif offsets is not None:
        cure = "every row is a bag: leave offsets out"
        raise refusal(ValueError, _NAME, "no offsets for input (b, n)", _kind(offsets), cure)
    if samples is None:
        return
    _common.require_tensor(_NAME, "per_sample_weights", samples)
    if samples.shape != input.shape:
        text = f"per_sample_weights of input's shape, {input.shape}"
        raise refusal(ValueError, _NAME, text, samples.shape, "give one for every number")
    if samples.array.dtype != weight.array.dtype:
        text = f"per_sample_weights of weight's type, {weight.dtype}"
        raise refusal(RuntimeError, _NAME, text, samples.dtype, f"use .to({weight.dtype})")
    if mode != "sum":
        text = "per_sample_weights=None but in mode 'sum'"
        raise refusal(NotImplementedError, _NAME, text, f"mode {mode!r}", "use mode 'sum'")


def _kind(value: Any) -> str:
    """What stands for a wrong argument in a message."""
    return type(value).__name__


def _starts(offsets: Tensor, m: int, last: bool) -> list[int]:
    """The start of every bag, and the end of the last one."""
    numbers: list[int] = offsets.tolist()
    if last and not numbers:
        text = "one offset or more with include_last_offset"
        raise refusal(RuntimeError, _NAME, text, "none", "the last one is the number of elements")
    ends = numbers if last else [*numbers, m]
    if numbers and numbers[0] != 0:
        raise refusal(
            RuntimeError, _NAME, "offsets that start with 0", numbers[0], "put a 0 in front"
        )
    if sorted(ends) != ends or (ends and ends[-1] > m):
        text = f"offsets in order, of at most {m}, the number of elements"
        raise refusal(
            RuntimeError, _NAME, text, _common.shown(numbers), "sort them, cut larger ones"
        )
    return ends


def _rows(weight: Tensor, numbers: Tensor, padding: int, scaled: bool) -> Tensor:
    try:
        result: Tensor = Embedding.apply((weight, numbers), padding, scaled)
        return result
    except IndexError:
        n = weight.shape[0]
        bad = next(i for i in numbers.reshape(-1).tolist() if not 0 <= i < n)
        cure = "a table of more rows has larger numbers"
        raise refusal(RuntimeError, _NAME, f"numbers in [0, {n - 1}]", bad, cure) from None


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Rows of ``weight`` summed up, averaged or maximised by bags, as torch's F.embedding_bag.

    input (b, n) of integers in [0, v), every row a bag; or (m,) with ``offsets`` (b,), where every
    bag starts (with include_last_offset (b + 1,), the last being the end). weight (v, d) -> (b, d).
    per_sample_weights: factors like input, in mode 'sum'. padding_idx: the number (negative ones
    count from the end) that is left out, also of means. max_norm, norm_type, scale_grad_by_freq,
    sparse: as in `embedding`. Offsets are read on the host.

    Raises ValueError and NotImplementedError for options and shapes that do not go together,
    RuntimeError for a number out of range and for types and offsets that do not fit.
    """
    _check(input, weight, offsets, mode, per_sample_weights, scale_grad_by_freq)
    check_options(_NAME, max_norm, norm_type, scale_grad_by_freq, sparse)
    v = weight.shape[0]
    padding = -1
    if padding_idx is not None:
        padding = _common.integer(_NAME, "padding_idx", padding_idx)
        if not -v <= padding < v:
            cure = "None leaves nothing out"
            raise refusal(RuntimeError, _NAME, f"padding_idx in [{-v}, {v - 1}]", padding, cure)
        padding %= v
    _common.table_of(input, weight, op=_NAME)
    numbers = to(input, _dtypes.int64)
    ends: list[int] = []
    if offsets is not None:
        ends = _starts(offsets, input.shape[0], include_last_offset)
        used = ends[-1] if ends else 0
        numbers = numbers[:used]
        per_sample_weights = None if per_sample_weights is None else per_sample_weights[:used]
    if max_norm is not None:
        _rows(weight.detach(), numbers, -1, False)  # looks at the numbers
        renormalise(weight, numbers, float(max_norm), float(norm_type))
    rows = _rows(weight, numbers, padding, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    counted = ne_tensors(numbers, padding).unsqueeze(-1)
    if mode == "max":
        return _largest(rows, counted, ends, offsets is not None)
    if padding >= 0:
        rows = where(counted, rows, 0.0)
    ones = to(counted, rows.dtype)
    if offsets is None:
        totals, counts = add(rows, 1), add(ones, 1)
    else:
        totals, counts = _added(rows, ends), _added(ones, ends)
    return totals if mode == "sum" else div_tensors(totals, clamp_min(counts, 1.0))


def _added(rows: Tensor, ends: list[int]) -> Tensor:
    """The sums of the rows of every bag."""
    bags = [i for i, (s, e) in enumerate(itertools.pairwise(ends)) for _ in range(e - s)]
    place = tensor(bags, dtype=_dtypes.int64, device=rows.device)
    shape = (max(len(ends) - 1, 0), rows.shape[1])
    return index_add(zeros(shape, dtype=rows.dtype, device=rows.device), 0, place, rows)


def _largest(rows: Tensor, counted: Tensor, ends: list[int], ragged: bool) -> Tensor:
    """The maxima of bags, 0 of those without an element that counts."""
    if ragged:
        if not rows.shape[0]:
            return _added(rows, ends)  # of nothing
        # As a matrix of bags: what is shorter than the longest is filled up and left out.
        most = max(e - s for s, e in itertools.pairwise(ends))
        spots = [[min(s + k, ends[-1] - 1) for k in range(most)] for s in ends[:-1]]
        inside = [[[s + k < e] for k in range(most)] for s, e in itertools.pairwise(ends)]
        place = tensor(spots, dtype=_dtypes.int64, device=rows.device).reshape(-1)
        rows, counted = (
            index_select(t, 0, place).reshape(len(spots), most, t.shape[1]) for t in (rows, counted)
        )
        counted = counted & tensor(inside, device=rows.device)
    if not rows.numel():
        return add(rows, 1)
    values = largest(where(counted, rows, -math.inf), 1)[0]
    return where(any(counted, 1), values, 0.0)


def _plain(
    index: Any, weight: Any, offsets: Any = None, *, mode: str = "mean", padding_idx: Any = None,
    per_sample_weights: Any = None, include_last_offset: bool = False, **_: Any,
) -> Any:  # fmt: skip
    xp = array_module(weight)
    flat = index.reshape(-1)
    samples = xp.ones(flat.size) if per_sample_weights is None else per_sample_weights.reshape(-1)
    starts = range(0, flat.size, index.shape[1]) if offsets is None else offsets.tolist()
    ends = list(starts) if include_last_offset else [*starts, flat.size]
    out = xp.zeros((len(ends) - 1, weight.shape[1]), weight.dtype)
    for b, (s, e) in enumerate(itertools.pairwise(ends)):
        picked = [
            weight[flat[k]] * samples[k].astype(weight.dtype)
            for k in range(s, e)
            if padding_idx is None or flat[k] != padding_idx
        ]
        if picked:
            out[b] = getattr(xp, "amax" if mode == "max" else mode)(xp.stack(picked), axis=0)
    return out


def weighted(samples: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """`embedding_bag` with its weights in front, for the case table."""
    bag: Any = embedding_bag
    result: Tensor = bag(*arguments, per_sample_weights=samples, **options)
    return result


def _plain_weighted(samples: Any, *arguments: Any, **options: Any) -> Any:
    return _plain(*arguments, per_sample_weights=samples, **options)


_RAGGED = [("cells", [2, 0, 2, 3, 1, 2]), (4, 3), ("cells", [0, 2, 2])]
CASES = [
    *(
        OpCase(embedding_bag, "embedding_bag", a, {"mode": mode, **options}, _plain)
        for mode in MODES
        for a, options in (
            ([("cells", [[2, 0, 1], [3, 3, 2]]), (4, 3)], {}),
            (_RAGGED, {"padding_idx": 2}),
        )
    ),
    OpCase(
        embedding_bag,
        "embedding_bag",
        [*_RAGGED[:2], ("cells", [0, 4, 6])],
        {"include_last_offset": True},
        _plain,
    ),
    OpCase(
        embedding_bag,
        "embedding_bag",
        [("cells", []), (4, 3), ("cells", [0, 0])],
        {"mode": "max"},
        _plain,
    ),
    OpCase(weighted, "embedding_bag weighted", [(6,), *_RAGGED], {"mode": "sum"}, _plain_weighted),
]
_BAD: list[tuple[list[Any], dict[str, Any], type[Exception], str]] = [
    ([("cells", [0]), (4,)], {}, ValueError, "expected weight (v, d)"),
    ([("cells", [0]), (4, 3)], {}, ValueError, "offsets (b,) as a 1-D tensor"),
    ([("cells", [[0]]), (4, 3), ("cells", [0])], {}, ValueError, "expected no offsets"),
    ([("cells", [0]), (4, 3), ("cells", [1])], {}, RuntimeError, "offsets that start with 0"),
    ([("cells", [0]), (4, 3), ("cells", [0, 2])], {}, RuntimeError, "offsets in order"),
    ([("cells", [4]), (4, 3), ("cells", [0])], {}, RuntimeError, "numbers in [0, 3], got 4"),
    ([("cells", [[[0]]]), (4, 3)], {}, ValueError, "expected input (b, n)"),
    ([("cells", [[0]]), (4, 3)], {"mode": "min"}, ValueError, "expected mode as 'sum'"),
    ([("cells", [[0]]), (4, 3)], {"padding_idx": 4}, RuntimeError, "padding_idx in [-4, 3]"),
    ([(2, 3), (4, 3)], {}, RuntimeError, "expected input of integers"),
    (
        [("cells", [[0]]), (4, 3)],
        {"mode": "max", "scale_grad_by_freq": True},
        ValueError,
        "scale_grad_by_freq=False in mode 'max'",
    ),
]
ERRORS = [
    *(ErrorCase(embedding_bag, "embedding_bag", a, e, text, o) for a, o, e, text in _BAD),
    *(
        ErrorCase(weighted, "embedding_bag", [s, ("cells", [[0, 1]]), (4, 3)], e, text, o)
        for s, o, e, text in (
            ((3,), {"mode": "sum"}, ValueError, "per_sample_weights of input's shape"),
            ((1, 2), {"mode": "mean"}, NotImplementedError, "per_sample_weights=None but"),
        )
    ),
]
