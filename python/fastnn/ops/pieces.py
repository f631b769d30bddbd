# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a tensor as views: pieces along a dimension, and other names of indexing and reshaping.

Backward: of the views that these are made of.
"""

from __future__ import annotations

from typing import Any

from fastnn._view_history import mark_opaque
from fastnn.ops import _common
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.index import BasicIndex, split
from fastnn.ops.view import expand, permute, reshape, view
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@numpy_names
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of at most ``chunks`` pieces of equal size, the last one maybe shorter; torch.chunk."""
    _common.require_tensor("chunk", "input", input)
    _common.require_dims("chunk", input)
    chunks = _common.integer("chunk", "chunks", chunks)
    if chunks < 1:
        message = (
            f"chunk: expected a number of pieces > 0, got {chunks!r}; split() takes the size of "
            "the pieces instead"
        )
        raise RuntimeError(message)
    d = _common.one_dim("chunk", dim, input.ndim)
    n = input.shape[d]
    if n == 0:
        return split(input, [0] * chunks, d)
    return split(input, -(-n // chunks), d)


def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces of the given sizes, which add up to dim's, as torch.split_with_sizes."""
    _common.require_tensor("split_with_sizes", "input", input)
    d = _common.one_dim("split_with_sizes", dim, input.ndim)
    sizes = list(_common.shape_argument("split_with_sizes", (split_sizes,)))
    _common.require_dims("split_with_sizes", input)
    if any(s < 0 for s in sizes) or sum(sizes) != input.shape[d]:
        message = (
            f"split_with_sizes: expected sizes >= 0 that add up to dimension {d} of {input.shape}, "
            f"got {sizes}; chunk() makes equal pieces"
        )
        raise RuntimeError(message)
    return split(input, sizes, d)


@numpy_names
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of the entries along a dimension, which goes, as torch.unbind."""
    _common.require_tensor("unbind", "input", input)
    _common.require_dims("unbind", input, IndexError)
    d = _common.one_dim("unbind", dim, input.ndim)
    lead = (slice(None),) * d
    parts = [BasicIndex.apply((input,), (*lead, i, Ellipsis)) for i in range(input.shape[d])]
    mark_opaque(parts, "unbind")
    return tuple(parts)


@numpy_names
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of ``length`` entries of a dimension from ``start`` on, as torch.narrow."""
    _common.require_tensor("narrow", "input", input)
    _common.require_dims("narrow", input)
    d = _common.one_dim("narrow", dim, input.ndim)
    n = input.shape[d]
    if isinstance(start, Tensor) and (start.ndim or start.array.dtype.kind not in "iu"):
        message = (
            f"narrow: expected start as an int or a 0-d tensor of integers, got {start.dtype} "
            f"{start.shape}; take one with start[i].long()"
        )
        raise RuntimeError(message)
    first, count = _common.shape_argument("narrow", (start, length))
    begin = first + n if first < 0 else first
    if not 0 <= begin <= n or count < 0 or begin + count > n:
        message = (
            f"narrow: expected start in [{-n}, {n}] and length within dimension {d} of "
            f"{input.shape}, got {first} and {count}; input[start:end] cuts off what lies outside"
        )
        raise (RuntimeError if 0 <= begin <= n else IndexError)(message)
    place = (*(slice(None),) * d, slice(begin, begin + count), Ellipsis)
    return BasicIndex.apply((input,), place)  # type: ignore[no-any-return]


@numpy_names
def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """A view of one entry of a dimension, which goes, as torch.select."""
    _common.require_tensor("select", "input", input)
    _common.require_dims("select", input, IndexError)
    d = _common.one_dim("select", dim, input.ndim)
    i = _common.integer("select", "index", index)
    n = input.shape[d]
    if not -n <= i < n:
        message = (
            f"select: expected index in [{-n}, {n - 1}] for {input.shape}, got {i}; entries are "
            "counted from 0"
        )
        raise IndexError(message)
    return BasicIndex.apply((input,), (*(slice(None),) * d, i, Ellipsis))  # type: ignore[no-any-return]


@numpy_names
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """A dimension as several of the given sizes, one of them maybe -1, as torch.unflatten."""
    _common.require_tensor("unflatten", "input", input)
    d = _common.one_dim("unflatten", dim, input.ndim)
    shape = _common.shape_argument("unflatten", (sizes,))
    n = input.shape[d] if input.ndim else 1
    known = 1
    for s in shape:
        known *= s if s != -1 else 1
    if shape.count(-1) == 1 and known > 0 and n % known == 0:
        shape = tuple([n // known if s == -1 else s for s in shape])
        known = n
    if not shape or known != n or any(s < 0 for s in shape):
        message = (
            f"unflatten: expected sizes whose product is {n}, got {tuple(shape)}; -1 for one size "
            "works it out"
        )
        raise RuntimeError(message)
    return reshape(input, *input.shape[:d], *shape, *input.shape[d + 1 :])


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other places, the others in their order, as torch.movedim."""
    _common.require_tensor("movedim", "input", input)
    pairs = []
    for name, dims in (("source", source), ("destination", destination)):
        many = tuple(dims) if isinstance(dims, tuple | list) else (dims,)
        found = tuple([_common.one_dim("movedim", d, input.ndim) for d in many])
        if len(set(found)) != len(found):
            message = f"movedim: expected distinct dims as {name}, got {many}; name each once"
            raise RuntimeError(message)
        pairs.append(found)
    if len(pairs[0]) != len(pairs[1]):
        message = (
            f"movedim: expected as many dims in source as in destination, got {source} and "
            f"{destination}; name one destination for each source"
        )
        raise RuntimeError(message)
    rest = [d for d in range(input.ndim) if d not in pairs[0]]
    moved = dict(zip(pairs[1], pairs[0], strict=True))
    return permute(input, [moved[d] if d in moved else rest.pop(0) for d in range(input.ndim)])


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of another tensor, as torch.Tensor.expand_as."""
    _common.require_tensor("expand_as", "input", input)
    _common.require_tensor("expand_as", "other", other)
    return _expanded("expand_as", input, other.shape)


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`expand` to a shape, as torch.broadcast_to."""
    _common.require_tensor("broadcast_to", "input", input)
    return _expanded("broadcast_to", input, _common.shape_argument("broadcast_to", (size,)))


def _expanded(name: str, input: Tensor, shape: tuple[int, ...]) -> Tensor:
    unfit = any(n < 0 for n in shape) or len(shape) < input.ndim
    if unfit or _common.broadcast_shape(name, input.shape, shape) != shape:
        message = (
            f"{name}: expected a shape to which {input.shape} broadcasts, got {shape}; only sizes "
            "of 1 can grow, and new ones come first"
        )
        raise RuntimeError(message)
    return expand(input, *shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of another tensor, as torch.Tensor.view_as."""
    _common.require_tensor("view_as", "input", input)
    _common.require_tensor("view_as", "other", other)
    if input.numel() != other.numel():
        message = (
            f"view_as: expected another tensor of {input.numel()} elements, got {other.shape}; "
            "expand_as() repeats elements"
        )
        raise RuntimeError(message)
    return view(input, *other.shape)


CASES = [
    OpCase(chunk, "chunk", [(5, 3), 2], ref=lambda x, _: (x[:3], x[3:])),
    OpCase(chunk, "chunk", [(2, 6), 3, -1], ref=lambda x, *_: (x[:, :2], x[:, 2:4], x[:, 4:])),
    OpCase(chunk, "chunk", [(0, 3), 2], ref=lambda x, _: (x, x)),
    OpCase(
        split_with_sizes,
        "split_with_sizes",
        [(5, 3), [1, 0, 4]],
        ref=lambda x, _: (x[:1], x[:0], x[1:]),
    ),
    OpCase(unbind, "unbind", [(2, 3)], ref=lambda x: (x[0], x[1])),
    OpCase(unbind, "unbind", [(3, 2), -1], ref=lambda x, _: (x[:, 0], x[:, 1])),
    OpCase(narrow, "narrow", [(5, 3), 0, 1, 3], ref=lambda x, *_: x[1:4]),
    OpCase(narrow, "narrow", [(5, 3), 1, -2, 2], ref=lambda x, *_: x[:, 1:]),
    OpCase(narrow, "narrow", [(5, 3), 0, 5, 0], ref=lambda x, *_: x[:0]),
    OpCase(select, "select", [(5, 3), 0, -1], ref=lambda x, *_: x[-1]),
    OpCase(select, "select", [(5, 3), 1, 0], ref=lambda x, *_: x[:, 0]),
    OpCase(unflatten, "unflatten", [(2, 6), 1, [3, -1]], ref=lambda x, *_: x.reshape(2, 3, 2)),
    OpCase(unflatten, "unflatten", [(6, 2), 0, [2, 3]], ref=lambda x, *_: x.reshape(2, 3, 2)),
    OpCase(movedim, "movedim", [(2, 3, 4), 0, -1], ref=lambda x, *_: x.transpose(1, 2, 0)),
    OpCase(movedim, "movedim", [(2, 3, 4), [0, 1], [2, 0]], ref=lambda x, *_: x.transpose(1, 2, 0)),
    OpCase(expand_as, "expand_as", [(3, 1), ("int", (2, 3, 4), 0, 9)], ref=lambda x, y: x + y * 0),
    OpCase(
        broadcast_to, "broadcast_to", [(3,), [2, 3]], ref=lambda x, _: x + x[None].repeat(2, 0) * 0
    ),
    OpCase(view_as, "view_as", [(6,), ("int", (2, 3), 0, 9)], ref=lambda x, y: x.reshape(y.shape)),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (chunk, "chunk", [(5, 3), 0], RuntimeError, "a number of pieces > 0"),
    (chunk, "chunk", [(), 1], RuntimeError, "at least one dimension"),
    (chunk, "chunk", [(5, 3), 1, 2], IndexError, "expected dim in"),
    (split_with_sizes, "split_with_sizes", [(5,), [1, 3]], RuntimeError, "add up to"),
    (split_with_sizes, "split_with_sizes", [(5,), [-1, 6]], RuntimeError, "sizes >= 0"),
    (split_with_sizes, "split_with_sizes", [(5,), [2.5]], TypeError, "sizes as ints"),
    (unbind, "unbind", [()], IndexError, "at least one dimension"),
    (unbind, "unbind", [(2,), 1], IndexError, "expected dim in"),
    (unbind, "unbind", [None], TypeError, "expected input as a Tensor"),
    (narrow, "narrow", [(5,), 0, 3, 3], RuntimeError, "length within dimension 0"),
    (narrow, "narrow", [(5,), 0, 6, 0], IndexError, "start in [-5, 5]"),
    (narrow, "narrow", [(5,), 0, ("bool", ()), 1], RuntimeError, "a 0-d tensor of integers"),
    (narrow, "narrow", [(), 0, 0, 0], RuntimeError, "at least one dimension"),
    (select, "select", [(5,), 0, 5], IndexError, "index in [-5, 4]"),
    (select, "select", [(5,), 1, 0], IndexError, "expected dim in"),
    (select, "select", [(), 0, 0], IndexError, "at least one dimension"),
    (unflatten, "unflatten", [(6,), 0, [4, 2]], RuntimeError, "whose product is 6"),
    (unflatten, "unflatten", [(6,), 0, [-1, 4]], RuntimeError, "whose product is 6"),
    (unflatten, "unflatten", [(6,), 1, [6]], IndexError, "expected dim in"),
    (movedim, "movedim", [(2, 3), 0, 2], IndexError, "expected dim in"),
    (movedim, "movedim", [(2, 3), [0, 0], [0, 1]], RuntimeError, "distinct dims as source"),
    (movedim, "movedim", [(2, 3), [0], [0, 1]], RuntimeError, "as many dims"),
    (expand_as, "expand_as", [(3, 2), (3, 1)], RuntimeError, "to which (3, 2) broadcasts"),
    (expand_as, "expand_as", [(3, 2), (2,)], RuntimeError, "to which (3, 2) broadcasts"),
    (expand_as, "expand_as", [(3, 2), 3], TypeError, "expected other as a Tensor"),
    (broadcast_to, "broadcast_to", [(3,), [2, 4]], RuntimeError, "shapes that broadcast"),
    (broadcast_to, "broadcast_to", [(3,), [-1]], RuntimeError, "to which (3,) broadcasts"),
    (broadcast_to, "broadcast_to", [[1.0], [2]], TypeError, "expected input as a Tensor"),
    (view_as, "view_as", [(3,), (2,)], RuntimeError, "another tensor of 3 elements"),
    (view_as, "view_as", [(3,), [3]], TypeError, "expected other as a Tensor"),
    (view_as, "view_as", [None, (3,)], TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
