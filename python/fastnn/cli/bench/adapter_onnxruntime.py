# SPDX-License-Identifier: BSD-3-Clause
"""onnxruntime, forward only: every case or layer is a model of one node.

Weights are constants of the model, as in every deployed one, so that they are packed beforehand.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_OPSET = 20
_SIMPLE = {
    "elu": "Elu",
    "exp": "Exp",
    "leaky_relu": "LeakyRelu",
    "log": "Log",
    "mm": "MatMul",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}


def _pair(value: Any) -> list[int]:
    return list(value) if isinstance(value, list | tuple) else [value, value]


def _node(case: dict[str, Any], arguments: list[Any]) -> tuple[str, dict[str, Any]]:
    """The operator of a case, and its attributes."""
    name, kwargs = case["name"], case["kwargs"]
    if name in _SIMPLE and set(kwargs) <= {"alpha"}:
        given = {"alpha": 0.01} if name == "leaky_relu" else {}
        return _SIMPLE[name], given | kwargs
    if name in ("conv2d", "conv_transpose2d"):
        attributes = {
            "strides": _pair(kwargs.get("stride", 1)),
            "pads": _pair(kwargs.get("padding", 0)) * 2,
            "group": kwargs.get("groups", 1),
        }
        return ("Conv" if name == "conv2d" else "ConvTranspose"), attributes
    if name in ("max_pool2d", "avg_pool2d"):
        size = _pair(arguments[1])
        attributes = {
            "kernel_shape": size,
            "strides": _pair(kwargs.get("stride", size)),
            "pads": _pair(kwargs.get("padding", 0)) * 2,
        }
        if name == "avg_pool2d":
            attributes["count_include_pad"] = 1
        return ("MaxPool" if name == "max_pool2d" else "AveragePool"), attributes
    if name in ("softmax", "log_softmax"):
        return ("Softmax" if name == "softmax" else "LogSoftmax"), {"axis": arguments[1]}
    if name == "linear" and not kwargs:
        return "Gemm", {"transB": 1}
    if name == "gelu":
        return "Gelu", kwargs
    if name == "layer_norm":
        return "LayerNormalization", {"axis": -len(arguments[1]), "epsilon": 1e-5}
    reason = f"no onnxruntime version of {case['id']} is written down"
    raise NotImplementedError(reason)


class Adapter:
    """Runs cases and recurrent layers by onnxruntime; see worker.py for the interface."""

    programs = "steps_onnxruntime"

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        if options.get("device", "cpu") != "cpu":
            reason = "expected device cpu, got another; it is timed on the CPU only"
            raise NotImplementedError(reason)
        self._runtime = importlib.import_module("onnxruntime")
        self._onnx = importlib.import_module("onnx")
        self._threads = threads

    def about(self) -> dict[str, Any]:
        """Versions."""
        return {
            "onnxruntime": self._runtime.__version__,
            "onnx": self._onnx.__version__,
            "numpy": np.__version__,
            "python": sys.version.split()[0],
        }

    def model(
        self, operator: str, inputs: list[Any], outputs: int, attributes: dict[str, Any]
    ) -> Callable[[], Any]:
        """A function that runs one node: its first input is the data, None is an absent one."""
        helper, numpy_helper = self._onnx.helper, self._onnx.numpy_helper
        names = ["" if a is None else f"i{n}" for n, a in enumerate(inputs)]
        results = [f"o{n}" for n in range(outputs)]
        node = helper.make_node(operator, names, results, **attributes)
        kind = self._onnx.TensorProto.FLOAT
        constants = [
            numpy_helper.from_array(a, n)
            for n, a in zip(names[1:], inputs[1:], strict=True)
            if a is not None
        ]
        graph = helper.make_graph(
            [node],
            "case",
            [helper.make_tensor_value_info("i0", kind, inputs[0].shape)],
            [helper.make_tensor_value_info(name, kind, None) for name in results],
            constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        made = helper.make_model(graph, opset_imports=[opset], ir_version=10)
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        session = self._runtime.InferenceSession(
            made.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feed = {"i0": inputs[0]}
        return lambda: session.run(results, feed)

    def prepare(
        self, case: dict[str, Any], arguments: list[Any], backward: bool
    ) -> Callable[[], Any]:
        """A function that runs the case."""
        if backward:
            reason = "onnxruntime computes no gradients"
            raise NotImplementedError(reason)
        operator, attributes = _node(case, arguments)
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        return self.model(operator, arrays, 1, attributes)

    def arrays(self, value: Any) -> list[Any]:
        """The outputs."""
        return list(value)
