# SPDX-License-Identifier: BSD-3-Clause
"""torch's names that are scored, by priority, and what their scores have to reach.

A function is scored by the samples that torch's OpInfo database has under its name, a module by
those of the ModuleInfo database.
"""

from __future__ import annotations

_CORE = """
    abs neg positive sign add sub rsub mul div true_divide pow reciprocal sqrt rsqrt square exp
    exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh sigmoid erf floor
    ceil round trunc clamp clamp_min clamp_max maximum minimum fmod remainder floor_divide
    addcmul addcdiv lerp nan_to_num where __radd__ __rsub__ __rmul__ __rdiv__ __rpow__
    __rmatmul__ eq ne lt le gt ge isclose allclose equal isnan isinf isfinite logical_and
    logical_or logical_xor logical_not sum mean prod max min amax amin argmax argmin all any var
    std var_mean std_mean logsumexp norm cumsum cumprod linalg.vector_norm linalg.norm
    count_nonzero reshape view view_as permute transpose t T mT squeeze unsqueeze flatten
    unflatten expand expand_as broadcast_to cat stack chunk split split_with_sizes unbind tile
    repeat repeat_interleave roll flip narrow select movedim contiguous meshgrid diag diagonal
    tril triu clone hstack vstack to float double int long bool __getitem__ index_select gather
    scatter scatter_add masked_fill masked_select take_along_dim index_add index_put nonzero
    topk sort argsort unique zeros ones full arange linspace eye zeros_like ones_like full_like
    new_zeros new_ones new_full matmul mm bmm mv dot outer addmm baddbmm einsum tensordot
    softmax log_softmax
"""

_CORE_FUNCTIONAL = """
    softmin relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign hardtanh
    hardsigmoid hardswish logsigmoid tanhshrink threshold prelu glu linear conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d max_pool1d max_pool2d avg_pool1d avg_pool2d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d batch_norm layer_norm group_norm
    instance_norm embedding dropout pad interpolate unfold one_hot normalize cosine_similarity
    scaled_dot_product_attention pixel_shuffle cross_entropy nll_loss mse_loss l1_loss
    smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div
"""

_THEN = """
    float_power atan2 asinh acosh atanh erfc erfinv lgamma digamma frac fmax fmin hypot
    logaddexp logaddexp2 xlogy copysign heaviside sinc deg2rad rad2deg logit ldexp __rmod__
    isposinf isneginf signbit bitwise_and bitwise_or bitwise_xor bitwise_not isin aminmax cummax
    cummin logcumsumexp median nanmedian nansum nanmean quantile kthvalue mode dist
    linalg.matrix_norm reshape_as ravel broadcast_tensors dstack column_stack tensor_split
    fliplr flipud rot90 atleast_1d atleast_2d atleast_3d diag_embed unfold block_diag
    cartesian_prod hsplit vsplit dsplit diff scatter_reduce masked_scatter take index_copy
    index_fill argwhere msort unique_consecutive searchsorted bucketize bincount select_scatter
    slice_scatter diagonal_scatter put logspace tril_indices triu_indices scalar_tensor vdot
    inner addmv addbmm addr kron cdist cross trace linalg.multi_dot linalg.vecdot linalg.inv
    linalg.det linalg.solve linalg.cholesky linalg.matrix_power renorm short byte half cov
    corrcoef
"""

_THEN_FUNCTIONAL = """
    hardshrink softshrink rrelu conv_transpose3d max_pool3d avg_pool3d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool3d max_unpool1d max_unpool2d local_response_norm
    rms_norm embedding_bag dropout2d dropout3d alpha_dropout pixel_unshuffle channel_shuffle
    grid_sample bilinear pairwise_distance pdist upsample_bilinear upsample_nearest ctc_loss
    cosine_embedding_loss gaussian_nll_loss hinge_embedding_loss margin_ranking_loss
    multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss poisson_nll_loss
    soft_margin_loss triplet_margin_loss triplet_margin_with_distance_loss
    multi_head_attention_forward
"""

_MODULES = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
    AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d BCELoss BCEWithLogitsLoss BatchNorm1d
    BatchNorm2d BatchNorm3d Bilinear CELU CTCLoss CircularPad1d CircularPad2d CircularPad3d
    ConstantPad1d ConstantPad2d ConstantPad3d Conv1d Conv2d Conv3d ConvTranspose1d
    ConvTranspose2d ConvTranspose3d CosineEmbeddingLoss CrossEntropyLoss ELU Embedding GELU GLU
    GRU GRUCell GaussianNLLLoss GroupNorm Hardshrink Hardswish Hardtanh HingeEmbeddingLoss
    HuberLoss InstanceNorm1d InstanceNorm2d InstanceNorm3d KLDivLoss L1Loss LPPool1d LPPool2d
    LPPool3d LSTM LSTMCell LayerNorm LeakyReLU Linear LocalResponseNorm LogSigmoid LogSoftmax
    MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d Mish MultiLabelMarginLoss
    MultiLabelSoftMarginLoss MultiMarginLoss MultiheadAttention NLLLoss PReLU PoissonNLLLoss
    RMSNorm RNN RNNCell ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d
    ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU SiLU Sigmoid SmoothL1Loss
    SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink
    Threshold Transformer TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer
    ZeroPad1d ZeroPad2d ZeroPad3d
"""

CORE = (*_CORE.split(), *(f"nn.functional.{name}" for name in _CORE_FUNCTIONAL.split()))
THEN = (*_THEN.split(), *(f"nn.functional.{name}" for name in _THEN_FUNCTIONAL.split()))
MODULES = tuple(f"nn.{name}" for name in _MODULES.split())

GROUPS = {
    **dict.fromkeys(CORE, "core"),
    **dict.fromkeys(THEN, "then"),
    **dict.fromkeys(MODULES, "modules"),
}

# What must be passed: of every core name, of all functions' samples together, of every module.
CORE_LEAST, ALL_LEAST, MODULES_LEAST = 0.90, 0.97, 1.0


def selected(only: list[str]) -> list[str]:
    """The names that are meant: ``softmax``, ``nn.functional.relu`` or ``relu``, ``nn.ReLU``, and
    the groups ``core``, ``then`` and ``modules``. Raises ValueError for what is not scored."""
    if not only:
        return list(GROUPS)
    chosen: dict[str, None] = {}
    for given in only:
        full = (given, f"nn.functional.{given}", f"nn.{given}")
        found = [n for n, group in GROUPS.items() if n in full or group == given]
        if not found:
            message = f"--only: expected a name that is scored, got {given!r}; see names.py"
            raise ValueError(message)
        chosen.update(dict.fromkeys(found))
    return list(chosen)
