# SPDX-License-Identifier: BSD-3-Clause
"""Element types: names, promotion of every pair as torch's, bfloat16 with and without ml_dtypes."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _dtypes

HAS_BFLOAT16 = importlib.util.find_spec("ml_dtypes") is not None
with_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="ml_dtypes is not installed")
TYPES = (*_dtypes.ALL, _dtypes.bfloat16) if HAS_BFLOAT16 else _dtypes.ALL
NAMED = (*_dtypes.ALL, _dtypes.bfloat16)
FLOATS = [d for d in TYPES if d.is_floating_point]
# Every kind of operand: (type, dimensions), or a Python number.
OPERANDS: list[Any] = [(d, n) for d in TYPES for n in (1, 0)] + [True, 3, 1.5]
ALIASES = {
    "bool": "bool", "uint8": "uint8", "int8": "int8", "int16": "int16", "short": "int16",
    "int32": "int32", "int": "int32", "int64": "int64", "long": "int64", "float16": "float16",
    "half": "float16", "bfloat16": "bfloat16", "float32": "float32", "float": "float32",
    "float64": "float64", "double": "float64",
}  # fmt: skip


def operand(lib: Any, which: Any) -> Any:
    if not isinstance(which, tuple):
        return which
    d, ndim = which
    values = [1, 0, 3, 2] if d.category else [True, False, True, True]
    return lib.tensor(values if ndim else values[2], dtype=getattr(lib, d.name))


def outcome(action: Any) -> Any:
    """A result, or the exception that came instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return action()
        except (RuntimeError, TypeError, ValueError, ZeroDivisionError, NotImplementedError) as e:
            return e


def test_names_and_their_aliases() -> None:
    for alias, name in ALIASES.items():
        d = getattr(fastnn, alias)
        assert isinstance(d, fastnn.dtype)
        assert (d.name, repr(d)) == (name, f"fastnn.{name}")
        assert d is _dtypes.named(name)
        for made in (pickle.loads(pickle.dumps(d)), copy.deepcopy(d), copy.copy(d)):
            assert made is d
    sizes = [1, 1, 1, 2, 4, 8, 2, 4, 8, 2]
    assert [d.itemsize for d in NAMED] == sizes
    assert [d.is_signed for d in NAMED] == [False, False] + [True] * 8
    assert [d.is_floating_point for d in NAMED] == [False] * 6 + [True] * 4


def test_what_needs_no_numbers_of_bfloat16_needs_no_package() -> None:
    both = fastnn.bfloat16, fastnn.float16
    assert fastnn.promote_types(*both) is fastnn.float32
    assert fastnn.promote_types(fastnn.int64, fastnn.bfloat16) is fastnn.bfloat16
    assert fastnn.can_cast(fastnn.bfloat16, fastnn.float16)
    with pytest.raises(AttributeError, match="no attribute 'sort'"):
        _ = fastnn.bfloat16.sort  # type: ignore[attr-defined]


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    missing = _dtypes._Bfloat16("bfloat16", None, 2)
    with pytest.raises(ImportError, match=r"bfloat16: expected the package.*pip install ml_dtypes"):
        fastnn.zeros(2, dtype=missing)
    with pytest.raises(ImportError, match="bfloat16: expected"):
        fastnn.ones(2).to(missing)


def test_conversion_methods_and_the_name_of_the_type() -> None:
    x = fastnn.tensor([0, 1, 200])
    for name, word, d in (
        ("bool", "Bool", fastnn.bool), ("byte", "Byte", fastnn.uint8),
        ("char", "Char", fastnn.int8), ("short", "Short", fastnn.int16),
        ("int", "Int", fastnn.int32), ("long", "Long", fastnn.int64),
        ("half", "Half", fastnn.float16), ("float", "Float", fastnn.float32),
        ("double", "Double", fastnn.float64),
    ):  # fmt: skip
        made = getattr(x, name)()
        assert made.dtype is x.to(d).dtype is x.type(d).dtype is d
        assert made.type() == f"torch.{word}Tensor"
        assert x.type(made.type()).dtype is d
        assert made.element_size() == d.itemsize
        assert (made is x) == (d is fastnn.int64)
    assert x.type(float).dtype is fastnn.float64
    assert x.char().tolist() == [0, 1, -56]


@with_bfloat16
def test_bfloat16_is_stored_converted_compared_and_printed() -> None:
    x = fastnn.tensor([[1.0, 2.5, -3.3]], dtype=fastnn.bfloat16)
    assert x.dtype is x.float().bfloat16().dtype is fastnn.bfloat16
    assert x.type() == "torch.BFloat16Tensor"
    assert x.tolist() == [[1.0, 2.5, -3.296875]]
    assert type(x[0, 1].item()) is float
    assert repr(x) == "tensor([[ 1.0000,  2.5000, -3.2969]], dtype=fastnn.bfloat16)"
    assert x[0, 1:].tolist() == [2.5, -3.296875]
    assert x[x > 0].tolist() == [1.0, 2.5]
    assert (x <= 2.5).tolist() == [[True, True, True]]
    assert fastnn.from_numpy(x.numpy()).dtype is fastnn.bfloat16
    assert x.long().tolist() == [[1, 2, -3]]
    assert fastnn.full((2,), 1.7, dtype=fastnn.bfloat16).tolist() == [1.703125] * 2
    assert (x.element_size(), x.is_floating_point()) == (2, True)
    for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.clone()):
        assert made.dtype is fastnn.bfloat16
        assert made.tolist() == x.tolist()
    x[0, 0] = 7
    x[:, 1:] *= 2
    assert x.tolist() == [[7.0, 5.0, -6.59375]]
    with pytest.raises(BufferError):
        x.__dlpack__()


