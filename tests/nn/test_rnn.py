# SPDX-License-Identifier: BSD-3-Clause
"""RNN, LSTM, GRU, their cells and packed sequences: by themselves and beside torch."""

from __future__ import annotations

import copy
import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, nn
from fastnn.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)

KINDS = ("RNN", "GRU", "LSTM")


def assert_bits(a: Any, b: Any) -> None:
    """Equality; up to rounding on NumPy, whose BLAS rounds by the number of rows."""
    if _backend.name == "cpu":
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def states_of(hx: Any) -> list[Any]:
    return list(hx) if isinstance(hx, tuple | list) else [hx]


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_names_and_initial_values(kind: str) -> None:
    net = getattr(nn, kind)(3, 5, num_layers=2, bidirectional=True)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    names = [
        f"{what}_l{layer}{suffix}"
        for layer in (0, 1)
        for suffix in ("", "_reverse")
        for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    assert list(net.state_dict()) == names
    assert [[p.shape for p in ps] for ps in net.all_weights][2] == [
        (gates * 5, 10), (gates * 5, 5), (gates * 5,), (gates * 5,),
    ]  # fmt: skip
    values = np.concatenate([p.detach().numpy().ravel() for p in net.parameters()])
    assert 0.9 < np.abs(values).max() * np.sqrt(5) <= 1
    y, hx = net(fastnn.randn(4, 2, 3))
    assert y.shape == (4, 2, 10)
    assert all(s.shape == (4, 2, 5) for s in states_of(hx))
    y1, hx1 = net(fastnn.randn(4, 3))
    assert y1.shape == (4, 10)
    assert all(s.shape == (4, 5) for s in states_of(hx1))


def test_representations() -> None:
    assert repr(nn.LSTM(3, 5)) == "LSTM(3, 5)"
    full = nn.LSTM(3, 5, 2, False, True, 0.5, True, 2, peephole=True, zoneout=0.1)
    assert repr(full) == (
        "LSTM(3, 5, proj_size=2, num_layers=2, bias=False, batch_first=True, dropout=0.5, "
        "bidirectional=True, peephole=True, zoneout=0.1)"
    )
    assert repr(nn.RNNCell(2, 3, False, "relu")) == "RNNCell(2, 3, bias=False, nonlinearity=relu)"


def test_dropout_without_a_layer_after_it_warns() -> None:
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.GRU(2, 3, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.GRU(2, 3, 2, dropout=0.5)


def test_dropout_acts_between_layers_in_training() -> None:
    fastnn.manual_seed(0)
    net = nn.LSTM(3, 40, 2, dropout=0.5)
    x = fastnn.randn(4, 2, 3)
    assert not np.array_equal(net(x)[0].detach().numpy(), net(x)[0].detach().numpy())
    net.eval()
    np.testing.assert_array_equal(net(x)[0].detach().numpy(), net(x)[0].detach().numpy())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.RNN(0, 3), ValueError, "RNN: expected input_size > 0"),
        (lambda: nn.RNN(3.0, 3), TypeError, "expected input_size as an int"),
        (lambda: nn.GRU(3, 3, 0), ValueError, "expected num_layers > 0"),
        (lambda: nn.GRU(3, 3, dropout=1.5), ValueError, "expected dropout as a number"),
        (lambda: nn.GRU(3, 3, bias=1), TypeError, "expected bias as a bool"),
        (lambda: nn.LSTM(3, 3, proj_size=3), ValueError, "proj_size < hidden_size"),
        (lambda: nn.LSTM(3, 3, zoneout=1.0), ValueError, "0 <= zoneout < 1"),
        (lambda: nn.RNN(3, 3, nonlinearity="gelu"), ValueError, "'tanh' or 'relu', got 'gelu'"),
        (lambda: nn.RNN(3, 3)(fastnn.ones(2, 2, 4)), RuntimeError, "input_size 3, got 4"),
        (lambda: nn.RNN(3, 3)(fastnn.ones(3)), ValueError, "expected input to be 2D or 3D"),
        (lambda: nn.RNN(3, 3)(fastnn.ones(0, 2, 3)), RuntimeError, "larger than 0"),
        (lambda: nn.RNN(3, 3)(fastnn.ones(1, 2, 3).double()), ValueError, "weights' type"),
        (
            lambda: nn.GRU(3, 3)(fastnn.ones(1, 2, 3), fastnn.ones(1, 4, 3)),
            RuntimeError,
            "expected hidden size (1, 2, 3), got [1, 4, 3]",
        ),
        (
            lambda: nn.GRU(3, 3)(fastnn.ones(1, 2, 3), fastnn.ones(2, 3)),
            RuntimeError,
            "hx of 3 dimensions",
        ),
        (lambda: nn.LSTM(3, 3)(fastnn.ones(1, 2, 3), fastnn.ones(1, 2, 3)), TypeError, "a pair"),
        (lambda: nn.GRUCell(3, 3)(fastnn.ones(1, 2, 3)), ValueError, "to be 1D or 2D"),
    ],
)
def test_errors_say_what_was_expected(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as info:
        call()
    assert message in str(info.value)


def test_options_of_the_lstm_have_parameters_and_learn() -> None:
    fastnn.manual_seed(1)
    net = nn.LSTM(
        3, 8, 2, bidirectional=True, proj_size=4, peephole=True, layer_norm=True, coupled=True,
        zoneout=0.1,
    )  # fmt: skip
    assert net.weight_ih_l0.shape == (24, 3)
    assert net.weight_peephole_l1_reverse.shape == (2, 8)
    norm = net.weight_norm_l0.detach().numpy()
    assert (norm[:-1] == 1).all()
    assert (norm[-1] == 0).all()
    x = fastnn.randn(6, 4, 3)
    optimizer = fastnn.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((net(x)[0] - 0.1) * (net(x)[0] - 0.1)).mean()
        loss.backward()
        assert all(p.grad is not None for p in net.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_steps_of_the_layers(kind: str) -> None:
    net, cell = getattr(nn, kind)(3, 5), getattr(nn, kind + "Cell")(3, 5)
    for name, p in cell.named_parameters():
        p.data = getattr(net, name + "_l0").data
    x = fastnn.randn(4, 2, 3)
    y, hx = net(x)
    state = None
    for t in range(4):
        state = cell(x[t], state)
        assert_bits(states_of(state)[0].detach().numpy(), y[t].detach().numpy())
    for a, b in zip(states_of(state), states_of(hx), strict=True):
        assert_bits(a.detach().numpy(), b[0].detach().numpy())
    one = cell(x[0, 0])
    assert_bits(states_of(one)[0].detach().numpy(), y[0, 0].detach().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_copied_layer_computes_the_same(kind: str) -> None:
    net = getattr(nn, kind)(3, 5)
    x = fastnn.randn(4, 2, 3)
    a, b = net(x)[0], copy.deepcopy(net)(x)[0]
    np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def sequences(lengths: list[int], width: int = 2) -> list[Any]:
    rng = np.random.default_rng(4)
    return [fastnn.tensor(rng.normal(size=(n, width)).astype("f4")) for n in lengths]


def test_packing_and_back() -> None:
    for lengths, sort in (([4, 2, 2], True), ([1, 4, 3], False), ([3, 3], True), ([1], True)):
        parts = sequences(lengths)
        packed = pack_sequence(parts, enforce_sorted=sort)
        assert packed.data.shape == (sum(lengths), 2)
        assert packed.batch_sizes.tolist() == [
            sum(n > t for n in lengths) for t in range(max(lengths))
        ]
        for batch_first in (False, True):
            padded, sizes = pad_packed_sequence(packed, batch_first, padding_value=-7.0)
            assert sizes.tolist() == lengths
            rows = padded if batch_first else padded.transpose(0, 1)
            for row, part in zip(rows, parts, strict=True):
                np.testing.assert_array_equal(row.numpy()[: part.shape[0]], part.numpy())
                assert (row.numpy()[part.shape[0] :] == -7).all()
            again = pack_padded_sequence(padded, sizes, batch_first, enforce_sorted=sort)
            np.testing.assert_array_equal(again.data.numpy(), packed.data.numpy())
            back = unpad_sequence(padded, sizes, batch_first)
            for a, b, c in zip(back, parts, unpack_sequence(packed), strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy())
                np.testing.assert_array_equal(c.numpy(), b.numpy())
    longer, _ = pad_packed_sequence(packed, total_length=3)
    assert longer.shape == (3, 1, 2)


def test_gradients_pass_through_packing() -> None:
    parts = [p.requires_grad_() for p in sequences([2, 4, 1])]
    packed = pack_sequence(parts, enforce_sorted=False)
    padded, _ = pad_packed_sequence(packed)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=padded.shape).astype("f4")
    (padded * fastnn.tensor(weight)).sum().backward()
    for k, p in enumerate(parts):
        np.testing.assert_array_equal(p.grad.numpy(), weight[: p.shape[0], k])


def test_a_packed_sequence_is_a_tuple_that_moves() -> None:
    packed = pack_sequence(sequences([2, 1]))
    data, batch_sizes, order, back = packed
    assert order is None
    assert back is None
    assert packed.to(fastnn.float32) is packed
    assert packed.double().data.dtype is fastnn.float64
    assert PackedSequence((data, batch_sizes)).data is data


def test_integers_pack_too() -> None:
    parts = [fastnn.tensor([3, 1]), fastnn.tensor([2])]
    padded = pad_sequence(parts, padding_value=-1, padding_side="left", batch_first=True)
    assert padded.tolist() == [[3, 1], [-1, 2]]
    assert padded.dtype is fastnn.int64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack_padded_sequence(fastnn.ones(3, 2), [1, 2]), "sorted in decreasing order"),
        (lambda: pack_padded_sequence(fastnn.ones(3, 2), [2, 0]), "greater than 0"),
        (lambda: pack_padded_sequence(fastnn.ones(3, 2), [4, 1]), "at most 3"),
        (lambda: pack_padded_sequence(fastnn.ones(3, 2), [1]), "as 2 integers"),
        (lambda: pad_sequence([]), "empty list"),
        (lambda: pad_sequence([fastnn.ones(2, 3), fastnn.ones(2, 4)]), "equal sizes"),
        (lambda: pad_sequence([fastnn.ones(2)], padding_side="up"), "'left' or 'right'"),
        (
            lambda: pad_packed_sequence(pack_sequence([fastnn.ones(3, 1)]), total_length=2),
            "total_length of at least 3",
        ),
    ],
)
def test_what_cannot_be_packed_says_why(call: Any, message: str) -> None:
    with pytest.raises((RuntimeError, ValueError)) as info:
        call()
    assert message in str(info.value)


