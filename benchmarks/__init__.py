# SPDX-License-Identifier: BSD-3-Clause
"""What fastnn promises about speed and size, and whether it holds on this machine.

``python -m benchmarks.check`` measures the rows of targets.toml,
``python -m benchmarks.compare A B`` compares two of its result files.
"""

from __future__ import annotations
