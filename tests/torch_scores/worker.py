# SPDX-License-Identifier: BSD-3-Clause
"""Scores names in a process of its own: what crashes takes only this process with it.

Reads one JSON object a line, {"name": ..., "skip": [labels], "forms": whether methods and in-place
forms are scored in the function's place}; writes a line {"at": label} before
each sample and {"record": ...} at the end of a name.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import warnings
from typing import Any

import torch

from . import functions, modules, variants
from .names import GROUPS
from .record import Record


def score(name: str, skip: set[str], forms: bool, say: Any) -> Record:
    """The record of a name, as far as it is the same from run to run."""

    def step(label: str) -> bool:
        say({"at": label})
        return label not in skip

    torch.manual_seed(0)
    start = time.perf_counter()
    if GROUPS.get(name) == "modules":
        record = modules.score(name, step)
    else:
        record = (variants if forms else functions).score(name, step)
    record.seconds = round(time.perf_counter() - start, 3)
    return record


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what else is printed must not stand between the lines
    faulthandler.enable()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    def say(entry: Any) -> None:
        out.write(json.dumps(entry) + "\n")
        out.flush()

    say({"at": ""})
    for line in sys.stdin:
        job = json.loads(line)
        say({"record": score(job["name"], set(job["skip"]), job["forms"], say).as_json()})


if __name__ == "__main__":
    main()
