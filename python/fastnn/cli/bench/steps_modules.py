# SPDX-License-Identifier: BSD-3-Clause
"""The programs of programs.py by a library of modules: torch, and fastnn, which has its names.

Loaded by worker.py. ``adapter.library`` is the imported library; ``adapter.tensor(array)`` and
``adapter.numpy(tensor)`` convert; ``adapter.options`` may hold fused, channels_last and compile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["prepare"]

_CHECKED = 3  # steps, or updates
_DROPOUT = 0.25
# name -> optimiser and its arguments
_OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "logreg": ("SGD", {"lr": 0.01}),
    "mlp_small": ("SGD", {"lr": 0.01}),
    "mlp_big": ("Adam", {"lr": 1e-4}),
    "lenet": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "cnn": ("Adam", {"lr": 1e-4}),
    "resnet_tiny": ("SGD", {"lr": 0.01, "momentum": 0.9}),
    "charlstm": ("Adam", {"lr": 1e-3}),
    "adam": ("Adam", {"lr": 1e-3}),
    "sgd": ("SGD", {"lr": 1e-3}),
    "sgd_momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}),
}


def _sequential(nn: Any, name: str, dropout: float) -> Any:
    if name == "logreg":
        return nn.Linear(64, 10)
    if name == "mlp_small":
        return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    if name == "mlp_big":
        return nn.Sequential(
            nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10)
        )
    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(dropout), nn.Flatten(),
        nn.Linear(12544, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def _resnet(nn: Any) -> Any:
    relu = nn.functional.relu

    def conv(inputs: int, outputs: int, k: int, stride: int) -> Any:
        return nn.Conv2d(inputs, outputs, k, stride=stride, padding=k // 2, bias=False)

    class Block(nn.Module):  # type: ignore[misc, unused-ignore]
        """Two convolutions around which the input, or a projection of it, is added."""

        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = conv(inputs, outputs, 3, stride)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = conv(outputs, outputs, 3, 1)
            self.norm2 = nn.BatchNorm2d(outputs)
            self.projects = inputs != outputs
            if self.projects:
                self.shortcut = conv(inputs, outputs, 1, stride)
                self.norm3 = nn.BatchNorm2d(outputs)

        def forward(self, x: Any) -> Any:
            y = relu(self.norm1(self.conv1(x)))
            y = self.norm2(self.conv2(y))
            return relu(y + (self.norm3(self.shortcut(x)) if self.projects else x))

    class ResNet(nn.Module):  # type: ignore[misc, unused-ignore]
        """A stem, three blocks, the mean over the image, a linear layer."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = conv(3, 16, 3, 1)
            self.norm = nn.BatchNorm2d(16)
            self.block1 = Block(16, 16, 1)
            self.block2 = Block(16, 32, 2)
            self.block3 = Block(32, 64, 2)
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            y = relu(self.norm(self.stem(x)))
            return self.head(self.block3(self.block2(self.block1(y))).mean((2, 3)))

    return ResNet()


