# SPDX-License-Identifier: BSD-3-Clause
"""The optimisers' kernels themselves: native against reference, bits, and refused input."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import _backend
from fastnn.ops import adam, sgd
from fastnn.ops._optimizer_rules import RULES

native = pytest.mark.skipif(_backend.name != "cpu", reason="no native backend")

LEVELS = list(_backend.cpu.usable_levels()) if _backend.name == "cpu" else []


@pytest.fixture(params=LEVELS or ["numpy"])
def level(request):
    """Every instruction-set level of this machine in turn."""
    if not LEVELS:
        yield request.param
        return
    before = _backend.cpu.isa()
    _backend.cpu.set_isa(request.param)
    yield request.param
    _backend.cpu.set_isa(before)


# Above the piece size of the kernels, so that threads take part, and with odd tails.
SIZES = [1, 7, 33, 40001, 5, 16384]


def lists(count, dtype, seed=0, sizes=SIZES):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=n).astype(dtype) for n in sizes] for _ in range(count)]


def run_sgd(kernel, dtype, sizes=SIZES, **options):
    params, grads, buffers = lists(3, dtype, sizes=sizes)
    given = {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01, "nesterov": False,
             "maximize": False, "first": False, **options}  # fmt: skip
    if given["momentum"] == 0:
        buffers = []
    kernel(params, grads, buffers, np.array([0.05]), *given.values())
    return params + buffers


def run_adam(kernel, dtype, sizes=SIZES, **options):
    params, grads, m, v, u = lists(5, dtype, sizes=sizes)
    v, u = [np.abs(a) for a in v], [np.abs(a) for a in u]
    steps = [np.full((1,), i, "f4") for i in range(len(sizes))]
    given = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.01, "decoupled": False,
             "maximize": False, "amsgrad": False, **options}  # fmt: skip
    if not given["amsgrad"]:
        u = []
    kernel(params, grads, m, v, u, steps, np.array([0.05]), *given.values())
    assert [s[0] for s in steps] == [i + 1 for i in range(len(sizes))]
    return params + m + v + u


def run_rule(name, numbers, states=None):
    """As `run_sgd`, for a rule with these options and as many of its states."""
    rule = RULES[name]
    states = len(rule.states) if states is None else states

    def run(kernel, dtype, sizes=SIZES, **options):
        params, grads, *memory = lists(2 + states, dtype, sizes=sizes)
        # A square or a step size; by the mean, which is the second of RMSprop, it is not exceeded.
        memory = [[np.abs(a) + (20 if i == 0 and name == "rmsprop" else 0) for a in arrays]
                  for i, arrays in enumerate(memory)]  # fmt: skip
        memory = memory + [[]] * (len(rule.states) - states)
        cells = [[np.full((1,), (i + 3) / (1 if k == 0 else 16), "f4") for i in range(len(sizes))]
                 for k in range(len(rule.cells))]  # fmt: skip
        given = {"weight_decay": 0.01, "decoupled": False, "maximize": False, **options}
        kernel(params, grads, *memory, *cells, np.array([0.05]), *numbers, *given.values())
        for cell in cells[:1]:
            assert [c[0] for c in cell] == [i + 4 for i in range(len(sizes))]
        return [*params, *(a for arrays in memory for a in arrays), *(c for k in cells for c in k)]

    return run


SGD_OPTIONS = [
    {"momentum": 0.0},
    {"momentum": 0.0, "weight_decay": 0.0, "maximize": True},
    {"first": True},
    {"first": True, "nesterov": True, "weight_decay": 0.0},
    {"nesterov": True},
    {},
]
ADAM_OPTIONS = [
    {},
    {"decoupled": True, "maximize": True},
    {"weight_decay": 0.0},
    {"amsgrad": True},
    {"amsgrad": True, "decoupled": True},
    {"amsgrad": True, "weight_decay": 0.0},
]
CASES = [
    *((run_sgd, "sgd_step", sgd.sgd_step, o) for o in SGD_OPTIONS),
    *((run_adam, "adam_step", adam.adam_step, o) for o in ADAM_OPTIONS),
    *(
        (run_rule(name, *rest), f"{name}_step", _backend.references[f"{name}_step"], options)
        for name, *rest, options in (
            ("adagrad", (0.1, 1e-3), {}),
            ("adadelta", (0.9, 1e-3), {"maximize": True}),
            ("rmsprop", (0.9, 1e-3, 0.0), 1, {}),
            ("rmsprop", (0.9, 1e-3, 0.7), 3, {"weight_decay": 0.0}),
            ("nadam", (0.9, 0.99, 1e-3, 4e-3), {}),
            ("nadam", (0.9, 0.99, 1e-3, 4e-3), {"decoupled": True, "maximize": True}),
            ("radam", (0.9, 0.99, 1e-3), {}),
            ("radam", (0.9, 0.5, 1e-3), {"weight_decay": 0.0}),
            ("adamax", (0.9, 0.99, 1e-3), {}),
            ("rprop", (0.5, 1.2, 1e-3, 0.7), {"weight_decay": 0.0}),
            ("asgd", (0.1, 0.75, 4.0), {}),
            ("lion", (0.9, 0.99), {"decoupled": True}),
        )
    ),
]
each_case = pytest.mark.parametrize(
    ("run", "name", "reference", "options"), CASES, ids=[f"{c[1]}-{i}" for i, c in enumerate(CASES)]
)


def kernel_named(name):
    return getattr(_backend.kernels(np.empty(0)), name)


@native
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@each_case
@pytest.mark.usefixtures("level")
def test_native_is_the_reference(run, name, reference, options, dtype):
    assert name in _backend.native
    exact = run(reference, "f8" if dtype == "f4" else np.longdouble, **options)
    plain = run(reference, dtype, **options)
    got = run(kernel_named(name), dtype, **options)
    eps = np.finfo(dtype).eps
    for g, p, e in zip(got, plain, exact, strict=True):
        # Inputs of the exact run were drawn in the wider type: round-off of the start included.
        allowed = 2 * np.abs(p - e).max() + 4 * eps * np.abs(e).max()
        assert np.abs(g - e).max() <= allowed


@native
@each_case
@pytest.mark.usefixtures("level")
def test_bits_do_not_depend_on_threads(run, name, reference, options):
    del reference
    before = fastnn.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 4):
            fastnn.set_num_threads(threads)
            assert fastnn.get_num_threads() == threads
            results.append(run(kernel_named(name), "f4", **options))
    finally:
        fastnn.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


@native
@each_case
@pytest.mark.usefixtures("level")
def test_bits_do_not_depend_on_the_position_in_an_array(run, name, reference, options):
    del reference

    def shifted(offset):
        kernel = kernel_named(name)

        def call(*args):
            moved, back = [], []
            for a in args:
                if isinstance(a, list):
                    copies = []
                    for x in a:
                        padded = np.full(x.size + offset, 7.0, x.dtype)
                        padded[offset:] = x
                        copies.append(padded[offset:])
                        back.append((x, padded, offset))
                    moved.append(copies)
                else:
                    moved.append(a)
            kernel(*moved)
            for x, padded, k in back:
                x[:] = padded[k:]
                assert (padded[:k] == 7.0).all()

        return call

    sizes = [70, 129]
    expected = run(kernel_named(name), "f4", sizes=sizes, **options)
    for offset in (1, 3, 8, 31):
        got = run(shifted(offset), "f4", sizes=sizes, **options)
        for a, b in zip(expected, got, strict=True):
            assert a.tobytes() == b.tobytes()


@native
def test_splitting_the_list_changes_no_bits():
    whole = run_sgd(kernel_named("sgd_step"), "f4", nesterov=True)
    params, grads, buffers = lists(3, "f4")
    for p, g, b in zip(params, grads, buffers, strict=True):
        kernel_named("sgd_step")(
            [p], [g], [b], np.array([0.05]), 0.9, 0.1, 0.01, True, False, False
        )
    for a, b in zip(whole, params + buffers, strict=True):
        assert a.tobytes() == b.tobytes()


def one(dtype="f4", n=3):
    return [np.ones(n, dtype)]


OPTIONS = (0.9, 0.0, 0.0, False, False, False)
LR = np.array([0.1])


@native
@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((one(), one(n=4), [], LR, *OPTIONS), ValueError, "sgd_step: expected grads"),
        ((one(), one() * 2, [], LR, *OPTIONS), ValueError, "expected 1 arrays in grads"),
        ((one(), one(), one(n=5), LR, *OPTIONS), ValueError, "momentum_buffers"),
        ((one(), one(), [], np.ones(2), *OPTIONS), ValueError, "lr"),
        ((one(), one(), [], 0.1, *OPTIONS), ValueError, "lr: expected a numpy.ndarray"),
        (([np.ones((4, 4), "f4")[:, ::2]], one(n=8), [], LR, *OPTIONS), ValueError, "contiguous"),
        ((one(), one()), TypeError, "sgd_step"),
    ],
)
def test_native_sgd_refuses(args, error, message):
    with pytest.raises(error, match=message):
        kernel_named("sgd_step")(*args)


@native
def test_native_sgd_refuses_shared_memory_and_read_only():
    shared = np.ones(6, "f4")
    kernel = kernel_named("sgd_step")
    with pytest.raises(ValueError, match="shares memory"):
        kernel([shared[:4], shared[2:]], one(n=4) * 2, [], LR, *OPTIONS)
    frozen = np.ones(3, "f4")
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-only|writeable|written"):
        kernel([frozen], one(), [], LR, *OPTIONS)


@native
def test_native_adam_refuses_amsgrad_without_its_buffers():
    step = [np.zeros(1, "f4")]
    options = (0.9, 0.99, 1e-8, 0.0, False, False, True)
    with pytest.raises(ValueError, match="adam_step"):
        kernel_named("adam_step")(one(), one(), one(), one(), [], step, LR, *options)
    assert step[0][0] == 0.0


@native
def test_native_adam_refuses_step_counts_of_another_size():
    options = (0.9, 0.99, 1e-8, 0.0, False, False, False)
    kernel = kernel_named("adam_step")
    with pytest.raises(ValueError, match="steps"):
        kernel(one(), one(), one(), one(), [], [np.zeros(2, "f4")], LR, *options)


@native
def test_native_rules_refuse():
    step, options = [np.zeros(1, "f4")], (0.9, 1e-6, 0.0, False, False)
    kernel = kernel_named("adadelta_step")
    for args, message in (
        ((one(), one(), one(n=4), one(), step), "square_avgs"),
        ((one(), one(), one(), [], step), "expected 1 arrays in acc_deltas"),
        ((one(), one(), one(), one(), [np.zeros(2, "f4")]), "steps"),
        ((one(), one(), one("f8"), one(), step), "square_avgs"),
    ):
        with pytest.raises(ValueError, match=f"adadelta_step: .*{message}"):
            kernel(*args, LR, *options)
    assert step[0][0] == 0.0
    shared = np.ones(6, "f4")
    with pytest.raises(ValueError, match="shares memory"):
        kernel([shared[:3]], one(), [shared[2:5]], one(), step, LR, *options)


def test_other_element_types_go_to_the_reference():
    p, g = [np.ones(3, "f2")], [np.ones(3, "f2")]
    kernel_named("sgd_step")(p, g, [], LR, 0.0, 0.0, 0.0, False, False, False)
    np.testing.assert_allclose(p[0], 0.9, rtol=1e-3)
