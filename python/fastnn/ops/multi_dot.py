# SPDX-License-Identifier: BSD-3-Clause
"""Products of many matrices, in the order with the fewest multiplications.

Shapes:   (m, k) (k, l) ... (p, n) -> (m, n); the first and the last may be vectors.
Backward: of the products that it is made of.
Source:   Cormen et al., "Introduction to Algorithms", section on matrix-chain multiplication.
"""

from __future__ import annotations

import itertools
from typing import Any

from fastnn.ops import _common
from fastnn.ops.bmm import checked_pair
from fastnn.ops.matmul import matmul
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def multi_dot_tensors(tensors: Any) -> Tensor:
    """The product of two or more matrices in the cheapest order, as torch.linalg.multi_dot.

    The first and the last may be vectors.   Raises RuntimeError for other shapes and types,
    TypeError for no tensors.
    """
    given: list[Any] = list(tensors) if isinstance(tensors, tuple | list) else [None]
    for i, t in enumerate(given):
        _common.require_tensor("multi_dot", f"tensors[{i}]", t)
    shapes = [t.shape for t in given]
    inner = [s for s in shapes[1:-1] if len(s) != 2]
    ends = [s for s in (*shapes[:1], *shapes[-1:]) if len(s) not in (1, 2)]
    if len(given) < 2 or inner or ends:
        message = (
            f"multi_dot: expected two or more matrices, vectors only at the ends, got {shapes}; "
            "matmul() takes batches"
        )
        raise RuntimeError(message)
    for t in given[1:]:
        checked_pair("multi_dot", given[0], t)
    first, last = given[0], given[-1]
    chain = [*given[:-1], last.unsqueeze(1) if last.ndim == 1 else last]
    chain[0] = first.unsqueeze(0) if first.ndim == 1 else first
    sizes = [chain[0].shape[0], *(t.shape[1] for t in chain)]
    if any(a.shape[1] != b.shape[0] for a, b in itertools.pairwise(chain)):
        message = (
            f"multi_dot: expected inner sizes that are equal, got {shapes}; t() turns a matrix"
        )
        raise RuntimeError(message)
    out = _chain(chain, _cuts(sizes), 0, len(chain) - 1)
    return reshape(out, (first.shape[:1] if first.ndim == 2 else ()) + last.shape[1:])


def _cuts(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut the products i ... j so that their multiplications are fewest."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cuts: dict[tuple[int, int], int] = {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            ways = [
                (cost[i, c] + cost[c + 1, j] + sizes[i] * sizes[c + 1] * sizes[j + 1], c)
                for c in range(i, j)
            ]
            cost[i, j], cuts[i, j] = min(ways)
    return cuts


def _chain(chain: list[Tensor], cuts: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return chain[i]
    c = cuts[i, j]
    return matmul(_chain(chain, cuts, i, c), _chain(chain, cuts, c + 1, j))


_common.named(multi_dot=multi_dot_tensors)


def _of_arguments(*tensors: Any) -> Tensor:
    """multi_dot of separate arguments, for the case table."""
    return multi_dot_tensors(list(tensors))


def _plain(first: Any, *others: Any) -> Any:
    for x in others:
        first = first @ x
    return first


CASES = [
    OpCase(_of_arguments, "multi_dot", list(s), ref=_plain)
    for s in (((2, 3), (3, 4)), ((2, 5), (5, 1), (1, 4), (4, 3)), ((3,), (3, 2), (2,)))
]
ERRORS = [
    ErrorCase(_of_arguments, "multi_dot", [(2, 3)], RuntimeError, "two or more matrices"),
    ErrorCase(_of_arguments, "multi_dot", [(2, 3), (4, 2)], RuntimeError, "inner sizes"),
    ErrorCase(_of_arguments, "multi_dot", [(2, 3), 1.0], TypeError, "tensors[1] as a Tensor"),
    ErrorCase(_of_arguments, "multi_dot", [(2, 2), (2,), (2,)], RuntimeError, "only at the ends"),
]
