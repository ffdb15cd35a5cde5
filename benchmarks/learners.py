"""How near to the optimum a learner comes in a given time, over several seeds, on days it has not seen, in pandapower.

``python benchmarks/learners.py --algorithm gradient --seconds 30 --output results/gradient [--seeds 0 1 2 3 4]``

Each seed is a `neomflex train` of its own, started as a user starts it, with nothing compiled beforehand; its seconds
run from the command's start. Then the testing days are played and every step is replayed in pandapower. The optimum is
perfect foresight over the same days. What is printed is read back from `seeds.csv`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from neomflex_jax.commands.played_runs import record_runs
from validation import validate


@dataclass(frozen=True)
class Options:
    """Train, play and replay several seeds."""

    output: Path
    algorithm: str = "sac"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    seconds: float = 120.0
    """From the command's start to its end, compilation and the last save included."""
    spare_seconds: float = 3.0
    """Of these, for starting Python, the chunk that is being made, the last save and the comparison."""
    scenario: str = "neom33"
    extra: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """More flags for neomflex train, for example --extra=--power-flow --extra=calibrated."""


def main() -> None:
    """Run and print."""
    options = tyro.cli(Options)
    reference, _ = _costs(None, options, options.output / "optimum")
    rows = []
    for seed in options.seeds:
        folder = options.output / f"seed_{seed}"
        seconds = _train(options, seed, folder / "run")
        costs, report = _costs(folder / "run", options, folder / "validation")
        controlled = report.runs[0]
        rows.append(
            {
                "seed": seed,
                "command_seconds": round(seconds, 1),
                "environment_steps": json.loads((folder / "run" / "result.json").read_text())["steps"],
                "day_cost_recorded": controlled.metrics.mean_day_cost.recorded,
                "day_cost_pandapower": costs["controlled"],
                "over_optimum": costs["controlled"] / reference["perfect_foresight"],
                "no_control_pandapower": reference["no_control"],
                "optimum_pandapower": reference["perfect_foresight"],
                "hard_violations": controlled.metrics.hard.agreed + controlled.metrics.hard.missed,
                "voltage_error_max_pu": controlled.metrics.vm_pu.max_abs,
                "verdict": controlled.verdict,
            }
        )
        pd.DataFrame(rows).to_csv(options.output / "seeds.csv", index=False)
    table = pd.read_csv(options.output / "seeds.csv")
    print(table.to_string(index=False, float_format="{:.4g}".format))
    over = table["over_optimum"]
    print(f"day cost over the optimum, {len(over)} seeds: median {over.median():.3f}, worst {over.max():.3f}")


def _train(options: Options, seed: int, run: Path) -> float:
    """Train by the command, with an empty compilation cache; gives its seconds."""
    budget = options.seconds - options.spare_seconds
    command = [sys.executable, "-m", "neomflex_jax", "train", "--scenario", options.scenario]
    command += ["--algorithm", options.algorithm, "--seed", str(seed), "--max-seconds", str(budget)]
    command += ["--output", str(run), *options.extra]
    started = time.monotonic()
    subprocess.run(command, check=True, env={**os.environ, "NEOMFLEX_CACHE": "off"})
    return time.monotonic() - started


def _costs(run: Path | None, options: Options, output: Path) -> tuple[dict[str, float], object]:
    """Mean day cost in pandapower by run, and the report: of policies, or of the yardsticks if there are none."""
    yardsticks = ("no_control", "perfect_foresight") if run is None else ()
    scenario = options.scenario if run is None else None
    output.mkdir(parents=True, exist_ok=True)
    played = record_runs(run, None, None, baseline=False, yardsticks=yardsticks, scenario=scenario, cache=output)
    report = validate(played.trajectories, output, policies=played.policies, schedules=played.yardsticks)
    return {each.run: each.metrics.mean_day_cost.pandapower for each in report.runs}, report


if __name__ == "__main__":
    main()
