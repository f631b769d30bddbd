# SPDX-License-Identifier: BSD-3-Clause
"""Elements repeated, in another order, or left out: repeat, tile, flip, roll, tril, triu.

Backward: the same rearrangement the other way round, summed where elements are repeated.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.compare import ge_tensors, le_tensors
from fastnn.ops.copy import clone
from fastnn.ops.creation import arange
from fastnn.ops.view import expand, reshape, unsqueeze
from fastnn.ops.where import Where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class Flip(Op):
    """The order of some dimensions turned round."""

    def forward(self, x: Any, dims: Any) -> Any:
        self.dims = dims
        return self.flipped(x)

    def flipped(self, x: Any) -> Any:
        """A copy of a view with negative strides."""
        table = self.kernels
        out = table.empty(x.shape, x.dtype)
        back = slice(None, None, -1)
        turns = [back if d in self.dims else slice(None) for d in range(x.ndim)]
        table.copy(x[(*turns, Ellipsis)], out)  # with ... a 0-d array stays an array
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.flipped(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (Flip.apply((g,), self.dims),)


class Roll(Op):
    """A dimension shifted, what falls out at its end coming in at its front."""

    def forward(self, x: Any, shift: int, dim: int) -> Any:
        self.shift, self.dim = shift, dim
        return self.rolled(x, shift)

    def rolled(self, x: Any, shift: int) -> Any:
        """Two copies; 0 <= shift < size."""
        table = self.kernels
        out = table.empty(x.shape, x.dtype)
        lead, cut = (slice(None),) * self.dim, x.shape[self.dim] - shift
        table.copy(x[(*lead, slice(0, cut))], out[(*lead, slice(shift, None))])
        if shift:
            table.copy(x[(*lead, slice(cut, None))], out[(*lead, slice(0, shift))])
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        n = g.shape[self.dim]
        return (self.rolled(g, (n - self.shift) % n if n else 0),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        n = g.shape[self.dim]
        return (Roll.apply((g,), (n - self.shift) % n if n else 0, self.dim),)


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The tensor repeated along every dimension, as torch.Tensor.repeat: a copy.

    repeats: one number per dimension, and in front of them numbers for new dimensions.
    Raises RuntimeError for numbers below 0 or fewer than dimensions, TypeError for no ints.
    """
    _common.require_tensor("repeat", "input", input)
    return _repeated("repeat", input, _common.shape_argument("repeat", repeats))


def _repeated(name: str, input: Tensor, times: tuple[int, ...]) -> Tensor:
    if len(times) < input.ndim or any(n < 0 for n in times):
        message = (
            f"{name}: expected at least {input.ndim} numbers >= 0 for {input.shape}, got {times}; "
            "1 leaves a dimension as it is"
        )
        raise RuntimeError(message)
    sizes = (1,) * (len(times) - input.ndim) + tuple(input.shape)
    shape = tuple([n * size for n, size in zip(times, sizes, strict=True)])
    _common.check_extent(name, (*shape, *times) if 0 in shape else shape)
    if all(n == 1 for n in times):
        return clone(reshape(input, sizes))
    # A dimension of its own for every number but 1, and those of size 1 repeat themselves.
    apart: list[int] = []
    wide: list[int] = []
    for n, size in zip(times, sizes, strict=True):
        if n != 1 and size != 1:
            apart.append(1)
            wide.append(n)
        apart.append(size)
        wide.append(n if size == 1 else size)
    return reshape(clone(expand(reshape(input, apart), wide)), shape)


