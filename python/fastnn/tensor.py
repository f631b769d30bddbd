# SPDX-License-Identifier: BSD-3-Clause
"""Tensor: an array, the storage that it shares with its views, and its place in the graph.

The methods are torch's. Those that compute are one line each: the operation is in ``fastnn.ops``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn import _backend, _dtypes, autograd
from fastnn._device import device as Device
from fastnn.autograd import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastnn._dtypes import dtype as DType
    from fastnn._hooks import RemovableHandle
    from fastnn.autograd import Op
    from fastnn.random import Generator

# Inside the class ``int``, ``bool`` and ``float`` are methods; annotations use these names.
Int = int
Bool = bool
Float = float


class Tensor:
    """An n-dimensional array that can be differentiated; made by `fastnn.tensor` and the like.

    ``array`` is the raw ndarray (NumPy or CuPy); ``data`` a detached tensor on the same memory.
    """

    # NumPy's arrays and numbers leave mixed arithmetic to the tensor.
    __array_priority__ = 1000
    _base: ClassVar[type[Tensor]]
    array: Any
    storage: Storage
    # Defaults on the class: an instance stores only what differs, which makes it cheap to create.
    _requires_grad: Bool = False
    _grad: Tensor | None = None
    _node: Op | None = None
    _output_nr: Int = 0
    _hooks: dict[Int, Callable[[Tensor], Tensor | None]] | None = None
    _rebase_stamp: Int | None = None  # of a view: storage.rebased when it was made

    def __init__(self, data: Any = (), dtype: DType | None = None) -> None:
        made = ops.tensor(data, dtype=dtype or _dtypes.get_default_dtype())
        self.array, self.storage = made.array, made.storage

    @staticmethod
    def _wrap(array: Any) -> Tensor:
        """A tensor on an array, without history."""
        t = _new(Tensor)
        t.array = array
        t.storage = Storage()
        return t

    @staticmethod
    def _view_of(base: Tensor, array: Any) -> Tensor:
        """A tensor on an array that shares the memory of ``base``."""
        t = _new(Tensor)
        t.array = array
        t.storage = base.storage
        t._rebase_stamp = base.storage.rebased
        return t

    @staticmethod
    def _with_history(array: Any, node: Op, output_nr: Int) -> Tensor:
        t = Tensor._wrap(array)
        t._requires_grad, t._node, t._output_nr = True, node, output_nr
        return t

    def _bump_version(self) -> None:
        self.storage.version += 1

    # ---- attributes -----------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[Int, ...]:
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> DType:
        return _dtypes.from_numpy(self.array.dtype)

    @property
    def device(self) -> Device:
        return Device("cpu" if isinstance(self.array, np.ndarray) else "cuda")

    @property
    def ndim(self) -> Int:
        return self.array.ndim  # type: ignore[no-any-return]

    @property
    def requires_grad(self) -> Bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: Bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: Bool = True) -> Tensor:
        """Says whether gradients are wanted for this leaf."""
        if self._node is not None and not requires_grad:
            message = (
                "requires_grad_: expected a leaf, got the result of an operation; use detach() "
                "for a tensor without history"
            )
            raise RuntimeError(message)
        if requires_grad and self.array.dtype.kind != "f":
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
            if not isinstance(value, Tensor):
                message = f"grad: expected a Tensor or None, got {type(value).__name__}"
                raise TypeError(message)
            if value.shape != self.shape or value.array.dtype != self.array.dtype:
                message = (
                    f"grad: expected shape {self.shape} and {self.dtype}, got {value.shape} and "
                    f"{value.dtype}"
                )
                raise RuntimeError(message)
        self._grad = value
        _backend.bump_mutation_stamp()

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def grad_fn(self) -> Op | None:
        return self._node

    @property
    def is_leaf(self) -> Bool:
        return self._node is None

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            message = f"data: expected a Tensor, got {type(value).__name__}"
            raise TypeError(message)
        if self._requires_grad and value.array.dtype.kind != "f":
            message = f"data: expected a floating-point tensor, got {value.dtype}"
            raise RuntimeError(message)
        self.array, self.storage = value.array, value.storage
        _backend.bump_mutation_stamp()

    @property
    def T(self) -> Tensor:
        return ops.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        return ops.transpose(self, -2, -1)

    @property
    def _version(self) -> Int:
        return self.storage.version

    def size(self, dim: Int | None = None) -> Any:
        return (
            self.array.shape
            if dim is None
            else self.array.shape[ops.one_dim("size", dim, self.ndim)]
        )

    def dim(self) -> Int:
        return self.array.ndim  # type: ignore[no-any-return]

    ndimension = dim

    def numel(self) -> Int:
        return int(self.array.size)

    nelement = numel

    def element_size(self) -> Int:
        return int(self.array.dtype.itemsize)

    def stride(self, dim: Int | None = None) -> Any:
        strides = tuple(s // self.array.dtype.itemsize for s in self.array.strides)
        return strides if dim is None else strides[ops.one_dim("stride", dim, self.ndim)]

    def is_contiguous(self) -> Bool:
        return bool(self.array.flags.c_contiguous)

    def data_ptr(self) -> Int:
        return int(
            self.array.ctypes.data if isinstance(self.array, np.ndarray) else self.array.data.ptr
        )

    def is_floating_point(self) -> Bool:
        return bool(self.array.dtype.kind == "f")

    # ---- autograd -------------------------------------------------------------------------------

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: Bool | None = None,
        create_graph: Bool = False,
    ) -> None:
        """Adds this tensor's gradient to ``.grad`` of its leaves: `fastnn.autograd.backward`."""
        grads = None if gradient is None else [gradient]
        autograd.backward([self], grads, retain_graph, create_graph)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """``hook(grad)`` runs when this tensor's gradient is known, and may return another."""
        return autograd.add_hook(self, hook)

    def retain_grad(self) -> None:
        """Keeps the gradient of a tensor that is no leaf in ``.grad``."""
        autograd.retain_grad(self)

    def detach(self) -> Tensor:
        """The same memory without history."""
        t = _new(Tensor)
        # An array object of its own: saved arrays are matched with their tensors by identity.
        t.array = self.array.view()
        t.storage = self.storage
        return t

    def detach_(self) -> Tensor:
        """Forgets the history, in place."""
        if self._rebase_stamp is not None and self._node is not None:
            message = "detach_: this tensor is a view; use detach()"
            raise RuntimeError(message)
        self._node, self._requires_grad, self._output_nr = None, False, 0
        return self

    # ---- to and from other things ---------------------------------------------------------------

    def numpy(self, *, force: Bool = False) -> np.ndarray[Any, Any]:
        """The memory as a NumPy array; of a tensor that requires grad only with ``force``."""
        if self._requires_grad and not force:
            message = "numpy: expected a tensor without grad; call .detach().numpy() instead"
            raise RuntimeError(message)
        if not isinstance(self.array, np.ndarray):
            if not force:
                message = "numpy: expected a tensor on the CPU; call .cpu().numpy() instead"
                raise TypeError(message)
            return self.array.get()  # type: ignore[no-any-return]
        return self.array

    def __array__(self, dtype: Any = None, copy: Bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != np.dtype(dtype):
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._requires_grad:
            message = "__dlpack__: expected a tensor without grad; use detach()"
            raise BufferError(message)
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[Int, int]:
        return self.array.__dlpack_device__()  # type: ignore[no-any-return]

    def item(self) -> Any:
        """The value of a tensor of one element as a Python number."""
        if self.array.size != 1:
            message = f"item: expected a tensor of one element, got shape {self.shape}"
            raise RuntimeError(message)
        return self.array.item()

    def tolist(self) -> Any:
        return self.array.tolist()

    def __repr__(self) -> str:
        return _repr.tensor_repr(self)

    def __len__(self) -> Int:
        if self.array.ndim == 0:
            message = "len() of a 0-d tensor"
            raise TypeError(message)
        return int(self.array.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            message = "iteration over a 0-d tensor"
            raise TypeError(message)
        return (self[i] for i in range(self.array.shape[0]))

    def __bool__(self) -> Bool:
        if self.array.size != 1:
            message = (
                f"the truth of a tensor of shape {self.shape} is ambiguous; use .any() or .all()"
            )
            raise RuntimeError(message)
        return bool(self.array.item())

    def __float__(self) -> Float:
        return float(self.item())

    def __int__(self) -> Int:
        return int(self.item())

    def __index__(self) -> Int:
        if self.array.dtype.kind not in "iub" or self.array.size != 1:
            message = (
                f"expected an integer tensor of one element as index, got {self.dtype} {self.shape}"
            )
            raise TypeError(message)
        return int(self.array.item())

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.ndim == 0 else object.__format__(self, spec)

    def __deepcopy__(self, memo: dict[Int, Any]) -> Any:
        return _repr.tensor_deepcopy(self, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _repr.tensor_reduce(self)

    # ---- conversion and copies ------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        return ops.to(self, *args, **kwargs)

    def type_as(self, other: Tensor) -> Tensor:
        return ops.to(self, other.dtype)

    def float(self) -> Tensor:
        return ops.to(self, _dtypes.float32)

    def double(self) -> Tensor:
        return ops.to(self, _dtypes.float64)

    def half(self) -> Tensor:
        return ops.to(self, _dtypes.float16)

    def int(self) -> Tensor:
        return ops.to(self, _dtypes.int32)

    def long(self) -> Tensor:
        return ops.to(self, _dtypes.int64)

    def bool(self) -> Tensor:
        return ops.to(self, _dtypes.bool_)

    def cpu(self) -> Tensor:
        return ops.to(self, "cpu")

    def cuda(self) -> Tensor:
        return ops.to(self, "cuda")

    def clone(self) -> Tensor:
        return ops.clone(self)

    def contiguous(self) -> Tensor:
        return ops.contiguous(self)

    def copy_(self, source: Any) -> Tensor:
        return ops.copy_(self, source)

    def fill_(self, value: Any) -> Tensor:
        return ops.fill_(self, value)

    def zero_(self) -> Tensor:
        return ops.fill_(self, 0)

    def uniform_(
        self, low: Any = 0.0, high: Any = 1.0, *, generator: Generator | None = None
    ) -> Tensor:
        return ops.uniform_(self, low, high, generator=generator)

    def normal_(
        self, mean: Any = 0.0, std: Any = 1.0, *, generator: Generator | None = None
    ) -> Tensor:
        return ops.normal_(self, mean, std, generator=generator)

    # ---- arithmetic -----------------------------------------------------------------------------

    def add(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.add(self, other, alpha=alpha)

    def sub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.sub(self, other, alpha=alpha)

    def mul(self, other: Any) -> Tensor:
        return ops.mul(self, other)

    def div(self, other: Any) -> Tensor:
        return ops.div(self, other)

    def __add__(self, other: Any) -> Tensor:
        return ops.binary(ops.Add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.binary(ops.Add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.binary(ops.Sub, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.binary(ops.Sub, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.binary(ops.Mul, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.binary(ops.Mul, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.binary(ops.Div, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.binary(ops.Div, other, self)

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.add_(self, other, alpha=alpha)

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return ops.sub_(self, other, alpha=alpha)

    def mul_(self, other: Any) -> Tensor:
        return ops.binary_(ops.Mul, self, other)

    def div_(self, other: Any) -> Tensor:
        return ops.binary_(ops.Div, self, other)

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    neg = __neg__

    def __pos__(self) -> Tensor:
        return self

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    matmul = mm = __matmul__

    def __eq__(self, other: object) -> Any:
        # Python's rule for what cannot be compared: `tensor == None` is False, as in torch.
        return ops.eq(self, other) if ops.is_operand(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return ops.ne(self, other) if ops.is_operand(other) else NotImplemented

    def __lt__(self, other: Any) -> Tensor:
        return ops.lt(self, other)

    def __le__(self, other: Any) -> Tensor:
        return ops.le(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return ops.gt(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return ops.ge(self, other)

    def eq(self, other: Any) -> Tensor:
        return ops.eq(self, other)

    def ne(self, other: Any) -> Tensor:
        return ops.ne(self, other)

    lt, le, gt, ge = __lt__, __le__, __gt__, __ge__

    def exp(self) -> Tensor:
        return ops.exp(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def relu_(self) -> Tensor:
        return ops.relu_(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def softmax(self, dim: Any) -> Tensor:
        return ops.softmax(self, dim)

    def log_softmax(self, dim: Any) -> Tensor:
        return ops.log_softmax(self, dim)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        return ops.where(condition, self, other)

    # ---- reductions -----------------------------------------------------------------------------

    def sum(self, dim: Any = None, keepdim: Any = False, *, dtype: DType | None = None) -> Tensor:
        return ops.sum(self, dim, keepdim, dtype=dtype)

    def mean(self, dim: Any = None, keepdim: Any = False, *, dtype: DType | None = None) -> Tensor:
        return ops.mean(self, dim, keepdim, dtype=dtype)

    def argmax(self, dim: Any = None, keepdim: Any = False) -> Tensor:
        return ops.argmax(self, dim, keepdim)

    # ---- shape and indexing ---------------------------------------------------------------------

    def view(self, *shape: Any) -> Tensor:
        return ops.view(self, *shape)

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, *shape)

    def flatten(self, start_dim: Any = 0, end_dim: Any = -1) -> Tensor:
        return ops.flatten(self, start_dim, end_dim)

    def transpose(self, dim0: Any, dim1: Any) -> Tensor:
        return ops.transpose(self, dim0, dim1)

    def t(self) -> Tensor:
        return ops.t(self)

    def permute(self, *dims: Any) -> Tensor:
        return ops.permute(self, *dims)

    def expand(self, *sizes: Any) -> Tensor:
        return ops.expand(self, *sizes)

    def squeeze(self, dim: Any = None) -> Tensor:
        return ops.squeeze(self, dim)

    def unsqueeze(self, dim: Any) -> Tensor:
        return ops.unsqueeze(self, dim)

    def split(self, split_size: Any, dim: Any = 0) -> tuple[Tensor, ...]:
        return ops.split(self, split_size, dim)

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        ops.setitem(self, index, value)


_new = object.__new__
Tensor._base = Tensor

from fastnn import _repr, ops  # noqa: E402  (the operations are written in terms of Tensor)
