# SPDX-License-Identifier: BSD-3-Clause
"""The history of views, whose memory may be changed in place through any tensor that shares it.

A view knows its base, the tensor that owns the memory, and the operations that lead from there to
it. An in-place change of the base, or of any view of it, gives the base a new history and counts
`Storage.rebased` up; a view made before takes its own again from the base when it is next used, by
the same operations.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend

# Of a view: its base, the operations (class, options) from there, and the name of an operation
# whose views cannot be followed in this way, or None.
Link = tuple[Any, tuple[tuple[Any, tuple[Any, ...]], ...], str | None]

_LONGEST = 64  # of a chain: beyond it every view of a view would cost as much as the last 64


def link(t: Any, kind: Any, options: tuple[Any, ...]) -> Link:
    """What a view of ``t`` by an operation knows."""
    if t._rebase_stamp is None:
        return t, ((kind, options),), None
    base, chain, opaque = t._view
    if len(chain) >= _LONGEST:
        return t, (), f"a chain of more than {_LONGEST} views"
    return base, (*chain, (kind, options)), opaque


def mark_opaque(views: Any, name: str) -> None:
    """Says that views came out of one operation together, so that none of them alone can be
    changed in place where that is recorded."""
    for v in views:
        if v._rebase_stamp is not None:
            v._view = (*v._view[:2], v._view[2] or name)


def base_of(t: Any) -> Any:
    """The base of a view, or None; a view whose base was given other memory stands alone."""
    if t._rebase_stamp is None:
        return None
    base = t._view[0]
    return base if base.storage is t.storage else None


def rebase(t: Any, node: Any, output_nr: int) -> None:
    """Gives a tensor that was changed in place its new history. Its retained gradient, but not
    its hooks, goes along: `retain_grad` is about the tensor, a hook about a value."""
    old, nr = t._node, t._output_nr
    t._node, t._output_nr, t._requires_grad = node, output_nr, True
    if old is not None and old.retained is not None and nr in old.retained:
        kept = old.retained[nr]
        if kept() is t:
            del old.retained[nr]
            if node.retained is None:
                node.retained = {}
            node.retained[output_nr] = kept


def check_view(op: str, t: Any) -> None:
    """Brings the history of a view up to date. RuntimeError where that cannot be done."""
    if t._rebase_stamp is not None and t._rebase_stamp != t.storage.rebased:
        renew(op, t)


def renew(op: str, t: Any) -> None:
    """Takes the history of a view from its base as it is now."""
    base = base_of(t)
    if base is not None and base._requires_grad:
        _check_followed(op, t)
        seen = base
        for kind, options in t._view[1]:
            node = kind()
            node.kernels, node.needs = _backend.kernels(seen.array), (True,)
            made = type(t)._base._wrap(node.forward(seen.array, *options))
            node.record((seen,), (made,))
            seen = made
        rebase(t, seen._node, seen._output_nr)
    t._rebase_stamp = t.storage.rebased


def _check_followed(op: str, t: Any) -> None:
    opaque = t._view[2]
    if t._no_grad_view:
        message = (
            f"{op}: expected a view made while recording, got one made under no_grad() whose "
            "memory was changed since by a recorded in-place operation; make the view and the "
            "change both inside of no_grad(), or both outside"
        )
        raise RuntimeError(message)
    if opaque is not None:
        message = (
            f"{op}: expected a view of memory with an unchanged history, got a view by {opaque} "
            "whose memory was changed since by a recorded in-place operation; take the view again "
            "after the change, or change a clone()"
        )
        raise RuntimeError(message)