# ---- beside torch ----


def both(kind: str, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*args, **kwargs).double()
    ours = getattr(nn, kind)(*args, **kwargs).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return torch, ours, theirs


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-11
    )


def compare(torch: Any, nets: Any, x: np.ndarray, hx: list[np.ndarray], wrap: Any) -> None:
    """Outputs and gradients of everything; ``wrap`` makes the input of each library's tensor."""
    results = []
    for lib, net in zip((fastnn, torch), nets, strict=True):
        leaves = [lib.tensor(a).requires_grad_() for a in (x, *hx)]
        states = tuple(leaves[1:]) if len(hx) > 1 else leaves[1] if hx else None
        y, last = net(wrap(lib, leaves[0]), states)
        outs = [getattr(y, "data", y) if type(y).__name__ == "PackedSequence" else y]
        outs += states_of(last)
        rng = np.random.default_rng(2)
        loss = sum((o * lib.tensor(rng.normal(size=tuple(o.shape)))).sum() for o in outs)
        loss.backward()
        grads = [a.grad for a in leaves] + [p.grad for p in net.parameters()]
        results.append([*outs, *grads])
    for a, b in zip(*results, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        close(a, b)


OPTIONS = [
    *itertools.product(KINDS, ({}, {"bias": False}, {"num_layers": 2, "bidirectional": True})),
    *itertools.product(KINDS, ({"batch_first": True},)),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"proj_size": 3, "bias": False, "bidirectional": True}),
]


