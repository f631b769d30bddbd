# SPDX-License-Identifier: BSD-3-Clause
"""The whole steps of programs.py by JAX, each one compiled function from state to state, its
recurrent layers and its smallest call.

Parameters are a dictionary by the names of torch's modules, and so are the optimiser's moments.
The state is donated, so that it is updated in place. Loaded by worker.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["prepare"]

_CHECKED = 3
_DROPOUT = 0.25
_EPS = 1e-5
_RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _layers(jax: Any) -> Any:
    """The layers that the models are made of."""
    jnp, lax = jax.numpy, jax.lax

    class Layers:
        """Functions of the parameters ``p`` and a layer's name."""

        @staticmethod
        def linear(p: Any, name: str, x: Any) -> Any:
            return x @ p[f"{name}weight"].T + p[f"{name}bias"]

        @staticmethod
        def conv(p: Any, name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
            pads = ((padding, padding),) * 2
            y = lax.conv_general_dilated(x, p[f"{name}.weight"], (stride, stride), pads)
            bias = p.get(f"{name}.bias")
            return y if bias is None else y + bias[:, None, None]

        @staticmethod
        def norm(p: Any, name: str, x: Any) -> Any:
            mean = x.mean((0, 2, 3), keepdims=True)
            var = jnp.square(x - mean).mean((0, 2, 3), keepdims=True)
            w, b = (p[f"{name}.{k}"][:, None, None] for k in ("weight", "bias"))
            return (x - mean) * lax.rsqrt(var + _EPS) * w + b

        @staticmethod
        def pool(x: Any, start: float, combine: Any) -> Any:
            return lax.reduce_window(x, start, combine, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    return Layers


def _lenet(jax: Any, f: Any, p: Any, x: Any) -> Any:
    tanh, add = jax.numpy.tanh, jax.lax.add
    x = f.pool(tanh(f.conv(p, "0", x, padding=2)), 0.0, add) / 4
    x = f.pool(tanh(f.conv(p, "3", x)), 0.0, add) / 4
    x = tanh(f.linear(p, "7.", x.reshape(len(x), -1)))
    return f.linear(p, "11.", tanh(f.linear(p, "9.", x)))


def _cnn(jax: Any, f: Any, p: Any, x: Any, key: Any, dropout: float) -> Any:
    relu = jax.nn.relu
    x = relu(f.norm(p, "norm1", f.conv(p, "0", x, padding=1)))
    x = relu(f.norm(p, "norm4", f.conv(p, "3", x, padding=1)))
    x = f.pool(x, -np.inf, jax.lax.max)
    if dropout:
        x = jax.numpy.where(jax.random.bernoulli(key, 1 - dropout, x.shape), x / (1 - dropout), 0.0)
    return f.linear(p, "11.", relu(f.linear(p, "9.", x.reshape(len(x), -1))))


def _resnet(jax: Any, f: Any, p: Any, x: Any) -> Any:
    relu = jax.nn.relu
    x = relu(f.norm(p, "norm", f.conv(p, "stem", x, padding=1)))
    for block, stride in (("block1", 1), ("block2", 2), ("block3", 2)):
        y = relu(f.norm(p, f"{block}.norm1", f.conv(p, f"{block}.conv1", x, stride, 1)))
        y = f.norm(p, f"{block}.norm2", f.conv(p, f"{block}.conv2", y, 1, 1))
        if f"{block}.shortcut.weight" in p:
            x = f.norm(p, f"{block}.norm3", f.conv(p, f"{block}.shortcut", x, stride))
        x = relu(y + x)
    return f.linear(p, "head.", x.mean((2, 3)))


def _lstm(jax: Any, p: Any, x: Any, name: str, suffix: str = "") -> Any:
    """One direction over (t, b, i), from zero states; the reverse one by its suffix."""
    jnp, sigmoid = jax.numpy, jax.nn.sigmoid
    w_ih, w_hh, b_ih, b_hh = (p[f"{name}{k}_l0{suffix}"] for k in _RECURRENT)
    recurrent = w_hh.T

    def cell(state: Any, x: Any) -> Any:
        h, c = state
        i, forget, g, o = jnp.split(x + h @ recurrent, 4, axis=1)
        c = sigmoid(forget) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((x.shape[1], recurrent.shape[0]))
    inputs = x @ w_ih.T + b_ih + b_hh
    return jax.lax.scan(cell, (zero, zero), inputs, reverse=bool(suffix))[1]


def _gru(jax: Any, p: Any, x: Any) -> Any:
    """torch's: the reset gate multiplies the recurrent product with its bias."""
    jnp, sigmoid = jax.numpy, jax.nn.sigmoid
    w_ih, w_hh, b_ih, b_hh = (p[f"{k}_l0"] for k in _RECURRENT)
    recurrent = w_hh.T

    def cell(h: Any, x: Any) -> Any:
        (xr, xz, xn), (hr, hz, hn) = (jnp.split(v, 3, axis=1) for v in (x, h @ recurrent + b_hh))
        z = sigmoid(xz + hz)
        h = (1 - z) * jnp.tanh(xn + sigmoid(xr + hr) * hn) + z * h
        return h, h

    zero = jnp.zeros((x.shape[1], recurrent.shape[0]))
    return jax.lax.scan(cell, zero, x @ w_ih.T + b_ih)[1]


def _characters(jax: Any, f: Any, p: Any, x: Any) -> Any:
    y = _lstm(jax, p, p["embedding.weight"][x], "lstm.")
    return f.linear(p, "head.", y.reshape(-1, y.shape[-1]))


def _model(jax: Any, name: str, dropout: float) -> Callable[..., Any]:
    f, relu = _layers(jax), jax.nn.relu

    def model(p: Any, x: Any, key: Any) -> Any:
        if name == "lenet":
            return _lenet(jax, f, p, x)
        if name == "cnn":
            return _cnn(jax, f, p, x, key, dropout)
        if name == "resnet_tiny":
            return _resnet(jax, f, p, x)
        if name == "charlstm":
            return _characters(jax, f, p, x)
        if name == "logreg":
            return f.linear(p, "", x)
        for layer in ("0.", "2.") if name == "mlp_big" else ("0.",):
            x = relu(f.linear(p, layer, x))
        return f.linear(p, "4." if name == "mlp_big" else "2.", x)

    return model


def _adam(jax: Any, p: Any, grads: Any, state: Any, lr: float) -> tuple[Any, Any]:
    """As torch's: betas 0.9 and 0.999, eps 1e-8."""
    tree = jax.tree_util.tree_map
    t = state["t"] + 1
    m = tree(lambda m, g: 0.9 * m + 0.1 * g, state["m"], grads)
    v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, state["v"], grads)
    first, second = 1 - 0.9**t, jax.numpy.sqrt(1 - 0.999**t)
    rate = lr / first
    p = tree(lambda p, m, v: p - rate * m / (jax.numpy.sqrt(v) / second + 1e-8), p, m, v)
    return p, {"t": t, "m": m, "v": v}


def _momentum(jax: Any, p: Any, grads: Any, state: Any, lr: float) -> tuple[Any, Any]:
    tree = jax.tree_util.tree_map
    m = tree(lambda m, g: 0.9 * m + g, state["m"], grads)
    return tree(lambda p, m: p - lr * m, p, m), {"m": m}


def _sgd(jax: Any, p: Any, grads: Any, state: Any, lr: float) -> tuple[Any, Any]:
    return jax.tree_util.tree_map(lambda p, g: p - lr * g, p, grads), state


_OPTIMIZERS = {
    "logreg": (_sgd, 0.01),
    "mlp_small": (_sgd, 0.01),
    "mlp_big": (_adam, 1e-4),
    "lenet": (_momentum, 0.1),
    "cnn": (_adam, 1e-4),
    "resnet_tiny": (_momentum, 0.01),
    "charlstm": (_adam, 1e-3),
}


def _step(jax: Any, name: str, arrays: dict[str, Any], dropout: float) -> Callable[[], Any]:
    jnp = jax.numpy
    model = _model(jax, name, dropout)
    update, lr = _OPTIMIZERS[name]

    def loss_of(p: Any, x: Any, target: Any, key: Any) -> Any:
        logits = jax.nn.log_softmax(model(p, x, key), 1)
        return -jnp.take_along_axis(logits, target[:, None], 1).mean()

    def step(p: Any, state: Any, key: Any, x: Any, target: Any) -> Any:
        key, own = jax.random.split(key) if dropout else (key, key)
        loss, grads = jax.value_and_grad(loss_of)(p, x, target, own)
        p, state = update(jax, p, grads, state, lr)
        return p, state, key, loss

    compiled = jax.jit(step, donate_argnums=(0, 1))
    p = {k[2:]: jnp.asarray(v) for k, v in arrays.items() if k.startswith("p.")}
    moments = {k: {n: jnp.zeros_like(v) for n, v in p.items()} for k in "mv"}
    needed = {_sgd: (), _momentum: ("m",), _adam: ("m", "v")}[update]
    state: Any = {k: moments[k] for k in needed}
    if update is _adam:
        state["t"] = jnp.zeros(())
    x, target = jnp.asarray(arrays["x"]), jnp.asarray(arrays["target"])
    held = [p, state, jax.random.key(0)]

    def run() -> Any:
        *held[:], loss = compiled(*held, x, target)
        return jax.block_until_ready(loss)

    return run


def _layer(
    jax: Any, name: str, arrays: dict[str, Any], backward: bool
) -> tuple[Callable[[], Any], list[Any]]:
    """A recurrent layer: its output, and the gradients of its input and its parameters."""
    p = {k[2:]: jax.numpy.asarray(v) for k, v in arrays.items() if k.startswith("p.")}
    x = jax.numpy.asarray(arrays["x"])
    suffixes = ("", "_reverse") if name == "lstm_bidirectional" else ("",)

    def layer(p: Any, x: Any) -> Any:
        if name == "gru":
            return _gru(jax, p, x)
        return jax.numpy.concatenate([_lstm(jax, p, x, "", s) for s in suffixes], axis=2)

    if not backward:
        forward = jax.jit(layer)
        return lambda: jax.block_until_ready(forward(p, x)), [np.asarray(forward(p, x))]
    shape = jax.eval_shape(layer, p, x).shape
    # Not a cosine alone: sums of it, as bias gradients are, would be all rounding.
    root = jax.numpy.asarray((0.5 + np.cos(np.arange(np.prod(shape)))).reshape(shape), "float32")

    def both(p: Any, x: Any, root: Any) -> Any:
        y, pull = jax.vjp(layer, p, x)
        return y, pull(root)

    compiled = jax.jit(both)
    y, (grads, grad) = compiled(p, x, root)
    found = [np.asarray(v) for v in (y, grad, *(grads[k] for k in p))]
    return lambda: jax.block_until_ready(compiled(p, x, root)), found


def prepare(
    adapter: Any, name: str, arrays: dict[str, Any], backward: bool
) -> tuple[Callable[[], Any], list[Any]]:
    """A function that runs a program, and its results: of a step, the first three losses."""
    jax = adapter.jax
    if name in ("lstm", "lstm_big", "lstm_bidirectional", "gru"):
        return _layer(jax, name, arrays, backward)
    if name == "add_8":
        add, x, y = jax.jit(jax.numpy.add), *(jax.numpy.asarray(arrays[k]) for k in "xy")
        return lambda: jax.block_until_ready(add(x, y)), [np.asarray(add(x, y))]
    if name == "chain_20":
        reason = "a compiler leaves nothing of the calls that chain_20 is about"
        raise NotImplementedError(reason)
    if not backward or name not in _OPTIMIZERS:
        reason = f"no JAX version of {name} is written down"
        raise NotImplementedError(reason)
    run = _step(jax, name, arrays, 0.0)  # masks differ, so the losses are those without
    losses = [float(run()) for _ in range(_CHECKED)]
    if name == "cnn":
        run = _step(jax, name, arrays, _DROPOUT)
        run()
    return run, [np.asarray(losses, np.float32)]
