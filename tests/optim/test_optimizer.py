# SPDX-License-Identifier: BSD-3-Clause
"""What all optimisers share: groups, hooks, learning rates, errors."""

# Hooks are called with fixed arguments, most of which a test does not need.
# ruff: noqa: ARG005
from __future__ import annotations

import functools

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn._backend import mutation_stamp
from optimizer_cases import ALL, IDS, assert_same, give_gradients, parameters, values


def test_groups_take_their_own_options():
    a, b, c, d = parameters()
    opt = optim.SGD([{"params": [a, b]}, {"params": c, "lr": 0.5, "momentum": 0.9}], lr=0.1)
    opt.add_param_group({"params": d, "weight_decay": 0.3})
    assert [g["lr"] for g in opt.param_groups] == [0.1, 0.5, 0.1]
    assert [g["momentum"] for g in opt.param_groups] == [0, 0.9, 0]
    assert [len(g["params"]) for g in opt.param_groups] == [2, 1, 1]
    assert opt.param_groups[1]["params"][0] is c
    give_gradients([a, b, c, d], 1)
    before, grads = values([a, c]), [p.grad.numpy() for p in (a, c)]
    opt.step()
    np.testing.assert_allclose(a.detach().numpy(), before[0] - 0.1 * grads[0], rtol=1e-6)
    np.testing.assert_allclose(c.detach().numpy(), before[1] - 0.5 * grads[1], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*expected a gradient for every parameter")
def test_parameters_without_gradient_are_left_alone():
    params = parameters()
    before = values(params)
    opt = optim.Adam(params)
    opt.step()
    assert_same(values(params), before)
    assert len(opt.state) == 0
    params[1].grad = fastnn.ones(4)
    opt.step()
    assert list(opt.state) == [params[1]]


def test_named_parameters():
    model = nn.Linear(2, 3)
    opt = optim.SGD(model.named_parameters(), lr=0.1)
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
    assert opt.param_groups[0]["params"][1] is model.bias
    with pytest.raises(ValueError, match="with names or all without"):
        opt.add_param_group({"params": parameters()})


@pytest.mark.parametrize("make", ALL, ids=IDS)
def test_zero_grad(make):
    params = parameters()
    give_gradients(params, 0)
    opt = make(params)
    memory = params[0].grad.array
    opt.zero_grad(set_to_none=False)
    assert params[0].grad.array is memory
    assert not memory.any()
    opt.zero_grad()
    assert all(p.grad is None for p in params)


def test_step_hooks():
    (p, *_) = parameters()
    opt, seen = optim.SGD([p], lr=0.1), []
    first = opt.register_step_pre_hook(lambda o, a, k: seen.append(("pre", a, k)))
    opt.register_step_pre_hook(lambda o, a, k: (a, {"closure": lambda: 7}))
    opt.register_step_post_hook(lambda o, a, k: seen.append(("post", sorted(k))))
    assert opt.step() == 7
    assert seen == [("pre", (opt,), {}), ("post", ["closure"])]
    first.remove()
    opt.register_step_pre_hook(lambda o, a, k: 3)
    with pytest.raises(RuntimeError, match="new_args, new_kwargs"):
        opt.step()
    assert len(seen) == 2


def test_state_hooks():
    opt = optim.SGD(parameters(), lr=0.1)
    seen = []
    opt.register_state_dict_pre_hook(lambda o: seen.append("save"))
    opt.register_state_dict_post_hook(lambda o, sd: {**sd, "extra": 1})
    opt.register_load_state_dict_pre_hook(lambda o, sd: seen.append(sd["extra"]))
    opt.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    opt.load_state_dict(opt.state_dict())
    assert seen == ["save", 1, "loaded"]


def test_own_optimizers_have_hooks_and_no_grad():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            loss = None if closure is None else closure()
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])
            return loss

    p = nn.Parameter(fastnn.ones(3))
    p.grad = fastnn.ones(3)
    opt, seen = Sign([p], lr=0.5), []
    opt.register_step_post_hook(lambda *a: seen.append(1))
    opt.step()
    assert p.tolist() == [0.5] * 3
    assert p.is_leaf
    assert seen == [1]
    with pytest.raises(NotImplementedError, match=r"required method step"):
        optim.Optimizer([p], {}).step()


def test_closure_runs_with_gradients_and_its_loss_is_returned():
    p = nn.Parameter(fastnn.tensor(2.0))
    opt = optim.SGD([p], lr=0.1)

    def closure():
        opt.zero_grad()
        loss = p * p
        loss.backward()
        return loss

    assert opt.step(closure).item() == 4.0
    np.testing.assert_allclose(p.item(), 1.6, rtol=1e-6)


def test_learning_rate_changes_without_moving_the_stamp():
    params = parameters()
    opt = optim.SGD(params, lr=0.1)
    group = opt.param_groups[0]
    cell = group.lr_cell
    before = mutation_stamp()
    group["lr"] = 0.025
    assert mutation_stamp() == before
    assert cell[0] == 0.025
    group["momentum"] = 0.5
    assert mutation_stamp() > before
    opt.load_state_dict(opt.state_dict())
    assert opt.param_groups[0].lr_cell is cell


