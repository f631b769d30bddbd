# SPDX-License-Identifier: BSD-3-Clause
"""The same programs under torch and under fastnn: derivatives, hooks, functions, checkpoints."""

# Hooks are called with fixed arguments, most of which a program does not need.
# ruff: noqa: ARG001, ARG005
from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest

import fastnn

pytestmark = pytest.mark.torch

RNG = np.random.default_rng(7)
X = RNG.standard_normal((2, 3))
Y = RNG.standard_normal(3)
V = RNG.standard_normal((2, 3))


def plain(value):
    """Tensors as arrays, inside of tuples, lists and dicts; an error as the name of its type."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value.detach().numpy() if hasattr(value, "detach") else value


def same(ours, theirs):
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(ours, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    elif isinstance(ours, np.ndarray):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
    else:
        assert ours == theirs


def outcome(call):
    """What a call gives, or the type of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(call())
        except Exception as error:  # whichever torch raises
            return f"{type(error).__name__}"


def tensors(torch, *arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


# ---- autograd.functional -------------------------------------------------------------------------


def functional(name, function, *arrays, as_tuple=True, v=None, **options):
    def program(torch):
        found = getattr(torch.autograd.functional, name)
        inputs = tuple(torch.tensor(a) for a in arrays)
        given = [inputs if as_tuple else inputs[0]]
        if v is not None:
            made = tuple(torch.tensor(a) for a in v)
            given.append(made if len(made) > 1 else made[0])
        return outcome(lambda: found(function, *given, **options))

    return program


def product_and_sum(x, y):
    return x * y, (x * x).sum(1), y


FUNCTIONAL = {
    "jacobian": functional("jacobian", lambda x, y: (x * y).exp(), X, Y),
    "jacobian of a tuple": functional("jacobian", product_and_sum, X, Y),
    "jacobian, one input": functional("jacobian", lambda x: x.sum(0) ** 2, X, as_tuple=False),
    "jacobian, a tuple of one": functional("jacobian", lambda x: (x.sum(),), X),
    "jacobian, vectorized": functional("jacobian", product_and_sum, X, Y, vectorize=True),
    "jacobian, unused": functional("jacobian", lambda x, y: x * 2, X, Y),
    "jacobian, strict": functional("jacobian", lambda x, y: x * 2, X, Y, strict=True),
    "jacobian, 0-d": functional("jacobian", lambda x: x.sum().sin(), X, as_tuple=False),
    "hessian": functional("hessian", lambda x, y: (x * y).pow(3).sum(), X, Y),
    "hessian, one input": functional("hessian", lambda x: x.pow(3).sum(), X, as_tuple=False),
    "hessian, (1,)": functional("hessian", lambda x: x.exp().sum().reshape(1), Y, as_tuple=False),
    "hessian, two elements": functional("hessian", lambda x: x.sum(1), X),
    "hessian, unused": functional("hessian", lambda x, y: x.pow(2).sum(), X, Y),
    "hessian, strict": functional("hessian", lambda x, y: x.pow(2).sum(), X, Y, strict=True),
    "vjp": functional("vjp", lambda x, y: (x * y).exp(), X, Y, v=[V]),
    "vjp, tuple": functional("vjp", product_and_sum, X, Y, v=[V, V[:, 0], Y]),
    "vjp, wrong shape": functional("vjp", lambda x, y: x * y, X, Y, v=[Y]),
    "vjp, no v": functional("vjp", lambda x: x.sum(), X, as_tuple=False),
    "vjp, v missing": functional("vjp", lambda x: x.sum(0), X, as_tuple=False),
    "jvp": functional("jvp", product_and_sum, X, Y, v=[V, Y]),
    "jvp, unused": functional("jvp", lambda x, y: x * 2, X, Y, v=[V, Y]),
    "jvp, strict": functional("jvp", lambda x: x.detach() * 2, X, v=[V], as_tuple=False,
                              strict=True),
    "vhp": functional("vhp", lambda x, y: (x * y).pow(3).sum(), X, Y, v=[V, Y]),
    "hvp": functional("hvp", lambda x, y: (x * y).pow(3).sum(), X, Y, v=[V, Y]),
    "hvp, one input": functional("hvp", lambda x: x.pow(3).sum(), X, v=[V], as_tuple=False),
    "hvp, linear": functional("hvp", lambda x: x.sum(), X, v=[V], as_tuple=False),
    "hvp, strict": functional("hvp", lambda x: x.sum(), X, v=[V], as_tuple=False, strict=True),
    "vhp, not a Tensor": functional("vhp", lambda x: 3.0, X, v=[V], as_tuple=False),
}  # fmt: skip


# ---- functions of users --------------------------------------------------------------------------


def _function(torch, forward, backward, setup=None):
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    if setup is not None:
        methods["setup_context"] = staticmethod(setup)
    return type("Made", (torch.autograd.Function,), methods)


def function_saved_and_twice(torch):
    def forward(ctx, x, y, k):
        out = (x * y).exp() * k
        ctx.save_for_backward(x, y, out)
        return out

    def backward(ctx, g):
        x, y, out = ctx.saved_tensors
        return g * out * y, (g * out * x).sum(0), None

    x, y = tensors(torch, X, Y)
    made = _function(torch, forward, backward).apply(x, y, 2.0)
    first = torch.autograd.grad(made.sum(), [x, y], create_graph=True)
    return [made, *first, *torch.autograd.grad(sum(g.sum() for g in first), [x, y])]


def function_name_and_node(torch):
    x, y = tensors(torch, X, Y)
    made = _function(torch, lambda ctx, a, k, b: a * b, lambda ctx, g: (g, None, g)).apply(x, 1, y)
    following = made.grad_fn.next_functions
    return [
        made.grad_fn.name(), type(made.grad_fn).__name__, made.is_leaf, len(following),
        [[type(f).__name__, n] for f, n in following], following[0][0].variable is x,
    ]  # fmt: skip


def function_dirty(torch):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.mul_(2)
        return x

    (x,) = tensors(torch, X)
    function = _function(torch, forward, lambda ctx, g: g * 2)
    y = x * 3
    before = y._version
    z = function.apply(y)
    (y * y).sum().backward()
    part = x * 1
    function.apply(part[0])
    part_grad = torch.autograd.grad(part.sum(), [x])
    on_leaf = outcome(lambda: function.apply(x))
    return [z is y, y, x.grad, part, part_grad, on_leaf, y._version > before]


def function_not_differentiable(torch):
    def forward(ctx, x):
        values, places = x.max(1)
        ctx.mark_non_differentiable(places)
        ctx.set_materialize_grads(False)
        return values, places, x * 2, "text"

    seen = []

    def backward(ctx, a, b, c, d):
        seen.append([t is None for t in (a, b, c, d)])
        return a.reshape(2, 1).expand(2, 3)

    (x,) = tensors(torch, X)
    values, places, other, text = _function(torch, forward, backward).apply(x)
    values.sum().backward()
    return [values, places, other, text, places.requires_grad, x.grad, seen]


def function_materialized(torch):
    seen = []

    def backward(ctx, a, b):
        seen.extend([a, b])
        return a + b

    (x,) = tensors(torch, X)
    first, _ = _function(torch, lambda ctx, t: (t * 1, t * 2), backward).apply(x)
    first.sum().backward()
    return [*seen, x.grad]


def function_needs(torch):
    seen = []

    def forward(ctx, x, y, k):
        seen.append(list(ctx.needs_input_grad))
        return x * y

    def backward(ctx, g):
        seen.append(list(ctx.needs_input_grad))
        return g, g.sum(0), None

    function = _function(torch, forward, backward)
    x, y = tensors(torch, X, Y)
    function.apply(x, y, 2).sum().backward()
    function.apply(x, y.detach(), 2).sum().backward()
    torch.autograd.grad(function.apply(x, y, 2).sum(), [y])
    with torch.no_grad():
        function.apply(x, y, 2)
    return seen


def function_setup(torch):
    def forward(x, k=3.0):
        return x.sin() * k

    def setup(ctx, inputs, output):
        x, ctx.k = inputs
        ctx.save_for_backward(x)

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.cos() * ctx.k, None

    (x,) = tensors(torch, X)
    made = _function(torch, forward, backward, setup).apply(x)
    return [made, *torch.autograd.grad(made.sum(), [x])]


def function_passing_its_input_on(torch):
    (x,) = tensors(torch, X)
    made = _function(torch, lambda ctx, t: t, lambda ctx, g: g * 3).apply(x)
    return [made is x, made.is_leaf, made, *torch.autograd.grad(made.sum(), [x])]


def wrong_backward(result):
    def program(torch):
        (x,) = tensors(torch, X)
        made = (torch.ones(4), None) if result == "shape" else result
        function = _function(torch, lambda ctx, t, k: t * k, lambda ctx, g: made)
        return outcome(lambda: function.apply(x, 2.0).sum().backward())

    return program


def function_broadcast(torch):
    (y,) = tensors(torch, Y)
    x = torch.ones(2, 3)
    function = _function(torch, lambda ctx, a, b: a + b, lambda ctx, g: (g, g))
    function.apply(x, y).sum().backward()
    return y.grad


def function_once(torch):
    once = torch.autograd.function.once_differentiable

    @once
    def backward(ctx, g):
        return g * 2

    (x,) = tensors(torch, X)
    made = _function(torch, lambda ctx, t: t * 2, backward).apply(x).pow(2).sum()
    (g,) = torch.autograd.grad(made, [x], create_graph=True)
    return [g, g.requires_grad, outcome(lambda: g.sum().backward())]


def function_freed(torch):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    (x,) = tensors(torch, X)
    function = _function(torch, forward, lambda ctx, g: g * ctx.saved_tensors[0])
    made = function.apply(x).sum()
    made.backward()
    return [x.grad, outcome(made.backward)]


FUNCTIONS = {
    f.__name__: f
    for f in (
        function_saved_and_twice, function_name_and_node, function_dirty,
        function_not_differentiable, function_materialized, function_needs, function_setup,
        function_passing_its_input_on, function_broadcast, function_once, function_freed,
    )
} | {
    "too few": wrong_backward(()),
    "too many": wrong_backward((None, None, 3)),
    "one of two": wrong_backward(None),
    "a number": wrong_backward((2.0, None)),
    "a shape": wrong_backward("shape"),
    "enough": wrong_backward((None, None, None)),
}  # fmt: skip


# ---- hooks ---------------------------------------------------------------------------------------


def tensor_hooks(torch):
    x, y = tensors(torch, X, Y)
    order = []
    h = x * y
    h.register_hook(lambda g: order.append(("h", plain(g))))
    h.register_hook(lambda g: g * 2)
    h.retain_grad()
    x.register_hook(lambda g: g + 1)
    handle = x.register_post_accumulate_grad_hook(lambda t: order.append(("x", plain(t.grad))))
    h.sin().sum().backward(retain_graph=True)
    handle.remove()
    h.sum().backward()
    kept = [h.retains_grad, x.retains_grad, h.is_leaf, x.is_leaf, h.output_nr]
    refused = [
        outcome(lambda: h.register_post_accumulate_grad_hook(print)),
        outcome(lambda: x.detach().register_post_accumulate_grad_hook(print)),
        outcome(lambda: x.detach().register_hook(print)),
        outcome(lambda: x.detach().retain_grad()),
    ]
    return [x.grad, y.grad, h.grad, [list(o) for o in order], kept, refused]


def node_hooks(torch):
    (x,) = tensors(torch, X)
    y = x.exp()
    seen = []
    y.grad_fn.register_prehook(lambda out: (out[0] * 3,))
    y.grad_fn.register_hook(lambda into, out: seen.append([plain(into), plain(out)]))
    y.grad_fn.register_hook(lambda into, out: (into[0] + 1,))
    y.sum().backward()
    return [x.grad, seen]


def module_hooks(torch):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh()).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.arange(p.numel()).reshape(p.shape) / 7 - 0.5)
    order = []
    layer = model[0]

    class Scale(torch.nn.Module):
        def forward(self, x, *, by=1.0):
            return x * by

    scale = Scale()
    scale.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"by": kwargs["by"] * 2}), with_kwargs=True
    )
    scale.register_forward_hook(
        lambda m, args, kwargs, out: order.append(kwargs["by"]), with_kwargs=True
    )
    layer.register_forward_pre_hook(lambda m, args: order.append("pre"))
    layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,), prepend=True)
    layer.register_forward_hook(lambda m, args, out: out + 1)
    layer.register_full_backward_pre_hook(lambda m, out: (out[0] * 2,))
    layer.register_full_backward_hook(lambda m, into, out: order.append([plain(into), plain(out)]))
    layer.register_full_backward_hook(lambda m, into, out: (into[0] * 10,))
    (x,) = tensors(torch, X)
    out = scale(model(x), by=2.0)
    out.sum().backward()
    return [out, x.grad, layer.weight.grad, order]


