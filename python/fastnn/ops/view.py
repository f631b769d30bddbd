# SPDX-License-Identifier: BSD-3-Clause
"""Views: the same memory in another shape or order, sharing storage with their input as in torch.

Backward: the inverse rearrangement of the gradient; expand: the sum over the repeated dimensions.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn._grad_mode import _mode
from fastnn._view_history import check_view, link
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops._view_shape import can_view, fitted
from fastnn.ops.copy import clone
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class View(Op):
    """An operation whose result shares the memory of its input.

    ``forward`` gives a view of every array that is laid out in memory as the input is, one that can
    be written: it is run again on the base as it is later, and on gradients of the base.
    """

    @classmethod
    def apply(cls, tensors: tuple[Any, ...], *options: Any) -> Any:
        (t,) = tensors
        recording = _mode.enabled
        if recording and t._rebase_stamp is not None:
            check_view(cls.name, t)
        node = cls()
        node.kernels = _backend.kernels(t.array)
        node.needs = (t._requires_grad,)
        result = Tensor._wrap(node.forward(t.array, *options))
        storage = t.storage
        result.storage, result._rebase_stamp = storage, storage.rebased
        result._view = link(t, cls, options)
        if not recording or t._no_grad_view:
            result._no_grad_view = True
        if recording and t._requires_grad:
            node.record(tensors, (result,))
        return result


class Reshape(View):
    """Another shape, the elements in C order."""

    def forward(self, x: Any, shape: Any) -> Any:
        self.shape = x.shape
        return x.reshape(shape)

    @staticmethod
    def joined(first: Any, second: Any) -> Any:
        """The options of the operation that is one after the other."""
        del first
        return second

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (_common.reshaped(self.kernels, g, self.shape),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (reshape(g, self.shape),)


class Permute(View):
    """The dimensions in another order."""

    def forward(self, x: Any, dims: Any) -> Any:
        self.dims = dims
        return x.transpose(dims)

    @staticmethod
    def joined(first: Any, second: Any) -> Any:
        """The options of the operation that is one after the other; None for none."""
        order = tuple([first[0][d] for d in second[0]])
        return None if order == tuple(range(len(order))) else (order,)

    def inverse(self) -> tuple[int, ...]:
        """The order that undoes this one."""
        return tuple(sorted(range(len(self.dims)), key=self.dims.__getitem__))

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (g.transpose(self.inverse()),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (permute(g, self.inverse()),)


class Expand(View):
    """Dimensions of size 1 repeated without copying."""

    def forward(self, x: Any, shape: Any) -> Any:
        self.shape = x.shape
        # Where nothing is repeated a plain view stays writable; broadcast_to's is read-only.
        lead = len(shape) - x.ndim
        repeats = shape[lead:] != x.shape or any(n != 1 for n in shape[:lead])
        return _common.broadcast_array(self.kernels, x, shape) if repeats else x.reshape(shape)

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (_common.sum_to(self.kernels, g, self.shape),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        lead = g.ndim - len(self.shape)
        dims = [
            d for d in range(g.ndim) if d < lead or (self.shape[d - lead] == 1 and g.shape[d] != 1)
        ]
        return (reshape(g.sum(tuple(dims)) if dims else g, self.shape),)


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The elements in another shape, as torch.reshape: a view where possible, else a copy."""
    _common.require_tensor("reshape", "input", input)
    wanted = fitted("reshape", input, shape)
    if not can_view(input, wanted):
        input = clone(input)
    return Reshape.apply((input,), wanted)  # type: ignore[no-any-return]