def test_tensor_learning_rate():
    rate = fastnn.tensor(0.5, dtype=fastnn.float64)
    p = nn.Parameter(fastnn.ones(2))
    opt = optim.SGD([p], lr=rate)
    p.grad = fastnn.ones(2)
    opt.step()
    assert p.tolist() == [0.5, 0.5]
    rate.fill_(0.25)
    opt.step()
    assert p.tolist() == [0.25, 0.25]
    with pytest.raises(ValueError, match="1-element"):
        optim.Adam([p], lr=fastnn.ones(2))


@pytest.mark.parametrize("make", ALL, ids=IDS)
def test_step_bumps_the_version_of_the_parameters(make):
    p = nn.Parameter(fastnn.ones(3))
    loss = (p * p).sum()
    p.grad = fastnn.ones(3)
    make([p]).step()
    with pytest.raises(RuntimeError, match="in-place"):
        loss.backward()


@pytest.mark.parametrize("make", ALL, ids=IDS)
def test_strides_and_dtypes_of_parameters_do_not_matter(make):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4, 6))
    grad = rng.normal(size=(4, 6))
    plain = nn.Parameter(fastnn.tensor(base))
    turned = nn.Parameter(fastnn.tensor(base.T.copy()).t())
    sliced = nn.Parameter(fastnn.tensor(np.repeat(base, 2, axis=1))[:, ::2])
    narrow = nn.Parameter(fastnn.tensor(base.astype("f4")))
    assert not turned.is_contiguous()
    params = [plain, turned, sliced, narrow]
    opt = make(params)
    for _ in range(3):
        for p in params:
            p.grad = fastnn.tensor(grad).to(p.dtype)
        turned.grad = fastnn.tensor(grad.T.copy()).t()
        opt.step()
    for p in (turned, sliced):
        np.testing.assert_array_equal(p.detach().numpy(), plain.detach().numpy())
    np.testing.assert_allclose(narrow.detach().numpy(), plain.detach().numpy(), rtol=2e-5)
    assert narrow.dtype is fastnn.float32


@pytest.mark.parametrize("make", ALL, ids=IDS)
def test_empty_parameters(make):
    p = nn.Parameter(fastnn.zeros(0, 3))
    q = nn.Parameter(fastnn.zeros(2))
    p.grad, q.grad = fastnn.zeros(0, 3), fastnn.ones(2)
    make([p, q]).step()
    assert p.shape == (0, 3)
    assert (q.detach().numpy() != 0).all()


