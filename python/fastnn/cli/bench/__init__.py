# SPDX-License-Identifier: BSD-3-Clause
"""The peers that fastnn is timed against, and the process that each of them runs in.

``peers.PEERS`` says how a peer is started at its best; ``worker.py`` is the program of its process
and loads one ``adapter_<library>.py``. Neither imports fastnn (only its own adapter does), so that
a peer may live in an environment where fastnn is not installed.
"""

from __future__ import annotations
