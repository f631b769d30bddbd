# SPDX-License-Identifier: BSD-3-Clause
"""An interpreter for the part of pickle's language that plain data and torch's tensors need.

Python's own unpickler calls whatever function a file names. This one looks names up in a table that
its caller gives, calls only what is in there, and refuses the rest by name. What it builds is a
tree: a container that holds itself is refused.

Language: the opcodes of protocols 2 to 5, https://docs.python.org/3/library/pickletools.html.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from fastnn.serialization.source import Malformed, refuse

__all__ = ["Known", "Unpickler"]

_DEPTH = 500
_NAME = 500  # characters of a global's name
_LONG = 2048  # bytes of a whole number
_KEYS = (str, int, float, bool, bytes, type(None))


class Known:
    """A function that a file may call: the value of a global while it is on the stack."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self.call = call


def _key(value: Any) -> Any:
    """What may be a key. Not a nested tuple, which can take forever to hash."""
    parts = value if type(value) is tuple else (value,)
    good = all(type(part) in _KEYS for part in parts)
    refuse(not good, f"it has a {type(value).__name__} as a key")
    return value


class Unpickler:
    """Reads one pickled object.

    find: the value of a global, from its module and name; raises Malformed for an unknown one.
    persistent: the value of what was stored outside of the pickle.
    """

    def __init__(
        self,
        data: bytes,
        find: Callable[[str, str], Any],
        persistent: Callable[[Any], Any],
    ) -> None:
        self._data = data
        self._at = 0
        self._find = find
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object. Raises Malformed, and what ``persistent`` raises."""
        while True:
            code = self._data[self._at : self._at + 1]
            self._at += 1
            if code == pickle.STOP:
                break
            step = _STEPS.get(code)
            refuse(step is None, _unknown(code, self._at - 1))
            assert step is not None
            step(self)
        refuse(len(self._stack) != 1 or self._marks, "its pickle has no single result")
        found = self._stack[0]
        check_tree(found)
        return found

    # ---- reading ----

    def take(self, n: int) -> bytes:
        found = self._data[self._at : self._at + n]
        refuse(len(found) != n, "its pickle is cut off")
        self._at += n
        return found

    def number(self, layout: str) -> int:
        value: int
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return value

    def line(self) -> str:
        end = self._data.find(b"\n", self._at, self._at + _NAME)
        refuse(end < 0, "its pickle is cut off in a name")
        found = self._data[self._at : end]
        self._at = end + 1
        return self.decoded(found)

    def decoded(self, text: bytes) -> str:
        try:
            return text.decode("utf-8", "surrogatepass")
        except UnicodeError as error:
            problem = f"its pickle has bytes before byte {self._at} that are no text: {error}"
            raise Malformed(problem) from None

    # ---- the stack ----

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def top(self) -> Any:
        refuse(not self._stack, "its pickle takes more than it has")
        return self._stack[-1]

    def pop(self) -> Any:
        refuse(not self._stack, "its pickle takes more than it has")
        return self._stack.pop()

    def mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def pop_mark(self) -> list[Any]:
        refuse(not self._marks, "its pickle takes more than it has")
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def pop_n(self, n: int) -> tuple[Any, ...]:
        refuse(len(self._stack) < n, "its pickle takes more than it has")
        items = tuple(self._stack[len(self._stack) - n :])
        del self._stack[len(self._stack) - n :]
        return items

    def remember(self, index: int) -> None:
        self._memo[index] = self.top()

    def recall(self, index: int) -> None:
        refuse(index not in self._memo, f"its pickle refers to its object {index}, which is none")
        self.push(self._memo[index])

    # ---- containers and calls ----

    def append(self, items: Iterable[Any]) -> None:
        target = self.top()
        refuse(type(target) is not list, f"it appends to a {type(target).__name__}")
        target.extend(items)

    def add(self, items: Iterable[Any]) -> None:
        target = self.top()
        refuse(type(target) is not set, f"it adds to a {type(target).__name__}")
        target.update(map(_key, items))

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        refuse(not isinstance(target, dict), f"it sets items of a {type(target).__name__}")
        refuse(len(items) % 2, "its pickle has a key without a value")
        for i in range(0, len(items), 2):
            target[_key(items[i])] = items[i + 1]

    def find_global(self, module: Any, name: Any) -> None:
        good = isinstance(module, str) and isinstance(name, str)
        refuse(not good, "its pickle names a global by what is no text")
        self.push(self._find(module, name))

    def call(self) -> None:
        function, arguments = self.pop_n(2)
        what = type(function).__name__
        refuse(not isinstance(function, Known), f"its pickle calls a {what}, which is no function")
        refuse(type(arguments) is not tuple, f"it calls {function.name} with no tuple")
        try:
            self.push(function.call(*arguments))
        except (TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
            problem = f"its pickle calls {function.name} wrongly: {error}"
            raise Malformed(problem) from None

    def build(self) -> None:
        """Attributes: of an OrderedDict alone, which is how a state_dict keeps its versions."""
        target, state = self.pop_n(2)
        plain = type(target) is OrderedDict and isinstance(state, dict)
        refuse(not plain, f"its pickle sets attributes of a {type(target).__name__}")
        for name, value in state.items():
            good = isinstance(name, str) and not hasattr(OrderedDict, name)
            refuse(not good, f"its pickle sets the attribute {name!r:.40} of an OrderedDict")
            vars(target)[name] = value
        self.push(target)


def _unknown(code: bytes, at: int) -> str:
    if not code:
        return "its pickle is cut off"
    return f"its pickle has the opcode {code!r} at byte {at}, which plain data does not need"


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        # Keys are never containers of containers: see _key.
        return [*value.values(), *getattr(value, "__dict__", {}).values()]
    if isinstance(value, list | tuple):
        return list(value)
    return []


def check_tree(root: Any) -> None:
    """Refuse containers that hold themselves or are very deep, and functions that were not
    called."""
    done: set[int] = set()
    path: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting:
        value, leaving = waiting.pop()
        if leaving:
            path.discard(id(value))
            done.add(id(value))
            continue
        refuse(isinstance(value, Known), f"it holds the function {getattr(value, 'name', '')}")
        if not isinstance(value, dict | list | tuple) or id(value) in done:
            continue
        refuse(id(value) in path, f"it has a {type(value).__name__} that holds itself")
        path.add(id(value))
        refuse(len(path) > _DEPTH, f"it has containers more than {_DEPTH} deep")
        waiting.append((value, True))
        waiting.extend((child, False) for child in _children(value))


def _proto(u: Unpickler) -> None:
    version = u.number("<B")
    refuse(version > pickle.HIGHEST_PROTOCOL, f"its pickle is of protocol {version}")


def _long(u: Unpickler, layout: str) -> None:
    length = u.number(layout)
    refuse(not 0 <= length <= _LONG, f"it has a number of {length} bytes")
    u.push(int.from_bytes(u.take(length), "little", signed=True))


def _text(u: Unpickler, layout: str) -> None:
    u.push(u.decoded(u.take(u.number(layout))))


_STEPS: dict[bytes, Callable[[Unpickler], object]] = {
    pickle.PROTO: _proto,
    pickle.FRAME: lambda u: u.take(8),
    pickle.MARK: Unpickler.mark,
    pickle.POP: Unpickler.pop,
    pickle.NONE: lambda u: u.push(None),
    pickle.NEWTRUE: lambda u: u.push(True),
    pickle.NEWFALSE: lambda u: u.push(False),
    pickle.BININT: lambda u: u.push(u.number("<i")),
    pickle.BININT1: lambda u: u.push(u.number("<B")),
    pickle.BININT2: lambda u: u.push(u.number("<H")),
    pickle.LONG1: lambda u: _long(u, "<B"),
    pickle.LONG4: lambda u: _long(u, "<i"),
    pickle.BINFLOAT: lambda u: u.push(struct.unpack(">d", u.take(8))[0]),
    pickle.BINUNICODE: lambda u: _text(u, "<I"),
    pickle.SHORT_BINUNICODE: lambda u: _text(u, "<B"),
    pickle.BINUNICODE8: lambda u: _text(u, "<Q"),
    pickle.BINBYTES: lambda u: u.push(u.take(u.number("<I"))),
    pickle.SHORT_BINBYTES: lambda u: u.push(u.take(u.number("<B"))),
    pickle.BINBYTES8: lambda u: u.push(u.take(u.number("<Q"))),
    pickle.EMPTY_LIST: lambda u: u.push([]),
    pickle.EMPTY_TUPLE: lambda u: u.push(()),
    pickle.EMPTY_DICT: lambda u: u.push({}),
    pickle.EMPTY_SET: lambda u: u.push(set()),
    pickle.TUPLE: lambda u: u.push(tuple(u.pop_mark())),
    pickle.TUPLE1: lambda u: u.push(u.pop_n(1)),
    pickle.TUPLE2: lambda u: u.push(u.pop_n(2)),
    pickle.TUPLE3: lambda u: u.push(u.pop_n(3)),
    pickle.APPEND: lambda u: u.append(u.pop_n(1)),
    pickle.APPENDS: lambda u: u.append(u.pop_mark()),
    pickle.ADDITEMS: lambda u: u.add(u.pop_mark()),
    pickle.SETITEM: lambda u: u.set_items(list(u.pop_n(2))),
    pickle.SETITEMS: lambda u: u.set_items(u.pop_mark()),
    pickle.GLOBAL: lambda u: u.find_global(u.line(), u.line()),
    pickle.STACK_GLOBAL: lambda u: u.find_global(*u.pop_n(2)),
    pickle.REDUCE: Unpickler.call,
    pickle.BUILD: Unpickler.build,
    pickle.BINPERSID: lambda u: u.push(u._persistent(u.pop())),
    pickle.BINPUT: lambda u: u.remember(u.number("<B")),
    pickle.LONG_BINPUT: lambda u: u.remember(u.number("<I")),
    pickle.MEMOIZE: lambda u: u.remember(len(u._memo)),
    pickle.BINGET: lambda u: u.recall(u.number("<B")),
    pickle.LONG_BINGET: lambda u: u.recall(u.number("<I")),
}