def leaf():
    return nn.Parameter(fastnn.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optim.SGD([]), ValueError, "empty parameter list"),
        (lambda: optim.SGD(leaf()), TypeError, "an iterable of Tensors"),
        (lambda: optim.SGD(3), TypeError, "an iterable of Tensors"),
        (lambda: optim.SGD([{"params": {leaf()}}]), TypeError, "ordered collections"),
        (lambda: optim.SGD([leaf(), 3]), TypeError, "got int at position 1"),
        (lambda: optim.SGD([leaf() * 2]), ValueError, "got a non-leaf Tensor"),
        (
            lambda: optim.SGD([("a", leaf(), 1)]),
            ValueError,
            "pairs of name and Tensor, got a tuple",
        ),
        (
            lambda: optim.SGD([{"params": [p := leaf()]}, {"params": [p]}]),
            ValueError,
            "more than one parameter group",
        ),
        (lambda: optim.SGD([("a", leaf()), leaf()]), ValueError, "names are missing"),
        (lambda: optim.SGD([{"lr": 1}]), ValueError, "expected an entry 'params'"),
        (lambda: optim.SGD([leaf()], lr=-1), ValueError, "Invalid learning rate: got -1"),
        (lambda: optim.SGD([leaf()], momentum=-1), ValueError, "Invalid momentum value"),
        (lambda: optim.SGD([leaf()], weight_decay=-1), ValueError, "Invalid weight_decay"),
        (lambda: optim.SGD([leaf()], nesterov=True), ValueError, "with nesterov=True"),
        (lambda: optim.SGD([leaf()], differentiable=True), NotImplementedError, "differentiable"),
        (lambda: optim.Adam([leaf()], lr=-1), ValueError, "Adam: Invalid learning rate"),
        (lambda: optim.Adam([leaf()], eps=-1), ValueError, "Invalid epsilon value"),
        (
            lambda: optim.AdamW([leaf()], betas=(1.0, 0.9)),
            ValueError,
            "parameter at index 0: got 1.0",
        ),
        (lambda: optim.Adam([leaf()], betas=(0.9, -0.1)), ValueError, "parameter at index 1"),
        (lambda: optim.Adam([leaf()], differentiable=True), NotImplementedError, "Adam"),
        *(
            (functools.partial(kind, [leaf()], foreach=True, fused=True), RuntimeError, "together")
            for kind in (optim.Adagrad, optim.Adam, optim.AdamW, optim.SGD)
        ),
        *(
            (functools.partial(kind, [leaf()], foreach=True, **given), ValueError, text)
            for kind in (optim.Adam, optim.AdamW)
            for given, text in (
                ({"lr": fastnn.tensor(0.1)}, "expected lr as a number with foreach"),
                ({"betas": (fastnn.tensor(0.9),) * 2}, r"expected betas\[0\] as a number with"),
                ({"betas": (fastnn.tensor(0.9), 0.99)}, "both floats or both Tensors"),
            )
        ),
        (lambda: optim.SGD([leaf()]).add_param_group([leaf()]), TypeError, "that is a dict"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("make", ALL[1:], ids=IDS[1:])
def test_a_parameter_given_twice_is_updated_twice(make):
    """torch's for loop does it, and warns, as does this."""
    (a, b), (twin, _) = parameters()[:2], parameters()[:2]
    with pytest.warns(UserWarning, match="got duplicate parameters in a group") as warned:
        opt = make([a, b, a])
    assert warned[0].filename.endswith("optimizer_cases.py")
    again = make([twin])
    for step in range(3):
        give_gradients([a, b], step)
        give_gradients([twin], step)
        opt.step()
        again.step()
        again.step()
    np.testing.assert_allclose(a.detach().numpy(), twin.detach().numpy(), rtol=1e-6, atol=1e-7)
    saved = opt.state_dict()
    assert saved["param_groups"][0]["params"] == [2, 1, 2]
    assert sorted(saved["state"]) == [1, 2]


def test_the_first_momentum_of_a_parameter_given_twice():
    """Both updates of the first step find none, as in torch."""
    (a,) = parameters()[:1]
    with pytest.warns(UserWarning, match="duplicate parameters"):
        opt = optim.SGD([a, a], lr=0.1, momentum=0.5)
    before, g = values([a])[0], np.ones(a.shape, "f4")
    a.grad = fastnn.ones_like(a)
    opt.step()
    np.testing.assert_allclose(values([a])[0], before - 0.2 * g, rtol=1e-6)
    opt.step()  # momenta 1.5 and 1.75
    np.testing.assert_allclose(values([a])[0], before - (0.2 + 0.325) * g, rtol=1e-5)


def test_parameters_in_a_set():
    """Of all parameters, as in torch; in a group, whose order state_dict() relies on, an error."""
    a, b = leaf(), leaf()
    assert {id(p) for p in optim.SGD({a, b}).param_groups[0]["params"]} == {id(a), id(b)}


def test_required_options():
    from fastnn.optim.optimizer import required  # noqa: PLC0415

    with pytest.raises(ValueError, match="required optimization parameter lr"):
        optim.Optimizer([leaf()], {"lr": required})
    assert optim.Optimizer([{"params": leaf(), "lr": 1}], {"lr": required}).param_groups


def test_repr():
    opt = optim.SGD([{"params": leaf()}, {"params": leaf(), "lr": 1}], lr=0.1)
    group = (
        "    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: {}\n    maximize: False\n    momentum: 0\n    nesterov: False\n"
        "    weight_decay: 0\n"
    )
    expected = f"SGD (\nParameter Group 0\n{group.format(0.1)}\nParameter Group 1\n"
    assert repr(opt) == expected + group.format(1) + ")"


@pytest.mark.parametrize("make", ALL, ids=IDS)
def test_plain_dicts_as_groups_step_like_groups(make):
    ours, theirs = parameters(), parameters()
    opt, twin = make(ours), make(theirs)
    opt.param_groups = [dict(g) for g in opt.param_groups]
    late, late_twin = fastnn.ones(3, requires_grad=True), fastnn.ones(3, requires_grad=True)
    for step in range(3):
        if step == 1:
            opt.param_groups.append({**opt.param_groups[0], "params": [late], "lr": 0.5})
            twin.add_param_group({**twin.param_groups[0], "params": [late_twin], "lr": 0.5})
        if step == 2:  # an edit of the user's own dict counts
            opt.param_groups[1]["lr"] = twin.param_groups[1]["lr"] = 0.25
        give_gradients([*ours, late], step)
        give_gradients([*theirs, late_twin], step)
        stamp = mutation_stamp()
        opt.step()
        assert mutation_stamp() != stamp
        twin.step()
    assert_same(values([*ours, late]), values([*theirs, late_twin]))
    saved = opt.state_dict()
    assert saved["param_groups"] == twin.state_dict()["param_groups"]
    opt.load_state_dict(saved)
    opt.step()
    twin.step()
    assert_same(values([*ours, late]), values([*theirs, late_twin]))


def test_a_plain_group_without_an_option_is_named():
    opt = optim.SGD(parameters(), lr=0.1)
    opt.param_groups.append({"params": parameters(), "lr": 0.1})
    with pytest.raises(KeyError, match=r"SGD: expected every option .*; add_param_group\(\)"):
        opt.step()
