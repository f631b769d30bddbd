# SPDX-License-Identifier: BSD-3-Clause
"""Plain Python data with tensors in it, as named arrays and JSON, and back.

JSON has no word for tensors, tuples, dictionaries with other keys than texts, and numbers that are
not finite: these become {"$": kind, ...}. A container that is in the object in several places is
written where it is first, {"$": "shared", "id": number, "value": ...}, and named in the others,
{"$": "again", "id": number}.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from fastnn.serialization.source import Malformed, refuse
from fastnn.serialization.tensor_file import array_of, memory_of
from fastnn.tensor import Tensor

__all__ = ["Packer", "Unpacker"]

_MARK = "$"
_DEPTH = 100
_BITS = 10_000  # of a whole number; Python does not read longer ones back
_RESERVED = "__metadata__"  # what a safetensors file calls its metadata


def _refuse_at(path: str, expected: str, got: str, cure: str) -> NoReturn:
    message = f"save: expected {expected}, got {got} at {path:.300}; {cure}"
    raise TypeError(message)


_CONTAINERS = (list, tuple, dict, OrderedDict, Counter)


def _parts(value: Any) -> list[Any]:
    """The containers in a container."""
    if isinstance(value, list | tuple):
        items: Iterable[Any] = value
    else:
        items = (
            (*value.values(), *vars(value).values())
            if hasattr(value, "__dict__")
            else value.values()
        )
    return [item for item in items if type(item) in _CONTAINERS]


def _in_several_places(value: Any) -> set[int]:
    """The ids of the containers that an object holds more than once.

    Tuples of plain values are left out: what is twice there is often one to Python alone.
    """
    seen: set[int] = set()
    found: set[int] = set()
    left = [value] if type(value) in _CONTAINERS else []
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            left += _parts(one)
        elif id(one) not in found and (type(one) is not tuple or _parts(one)):
            found.add(id(one))
    return found


class Packer:
    """Makes JSON of an object; ``arrays`` are its tensors, named by their place in it.

    Every tensor is stored under its own name, also where two are the same memory, so that other
    programs find all names; the JSON says that they are one. Containers that are one are stored
    once, or nested ones would be stored as often as there are ways to them.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._first: dict[Any, str] = {}
        self._open: set[int] = set()  # the containers that are being packed
        self._shared: set[int] = set()
        self._numbers: dict[int, int] = {}  # of those that have been packed

    def __call__(self, value: Any) -> Any:
        """Raises TypeError for what cannot be packed, with its place."""
        self._shared = _in_several_places(value)
        return self._pack(value, "", "object")

    def _pack(self, value: Any, name: str, path: str) -> Any:
        """``name``: of the tensors in it; ``path``: where it is, for people."""
        if isinstance(value, Tensor):
            return self._tensor(value, name or "tensor")
        if value is None or type(value) in (bool, str):
            return value
        if isinstance(value, np.bool_):
            return bool(value)
        if type(value) is int or isinstance(value, np.integer):
            number = int(value)
            if number.bit_length() > _BITS:
                most = f"whole numbers of up to {_BITS} bits"
                _refuse_at(path, most, f"one of {number.bit_length()}", "save it as str")
            return number
        if type(value) is float or isinstance(value, np.floating):
            real = float(value)
            return real if math.isfinite(real) else {_MARK: "float", "value": repr(real)}
        if type(value) in _CONTAINERS:
            return self._container(value, name, path)
        plain = "tensors, numbers, texts, None, and dicts, lists and tuples of them"
        _refuse_at(path, plain, type(value).__name__, _cure(value))

    def _tensor(self, value: Tensor, name: str) -> dict[str, Any]:
        try:
            name.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which is no text elsewhere
            name = name.encode("utf-8", "backslashreplace").decode()
        unique, number = name, 1
        while unique in self.arrays or unique == _RESERVED:
            number += 1
            unique = f"{name}~{number}"
        array = array_of(value)
        self.arrays[unique] = array
        node: dict[str, Any] = {_MARK: "tensor", "name": unique}
        if value.requires_grad:
            node["requires_grad"] = True
        if _is_parameter(value):
            node["parameter"] = True
        if value.device.type != "cpu":
            node["device"] = str(value.device)
        memory = memory_of(value.array) if isinstance(value.array, np.ndarray) else id(value)
        if memory is not None:
            key = (memory, *(node.get(k) for k in ("requires_grad", "parameter")))
            first = self._first.setdefault(key, unique)
            if first != unique:
                node["same"] = first
        return node

    def _container(self, value: Any, name: str, path: str) -> Any:
        if id(value) in self._open:
            _refuse_at(path, "a tree", "a container that holds itself", "take the cycle out")
        if id(value) in self._numbers:
            return {_MARK: "again", "id": self._numbers[id(value)]}
        if len(self._open) >= _DEPTH:
            what = f"containers within containers, more than {_DEPTH} deep,"
            _refuse_at(path, "a tree that is less deep", what, "flatten it")
        self._open.add(id(value))
        try:
            if isinstance(value, list | tuple):
                node: Any = [
                    self._pack(v, _below(name, i), f"{path}[{i}]") for i, v in enumerate(value)
                ]
                node = node if type(value) is list else {_MARK: "tuple", "items": node}
            else:
                node = self._mapping(value, name, path)
        finally:
            self._open.discard(id(value))
        if id(value) not in self._shared:
            return node
        self._numbers[id(value)] = number = len(self._numbers)
        return {_MARK: "shared", "id": number, "value": node}

    def _mapping(self, value: Any, name: str, path: str) -> Any:
        pairs = [
            (key, self._pack(item, _below(name, key), f"{path}[{key!r:.100}]"))
            for key, item in value.items()
        ]
        kind = type(value)
        if kind is dict and all(type(key) is str and key != _MARK for key, _ in pairs):
            return dict(pairs)
        items = [[self._key(key, path), item] for key, item in pairs]
        if kind is dict:
            return {_MARK: "map", "items": items}
        if kind is Counter:
            return {_MARK: "counter", "items": items}
        node = {_MARK: "ordered", "items": items}
        # A state_dict says in its attribute _metadata which versions of the modules made it.
        extra = vars(value)
        if extra.keys() - {"_metadata"}:
            names = ", ".join(sorted(extra.keys() - {"_metadata"}))
            _refuse_at(path, "an OrderedDict without attributes", names, "remove them")
        if "_metadata" in extra:
            node["metadata"] = self._pack(extra["_metadata"], name, f"{path}._metadata")
        return node

    def _key(self, key: Any, path: str) -> Any:
        parts = key if type(key) is tuple else (key,)
        good = (bool, int, float, str, type(None))
        if not all(type(part) in good or isinstance(part, np.generic) for part in parts):
            _refuse_at(path, "texts and numbers as keys", type(key).__name__, "use names as keys")
        return self._pack(key, "", f"{path}'s key")


