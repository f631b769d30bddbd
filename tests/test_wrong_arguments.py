# SPDX-License-Identifier: BSD-3-Clause
"""Wrong arguments of packed sequences, hooks, random fills and initial values: said at once."""

from __future__ import annotations

import math
from typing import Any

import pytest

import fastnn
from fastnn import nn
from fastnn.nn import init
from fastnn.nn.utils import rnn

NAN = math.nan


def packed(sizes: Any, rows: int = 3) -> rnn.PackedSequence:
    return rnn.PackedSequence(fastnn.ones(rows, 2), fastnn.tensor(sizes))


def leaf() -> fastnn.Tensor:
    return fastnn.ones(2, requires_grad=True)


def ones(*sizes: int) -> fastnn.Tensor:
    return fastnn.ones(*sizes)


PACKING = [
    (lambda: rnn.pack_sequence(3), "pack_sequence: expected sequences as a list of Tensors"),
    (lambda: rnn.pack_sequence([1, 2]), "pack_sequence: expected sequences as a list of Tensors"),
    (lambda: rnn.pack_sequence([fastnn.tensor(1.0)]), "of one or more dimensions"),
    (lambda: rnn.pad_sequence([[1.0], [2.0]]), "pad_sequence: expected sequences as a list"),
    (lambda: rnn.pad_sequence("ab"), "pad_sequence: expected sequences as a list of Tensors"),
    (lambda: rnn.pad_sequence([ones(2), ones(1)], padding_value="a"), "padding_value as a number"),
    (lambda: rnn.pad_packed_sequence(3), "expected sequence as a PackedSequence, got int; "),
    (lambda: rnn.pad_packed_sequence(ones(4, 2)), "as a PackedSequence, got Tensor; "),
    (lambda: rnn.pad_packed_sequence(packed([2, 1]), padding_value="a"), "padding_value as a num"),
    (lambda: rnn.pad_packed_sequence(packed([2, 1]), total_length="a"), "total_length as an int"),
    (lambda: rnn.unpack_sequence(3), "expected sequence as a PackedSequence, got int; "),
    (lambda: rnn.pack_padded_sequence(ones(3, 2), "ab"), "lengths as integers, got 'ab'; "),
    (lambda: rnn.pack_padded_sequence(ones(3, 2), None), "lengths as integers, got None; "),
    (lambda: rnn.pack_padded_sequence(ones(3, 2), [2.5, 1]), "integers, got [2.5, 1]; "),
    (lambda: rnn.pack_padded_sequence(ones(3, 2), [NAN, 1]), "integers, got [nan, 1]; "),
    (lambda: rnn.pack_padded_sequence(ones(3, 2), [2**70, 1]), "lengths as integers, got ["),
    (lambda: rnn.pack_padded_sequence(ones(3, 2), [[3], [2, 1]]), "lengths as integers, got ["),
    (lambda: rnn.unpad_sequence(3, [1]), "expected padded_sequences (t, b, ...) as a Tensor"),
    (lambda: rnn.unpad_sequence(ones(3), [1]), "expected padded_sequences (t, b, ...)"),
    (lambda: rnn.unpad_sequence(ones(3, 2), "a"), "lengths as integers, got 'a'; "),
    (lambda: rnn.unpad_sequence(ones(3, 2), [-1, 5]), "lengths of at least 0, got [-1, 5]; "),
    (lambda: rnn.invert_permutation(3), "expected permutation as a Tensor, got int; "),
    (lambda: rnn.invert_permutation(fastnn.tensor([0, 5])), "the numbers 0 to 1, got [0, 5]; "),
    (lambda: rnn.PackedSequence(3), "expected data and batch_sizes, or a pair of them"),
    (lambda: rnn.PackedSequence(3, 3), "expected data as a Tensor, got int; "),
    (lambda: rnn.PackedSequence(ones(3, 2), [2, 1]), "batch_sizes as a Tensor, got list; "),
    # What no packing gives, but a PackedSequence may hold.
    (lambda: nn.LSTM(2, 3)(packed([5, 7])), "LSTM: expected batch_sizes that do not grow"),
    (lambda: nn.LSTM(2, 3)(packed([1, 2])), "do not grow, are at least 1 and add up to 3 rows"),
    (lambda: nn.LSTM(2, 3)(packed([4, -1])), "got [4, -1]; "),
    (lambda: nn.LSTM(2, 3)(packed([])), "LSTM: expected batch_sizes"),
    (lambda: nn.LSTM(2, 3)(packed([1.5, 1.5])), "batch_sizes as integers, got [1.5, 1.5]; "),
    (lambda: rnn.pad_packed_sequence(packed([1, 2])), "pad_packed_sequence: expected batch_sizes"),
    (lambda: nn.LSTM(2, 3)(ones(1, 1, 2), ("a", "b")), "LSTM: expected hx as Tensors, got str; "),
    (lambda: nn.GRU(2, 3)(ones(1, 1, 2), "a"), "GRU: expected hx as Tensors, got str; "),
    (lambda: nn.GRU(2, 3)(packed([2, 1]), "a"), "GRU: expected hx as Tensors, got str; "),
    (lambda: nn.GRU(2, 3)(ones(1, 1, 2), (ones(1, 1, 3),)), "hx as Tensors, got tuple; "),
    (lambda: nn.LSTM(2, 3, "a"), "LSTM: expected num_layers as an int, got str; "),
    (lambda: nn.LSTM(2, 3, 1.5), "LSTM: expected num_layers as an int, got float; "),
    (lambda: nn.LSTM(2, 3, proj_size="a"), "LSTM: expected proj_size as an int, got str; "),
]
HOOKS = [
    (lambda: leaf().register_hook(3), "register_hook: expected a hook that can be called, got int"),
    (lambda: (leaf() * 2).register_hook(None), "that can be called, got NoneType; "),
    (lambda: nn.Linear(2, 2).register_forward_hook(3), "that can be called, got int; "),
    (lambda: nn.Linear(2, 2).register_forward_pre_hook("a"), "that can be called, got str; "),
    (lambda: nn.Linear(2, 2).register_full_backward_hook(3), "that can be called, got int; "),
    (lambda: nn.Linear(2, 2).register_state_dict_pre_hook(3), "that can be called, got int; "),
    (
        lambda: fastnn.optim.SGD([leaf()], 0.1).register_step_pre_hook(3),
        "that can be called, got int; ",
    ),
]
FILLS = [
    (lambda: ones(2).uniform_("a", "b"), "uniform_: expected low as a number, got str"),
    (lambda: ones(2).uniform_(0.0, None), "uniform_: expected high as a number, got NoneType"),
    (lambda: ones(2).uniform_(1.0, 0.0), "uniform_: expected low <= high, got 1.0 and 0.0; "),
    (lambda: ones(2).uniform_(NAN, 1.0), "uniform_: expected low <= high"),
    (lambda: ones(2).uniform_(-3e38, 3e38), "uniform_: expected bounds whose distance fits"),
    (lambda: ones(2).uniform_(0.0, math.inf), "uniform_: expected bounds whose distance fits"),
    (lambda: ones(2).double().uniform_(-1e308, 1e308), "bounds whose distance fits fastnn.float64"),
    (lambda: ones(2).normal_("a"), "normal_: expected mean as a number, got str"),
    (lambda: ones(2).normal_(0.0, "b"), "normal_: expected std as a number, got str"),
    (lambda: ones(2).normal_(0.0, -1.0), "normal_: expected std >= 0, got -1.0; "),
    (lambda: init.uniform_(ones(2), "a", "b"), "uniform_: expected low as a number, got str"),
    (lambda: init.uniform_(3), "uniform_: expected tensor as a Tensor, got int; "),
    (lambda: init.normal_(3), "normal_: expected tensor as a Tensor, got int; "),
    (lambda: init.trunc_normal_(ones(2), "a"), "trunc_normal_: expected mean as a number"),
    (lambda: init.constant_(3, 1.0), "constant_: expected tensor as a Tensor, got int; "),
    (lambda: init.xavier_uniform_(ones(2, 2), "a"), "xavier_uniform_: expected gain as a number"),
    (lambda: init.xavier_normal_(ones(2, 2), None), "xavier_normal_: expected gain as a number"),
    (lambda: init.kaiming_uniform_(3), "kaiming_uniform_: expected tensor as a Tensor, got int; "),
    (lambda: init.orthogonal_(ones(2, 2), "a"), "orthogonal_: expected gain as a number"),
    (lambda: init.orthogonal_(3), "orthogonal_: expected tensor as a Tensor, got int; "),
    (lambda: init.sparse_(ones(2, 2), "a"), "sparse_: expected sparsity as a number"),
    (lambda: init.eye_(3), "eye_: expected tensor as a Tensor, got int; "),
    (lambda: init.dirac_(ones(2, 2, 2), "a"), "dirac_: expected groups that divide"),
]


