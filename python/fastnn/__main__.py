# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastnn``: the ``fastnn`` command without its script."""

from __future__ import annotations

import sys

from fastnn.cli import main

sys.exit(main())
