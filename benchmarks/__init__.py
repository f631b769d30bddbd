# SPDX-License-Identifier: BSD-3-Clause
"""What fastnn promises about speed and size, and whether it holds on this machine.

``python -m benchmarks.check`` measures the rows of targets.toml; ``python -m benchmarks.compare``
compares two of its result files, ``python -m benchmarks.table`` writes one as a table. What
measures is in ``fastnn.cli.bench``.
"""

from __future__ import annotations
