# SPDX-License-Identifier: BSD-3-Clause
"""detect_anomaly: the operation and the user's line that made the first NaN or infinity."""

# Functions and hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG004, ARG005
from __future__ import annotations

import functools
import inspect
import math

import numpy as np
import pytest

import fastnn
from fastnn import _backend, _engine, autograd, nn, testing
from fastnn._op import Op
from fastnn.autograd import anomaly_mode, detect_anomaly, set_detect_anomaly
from fastnn.nn import functional as F


def line(offset=0):
    """``file:line`` of the caller's line that is ``offset`` below."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset} "


def failure(function):
    with pytest.raises(RuntimeError) as caught:
        function()
    return str(caught.value)


def leaf(*values):
    return fastnn.tensor(list(values), requires_grad=True)


def test_forward_names_the_operation_and_the_line():
    x = leaf(1.0, 0.0)
    with detect_anomaly():
        y = x * 2
        expected = line(+1)
        text = failure(lambda: (y + 1) * y.log())
    assert text.startswith("log: expected finite results under detect_anomaly, got inf, first made")
    assert expected in text
    assert "y.log())" in text  # the line itself


@pytest.mark.parametrize(
    ("call", "name", "kind"),
    [
        (lambda x: x / (x - x), "div", "nan"),
        (lambda x: (x - 3).sqrt(), "sqrt", "nan"),
        (lambda x: (x * 1e30).exp(), "exp", "inf"),
        (lambda x: (x * 1e30) * (x * 1e30), "mul", "inf"),
        (lambda x: 1 / x, "div", "inf"),
        (lambda x: x.reciprocal(), "reciprocal", "inf"),
        (lambda x: x.detach().log(), "log", "inf"),  # though nothing is recorded
        (lambda x: x @ (x + 1e38) * 1e38, "mul", "inf"),
        (lambda x: F.linear(x * 1e30, x.reshape(1, 2) * 1e30), "linear", "inf"),
        (lambda x: x.add_(1.0) if False else (x + 0).log_(), "log", "inf"),
    ],
)
def test_what_made_the_first_one(call, name, kind):
    x = leaf(2.0, 0.0)
    with detect_anomaly():
        text = failure(lambda: call(x))
    assert text.startswith(f"{name}: expected finite results under detect_anomaly, got {kind}, ")
    assert f"first made here, at {__file__}:" in text


def test_the_line_is_the_users_where_a_layer_calls_the_operation():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with fastnn.no_grad():
        model[0].weight.fill_(1e30)
    x = fastnn.full((1, 2), 1e30)
    with detect_anomaly():
        expected = line(+1)
        text = failure(lambda: model(x))
    assert text.startswith("linear: ")
    assert expected in text


def test_infinities_put_in_on_purpose_are_fine():
    x = leaf(1.0, 2.0, 3.0)
    mask = fastnn.tensor([False, True, False])
    with detect_anomaly():
        y = x.masked_fill(mask, -math.inf).softmax(0)
        z = fastnn.where(mask, fastnn.tensor(-math.inf), x).softmax(0)
        w = (x + fastnn.tensor([0.0, -math.inf, 0.0])).softmax(0)
        (y + z + w)[0].backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_a_nan_of_the_data_is_refused_where_it_enters_the_graph():
    data = fastnn.tensor([1.0, math.nan])
    w = leaf(1.0, 1.0)
    with detect_anomaly():
        data = data * 2  # no graph yet
        assert fastnn.where(data.isnan(), w, data).tolist() == [2.0, 1.0]
        text = failure(lambda: w + data)
    assert text.startswith("add: expected finite results under detect_anomaly, got nan, which came")
    assert "with input 1" in text


def test_backward_names_the_operation_and_the_line_of_its_forward():
    x = leaf(0.0, 1.0)
    with detect_anomaly():
        expected = line(+1)
        y = x.sqrt()
        z = (y * 0).sum()
        text = failure(z.backward)  # 0 * inf
    assert text.startswith("sqrt: expected finite gradients under detect_anomaly, got a backward")
    assert "returned nan values in its 0th output" in text
    assert expected in text
    assert "y = x.sqrt()" in text


def test_backward_under_create_graph_and_with_inputs():
    for options in ({"create_graph": True}, {}):
        x = leaf(0.0, 1.0)
        with detect_anomaly():
            y = x.sqrt().sum()
            text = failure(functools.partial(autograd.grad, y, [x], **options))
        assert text.startswith("sqrt: ")


def test_an_infinite_gradient_that_came_in_is_not_the_operations():
    x = leaf(1.0)
    with detect_anomaly():
        (x * 2).backward(fastnn.tensor([math.inf]))
        assert x.grad.item() == math.inf
        assert failure(lambda: (x * 2).backward(fastnn.tensor([math.nan]))).startswith("mul: ")


def test_what_is_in_grad_already_is_not_the_operations():
    w = fastnn.ones(1, 2, requires_grad=True)
    w.grad = fastnn.full((1, 2), math.nan)
    with detect_anomaly():
        F.linear(fastnn.ones(1, 2), w).sum().backward()


def test_a_graph_from_before_is_looked_at_without_its_lines():
    y = leaf(0.0).sqrt()
    with detect_anomaly():
        assert "a line that is not known" in failure(y.backward)


def test_a_function_of_the_user():
    class Bad(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g / (g - g)

    class Worse(Bad):
        @staticmethod
        def forward(ctx, x):
            return x / 0

    with detect_anomaly():
        expected = line(+1)
        y = Bad.apply(leaf(1.0))
        text = failure(y.backward)
        assert text.startswith("Bad: expected finite gradients")
        assert expected in text
        assert failure(lambda: Worse.apply(leaf(1.0))).startswith("div: ")
        x = fastnn.tensor([0.0])
        made = type("Raw", (Bad,), {"forward": staticmethod(lambda ctx, x: _quotient(x))})
        assert failure(lambda: made.apply(x)).startswith("Raw: expected finite results")


def _quotient(x):
    """NaN by NumPy, which no operation sees."""
    with np.errstate(all="ignore"):
        return fastnn.from_numpy(x.numpy() / x.numpy())


def test_errors_in_a_backward_name_the_line_of_the_forward():
    x = leaf(1.0)
    with detect_anomaly(check_nan=False):
        expected = line(+1)
        y = x.exp()
        y.register_hook(lambda g: g)
        y.grad_fn.register_hook(lambda a, b: 1 / 0)
        with pytest.raises(ZeroDivisionError) as caught:
            y.backward()
    assert expected in caught.value.__notes__[0]
    assert caught.value.__notes__[0].startswith("in backward of exp, recorded at ")


def test_without_a_look_at_values():
    with detect_anomaly(check_nan=False):
        assert leaf(0.0).log().item() == -math.inf
        leaf(0.0).sqrt().backward()


def test_switching():
    before = (Op.__dict__["apply"], Op.__dict__["record"], _engine.native, dict(_backend._tables))
    assert not anomaly_mode.is_anomaly_enabled()
    with detect_anomaly():
        with set_detect_anomaly(True, check_nan=False):
            assert not anomaly_mode.is_anomaly_check_nan_enabled()
            with set_detect_anomaly(False):
                assert leaf(0.0).log().item() == -math.inf
                assert not anomaly_mode.is_anomaly_enabled()
        assert anomaly_mode.is_anomaly_enabled()
        assert anomaly_mode.is_anomaly_check_nan_enabled()
    set_detect_anomaly(True)
    try:
        assert failure(leaf(0.0).log).startswith("log: ")
    finally:
        set_detect_anomaly(False)

    @detect_anomaly()
    def logarithm(x):
        return x.log()

    assert failure(lambda: logarithm(leaf(0.0))).startswith("log: ")
    assert leaf(0.0).log().item() == -math.inf
    # While it is off nothing of it is left behind.
    after = (Op.__dict__["apply"], Op.__dict__["record"], _engine.native, dict(_backend._tables))
    assert after == before
    assert "_made_at" not in leaf(1.0).log().grad_fn.__dict__
    for bad in (lambda: set_detect_anomaly(1), lambda: detect_anomaly(check_nan=None)):
        with pytest.raises(TypeError, match=r"_anomaly: expected .* as a bool, got"):
            bad()


def test_results_and_gradients_are_the_same():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 2))
    x = fastnn.randn(5, 3)
    target = fastnn.tensor([0, 1, 1, 0, 1])

    def step():
        model.zero_grad()
        loss = F.cross_entropy(model(x) * 2 - 1, target)
        loss.backward()
        return [loss.detach().numpy(), *[p.grad.numpy().copy() for p in model.parameters()]]

    plain = step()
    with detect_anomaly():
        looked_at = step()
    for a, b in zip(plain, looked_at, strict=True):
        np.testing.assert_array_equal(a, b)


def run(case):
    """The results of a case and its gradients, as arrays."""
    arguments = testing.make_tensors(case, np.float64, requires_grad=True)
    outs = testing.call(case, arguments)
    leaves = [a for a in arguments if isinstance(a, fastnn.Tensor) and a.requires_grad]
    roots = [o for o in outs if o.requires_grad]
    ones = [fastnn.ones_like(o.detach()) for o in roots]
    grads = autograd.grad(roots, leaves, ones, allow_unused=True) if case.grad and roots else ()
    return [t.detach().numpy() for t in (*outs, *grads) if t is not None]


def test_operations_whose_results_and_gradients_are_finite_pass():
    """Whatever they are composed of: parts that are not finite for a while are no anomaly."""
    cases = {c.name: c for c in testing.all_cases() if not c.bench}
    looked_at = 0
    for case in cases.values():
        plain = run(case)
        if all(np.isfinite(a).all() for a in plain):
            looked_at += 1
            with detect_anomaly():
                for a, b in zip(plain, run(case), strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=case.id)
    assert looked_at > 0.8 * len(cases)
