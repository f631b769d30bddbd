# SPDX-License-Identifier: BSD-3-Clause
"""The hot part of the tape in C++ does what the Python methods that specify it do."""

from __future__ import annotations

import gc
import importlib
import math
import operator
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd
from fastnn.ops import Add, Div, Mul, Sub
from fastnn.ops._binary_op import binary

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(_backend.tape is None, reason="needs the native tape")

OPERATORS = {operator.add: Add, operator.sub: Sub, operator.mul: Mul, operator.truediv: Div}
NUMBERS = [2.5, -3, 0, -0.0, 1e-320, 7**30, math.inf, math.nan, 1e300, 2**70, True, np.float32(0.1)]


def outcome(run: Callable[[], Any]) -> Any:
    """The bits of a result and of its gradients, or the error."""
    try:
        return run()
    except (RuntimeError, TypeError, OverflowError) as error:
        return type(error), str(error)


def result_and_gradients(run: Callable[..., Any], arrays: list[np.ndarray[Any, Any]]) -> Any:
    tensors = [fastnn.from_numpy(a.copy()).requires_grad_(a.dtype.kind == "f") for a in arrays]
    y = run(*tensors)
    gradients = []
    if y.requires_grad:
        g = fastnn.ones_like(y) * 3
        wanted = [t for t in tensors if t.requires_grad]
        y.backward(g)
        gradients = [t.grad.numpy().tobytes() for t in wanted]
    return y.dtype, y.shape, y.detach().numpy().tobytes(), gradients


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("symbol", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_operators_with_numbers(symbol: Any, number: Any, kind: Any) -> None:
    x = np.array([[1.5, -0.0, 3], [4, 5, 6]]).astype(kind)
    op = OPERATORS[symbol]
    for flip in (False, True):

        def native(t: Any, flip: bool = flip) -> Any:
            return symbol(number, t) if flip else symbol(t, number)

        def specified(t: Any, flip: bool = flip) -> Any:
            return binary(op, number, t) if flip else binary(op, t, number)

        assert outcome(lambda f=native: result_and_gradients(f, [x])) == outcome(
            lambda f=specified: result_and_gradients(f, [x])
        )


@pytest.mark.parametrize("symbol", OPERATORS, ids=lambda f: f.__name__)
def test_operators_with_tensors(symbol: Any) -> None:
    op = OPERATORS[symbol]
    a = np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 4)
    pairs = [
        (a, a[::-1].copy()),
        (a, a[0]),
        (a[:, :1].copy(), a),
        (a, a.astype(np.float64)),
        (a, np.arange(4)),
        (a[:0], a[:0]),
        (a[0, 0].reshape(()), a),
        (a, a > 3),
    ]
    for x, y in pairs:
        assert outcome(lambda x=x, y=y: result_and_gradients(symbol, [x, y])) == outcome(
            lambda x=x, y=y: result_and_gradients(lambda s, t: binary(op, s, t), [x, y])
        )
    t = fastnn.from_numpy(a.copy()).requires_grad_()
    for view in (t.t(), t[:, ::2], t.flip(0)):
        got, want = symbol(view, view), binary(op, view, view)
        assert got.detach().numpy().tobytes() == want.detach().numpy().tobytes()


def test_operators_are_methods_with_names() -> None:
    method = fastnn.Tensor.__add__
    assert method.__name__ == "__add__"
    x = fastnn.ones(2)
    assert x.__add__(x).tolist() == [2.0, 2.0]
    assert x.__rsub__(3.0).tolist() == [2.0, 2.0]
    with pytest.raises(TypeError, match="__add__: expected a tensor and one operand"):
        method(x)
    with pytest.raises(TypeError, match="expected a tensor or a number"):
        x + "a"
    assert method.__wrapped__(x, 1.0).tolist() == [2.0, 2.0]


def test_operands_of_a_number_keep_only_what_backward_needs() -> None:
    x = fastnn.ones(3, requires_grad=True)
    assert (x + 2.0).grad_fn.saved == ()
    y = x * 2.0
    first, second = y.grad_fn.saved
    assert first is None
    assert second.tolist() == [2.0, 2.0, 2.0]
    assert second.strides == (0,)
    y.backward(fastnn.ones(3))
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(RuntimeError, match="saved for backward"):
        y.backward(fastnn.ones(3))