def _characters(nn: Any) -> Any:
    class Characters(nn.Module):  # type: ignore[misc, unused-ignore]
        """Embedding, LSTM, linear layer."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(65, 64)
            self.lstm = nn.LSTM(64, 256)
            self.head = nn.Linear(256, 65)

        def forward(self, x: Any) -> Any:
            y, _ = self.lstm(self.embedding(x))
            return self.head(y.reshape(-1, 256))

    return Characters()


def _fill(adapter: Any, model: Any, arrays: dict[str, Any]) -> Any:
    """Gives a model its initial weights, in the order of its parameters."""
    given = [array for name, array in arrays.items() if name.startswith("p.")]
    with adapter.library.no_grad():
        for p, array in zip(model.parameters(), given, strict=True):
            p.copy_(adapter.tensor(array))
    model.to(adapter.device)
    if adapter.options.get("channels_last"):
        model.to(memory_format=adapter.library.channels_last)
    return model


def _optimizer(adapter: Any, name: str, parameters: Any) -> Any:
    kind, arguments = _OPTIMIZERS[name]
    fused = {"fused": True} if adapter.options.get("fused") else {}
    return getattr(adapter.library.optim, kind)(parameters, **arguments, **fused)


def _step(adapter: Any, name: str, arrays: dict[str, Any], dropout: float) -> Callable[[], Any]:
    library = adapter.library
    nn = library.nn
    if name == "resnet_tiny":
        model = _resnet(nn)
    elif name == "charlstm":
        model = _characters(nn)
    else:
        model = _sequential(nn, name, dropout)
    _fill(adapter, model, arrays)
    x, target = adapter.tensor(arrays["x"]), adapter.tensor(arrays["target"])
    if adapter.options.get("channels_last"):
        if x.ndim != 4:
            reason = f"{name} has no images, so channels_last changes nothing"
            raise NotImplementedError(reason)
        x = x.contiguous(memory_format=library.channels_last)
    optimizer = _optimizer(adapter, name, model.parameters())
    cross_entropy = nn.functional.cross_entropy

    def loss_of(x: Any, target: Any) -> Any:
        return cross_entropy(model(x), target)

    compiled = adapter.compiled(loss_of)

    def step() -> Any:
        optimizer.zero_grad()
        loss = compiled(x, target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _plain(adapter: Any, name: str, *options: str) -> None:
    """Refuses the options that change nothing for a program."""
    for option in (*options, "channels_last"):
        if adapter.options.get(option):
            reason = f"{name} is timed without {option}"
            raise NotImplementedError(reason)


def _layer(
    adapter: Any, name: str, arrays: dict[str, Any], backward: bool
) -> tuple[Callable[[], Any], list[Any]]:
    _plain(adapter, name)
    library = adapter.library
    x = adapter.tensor(arrays["x"])
    inputs, hidden = x.shape[-1], arrays["p.weight_hh_l0"].shape[1]
    options: dict[str, Any] = {}
    option = name.removeprefix("lstm_")
    if option in ("peephole", "layer_norm"):
        if library.__name__ != "fastnn":
            reason = f"it has no LSTM with {option}"
            raise NotImplementedError(reason)
        options = {} if adapter.options.get("plain") else {option: True}
    kind = library.nn.GRU if name == "gru" else library.nn.LSTM
    model = kind(inputs, hidden, bidirectional=option == "bidirectional", **options)
    if options:
        own = dict(model.named_parameters())
        arrays = {f"p.{k}": arrays.get(f"p.{k}", adapter.numpy(p)) for k, p in own.items()} | {
            "x": arrays["x"]
        }
    _fill(adapter, model, arrays)
    compiled = adapter.compiled(lambda x: model(x)[0])
    if not backward:

        def forward() -> Any:
            with library.no_grad():
                return compiled(x)

        return forward, [adapter.numpy(forward())]
    x.requires_grad_()
    leaves = [x, *model.parameters()]
    shape = tuple(compiled(x).shape)
    # Not a cosine alone: sums of it, as bias gradients are, would be all rounding.
    root = (0.5 + np.cos(np.arange(np.prod(shape)))).reshape(shape)
    grad = adapter.tensor(root.astype(np.float32))

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = compiled(x)
        y.backward(grad)
        return y

    return run, [adapter.numpy(run()), *(adapter.numpy(leaf.grad) for leaf in leaves)]


def _update(adapter: Any, name: str, arrays: dict[str, Any]) -> tuple[Callable[[], Any], list[Any]]:
    _plain(adapter, name, "compile")
    parameters = []
    for _ in range(int(arrays["count"])):
        p = adapter.library.nn.Parameter(adapter.tensor(arrays["p"]))
        p.grad = adapter.tensor(arrays["grad"])
        parameters.append(p)
    optimizer = _optimizer(adapter, name, parameters)
    for _ in range(_CHECKED):
        optimizer.step()
    return optimizer.step, [adapter.numpy(parameters[-1])]


def _calls(adapter: Any, name: str, arrays: dict[str, Any]) -> tuple[Callable[[], Any], list[Any]]:
    _plain(adapter, name)
    x, y = adapter.tensor(arrays["x"]), adapter.tensor(arrays["y"])
    x.requires_grad_()
    if name == "add_8":
        y.requires_grad_()
        if adapter.options.get("compile"):
            add = adapter.compiled(lambda x, y: x + y)
            return (lambda: add(x, y)), [adapter.numpy(add(x, y))]
        return (lambda: x + y), [adapter.numpy(x + y)]
    if adapter.options.get("compile"):
        reason = "a compiler leaves nothing of the calls that chain_20 is about"
        raise NotImplementedError(reason)
    grad = adapter.tensor(np.ones(8, np.float32))

    def chain() -> None:
        x.grad = None
        z = x
        for _ in range(20):
            z = z + y
        z.backward(grad)

    chain()
    return chain, [adapter.numpy(x.grad)]


def prepare(
    adapter: Any, name: str, arrays: dict[str, Any], backward: bool
) -> tuple[Callable[[], Any], list[Any]]:
    """A function that runs a program, and its results."""
    if "target" in arrays:
        step = _step(adapter, name, arrays, 0.0)  # masks differ, so the losses are those without
        losses = [float(step()) for _ in range(_CHECKED)]
        if name == "cnn":
            step = _step(adapter, name, arrays, _DROPOUT)
            step()
        return step, [np.asarray(losses, np.float32)]
    if "grad" in arrays:
        return _update(adapter, name, arrays)
    if any(key.startswith("p.") for key in arrays):
        return _layer(adapter, name, arrays, backward)
    return _calls(adapter, name, arrays)
