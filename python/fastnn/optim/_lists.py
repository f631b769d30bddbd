# SPDX-License-Identifier: BSD-3-Clause
"""From parameters to the lists of arrays that the fused kernels take."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastnn._backend import kernels, references
from fastnn.tensor import Tensor


def check_common(owner: str, options: dict[str, Any]) -> None:
    """The options that every optimiser has."""
    for name in NUMBERS & options.keys():
        check_number(owner, name, options[name])
    lr, decay = options["lr"], options.get("weight_decay", 0)
    if isinstance(lr, Tensor) and lr.numel() != 1:
        message = (
            f"{owner}: expected lr as a number or a 1-element Tensor, got shape {tuple(lr.shape)}; "
            "for several rates make several parameter groups"
        )
        raise ValueError(message)
    require(owner, "learning rate", lr, lr >= 0.0, "lr >= 0")
    require(owner, "weight_decay value", decay, decay >= 0.0, "weight_decay >= 0")
    if options.get("foreach") and options.get("fused"):
        message = (
            f"{owner}: expected at most one of foreach and fused, got True for both: `fused` and "
            "`foreach` cannot be `True` together; leave both out, for the update is fused anyway"
        )
        raise RuntimeError(message)
    if options.get("differentiable"):
        message = (
            f"{owner}: expected differentiable=False, got True: the update is one fused kernel; to "
            "differentiate through it, write the step in Tensor operations"
        )
        raise NotImplementedError(message)


NUMBERS = frozenset({"lr", "weight_decay", "momentum", "dampening", "eps"})


def check_not_negative(owner: str, what: dict[str, str], options: dict[str, Any]) -> None:
    """Raise unless the options that ``what`` names in words are numbers >= 0."""
    for name, words in what.items():
        check_number(owner, name, options[name])
        require(owner, words, options[name], options[name] >= 0.0, f"{name} >= 0")


def check_tuple(owner: str, name: str, values: Any, example: str) -> None:
    """TypeError unless an option is as many numbers as ``example``, in words, shows."""
    count = example.count(",") + 1
    if not isinstance(values, tuple | list) or len(values) != count:
        words = {2: "two", 3: "three"}[count]
        message = f"{owner}: expected {name} as {words} numbers, got {values!r}; try {example}"
        raise TypeError(message)
    for i, value in enumerate(values):
        check_number(owner, f"{name}[{i}]", value)


def check_betas(owner: str, betas: Any, example: str = "(0.9, 0.999)") -> None:
    """Raise unless betas are two numbers in [0, 1)."""
    check_tuple(owner, "betas", betas, example)
    for i, beta in enumerate(betas):
        what = f"beta parameter at index {i}"
        require(owner, what, beta, 0.0 <= beta < 1.0, "0 <= beta < 1")


def check_number(owner: str, name: str, value: Any) -> None:
    """TypeError unless an option is a number, or a tensor, which may be of one element."""
    if not isinstance(value, numbers.Real | Tensor):
        message = (
            f"{owner}: expected {name} as a number, got {value!r}; leave it out for its default"
        )
        raise TypeError(message)


def require(owner: str, what: str, value: Any, good: Any, wanted: str) -> None:
    """Raise unless ``good``."""
    if not good:
        message = (
            f"{owner}: Invalid {what}: got {value}, expected {wanted}; leave it out for its default"
        )
        raise ValueError(message)


def buckets(params: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters that have a gradient, those of one backend and dtype together."""
    found: dict[Any, list[Tensor]] = {}
    for p in params:
        if p._grad is not None:
            found.setdefault((type(p.array), p.array.dtype), []).append(p)
    return iter(found.values())


def _dense(array: Any, written: bool = False) -> Any:
    """``array`` itself if it is C-contiguous, and can be ``written``, else a contiguous copy."""
    flags = array.flags
    if flags.c_contiguous and (not written or getattr(flags, "writeable", True)):
        return array
    table = kernels(array)
    copied = table.empty(array.shape, array.dtype)
    table.copy(array, copied)
    return copied


def zeros_like(p: Tensor) -> Tensor:
    """Contiguous zeros of the shape, dtype and place of ``p``."""
    table = kernels(p.array)
    array = table.empty(p.array.shape, p.array.dtype)
    table.fill(table.xp.zeros(1, array.dtype), array)
    return Tensor._wrap(array)


def empty_like(p: Tensor) -> Tensor:
    """Contiguous uninitialised memory of the shape, dtype and place of ``p``."""
    return Tensor._wrap(kernels(p.array).empty(p.array.shape, p.array.dtype))


