# SPDX-License-Identifier: BSD-3-Clause
"""The options of nn.LSTMCell: its steps are those of nn.LSTM with the same options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd, nn

STEPS, BATCH, WIDTH, UNITS = 5, 3, 2, 4
ALL = {"peephole": True, "layer_norm": True, "coupled": True, "zoneout": 0.3}
OPTIONS: list[dict[str, Any]] = [
    {"peephole": True},
    {"layer_norm": True},
    {"layer_norm": True, "bias": False},
    {"coupled": True},
    {"zoneout": 0.3},
    {"coupled": True, "peephole": True, "bias": False},
    ALL,
]
OUTSIDE = ["x", "h", "c"]


def assert_bits(a: Any, b: Any) -> None:
    """Equality; up to rounding on NumPy, whose BLAS rounds by the number of rows."""
    if _backend.name == "cpu":
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def pair(options: dict[str, Any], dtype: Any = fastnn.float64) -> tuple[nn.LSTM, nn.LSTMCell]:
    """A layer and a cell of the same parameters, none of them a neutral value."""
    net = nn.LSTM(WIDTH, UNITS, dtype=dtype, **options)
    cell = nn.LSTMCell(WIDTH, UNITS, dtype=dtype, **options)
    rng = np.random.default_rng(8)
    for parameter in net.parameters():
        parameter.data = fastnn.tensor(rng.normal(size=parameter.shape), dtype=dtype)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in net.state_dict().items()})
    return net, cell


def given(dtype: Any = fastnn.float64) -> list[fastnn.Tensor]:
    rng = np.random.default_rng(3)
    shapes = [(STEPS, BATCH, WIDTH), (BATCH, UNITS), (BATCH, UNITS)]
    return [fastnn.tensor(rng.normal(size=s), dtype=dtype).requires_grad_() for s in shapes]


def by_layer(net: nn.LSTM, x: Any, h: Any, c: Any) -> list[Any]:
    y, (h, c) = net(x, (h.unsqueeze(0), c.unsqueeze(0)))
    return [y, h.squeeze(0), c.squeeze(0)]


def by_cell(cell: nn.LSTMCell, x: Any, h: Any, c: Any) -> list[Any]:
    ys = []
    for t in range(STEPS):
        h, c = cell(x[t], (h, c))
        ys.append(h)
    return [fastnn.stack(ys), h, c]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
@pytest.mark.parametrize("options", OPTIONS, ids="-".join)
def test_steps_of_the_cell_are_those_of_the_layer(
    options: dict[str, Any], dtype: Any, training: bool
) -> None:
    """The values bit for bit: the masks too, as a step takes whole blocks of random numbers."""
    assert BATCH * 2 * UNITS % 4 == 0
    outs, grads = [], []
    for net, run in zip(pair(options, dtype), (by_layer, by_cell), strict=True):
        net.train(training)
        fastnn.manual_seed(17)
        leaves = given(dtype)
        found = run(net, *leaves)
        rng = np.random.default_rng(5)
        loss = sum((o * fastnn.tensor(rng.normal(size=o.shape), dtype=dtype)).sum() for o in found)
        names = OUTSIDE + [n.removesuffix("_l0") for n, _ in net.named_parameters()]
        grads.append(
            dict(zip(names, autograd.grad(loss, [*leaves, *net.parameters()]), strict=True))
        )
        outs.append([o.detach().numpy() for o in found])
    for a, b in zip(*outs, strict=True):
        assert_bits(a, b)
    assert grads[0].keys() == grads[1].keys()
    single = dtype is fastnn.float32
    for name, g in grads[0].items():
        np.testing.assert_allclose(
            grads[1][name].numpy(),
            g.numpy(),
            rtol=2e-5 if single else 1e-12,
            atol=2e-5 if single else 1e-13,
            err_msg=name,
        )


@pytest.mark.parametrize("options", OPTIONS, ids="-".join)
def test_gradients_are_differences(options: dict[str, Any]) -> None:
    _, cell = pair(options)
    x, h, c = [t.detach() for t in given()]
    names = list(dict(cell.named_parameters()))

    def step(x: Any, h: Any, c: Any, *parameters: Any) -> Any:
        fastnn.manual_seed(2)
        for name, p in zip(names, parameters, strict=True):
            cell._parameters[name] = p
        return cell(x, (h, c))

    leaves = [t.clone().requires_grad_() for t in (x[0], h, c, *cell.state_dict().values())]
    assert autograd.gradcheck(step, leaves)


def test_names_shapes_and_initial_values() -> None:
    cell = nn.LSTMCell(WIDTH, UNITS, **ALL)
    layer = nn.LSTM(WIDTH, UNITS, **ALL)
    assert {k + "_l0": v.shape for k, v in cell.state_dict().items()} == {
        k: v.shape for k, v in layer.state_dict().items()
    }
    norm = cell.weight_norm.detach().numpy()
    assert (norm[:-1] == 1).all()
    assert (norm[-1] == 0).all()
    bound = 1 / np.sqrt(UNITS)
    assert 0 < np.abs(cell.weight_peephole.detach().numpy()).max() <= bound
    assert list(nn.LSTMCell(2, 3).state_dict()) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    fastnn.manual_seed(4)
    cell.reset_parameters()
    fastnn.manual_seed(4)
    layer.reset_parameters()
    for a, b in zip(cell.parameters(), layer.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_one_sequence_and_no_states() -> None:
    _, cell = pair(ALL)
    cell.eval()
    x, _, _ = given()
    h, c = cell(x[0])
    one_h, one_c = cell(x[0, 1])
    assert_bits(one_h.detach().numpy(), h[1].detach().numpy())
    assert_bits(one_c.detach().numpy(), c[1].detach().numpy())


def test_representation() -> None:
    assert repr(nn.LSTMCell(2, 3, False, peephole=True, coupled=True, zoneout=0.25)) == (
        "LSTMCell(2, 3, bias=False, peephole=True, coupled=True, zoneout=0.25)"
    )
    assert repr(nn.LSTMCell(2, 3)) == "LSTMCell(2, 3)"


@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"zoneout": 1.0}, ValueError, "expected 0 <= zoneout < 1, the probability"),
        ({"zoneout": float("nan")}, ValueError, "0 <= zoneout < 1"),
        ({"zoneout": "a"}, ValueError, "got 'a'"),
        ({"peephole": 1}, TypeError, "expected peephole as a bool, got int"),
        ({"layer_norm": None}, TypeError, "expected layer_norm as a bool"),
        ({"coupled": "no"}, TypeError, "expected coupled as a bool"),
    ],
)
def test_options_are_checked(
    kind: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as info:
        kind(2, 3, **options)
    assert message in str(info.value)
    assert str(info.value).startswith(kind.__name__ + ":")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.LSTMCell(2, 0, peephole=True), ValueError, "expected hidden_size > 0"),
        (
            lambda: nn.LSTMCell(2, 3)(fastnn.ones(1, 2), fastnn.ones(1, 3)),
            TypeError,
            "expected hx as a pair (h, c), got Tensor",
        ),
        (
            lambda: nn.LSTMCell(2, 3)(fastnn.ones(1, 2), (fastnn.ones(1, 3),)),
            TypeError,
            "a pair (h, c)",
        ),
        (lambda: nn.LSTMCell(2, 3)([1.0, 2.0]), TypeError, "expected input as a Tensor, got list"),
        (
            lambda: nn.GRUCell(2, 3)(fastnn.ones(1, 2), [0.0]),
            TypeError,
            "expected hidden as a Tensor, got list",
        ),
        (lambda: nn.RNNCell(2.0, 3), TypeError, "expected input_size as an int, got float"),
    ],
)
def test_calls_are_checked(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as info:
        call()
    assert message in str(info.value)
