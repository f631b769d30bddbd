# SPDX-License-Identifier: BSD-3-Clause
"""Special functions under the names of torch.special: those that fastnn has anyway, some under
another name."""

from __future__ import annotations

# isort: off
from fastnn.ops import (
    digamma, erf, erfc, erfinv, exp2, expm1, log1p, log_softmax, logit, logsumexp, polygamma,
    round, sinc, softmax, xlogy,
)  # fmt: skip
from fastnn.ops._aliases import expit, gammaln, psi
# isort: on

__all__ = [
    "digamma", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "log1p",
    "log_softmax", "logit", "logsumexp", "polygamma", "psi", "round", "sinc", "softmax", "xlogy",
]  # fmt: skip
