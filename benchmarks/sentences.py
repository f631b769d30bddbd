# SPDX-License-Identifier: BSD-3-Clause
"""What the README says beside its table of a result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import targets, verdicts
from fastnn.cli.bench.peers import OWN, PEERS

# OpenBLAS's names of processors whose kernels use AVX-512.
_AVX512_CORES = ("SkylakeX", "Cooperlake", "SapphireRapids")


def limited(content: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The rows of a kind that have a limit and a value."""
    return [
        row
        for row in content["rows"]
        if row["kind"] == kind and row["status"] != "reported" and row.get("value")
    ]


def is_behind(row: Mapping[str, Any]) -> bool:
    """Whether fastnn took longer than the best peer."""
    return bool(row["value"]["median"] > 1)


def is_option(row: Mapping[str, Any]) -> bool:
    """Whether it holds fastnn with an option against fastnn without: nobody is behind there."""
    peer = PEERS.get(row.get("best_peer") or "")
    return peer is not None and peer.library == OWN


def names(text: str, rows: Sequence[Mapping[str, Any]], of: str = "") -> str:
    """A sentence that counts rows and names them."""
    rows = [row for row in rows if not is_option(row)]
    behind = [row["name"].removeprefix(of) for row in rows if is_behind(row)]
    return f"{text} {len(behind)} of {len(rows)} rows" + (
        f": {', '.join(behind)}" if behind else ""
    )


def others(content: Mapping[str, Any]) -> str:
    """The rows that are neither ratios nor shares: memory, import, size."""
    rows = [row for kind in ("memory", "import", "size") for row in limited(content, kind)]
    words = [
        f"{row['name']} {row['value']['median']:.3g} {targets.UNITS[row['kind']]} "
        f"(at most {row['limit']:g}"
        + (", **missed**" if row["verdict"] == verdicts.MISSED else "")
        + (", disturbed" if row["disturbed"] else "")
        + ")"
        for row in rows
    ]
    return f"Also: {'; '.join(words)}." if words else ""


def share(row: Mapping[str, Any]) -> str:
    """A row of kind ceiling, in words."""
    of = "FMA peak" if row.get("ceiling") == "fma" else "copy bandwidth"
    text = f"{row['name']} {100 * row['value']['median']:.0f} % of the {of}"
    missed = ", **missed**" if row["verdict"] == verdicts.MISSED else ""
    disturbed = ", disturbed" if row["disturbed"] else ""
    return f"{text} (at least {100 * row['limit']:.0f} %{missed}{disturbed})"


def shares(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of kind ceiling, and what a share of more than all means."""
    text = f"Shares of ceilings: {'; '.join(map(share, rows))}."
    if any(row["value"]["median"] > 1 and row.get("ceiling") == "copy" for row in rows):
        text += " Those above 100 %: no copy that was timed beside the row moved bytes as fast."
    return text


def kernels(content: Mapping[str, Any]) -> str:
    """Which kernels MKL and OpenBLAS choose on the machine of a result, if it has AVX-512.

    MKL keeps to AVX2 on processors that are not Intel's; OpenBLAS says what it chose, which
    differs between its versions.
    """
    versions = content["versions"]
    if versions[OWN].get("isa") != "x86_v4":
        return ""
    mkl = "AVX-512" if content["machine"].get("vendor") == "GenuineIntel" else "AVX2"
    core = versions.get("numpy", {}).get("blas", "").split()[2:]
    blas = "AVX-512" if core and core[0] in _AVX512_CORES else "AVX2"
    chosen = [f"MKL, in `torch`, runs {mkl} kernels"]
    chosen += [f"OpenBLAS, in `numpy`, {blas} ones ({core[0]})"] if core else []
    held = [("`torch`", mkl), ("`numpy`", blas if core else "")]
    behind = [name for name, level in held if level == "AVX2"]
    text = f"By default {' and '.join(chosen)} on this processor"
    if behind:
        tuned = "; `torch-tuned` has MKL run AVX-512" if mkl == "AVX2" else ""
        return f"{text}: a lead over {' and '.join(behind)} is partly that{tuned}."
    return (
        f"{text}; on AMD processors with AVX-512 MKL runs AVX2 ones, and so does OpenBLAS on "
        "models that it does not know."
    )


def absent(content: Mapping[str, Any]) -> list[targets.Row]:
    """What targets.toml has and the file has no value for."""
    has = {row["name"] for row in content["rows"] if row.get("value")}
    return [row for row in targets.load() if row.name not in has]


def reasons(content: Mapping[str, Any]) -> str:
    """A line for each reason why rows are known to be missed: which, by how much, and why."""
    known = {row.name: row.reason for row in targets.load()}
    shared: dict[str, list[str]] = {}  # by reason
    for row in content["rows"]:
        why = known.get(row["name"]) or row.get("reason", "")
        missed = row["verdict"] in (verdicts.MISSED, verdicts.DISTURBED)
        if not (why and missed and row["status"] != "reported" and row.get("value")):
            continue
        unit, side = targets.UNITS[row["kind"]], "at most"
        got, limit = (f"{x:.2f}" for x in (row["value"]["median"], row["limit"]))
        if unit == "share":
            got, limit = (f"{100 * x:.0f} %" for x in (row["value"]["median"], row["limit"]))
            side = "at least"
        elif unit != "x":
            got = f"{got} {unit}"
        rows = shared.setdefault(" ".join(why.split()), [])
        rows.append(f"{row['name']} ({got}, {side} {limit})")
    lines = [f"- {', '.join(rows)}: {why}" for why, rows in shared.items()]
    return "\n".join(["Known to be missed:", "", *lines]) if lines else ""


def unlimited(content: Mapping[str, Any]) -> str:
    """In how many rows without a limit fastnn is behind, and how many there are beside them."""
    rows = [r for r in content["rows"] if r["status"] == "reported" and r["kind"] == "ratio"]
    rows = [row for row in rows if row.get("value")]
    missing = sum(row.limit is None and row.kind == "ratio" for row in absent(content))
    if not rows:
        return f"None of the {missing} rows without a target was measured in this result."
    text = names("Of what is timed without a target, fastnn is behind in", rows)
    more = f"; {missing} more were not measured in this result" if missing else ""
    return f"{text}{more}."