def saved_tensor_hooks(torch):
    (x,) = tensors(torch, X)
    packed = []

    def pack(t):
        packed.append([plain(t), torch.is_grad_enabled()])
        return t.numpy().copy()

    with torch.autograd.graph.saved_tensors_hooks(pack, torch.from_numpy):
        y = x.exp().sum()
    (g,) = torch.autograd.grad(y, [x], create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), [x])
    wrong = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        z = x.exp().sum()
    wrong.append(outcome(z.backward))

    def change():
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t):
            x.exp()

    def forbidden():
        with (
            torch.autograd.graph.disable_saved_tensors_hooks("no"),
            torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t),
        ):
            pass

    return [y, g, h, packed, wrong, outcome(change), outcome(forbidden)]


HOOKS = {f.__name__: f for f in (tensor_hooks, node_hooks, module_hooks, saved_tensor_hooks)}


# ---- grad, backward, recording -------------------------------------------------------------------


def grad_options(torch):
    x, y = tensors(torch, X, Y)
    grad = torch.autograd.grad

    def out():
        return (x * 2).sum()

    return [
        outcome(lambda: grad(out(), [x, y])),
        outcome(lambda: grad(out(), [x, y], allow_unused=True)),
        outcome(lambda: grad(out(), [x, y], materialize_grads=True)),
        outcome(lambda: grad(out(), [x, y], materialize_grads=True, allow_unused=False)),
        outcome(lambda: grad(out(), x)),
        outcome(lambda: grad(x * 2, [x])),
        outcome(lambda: grad([x * 2, x.sum()], [x], [torch.ones(2, 3).double(), None])),
        outcome(lambda: grad(x * 2, [x], torch.ones(3).double())),
        outcome(lambda: grad(out(), [x.detach()])),
        outcome(lambda: torch.autograd.backward([x.sum(), y.sum()], [None])),
        outcome(lambda: torch.autograd.backward([x * 2], [torch.ones(2, 3).double()])),
        x.grad,
    ]


