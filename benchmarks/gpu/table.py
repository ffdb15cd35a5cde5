"""Turn the JSONs of `run.sh` into the table of docs/gpu.md: ``python benchmarks/gpu/table.py [FOLDER]``.

What has no JSON is "not measured"; a rehearsal's figures (``--small``) are none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NOT_MEASURED = "not measured"
GIB = 2**30


def read(folder: Path, stage: str) -> dict[str, Any] | None:
    """Return a stage's figures; None where there are none of a whole run."""
    path = folder / f"{stage}.json"
    figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return None if figures is None or figures["small"] else figures


def rows(folder: Path) -> list[tuple[str, str]]:
    """Return what was asked and what was found, a pair a line."""
    flows, steps, memory = (read(folder, stage) for stage in ("flows", "steps", "memory"))
    table = []
    for n_bus in (33, 141, 533, 2000):
        rates = [] if flows is None else list(flows["flows_per_second"].items())
        best = max((rate for name, rate in rates if name.startswith(f"{n_bus} buses, ac,")), default=None)
        table.append((f"`ac`, {n_bus} buses, flows/s", NOT_MEASURED if best is None else f"{best:,.0f}"))
        shares = {} if flows is None else flows.get("share_of_bandwidth", {})
        share = max((part for name, part in shares.items() if name.startswith(f"{n_bus} buses, ac,")), default=None)
        said = NOT_MEASURED if share is None else f"{100 * share:.0f} %"
        table.append((f"the same, share of the card's bandwidth that its data need, {n_bus} buses", said))
    best = None if steps is None else max(steps["steps_per_second"].values())
    table.append(("`neom33`, environment steps/s", NOT_MEASURED if best is None else f"{best:,.0f}"))
    for stage, what in (("gradient", "gradient"), ("sac", "SAC")):
        found = read(folder, stage)
        for times in (1.35, 1.15):
            near = [row for row in (found or {}).get("budgets", ()) if row["over_optimum"] <= times]
            least = min((row["command_seconds"] for row in near), default=None)
            said = "in no budget" if found is not None and least is None else NOT_MEASURED
            said = said if least is None else f"{least:.0f} s"
            table.append((f"{what}, from the command's start to {times} times the optimum", said))
    for stage, what in (("seeds", "gradient, ten seeds"), ("seeds100", "gradient, a hundred seeds")):
        found = read(folder, stage)
        said = NOT_MEASURED if found is None else f"{found['steps']:,} steps, {found['command_seconds']:.0f} s"
        table.append((f"{what}, from the command's start to its end", said))
    tests = read(folder, "device")
    said = NOT_MEASURED if tests is None else "passed" if tests["passed"] else "failed"
    table.append(("fast tests marked `device`", said))
    peak = None if memory is None else memory["memory"].get("bytes_limit")
    table.append(("memory that JAX may take", NOT_MEASURED if peak is None else f"{peak / GIB:.0f} GiB"))
    return table


def markdown(folder: Path) -> str:
    """Return the table."""
    devices = {read_["device"] for stage in ("flows", "steps", "sac") if (read_ := read(folder, stage)) is not None}
    lines = [f"| | {', '.join(sorted(devices)) or 'GPU'} |", "|---|---|"]
    return "\n".join(lines + [f"| {what} | {found} |" for what, found in rows(folder)])


if __name__ == "__main__":
    print(markdown(Path(sys.argv[1] if len(sys.argv) > 1 else "results/gpu")))
