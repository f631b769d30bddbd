# SPDX-License-Identifier: BSD-3-Clause
"""Why names of torch are not in fastnn: the first row whose pattern fits the whole name."""

from __future__ import annotations

import re

NOT_YET = "not there yet"
# (the name after its namespace, or from torch on; why)
_ROWS = tuple(
    (re.compile(pattern), why)
    for pattern, why in (
        (
            r"torch\.(bit|bits\w*|u?int[1-7]|uint(16|32|64)|float[48]\w*|q?u?int\d+x\d|quint\w+|qint\w+)",
            "element types: fastnn has bool, uint8, int8 to int64, float16, bfloat16, float32 and"
            " float64",
        ),
        (
            r".*(complex|cdouble|cfloat|chalf|conj|\.real$|\.imag$|angle|polar|view_as_real|_neg$"
            r"|\.m?H$|adjoint)\w*",
            "out of scope: complex numbers",
        ),
        (
            r"torch\.cuda\.(?!amp)\w+|torch\.accelerator\.\w+|torch\.backends\.\w+(\.\w+)?"
            r"|torch\.(Event|Stream)|torch\.Tensor\.(record_stream|pin_memory|is_pinned)",
            "streams, graphs, memory statistics and settings of CUDA and of other libraries",
        ),
        (
            r".*(sparse|Sparse|coalesce|crow_|col_indices|row_indices|ccol|_mm_|\.hspmm|\.spmm|\.smm"
            r"|\.s?saddmm|\.sspaddmm|\.dsmm|\.hsmm|to_dense|dense_dim|\.indices|\.values|resize_and"
            r"|to_padded|nested|is_nested)\w*",
            "out of scope: sparse and nested tensors",
        ),
        (
            r".*(quant|qscheme|int_repr|\.q_|fbgemm|choose_qparams|fake_|fused_moving|qat|torch\.ao"
            r"|intrinsic|scaled_mm|grouped_mm|ScalingType|SwizzleType)\w*",
            "out of scope: quantised tensors",
        ),
        (
            r".*(autocast|\.amp$|GradScaler)\w*",
            "not there yet: mixed precision",
        ),
        (
            r"torch\.(compile|compiler|export|fx|cond|jit|func|functional_call|vmap|library|_dynamo)$"
            r"|.*Module\.compile",
            "not there yet: compiled steps, function transforms",
        ),
        (
            r"torch\.(sym_\w+|Sym\w+|\w+_copy|Script\w+|import_ir\w*|parse_\w+|merge_type\w+"
            r"|unify_type\w+|fork|wait|AVG|SUM|init_num_threads|native_\w+|classes|cpp|futures"
            r"|hash_tensor|is_storage|overrides|package|return_types|types|utils_\w+|profiler"
            r"|monitor|thread_safe_generator|is_vulkan\w*|has_\w+|batch_norm_\w+|empty_permuted"
            r"|norm_except_dim|segment_reduce|set_warn_always|is_warn_always\w*|version"
            r"|torch_version|is_anomaly\w+|set_anomaly\w+|convolution|unsafe_\w+|\w+_(cell|relu|tanh)"
            r"|gru|lstm|affine_grid_generator|grid_sampler\w*|constant_pad_nd|embedding_renorm_"
            r"|narrow_copy|storage|get_device\w*|from_file|Tag|ops)"
            r"|torch\.Tensor\.(unsafe_\w+|narrow_copy|const_data_ptr|dim_order|grad_dtype|hash_tensor"
            r"|module_load|storage_type|reinforce|volatile|name|as_subclass|__\w+__|index)"
            r"|torch\.Generator\.\w+|torch\.autograd\.(Nested\w+|profiler\w*|enforce\w+|set_multi\w+)"
            r"|torch\.autograd\.graph\.(region|set_)\w+|torch\.random\.thread\w+",
            "parts of torch itself: its compiler, profiler, interpreter",
        ),
        (
            r".*(cudnn_|miopen|mkldnn_|to_mkldnn|is_mkldnn|xpu|mtia|ipu|vulkan|maia|is_xla|is_mps"
            r"|torch\.mps|torch\.cpu$|is_meta|kleidiai|nnpack|cusparselt|opt_einsum|\.mha$|is_acl"
            r"|python_native)\w*",
            "other devices and libraries",
        ),
        (
            r".*(distributed|Distributed|DataParallel|SyncBatchNorm|multiprocessing|share_memory"
            r"|is_shared|nn\.parallel|nccl)\w*",
            "several processes or devices: not there",
        ),
        (
            r".*(Storage|storage)$|torch\.Tensor\.(set_|is_set_to|resize\w*|as_strided\w*)"
            r"|torch\.(as_strided\w*|empty_strided)|torch\.Tensor\.new_empty_strided",
            "storages, and tensors made of them by strides",
        ),
        (r".*DataPipe\w*|torch\.utils\.data\.(\w+_determinism|\w*validation\w*|graph\w*|datapipes"
         r"|DataChunk|functional_datapipe|non_deterministic)", "data pipes"),
        (
            r"torch\.(adaptive_\w+|alpha_dropout_?|avg_pool1d|batch_norm|binary_cross\w+|conv\d\w+"
            r"|conv_t\w+|cosine_embedding_loss|ctc_loss|dropout_?|embedding|embedding_bag"
            r"|feature_\w+|group_norm|hardshrink|hinge_\w+|instance_norm|kl_div|layer_norm"
            r"|margin_ranking_loss|max_pool\w+|poisson_nll_loss|rms_norm|triplet_margin_loss)"
            r"|torch\.Tensor\.(hardshrink|prelu)",
            "second names that torch does not document: in `nn.functional`",
        ),
        (
            r"torch\.(fft|stft|istft|signal|\w+_window)|torch\.Tensor\.i?stft",
            "not there yet: Fourier transforms",
        ),
        (
            r"torch\.linalg\.\w+|torch\.(Tensor\.)?(cholesky\w*|qr|svd|eig|symeig|lstsq|lu\w*|solve"
            r"|triangular_solve|geqrf|orgqr|ormqr|pinverse|matrix_exp|lobpcg|chain_matmul"
            r"|nuclear_norm|frobenius_norm)",
            "not there yet: decompositions and what is made of them",
        ),
        (r"torch\.special\.\w+|torch\.(Tensor\.)?(i0_?|igamma\w*|mvlgamma_?)",
         "not there yet: rarer special functions"),
        (r"torch\.nn\.(Lazy\w+|Uninitialized\w+)", "not there yet: parameters shaped by the first"
         " call"),
        (r"torch\.distributions|torch\.hub|torch\.masked|torch\.quasirandom",
         "not there yet: packages beside torch's core"),
    )
)  # fmt: skip


def reason_of(path: str, name: str) -> str:
    """The reason for one name."""
    full = f"{path}.{name}"
    return next((why for pattern, why in _ROWS if pattern.fullmatch(full)), NOT_YET)