def view(input: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape, as torch.Tensor.view; never a copy.

    Raises RuntimeError if the strides do not allow it: use reshape then.
    """
    _common.require_tensor("view", "input", input)
    wanted = fitted("view", input, shape)
    if not can_view(input, wanted):
        message = (
            f"view: expected a shape that {input.shape} with strides {input.stride()} takes "
            f"without a copy, got {wanted}; use reshape()"
        )
        raise RuntimeError(message)
    return Reshape.apply((input,), wanted)  # type: ignore[no-any-return]


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merges the dimensions start_dim ... end_dim into one, as torch.flatten."""
    _common.require_tensor("flatten", "input", input)
    start = _common.one_dim("flatten", start_dim, input.ndim)
    end = _common.one_dim("flatten", end_dim, input.ndim)
    if start > end:
        message = (
            f"flatten: expected start_dim <= end_dim, got {start_dim} and {end_dim}; exchange them"
        )
        raise RuntimeError(message)
    shape = input.shape
    if not shape:
        return reshape(input, 1)
    if start == end:
        return input
    merged = 1
    for n in shape[start : end + 1]:
        merged *= n
    return reshape(input, *shape[:start], merged, *shape[end + 1 :])


def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The dimensions in another order, as torch.permute."""
    _common.require_tensor("permute", "input", input)
    given = _common.shape_argument("permute", order if dims is None else (dims,))
    order = tuple(_common.one_dim("permute", d, input.ndim) for d in given)
    if sorted(order) != list(range(input.ndim)):
        message = (
            f"permute: expected every one of {input.ndim} dimensions once, got {given}; name each "
            "once"
        )
        raise RuntimeError(message)
    return Permute.apply((input,), order)  # type: ignore[no-any-return]


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swaps two dimensions, as torch.transpose."""
    _common.require_tensor("transpose", "input", input)
    a = _common.one_dim("transpose", dim0, input.ndim)
    b = _common.one_dim("transpose", dim1, input.ndim)
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return Permute.apply((input,), tuple(order))  # type: ignore[no-any-return]


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix, as torch.t; tensors of fewer dimensions stay as they are."""
    _common.require_tensor("t", "input", input)
    if input.ndim > 2:
        message = (
            f"t: expected at most 2 dimensions, got {input.ndim}; use transpose() or permute()"
        )
        raise RuntimeError(message)
    return (
        transpose(input, 0, 1)
        if input.ndim == 2
        else Permute.apply((input,), tuple(range(input.ndim)))
    )


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Dimensions of size 1 repeated without a copy, as torch.Tensor.expand; -1 keeps a size."""
    _common.require_tensor("expand", "input", input)
    given = _common.shape_argument("expand", sizes)
    lead = len(given) - input.ndim
    shape = tuple(
        input.shape[d - lead] if n == -1 and d >= lead else n for d, n in enumerate(given)
    )
    fits = lead >= 0 and all(
        n >= 0 and (d < lead or input.shape[d - lead] in (1, n)) for d, n in enumerate(shape)
    )
    if not fits:
        message = (
            f"expand: expected sizes to which {input.shape} can be expanded (dimensions of size 1 "
            f"grow, new ones come first), got {given}; tile() repeats elements"
        )
        raise RuntimeError(message)
    _common.check_extent("expand", shape)
    return Expand.apply((input,), shape)  # type: ignore[no-any-return]


@numpy_names
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without its dimensions of size 1 (or those of ``dim`` that have it), as torch.squeeze."""
    _common.require_tensor("squeeze", "input", input)
    none = isinstance(dim, tuple | list) and not dim
    dims = () if none else _common.many_dims("squeeze", dim, input.ndim)
    shape = tuple(n for d, n in enumerate(input.shape) if n != 1 or d not in dims)
    return Reshape.apply((input,), shape)  # type: ignore[no-any-return]


@numpy_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at ``dim``, as torch.unsqueeze."""
    _common.require_tensor("unsqueeze", "input", input)
    d = _common.one_dim("unsqueeze", dim, input.ndim + 1)
    shape = (*input.shape[:d], 1, *input.shape[d:])
    return Reshape.apply((input,), shape)  # type: ignore[no-any-return]


CASES = [
    OpCase(squeeze, "squeeze", [(1, 3, 1), []], ref=lambda x, _: x),
    OpCase(reshape, "reshape", [(3, 4), [2, 6]], ref=lambda x, s: x.reshape(s)),
    OpCase(reshape, "reshape", [(0, 4), [4, -1]], ref=lambda x, s: x.reshape(s)),
    OpCase(view, "view", [(3, 4), [-1, 2]], ref=lambda x, s: x.reshape(s)),
    OpCase(
        flatten,
        "flatten",
        [(2, 3, 4)],
        kwargs={"start_dim": 1},
        ref=lambda x, **_: x.reshape(2, 12),
    ),
    OpCase(flatten, "flatten", [()], ref=lambda x: x.reshape(1)),
    OpCase(permute, "permute", [(2, 3, 4), [2, 0, 1]], ref=lambda x, d: x.transpose(d)),
    OpCase(transpose, "transpose", [(2, 3, 4), -1, 0], ref=lambda x, a, b: x.swapaxes(a, b)),
    OpCase(t, "t", [(3, 5)], ref=lambda x: x.T),
    OpCase(t, "t", [(3,)], ref=lambda x: x),
    OpCase(
        expand,
        "expand",
        [(3, 1), [2, 3, 4]],
        ref=lambda x, s: x.repeat(4, 1)[None].repeat(2, 0).reshape(s),
    ),
    OpCase(expand, "expand", [(1, 4), [-1, 4]], ref=lambda x, _: x),
    OpCase(squeeze, "squeeze", [(1, 3, 1)], ref=lambda x: x.reshape(3)),
    OpCase(squeeze, "squeeze", [(1, 3, 1), 0], ref=lambda x, _: x.reshape(3, 1)),
    OpCase(unsqueeze, "unsqueeze", [(3, 4), -1], ref=lambda x, _: x[..., None]),
]
_VIEW_ERRORS: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (reshape, "reshape", [(3, 4), [5, 2]], RuntimeError, "expected a shape of 12 elements"),
    (reshape, "reshape", [(3, 4), [-1, -1]], RuntimeError, "at most one -1"),
    (reshape, "reshape", [(3, 4), [2.5]], TypeError, "sizes as ints"),
    (view, "view", [(3, 4), [5, 2]], RuntimeError, "expected a shape of 12 elements"),
    (view, "view", [(3, 4), [-2, 2]], RuntimeError, "sizes >= -1"),
    (view, "view", [1.0, [1]], TypeError, "expected input as a Tensor"),
    (flatten, "flatten", [(2, 3), 5], IndexError, "expected dim in"),
    (flatten, "flatten", [(2, 3), 1, 0], RuntimeError, "start_dim <= end_dim"),
    (flatten, "flatten", ["a"], TypeError, "expected input as a Tensor"),
    (permute, "permute", [(2, 3), [0, 0]], RuntimeError, "every one of 2 dimensions once"),
    (permute, "permute", [(2, 3), [0, 2]], IndexError, "expected dim in"),
    (permute, "permute", [None, [0]], TypeError, "expected input as a Tensor"),
    (transpose, "transpose", [(2, 3), 0, 2], IndexError, "expected dim in"),
    (transpose, "transpose", [(2, 3), 0, "a"], TypeError, "expected dim as an int"),
    (transpose, "transpose", [None, 0, 1], TypeError, "expected input as a Tensor"),
    (t, "t", [(2, 3, 4)], RuntimeError, "at most 2 dimensions"),
    (t, "t", [None], TypeError, "expected input as a Tensor"),
    (t, "t", [2.0], TypeError, "fastnn.tensor"),
    (expand, "expand", [(3, 2), [3, 4]], RuntimeError, "dimensions of size 1 grow"),
    (expand, "expand", [(3, 2), [2]], RuntimeError, "new ones come first"),
    (expand, "expand", [(1,), [2**62]], RuntimeError, "fewer than 2^60 elements"),
    (expand, "expand", [(1,), [2**40, 2**40]], RuntimeError, "fewer than 2^60 elements"),
    (expand, "expand", [None, [2]], TypeError, "expected input as a Tensor"),
    (squeeze, "squeeze", [(1, 3), 2], IndexError, "expected dim in"),
    (squeeze, "squeeze", [(1, 3), "a"], TypeError, "expected dim as an int"),
    (squeeze, "squeeze", [None], TypeError, "expected input as a Tensor"),
    (unsqueeze, "unsqueeze", [(3,), 3], IndexError, "expected dim in"),
    (unsqueeze, "unsqueeze", [(3,), None], TypeError, "expected dim as an int"),
    (unsqueeze, "unsqueeze", [None, 0], TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(*e) for e in _VIEW_ERRORS]
