# SPDX-License-Identifier: BSD-3-Clause
"""What a module owns: parameters, buffers and child modules, and how attributes find them.

Three ordered tables hold them. Assigning ``self.name = value`` files the value in the table of
its kind; reading falls through to the tables only when the instance has no such attribute.
Whatever is assigned moves the process-wide mutation stamp, by which a captured step notices
that the model is no longer the one it captured.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fastnn._backend import bump_mutation_stamp
from fastnn.nn.parameter import Buffer, Parameter
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn.nn._hooks import CallHook, StateHook
    from fastnn.nn.module import Module

_TABLES = ("_parameters", "_buffers", "_modules")


def type_name(value: object) -> str:
    """The full name of the type of ``value``, without a module for builtins."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


class Registry:
    """The tables of a module, attribute access, and registration."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _call_hooks: OrderedDict[int, CallHook]
    _state_hooks: OrderedDict[int, StateHook]

    def __init__(self) -> None:
        # Straight into the instance dictionary: __setattr__ needs these tables to exist.
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _non_persistent_buffers_set=set(),
            _call_hooks=OrderedDict(),
            _state_hooks=OrderedDict(),
        )

    # ---- attributes ----

    def __getattr__(self, name: str) -> Any:
        # Every use of self.weight in a forward comes here: no loop over the tables.
        own = self.__dict__
        if "_parameters" not in own:
            message = (
                f"'{type(self).__name__}' object has no attribute '{name}': Module.__init__() has"
                " not run; call super().__init__() first in your __init__"
            )
            raise AttributeError(message, name=name, obj=self)
        if name in (entries := own["_parameters"]):
            return entries[name]
        if name in (entries := own["_modules"]):
            return entries[name]
        if name in (entries := own["_buffers"]):
            return entries[name]
        message = (
            f"'{type(self).__name__}' object has no attribute '{name}'; check the spelling, or"
            " assign it in __init__"
        )
        raise AttributeError(message, name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        bump_mutation_stamp()
        own = self.__dict__
        if isinstance(value, Parameter):
            self._require_init("parameters")
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Registry):
            self._require_init("module")
            self._forget(name, keep="_modules")
            self._modules[name] = value  # type: ignore[assignment]
        elif isinstance(value, Buffer):
            self._require_init("buffer")
            self._forget(name, keep="_buffers")
            self.register_buffer(name, value, value.persistent)
        elif "_parameters" not in own:
            object.__setattr__(self, name, value)
        elif name in own["_parameters"]:
            if value is not None:
                raise self._wrong_kind(value, "parameter", name, "fastnn.nn.Parameter")
            own["_parameters"][name] = None
        elif name in own["_modules"]:
            if value is not None:
                raise self._wrong_kind(value, "child module", name, "fastnn.nn.Module")
            own["_modules"][name] = None
        elif name in own["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                raise self._wrong_kind(value, "buffer", name, "fastnn.Tensor")
            own["_buffers"][name] = value
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        bump_mutation_stamp()
        for table in _TABLES:
            if name in self.__dict__.get(table, ()):
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        for table in _TABLES:
            names.update(self.__dict__.get(table, ()))
        # Children of containers are named "0", "1", ...: no attribute can be spelled so.
        return sorted(name for name in names if not name[0].isdigit())

    def _require_init(self, what: str) -> None:
        if "_parameters" not in self.__dict__:
            message = (
                f"{type(self).__name__}: cannot assign {what} before Module.__init__() call: "
                "expected its tables, got none; call super().__init__() first in your __init__"
            )
            raise AttributeError(message)

    def _forget(self, name: str, keep: str) -> None:
        """Drop ``name`` from everything but the table ``keep``, where a new value will stand."""
        own = self.__dict__
        own.pop(name, None)
        for table in _TABLES:
            if table != keep:
                own[table].pop(name, None)
        own["_non_persistent_buffers_set"].discard(name)

    def _wrong_kind(self, value: object, role: str, name: str, wanted: str) -> TypeError:
        return TypeError(
            f"{type(self).__name__}: cannot assign '{type_name(value)}' as {role} '{name}'"
            f" ({wanted} or None expected); to replace the {role} by something else, 'del' the"
            " attribute first"
        )

    # ---- registration ----

    def _check_name(self, name: object, role: str, table: str) -> None:
        owner = type(self).__name__
        if not isinstance(name, str):
            message = (
                f"{owner}: expected {role} name as a string, got {type_name(name)}; the name is "
                "the first argument"
            )
            raise TypeError(message)
        if "." in name:
            message = (
                f"{owner}: expected {role} name without a dot, got {name!r}; dots separate the "
                "levels of a path: use _ instead"
            )
            raise KeyError(message)
        if not name:
            message = (
                f"{owner}: expected {role} name of one character or more, got an empty string; "
                "give it one"
            )
            raise KeyError(message)
        if name not in self.__dict__[table] and hasattr(self, name):
            message = (
                f"{owner}: expected a free name, got {name!r}: attribute '{name}' already exists; "
                "choose another name, or del it first"
            )
            raise KeyError(message)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, reachable as the attribute ``name``. ``None`` reserves the name and
        appears neither in ``parameters()`` nor in the ``state_dict``."""
        self._require_init("parameter")
        self._check_name(name, "parameter", "_parameters")
        given: object = param
        if given is not None and not isinstance(given, Parameter):
            message = (
                f"{type(self).__name__}: cannot assign '{type_name(given)}' object to parameter "
                f"'{name}': expected an nn.Parameter or None, got neither; wrap a Tensor as "
                "nn.Parameter(tensor)"
            )
            raise TypeError(message)
        if param is not None and param.grad_fn is not None:
            message = (
                f"{type(self).__name__}: cannot assign non-leaf Tensor to parameter '{name}': "
                "expected one created explicitly, got the result of an operation; to make "
                f"'{name}' a function of other tensors, compute it in forward()"
            )
            raise ValueError(message)
        bump_mutation_stamp()
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state but is not trained, such as running
        statistics. It follows ``to()`` and, unless ``persistent=False``, is in ``state_dict``."""
        self._require_init("buffer")
        self._check_name(name, "buffer", "_buffers")
        given: object = tensor
        if given is not None and not isinstance(given, Tensor):
            message = (
                f"{type(self).__name__}: cannot assign '{type_name(given)}' object to buffer "
                f"'{name}': expected a Tensor or None, got neither; make one with "
                "fastnn.tensor(...)"
            )
            raise TypeError(message)
        bump_mutation_stamp()
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module, reachable as the attribute ``name``."""
        self._require_init("module")
        given: object = module
        if given is not None and not isinstance(given, Registry):
            message = (
                f"{type(self).__name__}: expected a Module as child {name!r}, got "
                f"{type_name(given)}, which is not a Module subclass; pass an instance of one"
            )
            raise TypeError(message)
        self._check_name(name, "module", "_modules")
        bump_mutation_stamp()
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as :meth:`add_module`."""
        self.add_module(name, module)
