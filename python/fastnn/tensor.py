# SPDX-License-Identifier: BSD-3-Clause
"""Tensor: an array, the storage that it shares with its views, and its place in the graph.

The methods are torch's. Those that compute are the functions of ``fastnn.ops``: see
``fastnn.ops._methods``, where each is one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastnn import _backend, _dtypes, _formats, _lazy, _native_tape, autograd
from fastnn._device import device as Device
from fastnn._homes import METHODS, OPS
from fastnn._view_history import base_of, check_view, forget_turns
from fastnn.autograd import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastnn._dtypes import dtype as DType
    from fastnn._hooks import RemovableHandle
    from fastnn._view_history import Link
    from fastnn.autograd import Op
    from fastnn.ops._methods import Methods
else:
    Methods = object


class Tensor(Methods):
    """An n-dimensional array that can be differentiated; made by `fastnn.tensor` and the like.

    ``array`` is the raw ndarray (NumPy or CuPy); ``data`` a detached tensor on the same memory.
    Results of operations on a subclass are plain tensors.
    """

    # NumPy's arrays and numbers leave mixed arithmetic to the tensor.
    __array_priority__ = 1000
    _base: ClassVar[type[Tensor]]
    _legacy: ClassVar[Callable[[tuple[Any, ...], dict[str, Any]], Tensor]]
    # Slots, and named here alone: csrc/tape reads and writes them at their places.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_grad",
        "_hooks",
        "_no_grad_view",
        "_node",
        "_output_nr",
        "_rebase_stamp",
        "_requires_grad",
        "_view",
        "array",
        "storage",
    )
    array: Any
    storage: Storage
    _requires_grad: bool
    _grad: Tensor | None
    _node: Op | None
    _output_nr: int
    _hooks: dict[int, Callable[[Tensor], Tensor | None]] | None
    _rebase_stamp: int | None  # of a view: storage.rebased when it was made
    _no_grad_view: bool  # of a view made while nothing was recorded
    _view: Link  # of a view, see _view_history; elsewhere there is none

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ARG004  (they are __init__'s)
        t = _new(cls)
        t._requires_grad = t._no_grad_view = False
        t._grad = t._node = t._hooks = t._rebase_stamp = None
        t._output_nr = 0
        return t

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """``Tensor(2, 3)``, ``Tensor([2.0, 3.0])``; `fastnn.tensor` and `fastnn.empty` say more."""
        made = Tensor._legacy(args, kwargs)
        for slot in Tensor.__slots__[2:]:
            if slot != "_view" or made._rebase_stamp is not None:
                setattr(self, slot, getattr(made, slot))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__torch_function__" in vars(cls):
            message = (
                f"{cls.__name__}: expected a subclass without __torch_function__, which nothing "
                "calls here, got one with it; override methods instead"
            )
            raise TypeError(message)

    @staticmethod
    def _wrap(array: Any) -> Tensor:
        """A tensor on an array, without history."""
        t = Tensor.__new__(Tensor)
        t.array = array
        t.storage = Storage()
        return t

    @staticmethod
    def _sharing(base: Tensor, array: Any) -> Tensor:
        """A tensor without history on an array that shares the memory of ``base``."""
        t = Tensor._wrap(array)
        t.storage = base.storage
        return t

    @staticmethod
    def _with_history(array: Any, node: Op, output_nr: int) -> Tensor:
        t = Tensor._wrap(array)
        t._requires_grad, t._node, t._output_nr = True, node, output_nr
        return t

    def _bump_version(self) -> None:
        self.storage.version += 1

    # ---- attributes -----------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> DType:
        return _dtypes.from_numpy(self.array.dtype)

    @property
    def device(self) -> Device:
        return Device("cpu" if isinstance(self.array, np.ndarray) else "cuda")

    @property
    def ndim(self) -> int:
        return self.array.ndim  # type: ignore[no-any-return]

    @property
    def requires_grad(self) -> bool:
        if self._requires_grad or self._rebase_stamp is None:
            return self._requires_grad
        # A view that was made before its base was given a history has one too.
        base = base_of(self) if self._rebase_stamp != self.storage.rebased else None
        return base is not None and base._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Says whether gradients are wanted for this leaf."""
        if self.grad_fn is not None and not requires_grad:
            message = (
                "requires_grad_: expected a leaf, got the result of an operation; use detach() "
                "for a tensor without history"
            )
            raise RuntimeError(message)
        if requires_grad and self.array.dtype.kind in "biu":
            message = (
                f"requires_grad_: expected a floating-point tensor, got {self.dtype}; only those "
                "have gradients; convert with .float()"
            )
            raise RuntimeError(message)
        self._requires_grad = bool(requires_grad)
        _backend.bump_mutation_stamp()
        return self

    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if value is self:
                message = (
                    "grad: expected another tensor, got the tensor itself as its own gradient; "
                    "assign a detach() or clone() of it"
                )
                raise RuntimeError(message)
            if not isinstance(value, Tensor):
                message = (
                    f"grad: expected a Tensor or None, got {type(value).__name__}; None removes "
                    "the gradient"
                )
                raise TypeError(message)
            if value.shape != self.shape or value.array.dtype != self.array.dtype:
                message = (
                    f"grad: expected shape {self.shape} and {self.dtype}, got {value.shape} and "
                    f"{value.dtype}; make it with zeros_like(tensor)"
                )
                raise RuntimeError(message)
        self._grad = value
        _backend.bump_mutation_stamp()

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def grad_fn(self) -> Op | None:
        check_view("grad_fn", self)
        return self._node

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def data(self) -> Tensor:
        """The same memory without history, its version counted apart: what changes it is not seen
        by the checks of backward, as in torch."""
        t = self.detach()
        t.storage = Storage()
        return t

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            message = (
                f"data: expected a Tensor, got {type(value).__name__}; make one with "
                "fastnn.tensor(...)"
            )
            raise TypeError(message)
        if self._requires_grad and value.array.dtype.kind in "biu":
            message = (
                f"data: expected a floating-point tensor, got {value.dtype}; call "
                "requires_grad_(False) before"
            )
            raise RuntimeError(message)
        self.array, self.storage = value.array, value.storage
        self._rebase_stamp = None  # the memory is no other tensor's any more
        forget_turns(self)
        _backend.bump_mutation_stamp()

    @property
    def T(self) -> Tensor:
        return ops.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def H(self) -> Tensor:
        return ops.t(self)

    @property
    def mH(self) -> Tensor:
        return self.mT

    @property
    def mT(self) -> Tensor:
        return ops.transpose(self, -2, -1)

    @property
    def _version(self) -> int:
        return self.storage.version

    def size(self, dim: int | None = None) -> Any:
        shape = self.array.shape
        return shape if dim is None else shape[ops.own_dim("size", dim, len(shape))]

    def dim(self) -> int:
        return self.array.ndim  # type: ignore[no-any-return]

    ndimension = dim

    def numel(self) -> int:
        return int(self.array.size)

    nelement = numel

    def element_size(self) -> int:
        return int(self.array.dtype.itemsize)

    @property
    def itemsize(self) -> int:
        return int(self.array.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return int(self.array.nbytes)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        return self.device.type == "cpu"

    # What there is of no other kind: optimisers and hooks of torch's ask before they go on.
    is_sparse = is_quantized = is_nested = is_meta = False

    @property
    def layout(self) -> _formats.layout:
        return _formats.strided

    def stride(self, dim: int | None = None) -> Any:
        strides = tuple(s // self.array.dtype.itemsize for s in self.array.strides)
        return strides if dim is None else strides[ops.own_dim("stride", dim, self.ndim)]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        return _formats.is_contiguous(self.array, memory_format)

    def data_ptr(self) -> int:
        return int(
            self.array.ctypes.data if isinstance(self.array, np.ndarray) else self.array.data.ptr
        )

    def is_floating_point(self) -> bool:
        return self.array.dtype.kind not in "biu"

    # ---- autograd -------------------------------------------------------------------------------

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Adds this tensor's gradient to ``.grad`` of its leaves: `fastnn.autograd.backward`."""
        autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """``hook(grad)`` runs when this tensor's gradient is known, and may return another."""
        return autograd.add_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """``hook(tensor)`` runs once backward has added to this leaf's ``.grad``."""
        return autograd.add_hook_after(self, hook)

    def retain_grad(self) -> None:
        """Keeps the gradient of a tensor that is no leaf in ``.grad``."""
        autograd.retain_grad(self)

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called on this tensor, which is no leaf."""
        return autograd.is_retained(self)

    @property
    def output_nr(self) -> int:
        return self._output_nr

    def detach(self) -> Tensor:
        """The same memory without history; changes through it count as changes of this tensor."""
        # An array object of its own: saved arrays are matched with their tensors by identity.
        return Tensor._sharing(self, self.array.view())

    def detach_(self) -> Tensor:
        """Forgets the history, in place."""
        if self._rebase_stamp is not None:
            message = "detach_: expected a tensor with memory of its own, got a view; use detach()"
            raise RuntimeError(message)
        self._node, self._requires_grad, self._output_nr = None, False, 0
        return self

    # ---- to and from other things ---------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """The memory as a NumPy array; if grad is required only with ``force`` or under no_grad."""
        if self._requires_grad and not force and autograd.is_grad_enabled():
            message = (
                "numpy: expected a tensor without grad, got one; call .detach().numpy() instead"
            )
            raise RuntimeError(message)
        if not isinstance(self.array, np.ndarray):
            if not force:
                message = (
                    "numpy: expected a tensor on the CPU, got one on the GPU; call .cpu().numpy()"
                )
                raise TypeError(message)
            return self.array.get()  # type: ignore[no-any-return]
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != np.dtype(dtype):
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._requires_grad:
            message = "__dlpack__: expected a tensor without grad, got one; use detach()"
            raise BufferError(message)
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()  # type: ignore[no-any-return]

    def item(self) -> Any:
        """The value of a tensor of one element as a Python number."""
        if self.array.size != 1:
            message = (
                f"item: expected a tensor of one element, got shape {self.shape}; tolist() gives "
                "all of them"
            )
            raise RuntimeError(message)
        return self.array.item()

    def tolist(self) -> Any:
        return self.array.tolist()

    def __repr__(self) -> str:
        return _repr.tensor_repr(self)

    def __len__(self) -> int:
        if self.array.ndim == 0:
            message = "len: expected a tensor with dimensions, got a 0-d tensor; use numel()"
            raise TypeError(message)
        return int(self.array.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            message = "iter: expected a tensor with dimensions, got a 0-d tensor; use item()"
            raise TypeError(message)
        return iter(ops.unbind(self))

    def __bool__(self) -> bool:
        if self.array.size != 1:
            message = (
                f"bool: expected a tensor of one element, got shape {self.shape}, whose truth is "
                "ambiguous; use .any() or .all()"
            )
            raise RuntimeError(message)
        return bool(self.array.item())

    def __contains__(self, element: Any) -> bool:
        if not ops.is_operand(element):
            message = (
                f"in: expected a tensor or a number, got {type(element).__name__}; compare with "
                "the elements of tolist()"
            )
            raise RuntimeError(message)
        return bool(ops.any(ops.eq(self, element)))

    def __reversed__(self) -> Tensor:
        return ops.flip(self, [0]) if self.array.ndim else self

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iub" or self.array.size != 1:
            message = (
                f"index: expected an integer tensor of one element, got {self.dtype} {self.shape}; "
                "convert with .long()"
            )
            raise TypeError(message)
        return int(self.array.item())

    def __delitem__(self, index: Any) -> None:
        message = (
            "del: expected no change of shape, which a tensor does not have, got the index "
            f"{index!r}; join the parts that stay with fastnn.cat"
        )
        raise TypeError(message)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.ndim == 0 else object.__format__(self, spec)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _repr.tensor_deepcopy(self, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _repr.tensor_reduce(self)

    # ---- operations that are not just functions of a tensor -------------------------------------

    def __pos__(self) -> Tensor:
        return self

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __eq__(self, other: object) -> Any:
        # Python's rule for what cannot be compared: `tensor == None` is False, as in torch.
        return ops.eq(self, other) if ops.is_operand(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return ops.ne(self, other) if ops.is_operand(other) else NotImplemented

    __hash__ = object.__hash__

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """``self`` where the condition holds, else ``other``: `fastnn.where`."""
        return ops.where(condition, self, other)


_new = object.__new__
Tensor._base = Tensor

_native_tape.install(Tensor)

_lazy.add_methods(Tensor, {**METHODS, "_legacy": "ops._constructor:legacy"})

from fastnn import _repr  # noqa: E402  (written in terms of Tensor, as the operations are)

if TYPE_CHECKING:
    from fastnn import ops
else:
    ops = _lazy.namespace(OPS)
