# SPDX-License-Identifier: BSD-3-Clause
"""Functions of nn.functional that torch also has as ``torch.layer_norm`` and the like, some with
other arguments; what they compute, and their errors, are those of nn.functional."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import ops
from fastnn.ops import _common
from fastnn.ops.batch_norm import batch_norm as _batch_norm
from fastnn.ops.dropout import dropout as _dropped
from fastnn.ops.embedding import embedding as _embedding
from fastnn.ops.group_norm import group_norm as _group_norm
from fastnn.ops.layer_norm import layer_norm as _layer_norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn.tensor import Tensor


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:
    """`nn.functional.layer_norm`, as torch.layer_norm; ``cudnn_enable`` changes nothing."""
    del cudnn_enable
    return _layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`nn.functional.group_norm`, as torch.group_norm; ``cudnn_enabled`` changes nothing."""
    del cudnn_enabled
    return _group_norm(input, num_groups, weight, bias, eps)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """`nn.functional.batch_norm` with weight and bias first, as torch.batch_norm;
    ``cudnn_enabled`` changes nothing."""
    del cudnn_enabled
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """`nn.functional.embedding` with the weight first, as torch.embedding; a ``padding_idx`` of -1
    is none."""
    padding = None if padding_idx == -1 else padding_idx
    return _embedding(
        indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """`nn.functional.max_pool1d` without indices, as torch.max_pool1d."""
    stride = None if stride == () else stride
    return ops.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """`nn.functional.max_pool2d` without indices, as torch.max_pool2d."""
    stride = None if stride == () else stride
    return ops.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """`nn.functional.adaptive_max_pool1d` with its indices, as torch.adaptive_max_pool1d."""
    return ops.adaptive_max_pool1d(input, output_size, True)  # type: ignore[no-any-return]


def _dropout(name: str, function: Callable[..., Tensor], in_place: bool) -> Any:
    def drop(input: Tensor, p: float, train: bool) -> Tensor:
        return function(input, p, train, in_place)

    drop.__name__ = drop.__qualname__ = name
    plain = function.__name__
    drop.__doc__ = f"`nn.functional.{plain}`{' in place' * in_place}, as torch.{name}."
    return drop


dropout = _dropout("dropout", _dropped, False)
dropout_ = _dropout("dropout_", _dropped, True)
alpha_dropout = _dropout("alpha_dropout", ops.alpha_dropout, False)
alpha_dropout_ = _dropout("alpha_dropout_", ops.alpha_dropout, True)
feature_alpha_dropout = _dropout("feature_alpha_dropout", ops.feature_alpha_dropout, False)
feature_alpha_dropout_ = _dropout("feature_alpha_dropout_", ops.feature_alpha_dropout, True)


def detach_(input: Tensor) -> Tensor:
    """`Tensor.detach_`, as torch.detach_."""
    _common.require_tensor("detach_", "input", input)
    return input.detach_()