def initial(kind: str, net: Any, batch: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    n = net.num_layers * (2 if net.bidirectional else 1)
    sizes = [net.proj_size or 5, 5] if kind == "LSTM" else [5]
    return [rng.normal(size=(n, *batch, s)) for s in sizes]


@pytest.mark.torch
@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_layers_are_torchs(kind: str, options: dict[str, Any], with_states: bool) -> None:
    torch, ours, theirs = both(kind, 3, 5, **options)
    x = np.random.default_rng(1).normal(size=(4, 2, 3))
    batch = 4 if ours.batch_first else 2
    hx = initial(kind, ours, (batch,)) if with_states else []
    compare(torch, (ours, theirs), x, hx, lambda _lib, a: a)
    hx = initial(kind, ours, ()) if with_states else []
    compare(torch, (ours, theirs), x[:, 0], hx, lambda _lib, a: a)


@pytest.mark.torch
@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [2, 5, 1, 4], [3, 3, 3, 3]])
@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_packed_sequences_are_torchs(
    kind: str, options: dict[str, Any], lengths: list[int], with_states: bool
) -> None:
    torch, ours, theirs = both(kind, 3, 5, **options)
    x = np.random.default_rng(1).normal(size=(5, 4, 3))
    hx = initial(kind, ours, (4,)) if with_states else []

    def pack(lib: Any, a: Any) -> Any:
        return lib.nn.utils.rnn.pack_padded_sequence(
            a, lib.tensor(lengths), enforce_sorted=lengths == sorted(lengths, reverse=True)
        )

    compare(torch, (ours, theirs), x, hx, pack)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_are_torchs(kind: str, bias: bool) -> None:
    torch, ours, theirs = both(kind, 3, 5, bias)
    rng = np.random.default_rng(1)
    for batch in ((2,), ()):
        x = rng.normal(size=(*batch, 3))
        hx = [rng.normal(size=(*batch, 5)) for _ in range(2 if kind == "LSTMCell" else 1)]
        grads = []
        for lib, net in ((fastnn, ours), (torch, theirs)):
            leaves = [lib.tensor(a).requires_grad_() for a in (x, *hx)]
            out = net(leaves[0], tuple(leaves[1:]) if len(hx) > 1 else leaves[1])
            net.zero_grad()
            sum((o * o).sum() for o in states_of(out)).backward()
            none = net(leaves[0])
            grads.append([*states_of(out), *states_of(none), *[a.grad for a in leaves]])
            grads[-1] += [p.grad for p in net.parameters()]
        for a, b in zip(*grads, strict=True):
            assert tuple(a.shape) == tuple(b.shape)
            close(a, b)


@pytest.mark.torch
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("sort", [False, True])
def test_padding_is_torchs(batch_first: bool, sort: bool) -> None:
    torch = pytest.importorskip("torch")
    lengths = [4, 2, 2, 1] if sort else [2, 4, 1, 2]
    parts = sequences(lengths)
    results = []
    for lib in (fastnn, torch):
        tools = lib.nn.utils.rnn
        own = [lib.tensor(p.numpy()) for p in parts]
        packed = tools.pack_sequence(own, enforce_sorted=sort)
        padded, sizes = tools.pad_packed_sequence(packed, batch_first, 0.5, 6)
        left = tools.pad_sequence(own, batch_first, -1.0, "left")
        again = tools.pack_padded_sequence(padded, sizes, batch_first, enforce_sorted=sort)
        results.append([*packed, padded, sizes, left, *again, *tools.unpack_sequence(packed)])
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            assert str(b.dtype) == f"torch.{a.dtype.name}"