@with_bfloat16
def test_bfloat16_is_computed_in_float32_and_rounded() -> None:
    rng = np.random.default_rng(0)
    x = fastnn.tensor(rng.normal(size=(3, 4)), dtype=fastnn.bfloat16)
    y = fastnn.tensor(rng.normal(size=(4,)), dtype=fastnn.bfloat16)
    for f in (
        lambda a, b: a + b, lambda a, b: a * b - 1.5, lambda a, _: a.softmax(-1),
        lambda a, b: a @ b, lambda a, _: a.exp(), lambda a, _: a.sum(0), lambda a, _: a.std(),
        lambda a, b: fastnn.cat([a, b[None]]), lambda a, _: a.cumsum(1), lambda a, _: -a.abs(),
        lambda a, b: fastnn.where(a > b, a, b), lambda a, _: a.clamp(-1, 1), lambda _, b: b**2,
    ):  # fmt: skip
        got, want = f(x, y), f(x.float(), y.float())
        assert got.dtype is fastnn.bfloat16
        np.testing.assert_allclose(got.float().numpy(), want.numpy(), rtol=2**-7, atol=2**-8)
    many = fastnn.ones(1000, dtype=fastnn.bfloat16)
    assert many.sum().item() == 1000.0


@with_bfloat16
def test_gradients_of_bfloat16() -> None:
    w = fastnn.tensor([1.5, 2.5], requires_grad=True)
    h = w.bfloat16()
    assert h.requires_grad
    (h * h * 2).sum().backward()
    assert w.grad is not None
    assert w.grad.dtype is fastnn.float32
    assert w.grad.tolist() == [6.0, 10.0]
    own = fastnn.tensor([1.0, 2.0], dtype=fastnn.bfloat16, requires_grad=True)
    (own * own).sum().backward()
    assert own.grad is not None
    assert own.grad.dtype is fastnn.bfloat16
    assert own.grad.tolist() == [2.0, 4.0]
    layer = fastnn.nn.Linear(2, 3).bfloat16()
    out = layer(own)
    assert out.dtype is layer.weight.dtype is fastnn.bfloat16


def test_results_without_dimensions_are_tensors_without_dimensions() -> None:
    number, vector = fastnn.tensor(2.0), fastnn.arange(3.0)
    for made in (
        number + 1, 1 - number, number * number, number / 3, number**2, -number, number > 1,
        number.exp(), number.sum(), vector.sum(), vector.mean(), vector[0], vector.max(),
        vector.argmax(), vector @ vector, number.clone(), number.long(), number.view(()),
        vector.std(), number.clamp(0, 1), fastnn.where(number > 1, number, 0.0), number[...],
        fastnn.maximum(number, number), vector.any(), vector.prod(), number.reshape(1)[0],
        vector[fastnn.tensor(1)], fastnn.zeros(()), fastnn.stack([number])[0], number.squeeze(),
    ):  # fmt: skip
        assert isinstance(made, fastnn.Tensor)
        assert made.shape == ()
    number += vector.sum()
    number[...] = number * 2
    number[()] += 1
    assert number.shape == ()
    assert number.item() == 11.0


@pytest.mark.torch
def test_promotion_and_casting_of_every_pair_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for a in NAMED:
        for b in NAMED:
            x, y = getattr(torch, a.name), getattr(torch, b.name)
            assert torch.promote_types(x, y) is getattr(torch, fastnn.promote_types(a, b).name)
            assert torch.can_cast(x, y) is fastnn.can_cast(a, b), (a, b)
    for default in FLOATS:
        fastnn.set_default_dtype(default)
        torch.set_default_dtype(getattr(torch, default.name))
        try:
            for a in OPERANDS:
                for b in OPERANDS:
                    want = torch.result_type(operand(torch, a), operand(torch, b))
                    got = fastnn.result_type(operand(fastnn, a), operand(fastnn, b))
                    assert want is getattr(torch, got.name), (a, b, default)
        finally:
            fastnn.set_default_dtype(fastnn.float32)
            torch.set_default_dtype(torch.float32)


