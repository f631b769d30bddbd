# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a table by their numbers, and numbers as rows of an identity.

    embedding: y[..., :] = weight[index[...], :]        one_hot: y[..., j] = [index[...] == j]

Shapes:   index (...), weight (v, d) -> y (..., d);  one_hot (..., classes).
Backward: dweight[index[k], :] += dy[k, :] in the order of k, but for the row ``padding_idx``: the
          same bits on any number of threads. With ``scale_grad_by_freq`` dy[k, :] is divided by how
          often index[k] is in index; second derivatives leave that out, as torch's do.
Saved:    index.
Source:   Bengio, Ducharme, Vincent and Jauvin 2003, "A neural probabilistic language model".
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._embedding_options import by_frequency, check_options, renormalise
from fastnn.ops.compare import eq_tensors
from fastnn.ops.copy import to
from fastnn.ops.creation import arange
from fastnn.ops.reduce import argmax
from fastnn.ops.view import expand
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def embedding_backward(
    grad_y: Any, index: Any, grad_weight: Any, padding: int, accumulate: bool
) -> None:
    """grad_weight[index[k]] += grad_y[k] in the order of k, not where index[k] == padding.

    grad_y (m, d), index (m), grad_weight (v, d), which starts from zeros unless ``accumulate``.
    """
    if index.size and (int(index.min()) < 0 or int(index.max()) >= grad_weight.shape[0]):
        message = "embedding_backward: an index is out of range"
        raise IndexError(message)
    if not accumulate:
        grad_weight[...] = 0
    for k, j in enumerate(index.tolist()):
        if j != padding:
            grad_weight[j] += grad_y[k]


class Embedding(Op):
    """Rows of the first input, by the numbers in the second."""

    def forward(self, weight: Any, index: Any, padding: int, scaled: bool = False) -> Any:
        table = self.kernels
        flat = _common.reshaped(table, index, (index.size,))
        y = table.empty((1, index.size, weight.shape[1]), weight.dtype)
        table.take_rows(_common.contiguous_array(table, weight)[None], flat, y, False)
        self.shape, self.padding, self.scaled = weight.shape, padding, scaled
        if self.needs[0]:
            self.save(index)
        return y.reshape(*index.shape, weight.shape[1])

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        out, accumulate = self.grad_buffer(0, self.shape, g.dtype)
        options = (self.padding, self.scaled)
        return added(self.kernels, g, index, out, *options, accumulate), None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        options = (self.padding, self.scaled)
        return EmbeddingTranspose.apply((g, index), self.shape, *options), None


class EmbeddingTranspose(Op):
    """The gradient of `Embedding`, which is linear."""

    name = "embedding_backward"

    def forward(self, g: Any, index: Any, shape: Any, padding: int, scaled: bool) -> Any:
        self.padding = padding
        self.save(index)
        out = self.kernels.empty(shape, g.dtype)
        return added(self.kernels, g, index, out, padding, scaled, False)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        return rows_but(Tensor._wrap(g), Tensor._wrap(index), self.padding).array, None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        return rows_but(g, index, self.padding), None


def added(
    table: Any, g: Any, index: Any, out: Any, padding: int, scaled: bool, accumulate: bool
) -> Any:
    """The backward kernel."""
    rows = _common.reshaped(table, g, (index.size, out.shape[1]))
    flat = _common.reshaped(table, index, (index.size,))
    if scaled:
        rows = by_frequency(table, rows, flat, out.shape[0])
    table.embedding_backward(rows, flat, out, padding, accumulate)
    return out


