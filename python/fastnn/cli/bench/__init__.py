# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn bench``: fastnn's kernels and whole training steps beside those of other libraries.

``command.py`` is the command. ``peers.PEERS`` says how a peer is started at its best; ``worker.py``
is the program of its process and loads one ``adapter_<library>.py`` and, for whole steps, one
``steps_<...>.py``. None of these three kinds imports fastnn (only its own adapter does), so that a
peer may live in an environment where fastnn is not installed.

``session.py`` owns the processes of a run, ``measure.py`` takes the samples, ``ceilings.py`` knows
what the machine can do and whether it is quiet, ``shares.py`` holds a result against it, and
``report.py`` and ``plots.py`` show the results; ``files.py`` writes files whole or not at all.
The acceptance of the source tree, ``python -m benchmarks.check``, is built on the same parts.
"""

from __future__ import annotations
