# SPDX-License-Identifier: BSD-3-Clause
"""Parameters that are computed from others: ``register_parametrization`` and what belongs to it.

A parametrised tensor is a property of the module, computed by the modules in
``module.parametrizations.<name>`` from what is learned, ``original`` or ``original0``,
``original1``, ... there. The module gets a class of its own, which has the properties.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from fastnn._grad_mode import no_grad
from fastnn.nn.containers import ModuleDict, ModuleList
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops._refusal import refusal
from fastnn.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_TRANSFER = "transfer_parametrizations_and_params"

_cache: dict[tuple[int, str], Any] = {}
_depth = 0


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside, every parametrised tensor is computed at its first use only."""
    global _depth  # noqa: PLW0603
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The modules that compute a tensor, one after the other, and what they compute it from.

    modules: at least one; the first gets the originals. original: the tensor as it was; the
    modules' methods ``right_inverse``, the last first, say what it is computed from, which is a
    Parameter if the tensor was, else a buffer.
    Errors: ValueError if what is computed has another shape or type (but with ``unsafe``).
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            text = "one parametrization or more"
            raise refusal(ValueError, "ParametrizationList", text, "none", "pass a list of modules")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new: Any = original
            for module in reversed(list(self)):
                new = _inverted(module, new)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            _same("right_inverse", original, new, unsafe)
            if isinstance(original, Parameter):
                original.data = new.detach()  # the Parameter stays: an optimiser may know it
                new = original
            self._put("original", new)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, Tensor):
                    text = "tensors from right_inverse"
                    got = type(part).__name__
                    raise refusal(ValueError, type(self[0]).__name__, text, got, "return tensors")
                if isinstance(original, Parameter):
                    self._put(f"original{i}", Parameter(part.detach(), original.requires_grad))
                else:
                    self._put(f"original{i}", part)
        if not unsafe:
            with no_grad():
                _same("forward", original, self(), unsafe)

    def _put(self, name: str, value: Tensor) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value)

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Gives the originals values from which ``value`` is computed, as nearly as can be."""
        with no_grad():
            new: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    name = type(module).__name__
                    text = "a method right_inverse, to assign to what it computes"
                    raise refusal(RuntimeError, name, text, "none", "assign to the original")
                new = module.right_inverse(new)
            parts = [new] if self.is_tensor else list(new)
            for original, part in zip(self._originals(), parts, strict=True):
                _same("right_inverse", original, part, self.unsafe)
                original.data = part.detach().clone()

    def forward(self) -> Tensor:
        """The tensor."""
        first, *rest = self
        value = first(*self._originals())
        for module in rest:
            value = module(value)
        result: Tensor = value
        return result


def _inverted(module: Module, value: Any) -> Any:
    if not hasattr(module, "right_inverse"):
        return value
    try:
        return module.right_inverse(value)
    except NotImplementedError:
        return value


def _same(what: str, old: Tensor, new: Any, unsafe: bool) -> None:
    """ValueError unless a tensor is of the shape and type of another."""
    name = "register_parametrization"
    if not isinstance(new, Tensor):
        got = type(new).__name__
        raise refusal(ValueError, name, f"a tensor from {what}", got, "return one")
    if not unsafe and (new.shape != old.shape or new.dtype is not old.dtype):
        text = f"{old.dtype} {old.shape} from {what}, as it was before"
        cure = "unsafe=True allows it"
        raise refusal(ValueError, name, text, f"{new.dtype} {new.shape}", cure)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrised tensors, or this one."""
    held = module._modules.get("parametrizations")
    if not isinstance(held, ModuleDict) or not hasattr(type(module), "_before_parametrizations"):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before its tensors were parametrised."""
    return getattr(type(module), "_before_parametrizations", type(module))


def _property(name: str) -> property:
    def get(self: Module) -> Any:
        held: Any = self.parametrizations[name]
        if not _depth:
            return held()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = held()
        return _cache[key]

    def put(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)


def _set_class(module: Module, names: Sequence[str]) -> None:
    """The class with properties of these names, or that of before. One for every module: a copy
    of it, which may be changed, must not change the class of another."""
    before = type_before_parametrizations(module)
    changed: Any = module
    if not names:
        changed.__class__ = before
        return
    body: dict[str, Any] = {name: _property(name) for name in names}
    body |= {"_before_parametrizations": before, "__module__": before.__module__}
    body["__doc__"] = before.__doc__
    changed.__class__ = type(f"Parametrized{before.__name__}", (before,), body)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes ``module.<tensor_name>`` be computed by a module; as torch's.

    The method ``right_inverse`` of parametrization, if there, says what to compute it from. A
    second one is applied after the first. unsafe: shapes and types are not compared.
    Raises ValueError if there is no such tensor or its shape or type would change, TypeError for
    what is no module. Returns the module.
    """
    name = "register_parametrization"
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        held: Any = module.parametrizations[tensor_name]
        with no_grad():
            before = getattr(module, tensor_name)
            _same("forward", before, parametrization(before), unsafe)
            _same("right_inverse", before, _inverted(parametrization, before), unsafe)
        held.append(parametrization)
        held.unsafe |= unsafe
        return module
    own = {**module._parameters, **module._buffers}
    original = own.get(tensor_name)
    if original is None:
        text = f"a parameter or buffer of {type(module).__name__}"
        known = ", ".join(k for k, v in own.items() if v is not None) or "none"
        raise refusal(ValueError, name, text, repr(tensor_name), f"it has {known}")
    held = ParametrizationList([parametrization], original, unsafe)
    held.train(module.training)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = held
    _set_class(module, list(module.parametrizations))
    return module


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes a tensor a parameter or buffer again, as torch's.

    leave_parametrized: with its present value, else with that of the original, which must be one.
    Raises ValueError if it is not parametrised, or has several originals. Returns the module.
    """
    name = "remove_parametrizations"
    if not is_parametrized(module, tensor_name):
        text = "the name of a parametrised tensor"
        cure = "is_parametrized() tells which are"
        raise refusal(ValueError, name, text, repr(tensor_name), cure)
    held: Any = module.parametrizations[tensor_name]
    if not leave_parametrized and not held.is_tensor:
        text = "leave_parametrized=True for a tensor that is computed from several"
        raise refusal(ValueError, name, text, leave_parametrized, "leave it out")
    with no_grad():
        value = getattr(module, tensor_name)
    first = held._originals()[0]
    if held.is_tensor:
        result = first
        if leave_parametrized:
            result.data = value.detach()
    elif isinstance(first, Parameter):
        result = Parameter(value.detach(), first.requires_grad)
    else:
        result = value
    del module.parametrizations[tensor_name]
    left = list(module.parametrizations)
    _set_class(module, left)
    if not left:
        del module.parametrizations
    if isinstance(result, Parameter):
        module.register_parameter(tensor_name, result)
    else:
        module.register_buffer(tensor_name, result)
    return module


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Gives a module the parametrizations, and the originals, of another's tensors; as torch's.

    tensor_name: of this tensor alone. The parametrizing modules and the parameters are then both
    modules'.   Raises ValueError for a tensor that is not parametrised. Returns to_module.
    """
    held: Any = from_module.parametrizations if is_parametrized(from_module) else {}
    if tensor_name is not None and tensor_name not in held:
        text, cure = "the name of a parametrised tensor", "is_parametrized() tells which are"
        raise refusal(ValueError, _TRANSFER, text, repr(tensor_name), cure)
    for name in list(held) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in held[name]:
            register_parametrization(to_module, name, parametrization)
        mine: Any = to_module.parametrizations
        for kind in ("_parameters", "_buffers"):
            getattr(mine[name], kind).update(getattr(held[name], kind))
    return to_module