def tile(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """`repeat` with ones for the dimensions in front that have no number, as torch.tile."""
    _common.require_tensor("tile", "input", input)
    times = _common.shape_argument("tile", sizes if dims is None else (dims,))
    return _repeated("tile", input, (1,) * (input.ndim - len(times)) + times)


def flip(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """The order of the given dimensions turned round, as torch.flip: a copy."""
    _common.require_tensor("flip", "input", input)
    given = _common.shape_argument("flip", sizes if dims is None else (dims,))
    turned = tuple([_common.one_dim("flip", d, input.ndim) for d in given])
    if len(set(turned)) != len(turned):
        message = f"flip: expected distinct dims, got {given}; name each once"
        raise RuntimeError(message)
    return Flip.apply((input,), turned)  # type: ignore[no-any-return]


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Dimensions shifted round, as torch.roll; without ``dims`` the flattened tensor is."""
    _common.require_tensor("roll", "input", input)
    steps = _common.shape_argument("roll", (shifts,))
    if dims is None or (isinstance(dims, tuple | list) and not dims):
        if len(steps) != 1:
            message = (
                f"roll: expected one shift without dims, got {steps}; pass dims, one for each shift"
            )
            raise RuntimeError(message)
        return reshape(roll(reshape(input, -1), steps, 0), input.shape)
    given = tuple(dims) if isinstance(dims, tuple | list) else (dims,)
    if len(given) != len(steps) or input.ndim == 0:
        message = (
            f"roll: expected as many shifts as dims of a tensor with dimensions, got {steps} and "
            f"{given} for {input.shape}; pass one dim for each shift"
        )
        raise (RuntimeError if len(given) != len(steps) else IndexError)(message)
    for shift, dim in zip(steps, given, strict=True):
        d = _common.one_dim("roll", dim, input.ndim)
        n = input.shape[d]
        input = Roll.apply((input,), shift % n if n else 0, d)
    return input


def _triangle(name: str, input: Tensor, diagonal: Any, keep: Any) -> Tensor:
    _common.require_tensor(name, "input", input)
    k = _common.integer(name, "diagonal", diagonal)
    if input.ndim < 2:
        message = (
            f"{name}: expected a tensor of at least 2 dimensions, got {input.shape}; unsqueeze(0) "
            "makes a vector a row"
        )
        raise RuntimeError(message)
    rows, columns = input.shape[-2:]
    k = max(-rows, min(k, columns))  # beyond these nothing changes
    j = arange(columns, device=input.device)
    i = unsqueeze(arange(k, k + rows, device=input.device), 1)
    zero = _common.scalar_array(_common.table_of(input), 0, _dtypes.from_numpy(input.array.dtype))
    return Where.apply((keep(j, i), input, Tensor._wrap(zero)))  # type: ignore[no-any-return]


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of matrices (..., r, c), zeros above ``diagonal``, as torch.tril."""
    return _triangle("tril", input, diagonal, le_tensors)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of matrices (..., r, c), zeros below ``diagonal``, as torch.triu."""
    return _triangle("triu", input, diagonal, ge_tensors)


tril_: InPlace[...] = in_place(tril)
triu_: InPlace[...] = in_place(triu)


def _np(name: str) -> Any:
    def formula(x: Any, *arguments: Any) -> Any:
        return getattr(array_module(x), name)(x, *arguments)

    return formula


CASES = [
    *(
        OpCase(repeat, "repeat", [shape, times], ref=_np("tile"))
        for shape, times in (
            ((2, 3), [2, 2]),
            ((3,), [4, 2]),
            ((2, 1, 3), [1, 5, 1]),
            ((2, 3), [1, 1]),
            ((2, 3), [0, 2]),
            ((), [3]),
        )
    ),
    OpCase(tile, "tile", [(2, 3), [2]], ref=_np("tile")),
    OpCase(tile, "tile", [(3,), [2, 2]], ref=_np("tile")),
    OpCase(flip, "flip", [(2, 3, 4), [0, -1]], ref=_np("flip")),
    OpCase(flip, "flip", [(70,), [0]], ref=_np("flip")),
    OpCase(flip, "flip", [(2, 3), []], ref=lambda x, _: x),
    OpCase(flip, "flip", [(), []], ref=lambda x, _: x),
    OpCase(flip, "flip", [(), [-1]], ref=lambda x, _: x),
    OpCase(roll, "roll", [(5, 3), 2, 0], ref=_np("roll")),
    OpCase(roll, "roll", [(5, 3), [-1, 4], [0, 1]], ref=_np("roll")),
    OpCase(roll, "roll", [(2, 3), 1], ref=_np("roll")),
    OpCase(roll, "roll", [(0, 3), 1, 0], ref=_np("roll")),
    *(
        OpCase(f, name, [shape, k], ref=_np(name))
        for f, name in ((tril, "tril"), (triu, "triu"))
        for shape, k in (
            ((4, 4), 0),
            ((2, 3, 5), 1),
            ((5, 3), -2),
            ((0, 3), 0),
            ((3, 4), 2**62),
            ((3, 4), -(2**62)),
        )
    ),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (repeat, "repeat", [(2, 3), [2]], RuntimeError, "at least 2 numbers"),
    (repeat, "repeat", [(2,), [-1]], RuntimeError, "numbers >= 0"),
    (repeat, "repeat", [[1.0], [1]], TypeError, "expected input as a Tensor"),
    (repeat, "repeat", [(2,), [2**62]], RuntimeError, "fewer than 2^60 elements"),
    (repeat, "repeat", [(1,), [2**40, 2**40, 0]], RuntimeError, "fewer than 2^60 elements"),
    (tile, "tile", [(2,), [-1]], RuntimeError, "numbers >= 0"),
    (tile, "tile", [(2,), [1.5]], TypeError, "sizes as ints"),
    (tile, "tile", [(2, 3), [2**62]], RuntimeError, "fewer than 2^60 elements"),
    (tile, "tile", [None, [1]], TypeError, "expected input as a Tensor"),
    (flip, "flip", [(2, 3), [0, 0]], RuntimeError, "distinct dims"),
    (flip, "flip", [(2, 3), [2]], IndexError, "expected dim in"),
    (flip, "flip", [None, [0]], TypeError, "expected input as a Tensor"),
    (roll, "roll", [(2, 3), [1, 2]], RuntimeError, "one shift without dims"),
    (roll, "roll", [(2, 3), [1, 2], [0]], RuntimeError, "as many shifts as dims"),
    (roll, "roll", [(), 0, 0], IndexError, "a tensor with dimensions"),
    (roll, "roll", [(2, 3), 1, 2], IndexError, "expected dim in"),
    (tril, "tril", [(3,)], RuntimeError, "at least 2 dimensions"),
    (tril, "tril", [(3, 3), 1.5], TypeError, "diagonal as an int"),
    (tril, "tril", [[1.0]], TypeError, "expected input as a Tensor"),
    (triu, "triu", [()], RuntimeError, "at least 2 dimensions"),
    (triu, "triu", [(3, 3), None], TypeError, "diagonal as an int"),
    (triu, "triu", [None], TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