@pytest.mark.parametrize(("call", "message"), [*PACKING, *HOOKS, *FILLS])
def test_the_message_names_the_call_and_what_was_expected(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)) as info:
        call()
    text = str(info.value)
    assert message in text
    assert ": expected " in text


def test_what_is_right_still_works() -> None:
    parts = [ones(3, 2), ones(2, 2)]
    by_generator = rnn.pack_sequence(p for p in parts)
    assert by_generator.batch_sizes.tolist() == [2, 2, 1]
    lengths = [fastnn.tensor(3), fastnn.tensor(2)]
    for given in (lengths, [3.0, 2.0], fastnn.tensor([3.0, 2.0]), fastnn.tensor([3, 2])):
        assert rnn.pack_padded_sequence(ones(3, 2), given).batch_sizes.tolist() == [2, 2, 1]
    assert [p.shape for p in rnn.unpad_sequence(ones(3, 2), [0, 5])] == [(0,), (3,)]
    padded, sizes = rnn.pad_packed_sequence(tuple(by_generator), padding_value=7)
    assert sizes.tolist() == [3, 2]
    assert padded[2, 1].tolist() == [7.0, 7.0]
    spread = fastnn.empty(1000).uniform_(-1.7e38, 1.7e38)
    assert spread.amin().item() < -1e38 < 1e38 < spread.amax().item()
    assert fastnn.ones(2).uniform_(fastnn.tensor(2.0), 2).tolist() == [2.0, 2.0]
