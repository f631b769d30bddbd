# SPDX-License-Identifier: BSD-3-Clause
"""What tensors on one memory share: copies of them, versions, and the views of no_grad()."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn as torch
from fastnn import nn


def test_copies_of_tensors_that_share_memory_share_theirs() -> None:
    whole = torch.arange(6.0)
    tensors = [whole[2:4], whole, whole.reshape(2, 3).t()]
    part, all_of_it, turned = copy.deepcopy(tensors)
    all_of_it[2] = 99
    assert part.tolist() == [99.0, 3.0]
    assert turned.tolist() == [[0.0, 3.0], [1.0, 4.0], [99.0, 5.0]]
    assert turned.stride() == tensors[2].stride() == (1, 3)
    assert part._version == all_of_it._version == 1
    assert whole.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_copies_of_modules_keep_buffers_shared() -> None:
    module = nn.Module()
    whole = torch.arange(4.0)
    module.register_buffer("whole", whole)
    module.register_buffer("part", whole[1:])
    made = copy.deepcopy(module)
    made.whole[1] = 7
    assert made.part[0] == 7
    assert module.part[0] == 1
    apart = copy.deepcopy(module).double()  # as in torch, a conversion makes them independent
    apart.whole[1] = 9
    assert apart.part[0] == 1


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3)[:, ::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3))[1],
        np.broadcast_to(np.arange(3.0), (2, 3)),
        np.arange(12.0)[3:].reshape(3, 3)[::2, 1:],
        np.zeros((0, 3)),
    ],
    ids=["reversed", "fortran", "row of fortran", "expanded", "piece", "empty"],
)
def test_a_copy_has_the_values_and_strides(array: np.ndarray) -> None:
    tensor = torch.from_numpy(array)
    made = copy.deepcopy(tensor)
    np.testing.assert_array_equal(made.numpy(), array)
    assert made.stride() == tensor.stride() or not array.size
    assert not np.shares_memory(made.numpy(), array)


def test_data_counts_its_versions_apart_and_detach_does_not() -> None:
    x = torch.ones(3)
    x.data.add_(1)
    assert x._version == 0
    x.detach().add_(1)
    assert x._version == 1
    assert x.data._version == 0
    assert x.tolist() == [3.0, 3.0, 3.0]


def test_new_tensors_are_of_version_zero() -> None:
    made = [torch.zeros(2), torch.ones(2), torch.full((2,), 3), torch.rand(2), torch.randn(2)]
    assert [t._version for t in made] == [0] * 5


def test_a_view_of_no_grad_is_not_changed_outside() -> None:
    for base in (torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True) * 2):
        with torch.no_grad():
            view = base[:2]
        assert not view.grad_fn
        for change in (
            lambda v: v.add_(1),
            lambda v: v[:1].mul_(2),
            lambda v: v.__setitem__(0, 1.0),
            lambda v: v.zero_(),
        ):
            with pytest.raises(RuntimeError, match=r"under no_grad\(\) .*; make the view"):
                change(view)
        with torch.no_grad():
            view.zero_()
        view.detach().add_(5)
        assert base[:2].tolist() == [5.0, 5.0]
    plain = torch.ones(3)
    with torch.no_grad():
        view = plain[:2]
    assert view.add_(1).tolist() == [2.0, 2.0]