BINARY: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (b + 1),
    "floordiv": lambda a, b: a // (b + 1),
    "mod": lambda a, b: a % (b + 1),
    "pow": lambda a, b: a**b,
    "lt": lambda a, b: a < b,
    "eq": lambda a, b: a == b,
    "and": lambda a, b: a & b,
    "xor": lambda a, b: a ^ b,
    "iadd": lambda a, b: a.clone().add_(b),
    "imul": lambda a, b: a.clone().mul_(b),
    "idiv": lambda a, b: a.clone().div_(b + 1),
    "copy": lambda a, b: a.clone().copy_(b),
}
UNARY: dict[str, Any] = {
    "neg": lambda a: -a,
    "abs": abs,
    "invert": lambda a: ~a,
    "exp": lambda a: a.exp(),
    "sqrt": lambda a: a.sqrt(),
    "sum": lambda a: a.sum(),
    "mean": lambda a: a.mean(),
    "prod": lambda a: a.prod(),
    "cumsum": lambda a: a.cumsum(0),
    "max": lambda a: a.max(),
    "argmax": lambda a: a.argmax(),
    "any": lambda a: a.any(),
    "all": lambda a: a.all(),
    "relu": lambda a: a.relu(),
    "floor": lambda a: a.floor(),
    "sign": lambda a: a.sign(),
    "clamp": lambda a: a.clamp(0, 2),
    "matmul": lambda a: a @ a,
    "softmax": lambda a: a.softmax(0),
    "std": lambda a: a.std(),
    "isnan": lambda a: a.isnan(),
    "not": lambda a: a.logical_not(),
    "repr": lambda a: repr(a).replace("torch.", "").replace("fastnn.", ""),
}


def check_same(torch: Any, ours: Any, theirs: Any, where: Any) -> None:
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), (where, theirs, ours)
        return
    assert not isinstance(ours, Exception), (where, theirs, ours)
    if isinstance(theirs, str):
        assert ours == theirs
        return
    assert theirs.dtype is getattr(torch, ours.dtype.name), (where, theirs, ours)
    assert tuple(theirs.shape) == ours.shape, where
    got = np.asarray(ours.detach().double())
    want = theirs.detach().double().numpy()
    low = ours.dtype in (fastnn.float16, fastnn.bfloat16)
    np.testing.assert_allclose(got, want, rtol=1e-2 if low else 1e-6, err_msg=str(where))


@pytest.mark.torch
@pytest.mark.parametrize("name", BINARY)
def test_two_operands_of_every_pair_of_types_as_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    f = BINARY[name]
    for a in OPERANDS:
        for b in OPERANDS:
            if not isinstance(a, tuple) and (name[0] == "i" or not isinstance(b, tuple)):
                continue
            if name == "copy" and not (isinstance(a, tuple) and isinstance(b, tuple)):
                continue
            ours, theirs = (
                outcome(lambda lib=lib, a=a, b=b: f(operand(lib, a), operand(lib, b)))
                for lib in (fastnn, torch)
            )
            check_same(torch, ours, theirs, (name, a, b))


@pytest.mark.torch
@pytest.mark.parametrize("name", UNARY)
def test_one_operand_of_every_type_as_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    for d in TYPES:
        if (name, d) == ("argmax", fastnn.bool):
            continue  # here bools have a first true one
        for ndim in (1, 0):
            ours, theirs = (
                outcome(lambda lib=lib, a=(d, ndim): UNARY[name](operand(lib, a)))
                for lib in (fastnn, torch)
            )
            check_same(torch, ours, theirs, (name, d, ndim))


@pytest.mark.torch
def test_conversion_between_every_pair_of_types_as_torch() -> None:
    torch = pytest.importorskip("torch")
    values = [-3.7, -1.0, -0.4, 0.0, 0.5, 1.0, 2.9, 100.0, 127.0]
    for a in TYPES:
        for b in TYPES:
            source = [abs(v) if a.name == "uint8" or b.name == "uint8" else v for v in values]
            made = [
                lib.tensor(source).to(getattr(lib, a.name)).to(getattr(lib, b.name))
                for lib in (fastnn, torch)
            ]
            assert made[0].double().tolist() == made[1].double().tolist(), (a, b)
            got, want = ([t[1].item(), t.tolist()[1]] for t in made)
            assert got == want
            assert list(map(type, got)) == list(map(type, want))


def test_types_of_tensors_under_torchs_older_names() -> None:
    for name, d in (
        ("Bool", fastnn.bool), ("Byte", fastnn.uint8), ("Char", fastnn.int8),
        ("Short", fastnn.int16), ("Int", fastnn.int32), ("Long", fastnn.int64),
        ("Half", fastnn.float16), ("Float", fastnn.float32), ("Double", fastnn.float64),
    ):  # fmt: skip
        kind = getattr(fastnn, f"{name}Tensor")
        made = kind([[1, 0], [1, 1]])
        assert made.dtype is kind(2, 3).dtype is kind(np.zeros(2)).dtype is d
        assert made.tolist() == [[1, 0], [1, 1]]
        assert (kind(2, 3).shape, kind().shape) == ((2, 3), (0,))
        assert isinstance(made, kind)
        assert fastnn.zeros(1).type(kind).type() == f"torch.{name}Tensor"
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert repr(kind) == f"<tensor type fastnn.{name}Tensor>"
    assert not isinstance(fastnn.zeros(1), fastnn.LongTensor)
    for wrong in ((2.5,), ("a",), ([1], [2]), (True,)):
        with pytest.raises(TypeError, match=r"LongTensor: expected sizes, LongTensor\(2, 3\), or"):
            fastnn.LongTensor(*wrong)