def _below(name: str, key: Any) -> str:
    return f"{name}/{key}" if name else f"{key}"


def _is_parameter(value: Tensor) -> bool:
    from fastnn.nn import Parameter  # noqa: PLC0415 - modules are not needed for plain tensors

    return isinstance(value, Parameter)


def _cure(value: Any) -> str:
    if hasattr(value, "state_dict"):
        return "save its state_dict()"
    if isinstance(value, np.ndarray):
        return "save fastnn.from_numpy(array)"
    return "nothing is pickled: save what it is made of"


class Unpacker:
    """Makes the object of the JSON; ``place`` puts a tensor where it is wanted."""

    def __init__(
        self, tensors: Mapping[str, Tensor], place: Callable[[Tensor, str], Tensor]
    ) -> None:
        self._tensors = tensors
        self._place = place
        self._made: dict[str, Tensor] = {}
        self._shared: dict[int, Any] = {}

    def __call__(self, tree: Any) -> Any:
        """Raises Malformed if it is not what a Packer makes."""
        try:
            return self._value(tree)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            problem = f"its tree is damaged: {type(error).__name__} {error}"
            raise Malformed(problem) from None

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if _MARK not in node:
            return {key: self._value(item) for key, item in node.items()}
        kind = node[_MARK]
        if kind == "tensor":
            return self._tensor(node)
        if kind == "float":
            return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[node["value"]]
        if kind == "shared":
            made: Any = self._value(node["value"])
            self._shared[node["id"]] = made
            return made
        if kind == "again":
            return self._shared[node["id"]]
        items = node["items"]
        refuse(not isinstance(items, list), f"the items of a {kind} in its tree are no list")
        if kind == "tuple":
            return tuple(self._value(item) for item in items)
        pairs = [(self._value(key), self._value(item)) for key, item in items]
        if kind == "map":
            return dict(pairs)
        if kind == "counter":
            return Counter(dict(pairs))
        refuse(kind != "ordered", f"its tree has the unknown kind {kind!r:.40}")
        made = OrderedDict(pairs)
        if "metadata" in node:
            made._metadata = self._value(node["metadata"])
        return made

    def _tensor(self, node: dict[str, Any]) -> Tensor:
        name = node["name"]
        if name in self._made:
            return self._made[name]
        stored = self._tensors[name]
        first = node.get("same")
        if first in self._made:
            other = self._made[first]
            # Another program may have changed one of the two.
            if _equal(self._tensors[first], stored):
                self._made[name] = other
                return other
        made = self._place(stored, str(node.get("device", "cpu")))
        wants = bool(node.get("requires_grad"))
        if node.get("parameter"):
            from fastnn.nn import Parameter  # noqa: PLC0415

            made = Parameter(made, requires_grad=wants)
        elif wants:
            made.requires_grad_()
        self._made[name] = made
        return made


def _equal(a: Tensor, b: Tensor) -> bool:
    x, y = a.array, b.array
    same = x.shape == y.shape and x.dtype == y.dtype
    return same and bool(np.array_equal(x.reshape(-1).view("u1"), y.reshape(-1).view("u1")))
