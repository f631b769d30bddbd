# SPDX-License-Identifier: BSD-3-Clause
"""Rates of a row, its shares of the machine's ceilings, and what to doubt in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.cli.bench.peers import OWN
from fastnn.cli.bench.stats import Summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastnn.cli.bench.ceilings import Bandwidth, Ceilings, Cost

__all__ = ["add_shares"]

# A share above 1 is the scatter of two measurements; above this, one of them is wrong.
_MAX_SHARE = 1.05


def add_shares(
    result: dict[str, Any],
    kept: Sequence[Mapping[str, float]],
    cost: Cost,
    top: Ceilings,
    seen: Sequence[Bandwidth] = (),
) -> None:
    """Adds them to a result. ``seen``: the memory's rates, read between the rounds that were
    ``kept``."""
    medians = {n: np.median([t[n] for t in kept]).item() for n in kept[0]}  # ns
    result["cost"] = {
        "flops": cost.flops, "least_flops": cost.needed, "traffic": cost.traffic,
        "working_set": cost.working_set,
    }  # fmt: skip
    if cost.flops and cost.needed:
        # Rates of the definition's operations, whichever way they are saved: so that they compare.
        result["gflops"] = {n: cost.flops / t for n, t in medians.items()}
        result["fma_peak_gflops"] = peak = top.fma_beside
        if peak:
            shares = [cost.needed / t[OWN] / peak for t in kept]
            result["share_of_fma_peak"] = Summary.of(shares).as_dict()
    if cost.traffic:
        result["gb_per_s"] = {n: cost.traffic / t for n, t in medians.items()}
        if rate := top.bandwidth(cost, seen):
            result["bandwidth_gb_per_s"] = rate
            shares = [cost.traffic / t[OWN] / rate for t in kept]
            result["share_of_bandwidth"] = Summary.of(shares).as_dict()
    if (floor := top.time_us(cost, seen)) is not None:
        result["floor_us"] = floor
        shares = [1e3 * floor / t[OWN] for t in kept]
        result["share_of_ceiling"] = Summary.of(shares).as_dict()
    _doubt(result)


def _doubt(result: dict[str, Any]) -> None:
    """Remarks on shares above 1: a ceiling is none, if what is timed is faster."""
    if result.get("share_of_fma_peak", {}).get("median", 0) > 1:
        what = "faster than the ceiling: the probe was never alone on the cores"
        result["disturbed"].append(what)
        return
    shares = (("share_of_bandwidth", "the memory's ceiling"), ("share_of_ceiling", "the floor"))
    for key, name in shares:
        if (share := result.get(key, {}).get("median", 0)) > _MAX_SHARE:
            what = "the rates read around it were disturbed, or its least traffic is not the least"
            result["beyond"] = f"{share:.0%} of {name}: {what}"
            result["disturbed"].append(result["beyond"])
            return
        if share > 1:
            result["notes"].append(f"{share:.1%} of {name}: as fast as the machine, within scatter")
            return