# launch(kernel, parameter_arrays, gradient_arrays, which): `which` items of the list.
Launch = Callable[[Callable[..., None], list[Any], list[Any], slice], None]


def update(
    owner: str,
    kernel: str,
    params: list[Tensor],
    state: list[list[Any]],
    launch: Launch,
    *,
    mixed: bool = False,
) -> None:
    """Runs a kernel on all parameters at once, in place whatever their strides, with the results
    of one after the other also where they share memory with each other or with gradients.

    ``state`` holds lists of what is remembered of each parameter, which must be of its type unless
    ``mixed``. Kernels refuse, before anything is written, arrays that overlap or do not go
    together; only then is it looked for what to do, so that the usual step pays nothing.
    """
    arrays = [p.array for p in params]
    grads = [p._grad.array for p in params]  # type: ignore[union-attr]  # `buckets` chose them so
    memory = [_dense(a, written=True) for a in arrays]
    dense = [_dense(g) for g in grads]
    copied = any(a is not b for a, b in zip(arrays + grads, memory + dense, strict=True))
    if copied and _copied_read_only(params):
        update(owner, kernel, params, state, launch, mixed=mixed)
        return
    if copied and _overlapping(arrays + grads):
        _one_by_one(owner, kernel, arrays, grads, launch)
    else:
        try:
            launch(getattr(kernels(arrays[0]), kernel), memory, dense, slice(None))
        except ValueError:
            for a in arrays:
                _check_writable(owner, a)
            other = _of_another_type(arrays, state)
            if other is not None and not mixed:
                message = (
                    f"{owner}: expected state of the parameter's type and device, got {other}: the "
                    "parameter was converted after the first step; optimizer.load_state_dict("
                    "optimizer.state_dict()) converts the state as well"
                )
                raise RuntimeError(message) from None
            if other is None and not _overlapping(arrays + grads):
                raise
            _one_by_one(owner, kernel, arrays, grads, launch)
        else:
            for a, b in zip(arrays, memory, strict=True):
                if a is not b:
                    _check_writable(owner, a)
                    kernels(a).copy(b, a)
    for p in params:
        p.storage.version += 1


def _one_by_one(
    owner: str, kernel: str, arrays: list[Any], grads: list[Any], launch: Launch
) -> None:
    for a, g in zip(arrays, grads, strict=True):
        _check_writable(owner, a)
        if a.shape != g.shape:
            message = (
                f"{owner}: expected a gradient of shape {a.shape}, got {g.shape}; set p.grad to"
                " None after changing p.data"
            )
            raise RuntimeError(message)
    for i, (a, g) in enumerate(zip(arrays, grads, strict=True)):
        # The reference takes any strides and reads before it writes, formula by formula.
        launch(references[kernel], [a], [g], slice(i, i + 1))


def _of_another_type(arrays: list[Any], state: list[list[Any]]) -> str | None:
    for remembered in state:
        for a, s in zip(arrays, remembered, strict=True):
            if type(s) is not type(a) or s.dtype != a.dtype:
                return f"{s.dtype} for a parameter of {a.dtype}"
    return None


def _copied_read_only(params: list[Tensor]) -> bool:
    """Gives parameters on read-only memory (a mapped file) a copy that can be written; whether
    there were any. Expanded ones are left: their elements are not their own."""
    found = [
        p
        for p in params
        if not getattr(p.array.flags, "writeable", True) and 0 not in p.array.strides
    ]
    for p in found:
        p.data = empty_like(p).copy_(p.data)
    return bool(found)


def _check_writable(owner: str, array: Any) -> None:
    if not getattr(array.flags, "writeable", True):  # CuPy has no read-only arrays
        message = (
            f"{owner}: expected a parameter that can be written, got one of shape {array.shape} "
            "that is expanded or lies on read-only memory that is shared; make it of a clone()"
        )
        raise RuntimeError(message)


def _overlapping(arrays: list[Any]) -> bool:
    """Whether the address ranges of any two arrays meet."""
    ranges = []
    for a in arrays:
        if a.size:
            steps = [(n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)]
            start = Tensor._wrap(a).data_ptr() + sum(s for s in steps if s < 0)
            ranges.append((start, start + sum(abs(s) for s in steps) + a.itemsize))
    ranges.sort()
    return any(b[0] < a[1] for a, b in itertools.pairwise(ranges))