def recording(torch):
    (x,) = tensors(torch, X)
    found = []

    def requires():
        return (x * 2).requires_grad

    @torch.no_grad()
    def decorated():
        return requires()

    @torch.no_grad
    def bare():
        return requires()

    @torch.enable_grad()
    def enabled():
        return requires()

    @torch.set_grad_enabled(False)
    def switched():
        return requires()

    @torch.inference_mode()
    def inferred():
        return requires()

    @torch.no_grad()
    def steps():
        received = yield requires()
        found.append(received)
        yield requires()

    class Holder:
        @torch.no_grad()
        def method(self):
            return requires()

    found += [decorated(), bare(), enabled(), switched(), inferred(), Holder().method()]
    generator = steps()
    found += [next(generator), requires(), generator.send("sent")]
    with torch.no_grad():
        found += [requires(), enabled()]
        with torch.set_grad_enabled(True):
            found.append(requires())
        found.append(requires())
    torch.set_grad_enabled(False)
    found += [requires(), torch.is_grad_enabled()]
    torch.set_grad_enabled(mode=True)
    with torch.inference_mode(mode=False):
        found.append(requires())
    with torch.autograd.grad_mode.no_grad():
        found.append(requires())
    return [*found, torch.is_grad_enabled(), decorated.__name__]