def rows_but(weight: Tensor, index: Tensor, padding: int) -> Tensor:
    """Rows by their numbers, zeros where the number is ``padding``."""
    rows = Embedding.apply((weight, index), -1)
    if padding < 0:
        return rows  # type: ignore[no-any-return]
    return where(eq_tensors(index, padding).unsqueeze(-1), 0.0, rows)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` by the numbers in ``input``, as torch.nn.functional.embedding.

    input (...) of integers in [0, v), weight (v, d) -> (..., d). The row ``padding_idx`` (negative
    numbers count from the end) gets no gradient. Gradients are dense and added up in order.
    max_norm: rows that input names and whose norm of order ``norm_type`` is larger are first scaled
    to it, in ``weight`` itself and unseen by autograd.
    scale_grad_by_freq: the gradient of a row is divided by how often input names it.
    sparse: taken; the gradient is dense all the same.

    Raises IndexError for a number out of range, RuntimeError for types and shapes that do not fit,
    TypeError and ValueError for options that are none.
    """
    _common.require_tensor("embedding", "input", input)
    _common.require_tensor("embedding", "weight", weight)
    _common.require_float("embedding", "weight", weight)
    check_options("embedding", max_norm, norm_type, scale_grad_by_freq, sparse)
    if input.array.dtype.kind not in "iu" or weight.ndim != 2:
        message = (
            f"embedding: expected input of integers and weight (v, d), got {input.dtype} and "
            f"{weight.shape}; convert input with .long()"
        )
        raise RuntimeError(message)
    n = weight.shape[0]
    padding = -1
    if padding_idx is not None:
        if type(padding_idx) is not int:
            padding_idx = _common.integer("embedding", "padding_idx", padding_idx)
        if not -n <= padding_idx < n:
            message = (
                f"embedding: expected padding_idx in [{-n}, {n - 1}], got {padding_idx}; None is "
                "for no padding"
            )
            raise RuntimeError(message)
        padding = padding_idx % n
    _common.table_of(input, weight, op="embedding")
    numbers = to(input, _dtypes.int64)
    try:
        if max_norm is not None:
            Embedding.apply((weight.detach(), numbers), -1)  # looks at the numbers
            renormalise(weight, numbers, float(max_norm), float(norm_type))
        return Embedding.apply((weight, numbers), padding, scale_grad_by_freq)  # type: ignore[no-any-return]
    except IndexError:
        bad = next(i for i in numbers.reshape(-1).tolist() if not 0 <= i < n)
        message = (
            f"embedding: expected numbers in [0, {n - 1}], got {bad}; a table of more rows has "
            "larger numbers"
        )
        raise IndexError(message) from None


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Numbers as rows with a one at their place, as torch.nn.functional.one_hot.

    tensor (...) of integers in [0, num_classes) -> (..., num_classes), int64. Without num_classes
    it is the largest number + 1, which is read on the host.
    Raises RuntimeError for other types and for numbers out of range.
    """
    _common.require_tensor("one_hot", "tensor", tensor)
    if tensor.array.dtype.kind not in "iu":
        message = f"one_hot: expected a tensor of integers, got {tensor.dtype}; use .long()"
        raise RuntimeError(message)
    num_classes = _common.integer("one_hot", "num_classes", num_classes)
    numbers = to(tensor.detach(), _dtypes.int64)
    flat = numbers.reshape(-1)
    if (num_classes == -1 and not flat.array.size) or num_classes < -1 or num_classes == 0:
        message = (
            f"one_hot: expected num_classes > 0, got {num_classes} for shape {tensor.shape}; name "
            "the number of classes"
        )
        raise RuntimeError(message)
    classes = num_classes
    if flat.array.size:
        largest, least = (flat[argmax(t)].item() for t in (flat, -flat))
        classes = largest + 1 if num_classes == -1 else num_classes
        if least < 0 or largest >= classes:
            bad = least if least < 0 else largest
            wanted = ">= 0" if num_classes == -1 else f"in [0, {classes - 1}]"
            message = (
                f"one_hot: expected numbers {wanted}, got {bad}; number the classes from 0, or "
                "raise num_classes"
            )
            raise RuntimeError(message)
    wide = expand(numbers.unsqueeze(-1), *numbers.shape, classes)
    return to(eq_tensors(wide, arange(classes, device=tensor.device)), _dtypes.int64)


def _plain(i: Any, w: Any, **_: Any) -> Any:
    return w[i]


CASES = [
    OpCase(embedding, "embedding", [("cells", [2, 0, 2, 3]), (4, 3)], ref=_plain),
    OpCase(embedding, "embedding", [("int", (5, 7), 0, 9), (9, 33)], ref=_plain),
    OpCase(embedding, "embedding", [("cells", 1), (4, 3)], ref=_plain),
    OpCase(embedding, "embedding", [("int", (0, 2), 0, 4), (4, 3)], ref=_plain),
    OpCase(embedding, "embedding", [("int", (40, 50), 0, 300), (300, 40)], ref=_plain, grad=False),
    OpCase(
        embedding,
        "embedding",
        [("cells", [2, 0, 3]), (4, 3)],
        {"scale_grad_by_freq": True},
        ref=_plain,
    ),
    OpCase(
        embedding,
        "embedding",
        [("cells", [2, 0, 2, 3]), (4, 3)],
        {"scale_grad_by_freq": True},
        ref=_plain,
        grad=False,  # what is scaled is not the derivative
    ),
    OpCase(embedding, "embedding", [("int", (64, 100), 0, 10000), (10000, 256)], bench=True),
    OpCase(
        one_hot,
        "one_hot",
        [("int", (3, 4), 0, 5), 6],
        ref=lambda i, n: (i[..., None] == array_range(i, n)).astype("int64"),
        grad=False,
    ),
    OpCase(
        one_hot,
        "one_hot",
        [("cells", [0, 2, 1])],
        ref=lambda i: (i[..., None] == array_range(i, 3)).astype("int64"),
        grad=False,
    ),
]


def array_range(like: Any, n: int) -> Any:
    """0, 1, ..., n - 1 beside an array, for the case table."""
    return like.reshape(-1)[:1] * 0 + [*range(n)]


_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (embedding, "embedding", [(4,), (4, 3)], RuntimeError, "expected input of integers"),
    (embedding, "embedding", [("cells", [4]), (4, 3)], IndexError, "numbers in [0, 3], got 4"),
    (embedding, "embedding", [("cells", [-1]), (4, 3)], IndexError, "got -1"),
    (embedding, "embedding", [("cells", [0]), (4,)], RuntimeError, "weight (v, d)"),
    (embedding, "embedding", [("cells", [0]), (4, 3), 4], RuntimeError, "expected padding_idx"),
    (embedding, "embedding", [("cells", [0]), (4, 3), None, -1.0], ValueError, "max_norm >= 0"),
    (
        embedding,
        "embedding",
        [("cells", [0]), (4, 3), None, "a"],
        TypeError,
        "max_norm as a number",
    ),
    (embedding, "embedding", [[0], (4, 3)], TypeError, "expected input as a Tensor"),
    (one_hot, "one_hot", [(4,)], RuntimeError, "a tensor of integers"),
    (one_hot, "one_hot", [("cells", [3, 0]), 3], RuntimeError, "numbers in [0, 2], got 3"),
    (one_hot, "one_hot", [("cells", [-1, 0])], RuntimeError, "got -1"),
    (one_hot, "one_hot", [("cells", [])], RuntimeError, "num_classes > 0"),
    (one_hot, "one_hot", [[0]], TypeError, "expected tensor as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]
