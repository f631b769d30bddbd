# SPDX-License-Identifier: BSD-3-Clause
"""Differences from torch that parameters do not show: what is said of a name on the page.

Names without a dot beyond the namespace are in each namespace of the row that has them.
"""

from __future__ import annotations

_F = "torch.nn.functional"
_ROWS: tuple[tuple[str, str, str], ...] = (
    # namespaces, names, sentence
    (
        "torch torch.Tensor torch.nn.functional",
        "softmax log_softmax",
        "`dim` has to be given: torch warns and chooses",
    ),
    (_F, "softmin", "`dim` has to be given: torch warns and chooses"),
    ("torch.nn", "Softmax LogSoftmax Softmin", "`dim` has to be given: torch warns and chooses"),
    (
        _F,
        "mse_loss l1_loss smooth_l1_loss huber_loss soft_margin_loss kl_div poisson_nll_loss"
        " hinge_embedding_loss",
        "input and target have one shape: nothing is broadcast",
    ),
    (
        "torch.nn",
        "MSELoss L1Loss SmoothL1Loss HuberLoss SoftMarginLoss KLDivLoss PoissonNLLLoss"
        " HingeEmbeddingLoss",
        "input and target have one shape: nothing is broadcast",
    ),
    (
        _F,
        "cross_entropy",
        "warns if its input looks like a softmax's output; NaN in ignored rows gives gradient 0",
    ),
    ("torch.nn", "CrossEntropyLoss", "warns if its input looks like a softmax's output"),
    (
        _F,
        "binary_cross_entropy",
        "gradient for targets at input 0 or 1: ±100, in torch ±inf",
    ),
    (_F, "margin_ranking_loss", "the inputs have one shape: nothing is broadcast"),
    ("torch.nn", "MarginRankingLoss", "the inputs have one shape: nothing is broadcast"),
    (_F, "kl_div", "gradient for targets of 0: -inf, in torch NaN"),
    (
        _F,
        "dropout alpha_dropout feature_alpha_dropout dropout1d dropout2d dropout3d",
        "other numbers than torch's from one seed; a dropped NaN is 0",
    ),
    (
        "torch",
        "rand randn randint randperm rand_like randn_like randint_like normal bernoulli"
        " multinomial",
        "other numbers than torch's from one seed (Philox4x32-10)",
    ),
    (
        "torch.Tensor",
        "normal_ uniform_ bernoulli bernoulli_ random_ exponential_ geometric_ log_normal_ cauchy_"
        " multinomial",
        "other numbers than torch's from one seed (Philox4x32-10)",
    ),
    ("torch torch.random", "get_rng_state", "16 bytes, of another generator than torch's"),
    (
        "torch.linalg",
        "svd",
        "matrices that are not square need `full_matrices=False`",
    ),
    ("torch", "ops", "fastnn's operations, not a registry of them"),
    ("torch", "testing", "`assert_close`, and fastnn's own case table"),
    (
        "torch",
        "autocast",
        "raises where it would be enabled (bfloat16 or float16): `enabled=False` changes nothing",
    ),
    ("torch torch.cuda", "amp", "`autocast`, which can be off only, and `GradScaler`"),
    ("torch", "serialization", "what reads and writes files, without torch's settings of it"),
    ("torch.nn", "attention", "the file of `MultiheadAttention`, without `sdpa_kernel`"),
    (
        "torch",
        "Tensor",
        "results of operations on a subclass are plain tensors; `__torch_function__` is refused",
    ),
    ("torch", "Size", "`tensor.shape` is a plain tuple, equal to the `Size` of its numbers"),
    ("torch.Tensor", "shape size", "a plain tuple: `x.numel()`, not `x.shape.numel()`"),
    ("torch torch.Tensor", "clone", "always C-contiguous: strides are not kept"),
    ("torch", "save", "writes safetensors whatever the suffix; raises for other values than these"),
    ("torch", "load", "reads safetensors and torch's files; nothing is unpickled"),
    (
        "torch",
        "use_deterministic_algorithms are_deterministic_algorithms_enabled",
        "always deterministic: the setting changes nothing",
    ),
    (
        "torch",
        "set_float32_matmul_precision get_float32_matmul_precision",
        "changes nothing: products of float32 are computed in float32; other words raise",
    ),
    (
        "torch",
        "set_default_device",
        "accepts the place where tensors are made already, which FASTNN_BACKEND chooses",
    ),
    (
        "torch torch.Tensor",
        "masked_fill where clamp",
        "numbers beyond the type's range become ±inf, where torch raises",
    ),
    (
        "torch.Tensor",
        "masked_fill_ clamp_",
        "numbers beyond the type's range become ±inf, where torch raises",
    ),
    ("torch torch.Tensor", "any all", "`dim=()` is over everything, in torch over nothing"),
    ("torch.Tensor", "numpy", "bfloat16 gives an array of `ml_dtypes.bfloat16`"),
    (
        "torch.Tensor",
        "requires_grad",
        "False for a view taken under `no_grad`, whatever its base",
    ),
    (_F, "linear", "weight (o, k) and bias (o,): no vectors, no broadcasting"),
    (
        _F,
        "adaptive_avg_pool1d adaptive_avg_pool2d",
        "a size of 0 raises, where torch gives NaN",
    ),
    (
        _F,
        "relu6 hardtanh hardsigmoid softshrink hardshrink",
        "gradient at NaN passes, in torch 0",
    ),
    (_F, "embedding embedding_bag", "`sparse=True` gives dense gradients"),
    ("torch.nn", "Embedding EmbeddingBag", "`sparse=True` gives dense gradients"),
    ("torch.nn", "TransformerEncoder", "`enable_nested_tensor` changes nothing"),
    (
        "torch.nn",
        "BatchNorm1d BatchNorm2d BatchNorm3d",
        "an empty batch of other channels raises",
    ),
    (
        "torch.nn",
        "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
        "an empty batch leaves running statistics, in torch NaN",
    ),
    (
        "torch.nn.init",
        "kaiming_normal_ kaiming_uniform_",
        "a wrong `mode` raises for empty tensors, too",
    ),
    ("torch.nn.Module", "state_dict", "arguments by keyword only"),
    (
        "torch.nn.Module",
        "register_full_backward_hook register_full_backward_pre_hook",
        "an output without gradient gives zeros, in torch None; returned `(None,)` keeps it",
    ),
    (
        "torch.optim",
        "SGD Adam AdamW Adagrad Adadelta Adamax NAdam RAdam RMSprop Rprop ASGD",
        "`differentiable=True` raises; warns of parameters without gradient at the first step",
    ),
    (
        "torch.autograd",
        "detect_anomaly set_detect_anomaly",
        "looks at forward results and infinities, too",
    ),
    (
        "torch.autograd",
        "grad",
        "`is_grads_batched` raises; of a tensor with a hook the gradient after it, in torch before",
    ),
    (
        "torch.autograd.functional",
        "jacobian hessian",
        "`vectorize` and `strategy` change nothing",
    ),
    (
        "torch.utils.data",
        "DataLoader",
        "workers are threads; an `IterableDataset` is read by one of them; `pin_memory` and"
        " `multiprocessing_context` change nothing; samples are stacked without history",
    ),
    ("torch.utils.data", "RandomSampler", "`num_samples=0` is accepted"),
    (
        "torch.cuda",
        "manual_seed manual_seed_all seed seed_all initial_seed get_rng_state set_rng_state"
        " get_rng_state_all set_rng_state_all",
        "there is one default generator, the GPU's if `is_available()`",
    ),
    ("torch.cuda", "is_bf16_supported", "always False"),
    ("torch.cuda torch.accelerator", "memory_allocated memory_reserved", "by CuPy's pool"),
    (
        "torch.backends.cudnn",
        "allow_tf32 benchmark benchmark_limit deterministic enabled flags",
        "kept, changes nothing: cuDNN is not used",
    ),
    ("torch.backends.cudnn", "is_available is_acceptable", "always False"),
    ("torch.backends.cuda", "matmul", "its switches are kept and change nothing"),
    ("torch.backends.mkl torch.backends.mkldnn torch.backends.mps", "is_available", "always False"),
    ("torch.backends.openmp", "is_available", "always False"),
    ("torch.backends.mps", "is_built", "always False"),
    ("torch.backends.mkldnn", "enabled deterministic", "kept, changes nothing"),
)