def variables(torch):
    made = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    kept = torch.autograd.Variable(torch.ones(2))
    return [made, made.requires_grad, isinstance(kept, torch.autograd.Variable), kept.requires_grad]


RECORDING = {f.__name__: f for f in (grad_options, recording, variables)}


# ---- checkpoints ---------------------------------------------------------------------------------


def checkpoints(use_reentrant):
    def program(torch):
        checkpoint = importlib.import_module(f"{torch.__name__}.utils.checkpoint")
        x, y = tensors(torch, X, Y)
        options = {"use_reentrant": use_reentrant}
        runs = []

        def function(a, b, k):
            runs.append(torch.is_grad_enabled())
            return (a * b).exp() * k, a.sin()

        made = checkpoint.checkpoint(function, x, y, 3, **options)
        sum(m.sum() for m in made).backward()
        again = checkpoint.checkpoint_sequential(
            [torch.exp, torch.sin, torch.exp], 2, x, preserve_rng_state=False, **options
        )
        return [
            *made, x.grad, y.grad, again, runs,
            outcome(lambda: torch.autograd.grad(again.sum(), [x])),
            outcome(lambda: checkpoint.checkpoint(lambda a, k: a * k, x, k=2.0, **options)),
        ]  # fmt: skip

    return program


CHECKPOINTS = {"not reentrant": checkpoints(False), "reentrant": checkpoints(True)}

REFUSED = {
    "jacobian, strict", "hessian, two elements", "hessian, strict", "vjp, wrong shape",
    "vjp, v missing", "jvp, strict", "hvp, strict", "vhp, not a Tensor", "too few", "too many",
    "one of two", "a number", "a shape",
}  # fmt: skip
PROGRAMS = FUNCTIONAL | FUNCTIONS | HOOKS | RECORDING | CHECKPOINTS


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_torch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (plain(PROGRAMS[name](lib)) for lib in (fastnn, torch))
    same(ours, theirs)
    assert isinstance(ours, str) == (name in REFUSED)


def test_anomalies_of_gradients_as_torch():
    torch = pytest.importorskip("torch")
    for lib in (fastnn, torch):
        x = lib.zeros(1, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with lib.autograd.detect_anomaly():
                y = (x.sqrt() * 0).sum()
                with pytest.raises(RuntimeError, match="returned nan values in its 0th output"):
                    y.backward()
