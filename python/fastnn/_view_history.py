# SPDX-License-Identifier: BSD-3-Clause
"""The history of views, whose memory may be changed in place through any tensor that shares it.

A view knows its base, the tensor that owns the memory, and the operations that lead from there to
it. An in-place change of the base, or of any view of it, gives the base a new history and counts
`Storage.rebased` up; a view made before takes its own again from the base when it is next used, by
the same operations. Where the shape of the base itself was changed in place (``t_``) these start
from what it was: `chain_of`.
"""

from __future__ import annotations

import weakref
from typing import Any

from fastnn import _backend

# Of a view: its base, the operations (class, options) from there, and the name of an operation
# whose views cannot be followed in this way, or None.
Step = tuple[Any, tuple[Any, ...]]
Link = tuple[Any, tuple[Step, ...], str | None]

_LONGEST = 64  # of a chain: beyond it every view of a view would cost as much as the last 64
_TOO_LONG = f"a chain of more than {_LONGEST} views"

# Tensors that own their memory and were given another shape in place: by id a weak reference, the
# operations that lead from the first shape to the present one, and those that lead back.
_turned: dict[int, tuple[Any, tuple[Step, ...], tuple[Step, ...]]] = {}


def link(t: Any, kind: Any, options: tuple[Any, ...]) -> Link:
    """What a view of ``t`` by an operation knows."""
    if t._rebase_stamp is None:
        before = _turned[id(t)][1] if _turned and id(t) in _turned else ()
        return t, (*before, (kind, options)), None
    base, chain, opaque = t._view
    if len(chain) >= _LONGEST:
        return t, (), _TOO_LONG
    return base, (*chain, (kind, options)), opaque


def chain_of(t: Any) -> tuple[Step, ...]:
    """The operations that lead from the base of a view, as it is now, to the view."""
    base, chain, _ = t._view
    if not _turned or id(base) not in _turned:
        return chain  # type: ignore[no-any-return]
    _, turns, back = _turned[id(base)]
    same = 0
    for mine, theirs in zip(chain, turns, strict=False):
        if mine is not theirs:
            break
        same += 1
    return (*back[: len(back) - same], *chain[same:])


def turn(t: Any, step: Step, inverse: Step) -> None:
    """Gives a tensor in place the shape that a view by ``step`` has; the memory stays as it is, and
    so its history needs no more than the step, recorded or not."""
    kind, options = step
    node = kind()
    node.kernels, node.needs = _backend.kernels(t.array), (True,)
    array = node.forward(t.array, *options)
    if t._node is not None:
        node.record((t,), (type(t)._base._wrap(array),))
        rebase(t, node, 0)
    t.array = array
    if t._rebase_stamp is None:
        _note_turn(t, step, inverse)
    else:
        base, chain, opaque = t._view
        chain = _longer(chain, step)
        t._view = base, chain, opaque or (_TOO_LONG if len(chain) > _LONGEST else None)
    t.storage.version += 1
    _backend.bump_mutation_stamp()


def _longer(chain: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    """A chain and one step more: two of a kind are one, or none at all."""
    kind, options = step
    if not chain or chain[-1][0] is not kind:
        return (*chain, step)
    both = kind.joined(chain[-1][1], options)
    return chain[:-1] if both is None else (*chain[:-1], (kind, both))


def _note_turn(t: Any, step: Step, inverse: Step) -> None:
    key = id(t)
    known = _turned.get(key)
    ref, turns, back = known or (weakref.ref(t, lambda _: _turned.pop(key, None)), (), ())
    now = _longer(turns, step)
    if len(now) == len(turns):
        inverse = inverse[0], inverse[0].joined(inverse[1], back[0][1])
    shorter = back[1:] if len(now) <= len(turns) else back
    _turned[key] = ref, now, shorter if len(now) < len(turns) else (inverse, *shorter)


def forget_turns(t: Any) -> None:
    """Of a tensor that gets other memory: no view of it has a place in there."""
    _turned.pop(id(t), None)


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
        for kind, options in chain_of(t):
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
