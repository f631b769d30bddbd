# SPDX-License-Identifier: BSD-3-Clause
"""Sums of products by names of dimensions: einsum.

    "ij,jk->ik":   y[i, k] = sum_j a[i, j] b[j, k]

A name that occurs twice in one operand takes its diagonal; names that the result lacks are summed.
Operands are brought together two at a time from the left: names in both that are still wanted are
batches, others are the inner dimension of a matrix product.
Backward: of the views, sums and products that it is made of.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops.bmm import bmm_tensors, checked_pair
from fastnn.ops.diagonals import diagonal
from fastnn.ops.reduce import sum
from fastnn.ops.view import expand, permute, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

# A named dimension is a letter (or a number of the other form); those of ... are ("...", place
# from the right), so that they broadcast.
Name = Any
Term = tuple[list[Name], Tensor]


def _refuse(expected: str, got: Any, cure: str) -> NoReturn:
    message = f"einsum: expected {expected}, got {got}; {cure}"
    raise RuntimeError(message)


def _names(part: str) -> list[Name]:
    """The names of one operand or the result; ... as itself."""
    head, dots, tail = part.replace(" ", "").partition("...")
    for c in head + tail:
        if not (c.isascii() and c.isalpha()):
            _refuse("letters and at most one ... between commas", repr(part), "rename it")
    return [*head, *(["..."] if dots else []), *tail]


def _parsed(equation: str) -> tuple[list[list[Name]], list[Name] | None]:
    inputs, arrow, output = equation.partition("->")
    return [_names(p) for p in inputs.split(",")], _names(output) if arrow else None


def _from_lists(args: tuple[Any, ...]) -> tuple[list[list[Name]], list[Name] | None, list[Any]]:
    """The other form: einsum(a, [0, 1], b, [1, 2], [0, 2])."""

    def named(part: Any) -> list[Name]:
        found: list[Name] = []
        for i in part:
            if i is Ellipsis:
                found.append("...")
                continue
            n = _common.integer("einsum", "a name", i)
            if not 0 <= n < 52:
                _refuse("names in [0, 52)", n, "count from 0")
            found.append(n)
        return found

    pairs = len(args) // 2
    lists, last = args[1 : 2 * pairs : 2], args[2 * pairs :]
    if not all(isinstance(part, tuple | list) for part in lists + last):
        _refuse("an equation, or a list of numbers behind every tensor", "others", "add them")
    output = named(last[0]) if last else None
    return [named(part) for part in lists], output, list(args[0 : 2 * pairs : 2])


def _term(names: list[Name], t: Tensor) -> Term:
    """An operand with a name for every dimension, each once."""
    dots = names.count("...")
    extra = t.ndim - len(names) + dots
    if dots > 1 or extra < 0 or (extra and not dots):
        _refuse(f"a name for each dimension of {t.shape}", names, "... stands for any number")
    full: list[Name] = []
    for n in names:
        full += [("...", extra - i) for i in range(extra)] if n == "..." else [n]
    for n in dict.fromkeys(full):
        while full.count(n) > 1:
            a = full.index(n)
            b = full.index(n, a + 1)
            if t.shape[a] != t.shape[b]:
                shape = t.shape
                _refuse(f"one size for name {n!r}", shape, "its dimensions are equal")
            t = diagonal(t, 0, a, b)
            full = [*full[:a], *full[a + 1 : b], *full[b + 1 :], n]
    return full, t


def _result(terms: list[Term], given: list[Name] | None, inputs: list[list[Name]]) -> list[Name]:
    """The names of the result."""
    most = max([n[1] for names, _ in terms for n in names if isinstance(n, tuple)], default=0)
    dots = [("...", i) for i in range(most, 0, -1)]
    if given is None:
        every = [n for names in inputs for n in names if n != "..."]
        return dots + sorted(n for n in set(every) if every.count(n) == 1)
    known = {n for names, _ in terms for n in names}
    for n in given:
        if n != "..." and (n not in known or given.count(n) > 1):
            _refuse("every name of the result once, and in an operand", repr(n), "drop it")
    if given.count("...") > 1:
        _refuse("at most one ... in the result", given.count("..."), "drop the others")
    out: list[Name] = []
    for n in given:
        out += dots if n == "..." else [n]
    return out


def _summed(term: Term, wanted: Any) -> Term:
    names, t = term
    gone = tuple(i for i, n in enumerate(names) if n not in wanted)
    if not gone:
        return term
    return [n for n in names if n in wanted], sum(t, gone, dtype=t.dtype)


def _sizes(terms: list[Term]) -> dict[Name, int]:
    sizes: dict[Name, int] = {}
    for names, t in terms:
        for n, size in zip(names, t.shape, strict=True):
            before = sizes.setdefault(n, size)
            if size not in (before, 1) and before != 1:
                _refuse(f"one size for name {n!r}", f"{before} and {size}", "or a size of 1")
            sizes[n] = size if before == 1 else before
    return sizes


def _pair(x: Term, y: Term, wanted: Any, sizes: dict[Name, int]) -> Term:
    """Two operands as one."""
    (left, a), (right, b) = _summed(x, {*wanted, *y[0]}), _summed(y, {*wanted, *x[0]})
    both = [n for n in left if n in right]
    a = expand(a, *(sizes[n] if n in both else s for n, s in zip(left, a.shape, strict=True)))
    b = expand(b, *(sizes[n] if n in both else s for n, s in zip(right, b.shape, strict=True)))
    batch = [n for n in both if n in wanted]
    inner = [n for n in both if n not in wanted]
    rows, columns = ([n for n in names if n not in both] for names in (left, right))
    a = permute(a, [left.index(n) for n in (*batch, *rows, *inner)])
    b = permute(b, [right.index(n) for n in (*batch, *inner, *columns)])
    count = len(batch)
    shape = [*a.shape[: count + len(rows)], *b.shape[count + len(inner) :]]
    if inner:
        size = math.prod(sizes[n] for n in inner)
        n = math.prod(a.shape[:count])
        m, k = (
            math.prod(a.shape[count : count + len(rows)]),
            math.prod(b.shape[count + len(inner) :]),
        )
        out = bmm_tensors(reshape(a, n, m, size), reshape(b, n, size, k))
        return [*batch, *rows, *columns], reshape(out, shape)
    a = reshape(a, *a.shape, *(1,) * len(columns))
    b = reshape(b, *b.shape[:count], *(1,) * len(rows), *b.shape[count:])
    return [*batch, *rows, *columns], a * b


def einsum_tensors(*args: Any) -> Tensor:
    """Sums of products by names of dimensions, as torch.einsum: "ij,jk->ik" is a matrix product.

    einsum(equation, *operands), or einsum(a, [0, 1], b, [1, 2], [0, 2]) with numbers as names.
    Without "->" the result has the names that occur once, in alphabetical order. Sizes of 1 are
    repeated; ... stands for dimensions that broadcast.
    Raises RuntimeError for an equation that does not fit the operands, TypeError for no tensors.
    """
    if not args:
        _refuse("an equation and tensors", "nothing", "write einsum('ij->ji', a)")
    if isinstance(args[0], str):
        operands = (
            list(args[1]) if len(args) == 2 and isinstance(args[1], tuple | list) else [*args[1:]]
        )
        inputs, given = _parsed(args[0])
    else:
        inputs, given, operands = _from_lists(args)
    for i, t in enumerate(operands):
        _common.require_tensor("einsum", f"operand {i}", t)
    if len(inputs) != len(operands) or not operands:
        count = len(operands)
        _refuse(f"{len(inputs)} operands, as the equation has", count, "separate names by commas")
    terms = [_term(names, t) for names, t in zip(inputs, operands, strict=True)]
    for t in operands[1:]:
        checked_pair("einsum", operands[0], t)
    output, sizes = _result(terms, given, inputs), _sizes(terms)
    total = terms[0]
    for i, term in enumerate(terms[1:], 2):
        wanted = {*output, *(n for names, _ in terms[i:] for n in names)}
        total = _pair(total, term, wanted, sizes)
    names, out = _summed(total, output)
    return permute(out, [names.index(n) for n in output])


_common.named(einsum=einsum_tensors)


def _plain(*args: Any) -> Any:
    return array_module(args[1]).einsum(*args)


CASES = [
    OpCase(einsum_tensors, "einsum", [equation, *shapes], ref=_plain)
    for equation, *shapes in (
        ("ij,jk", (2, 3), (3, 4)),
        ("b i k, b j k -> b j i", (2, 3, 4), (2, 5, 4)),
        ("ii->i", (3, 3)),
        ("ij->", (2, 3)),
        ("ij->ji", (2, 3)),
        ("...ij,...jk->...ik", (2, 1, 3, 2), (4, 2, 3)),
        ("i,j->ij", (2,), (3,)),
        ("ij,ik,il->jkl", (2, 3), (2, 2), (2, 4)),
        ("aij,a->", (2, 3, 4), (2,)),
    )
]
_TWO = (2, 3)
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    (["ij,jk->ik", _TWO], RuntimeError, "2 operands"),
    (["ij,jk->ik", _TWO, (4, 5)], RuntimeError, "one size for name 'j'"),
    (["i->i", _TWO], RuntimeError, "a name for each dimension"),
    (["ij->k", _TWO], RuntimeError, "every name of the result"),
    (["i1->i", _TWO], RuntimeError, "letters"),
    (["ij->i", 1.0], TypeError, "operand 0 as a Tensor"),
]
ERRORS = [ErrorCase(einsum_tensors, "einsum", *bad) for bad in _BAD]
