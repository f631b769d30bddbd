# SPDX-License-Identifier: BSD-3-Clause
"""The public names of optim beside torch's: every one is there, and takes the same arguments."""

from __future__ import annotations

import inspect

import pytest

from fastnn import optim
from fastnn.optim import lr_scheduler, swa_utils

pytestmark = pytest.mark.torch

# SparseAdam is for gradients that are sparse tensors, which there are none of.
LEFT_OUT = {"SparseAdam"}
OURS_ALONE = {"Lion", "NewtonCG", "InverseTimeLR"}


def classes(module, torchs):
    names = getattr(torchs, "__all__", None) or vars(torchs)
    found = {n for n in names if inspect.isclass(getattr(torchs, n, None)) and n[0] != "_"}
    return sorted(found - LEFT_OUT), {n for n in module.__all__ if n[0].isupper()}


def arguments(function):
    """(name, kind, default) of every argument."""
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters if p.name != "self"]


@pytest.mark.parametrize("module", [optim, lr_scheduler, swa_utils], ids=lambda m: m.__name__)
def test_classes_and_their_arguments_are_torchs(module):
    torch = pytest.importorskip("torch")
    theirs = {optim: torch.optim, lr_scheduler: torch.optim.lr_scheduler}.get(
        module, torch.optim.swa_utils
    )
    wanted, there = classes(module, theirs)
    if module is swa_utils:  # torch lists names of other modules too
        wanted = ["AveragedModel", "SWALR"]
    assert set(wanted) <= there
    assert there - set(wanted) <= OURS_ALONE
    for name in wanted:
        if name != "Optimizer":
            assert arguments(getattr(module, name)) == arguments(getattr(theirs, name)), name


def test_functions_of_swa_utils_are_torchs():
    theirs = pytest.importorskip("torch").optim.swa_utils
    for name in (n for n in swa_utils.__all__ if n[0].islower()):
        assert arguments(getattr(swa_utils, name)) == arguments(getattr(theirs, name)), name


def test_methods_of_optimizers_and_schedules_are_there():
    torch = pytest.importorskip("torch")
    for ours, theirs in (
        (optim.Optimizer, torch.optim.Optimizer),
        (lr_scheduler.LRScheduler, torch.optim.lr_scheduler.LRScheduler),
        (lr_scheduler.ReduceLROnPlateau, torch.optim.lr_scheduler.ReduceLROnPlateau),
        (swa_utils.AveragedModel, torch.optim.swa_utils.AveragedModel),
    ):
        own = {n for k in theirs.__mro__ if "optim" in k.__module__ for n in vars(k) if n[0] != "_"}
        own -= {"profile_hook_step"}  # of torch's profiler
        types = {n for n in own if n.startswith("Optimizer")}
        assert not {n for n in own - types if not hasattr(ours, n)}, ours