def test_changes_in_place_are_noticed() -> None:
    x = fastnn.ones(3, requires_grad=True)
    h = x * 1.0
    y = h * h
    h.add_(1)
    with pytest.raises(RuntimeError, match="in-place"):
        y.sum().backward()
    base = fastnn.ones(3)
    view = base[:2]
    base.mul_(x)
    with fastnn.no_grad():
        assert not (view + 1.0).requires_grad
    (view + 1.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_a_view_that_gets_a_history_is_recorded_as_any_operand() -> None:
    for use in (fastnn.exp, fastnn.relu, lambda v: v.reshape(2, 1), lambda v: fastnn.cat([v, v])):
        x = fastnn.ones(3, requires_grad=True)
        base = fastnn.ones(3)
        view = base[:2]
        base.mul_(x)
        assert use(view).requires_grad


def test_recording_is_switched_per_thread() -> None:
    x = fastnn.ones(2, requires_grad=True)
    seen = []
    with fastnn.no_grad():
        assert not (x + x).requires_grad
        thread = threading.Thread(target=lambda: seen.append((x + x).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]
    assert (x + x).requires_grad


class Halves(autograd.Op):
    """Two outputs, of which one may get no gradient."""

    answer: Any = None

    def forward(self, x: Any, n: int) -> Any:
        out = tuple(self.kernels.empty(x.shape, x.dtype) for _ in range(n))
        for o in out:
            self.kernels.copy(x, o)
        return out

    def backward(self, *grads: Any) -> Any:
        if self.answer is not None:
            return self.answer
        total = self.kernels.empty(grads[0].shape, grads[0].dtype)
        self.kernels.add(grads[0], grads[-1], total)
        return (total,)


@pytest.mark.parametrize("n", [2, 9, 20])
def test_outputs_without_gradient_get_zeros(n: int) -> None:
    x = fastnn.ones(3, requires_grad=True)
    outputs = Halves.apply((x,), n)
    assert type(outputs) is tuple
    (outputs[-1] * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("answer", [(), (None, None)])
def test_a_wrong_number_of_gradients_is_refused(answer: Any) -> None:
    x = fastnn.ones(3, requires_grad=True)
    y, _ = Halves.apply((x,), 2)
    y.grad_fn.answer = answer
    with pytest.raises(ValueError, match="backward"):
        y.sum().backward()


def test_errors_of_backward_leave_the_graph_and_no_references() -> None:
    x = fastnn.ones(3, requires_grad=True)
    y = x * 2
    y.register_hook(lambda _: 1 / 0)  # type: ignore[return-value, arg-type]
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            y.sum().backward()
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None
    assert x.grad is None


def test_apply_wants_tensors() -> None:
    x = fastnn.ones(3)
    for bad in ((1.0,), (x, "a"), ()):
        with pytest.raises(TypeError, match="tensor"):
            Add.apply(bad)
    with pytest.raises(TypeError, match="tuple of tensors"):
        Add.apply([x, x])


def test_gradients_of_shared_leaves_and_hooks() -> None:
    x = fastnn.full((3,), 2.0, requires_grad=True)
    seen: list[Any] = []
    x.register_hook(lambda g: seen.append(g.tolist()))  # type: ignore[arg-type, return-value]
    h = x * x
    h.retain_grad()
    (h + h * 3.0 + x).sum().backward()
    assert seen == [[17.0, 17.0, 17.0]]
    assert h.grad is not None
    assert h.grad.tolist() == [4.0, 4.0, 4.0]
    assert x.grad is not None
    assert x.grad.tolist() == [17.0, 17.0, 17.0]
    x.grad.mul_(0)
    (x + x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


class Answer(autograd.Op):
    """Has as its gradient whatever its function makes of a new array."""

    def forward(self, x: Any, make: Any) -> Any:
        self.make = make
        return x.copy()

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.make(np.full(g.size, 2.0, g.dtype), g.shape),)


@pytest.mark.parametrize(
    ("keeps", "make"),
    [
        (True, lambda a, shape: a.reshape(shape)),
        (False, lambda a, shape: np.concatenate([a, a])[: a.size].reshape(shape)),
        (False, lambda a, shape: a[::-1].reshape(shape[::-1]).T),
    ],
    ids=["all of a new array", "a part", "another order"],
)
def test_a_gradient_in_another_shape_is_taken_over(keeps: bool, make: Any) -> None:
    """Only where its memory is as large as it and nobody else's, or .grad would hold on to both."""
    made, held = [], []

    def remembered(a: Any, shape: Any) -> Any:
        view = make(a, shape)
        made.append(view.__array_interface__["data"][0])
        return view

    def kept(a: Any, shape: Any) -> Any:
        held.append(a)
        return a.reshape(shape)

    def kept_view(a: Any, shape: Any) -> Any:
        held.append(a.reshape(shape))
        return held[-1]

    def foreign(a: Any, shape: Any) -> Any:
        held.append(bytearray(a.tobytes()))
        return np.frombuffer(held[-1], a.dtype).reshape(shape)

    x = fastnn.ones(2, 3, requires_grad=True)
    Answer.apply((x,), remembered).sum().backward()
    assert (x.grad.data_ptr() == made[0]) is keeps
    assert x.grad.numpy().tolist() == [[2.0] * 3] * 2
    for others in (kept, kept_view, lambda a, _: held.append(a.reshape(2, 3)) or held[-1], foreign):
        y = fastnn.ones(2, 3, requires_grad=True)
        Answer.apply((y,), others).sum().backward()
        y.grad.zero_()
        assert np.frombuffer(held.pop(), np.float32).tolist() == [2.0] * 6


def _pairs() -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(0)

    def made(*shape: int, dtype: Any = np.float32) -> Any:
        return fastnn.from_numpy(rng.standard_normal(shape).astype(dtype))

    unaligned = np.zeros(4 * 12 + 1, np.uint8)[1:].view(np.float32).reshape(3, 4)
    swapped = np.arange(12, dtype=">f4").reshape(3, 4)
    return [
        (made(3, 4), made(4, 5)),
        (made(4, 3).t(), made(5, 4).t()),
        (made(6, 4)[::2], made(4, 10)[:, ::2]),
        (made(3, 4).expand(3, 4), made(4, 1).expand(4, 5)),
        (made(0, 4), made(4, 5)),
        (made(3, 0), made(0, 5)),
        (made(3, 4, dtype=np.float64), made(4, 5, dtype=np.float64)),
        (made(3, 4, dtype=np.float16), made(4, 5, dtype=np.float16)),
        (made(3, 4), made(4, 5, dtype=np.float64)),
        (made(3, 4), made(5, 5)),
        (made(3), made(3, 5)),
        (made(2, 3, 4), made(4, 5)),
        (fastnn.tensor([[1, 2]]), fastnn.tensor([[3], [4]])),
        (made(3, 4), None),
        (made(3, 4), [[1.0]]),
        (fastnn.from_numpy(unaligned), made(4, 2)),
        (fastnn.from_numpy(swapped), made(4, 2)),
        (made(64, 64), made(64, 64)),
    ]


@pytest.mark.parametrize("product", [fastnn.mm, fastnn.matmul, operator.matmul])
def test_products_are_those_of_the_function_in_python(
    product: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("fastnn.ops.matmul")
    assert module._short_way is not None
    for a, b in _pairs():
        got = outcome(lambda: product(a, b).numpy())  # noqa: B023  (called at once)
        with monkeypatch.context() as patch:
            patch.setattr(module, "_short_way", None)
            want = outcome(lambda: product(a, b).numpy())  # noqa: B023
        if isinstance(want, np.ndarray):
            assert (got.dtype, got.shape, got.tobytes()) == (
                want.dtype, want.shape, want.tobytes()
            )  # fmt: skip
        else:
            assert got == want


def test_products_with_a_history_are_recorded() -> None:
    a, b = fastnn.ones(2, 3).requires_grad_(), fastnn.ones(3, 2)
    assert fastnn.mm(a, b).requires_grad
    assert fastnn.mm(b, a).requires_grad
    with fastnn.no_grad():
        assert not fastnn.mm(a, b).requires_grad
    assert not fastnn.mm(a.detach(), b).requires_grad
    view = a.detach()[:, :2]
    assert not (view @ view.t()).requires_grad
    leaf = fastnn.nn.Parameter(fastnn.ones(2, 3))
    assert fastnn.mm(leaf, b).requires_grad


def test_the_short_way_takes_a_kernel_and_two_operands() -> None:
    for arguments in ((), (None, None, None), (_backend.native["gemm"], 1)):
        with pytest.raises(TypeError, match="plain_product"):
            _backend.tape.plain_product(*arguments)
    for pair in ((1, 2), (fastnn.ones(2, 2), None), (fastnn.ones(2), fastnn.ones(2))):
        got = _backend.tape.plain_product(_backend.native["gemm"], *pair)
        assert got is NotImplemented


@pytest.mark.parametrize("product", [operator.mul, lambda x, y: y * x])
def test_operands_keep_their_memory_while_a_finaliser_gives_the_tensors_other(
    product: Callable[..., Any],
) -> None:
    """The garbage collector may run finalisers wherever an object is made, also in C++."""
    x = fastnn.tensor([[3.0, 4.0], [1.0, 2.0]])
    y = fastnn.tensor([[5.0, 6.0], [1.0, 2.0]], requires_grad=True)
    alive: list[Any] = []

    class Late:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            x.data = fastnn.zeros(2, 2)
            alive.append([fastnn.full((2, 2), 7.0) for _ in range(40)])  # where x was

    values = x.numpy().copy()
    before = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        Late()
        gc.set_threshold(1)
        gc.enable()
        z = product(x, y)
    finally:
        gc.disable()
        gc.set_threshold(*before)
        gc.enable()
    gc.collect()
    assert len(alive) == 1
    z.sum().backward()
    assert y.grad is not None
    # Python may as well run the finaliser before the product.
    used = values if z.detach().numpy().any() else np.zeros_like(values)
    assert z.tolist() == (used * y.detach().numpy()).tolist()
    assert y.grad.tolist() == used.tolist()