def _table() -> dict[str, str]:
    found: dict[str, str] = {}
    for namespaces, names, sentence in _ROWS:
        for path in namespaces.split():
            for name in names.split():
                full = f"{path}.{name}"
                found[full] = f"{found[full]}; {sentence}" if full in found else sentence
    return found


# full name of torch's -> sentence
DIFFERENCES = _table()

# Parameters that torch's stubs describe otherwise than its parser takes them, and those that
# fastnn takes in a way that its signature does not show: full name -> parameters not compared.
TAKEN: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("torch.tensor", "torch.Tensor.new_tensor"),
        frozenset(("dtype", "device", "requires_grad", "pin_memory")),
    ),
    **dict.fromkeys(
        (f"{path}.{name}" for path in ("torch", "torch.Tensor") for name in ("max", "min")),
        frozenset(("other",)),
    ),
    **dict.fromkeys(
        (f"torch.Tensor.{name}" for name in ("polygamma", "polygamma_")), frozenset(("n",))
    ),
    "torch.Tensor.requires_grad_": frozenset(("mode",)),
    "torch.nn.functional.gelu": frozenset(("approximate",)),
    **dict.fromkeys(("torch.scatter", "torch.Tensor.scatter"), frozenset(("value",))),
    "torch.Tensor.scatter_": frozenset(("value",)),
}
