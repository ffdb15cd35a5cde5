"""How a learner does on every packaged task and on CIGRE's MV grid, beside no control and MAPDN's droop, in pandapower.

``python benchmarks/all_tasks.py --output results/all_tasks [--busy] [--tasks neom33 voltage33] [--seeds 0 1 2]``

Each training is a `neomflex train` of its own, nothing compiled beforehand, its seconds counted from the command's
start; with `--busy` two endless loops run beside it. Then the unseen days are played and replayed in pandapower.
`tasks.csv` grows with every training, and a second call makes only what is missing. What is printed is read back from
there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import tyro

from neomflex_jax.commands.played_runs import record_runs
from validation import validate

CIGRE = "cigre_mv"
TASKS = ("neom33", "neom33-original", "voltage33", "neom69", "neom141", "lv_kerber", CIGRE)
RULES = ("no_control", "mapdn_droop")
KEY = ["task", "algorithm", "seed", "seconds", "busy"]
LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with who started it


@dataclass(frozen=True)
class Options:
    """Train, play and replay."""

    output: Path
    tasks: tuple[str, ...] = TASKS
    """Packaged scenarios, TOML files, or cigre_mv, which is made from pandapower's network."""
    seeds: tuple[int, ...] = (0, 1, 2)
    algorithm: str = "sac"
    seconds: float = 120.0
    """From the command's start to its end, compilation and the last look included."""
    spare_seconds: float = 6.0
    """Of these, for starting Python, the chunk that is being made, the last save and the comparison."""
    busy: bool = False
    """Two endless loops beside each training."""
    extra: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """More flags for neomflex train, for example --extra=--sac.reward-scale --extra=1."""


def main() -> None:
    """Run and print."""
    options = tyro.cli(Options)
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "tasks.csv"
    rows = pd.read_csv(table).to_dict("records") if table.exists() else []
    for task in options.tasks:
        for seed in options.seeds:
            key = dict(zip(KEY, (task, options.algorithm, seed, options.seconds, options.busy), strict=True))
            if any(all(row[name] == value for name, value in key.items()) for row in rows):
                continue
            rows.append(key | _row(options, task, seed))
            pd.DataFrame(rows).to_csv(table, index=False)
            print(f"{key}: {rows[-1]['day_cost']:.4g} a day, no control {rows[-1]['no_control']:.4g}", flush=True)
    _print(pd.read_csv(table))


def _print(done: pd.DataFrame) -> None:
    """One line a task: median and worst seed beside the rules."""
    groups = done.groupby([name for name in KEY if name != "seed"], sort=False)
    rules = groups[list(RULES)].first()
    costs = groups["day_cost"].agg(["median", "max"]).add_prefix("day_cost_")
    sums = groups.agg(seeds=("seed", "size"), hard_violations=("hard_violations", "sum"), steps=("steps", "median"))
    worst_is_better = costs["day_cost_max"] < rules.min(axis=1)
    summary = pd.concat([rules, costs, sums, worst_is_better.rename("better_than_both")], axis=1)
    print(summary.reset_index().to_string(index=False, float_format="{:.4g}".format))


def _row(options: Options, task: str, seed: int) -> dict[str, Any]:
    scenario = _cigre(options.output / "scenarios") if task == CIGRE else task
    folder = options.output / Path(task).stem / f"{options.algorithm}_{seed}{'_busy' * options.busy}"
    rules = _rules(scenario, options.output / Path(task).stem)
    run = folder / "run"
    seconds = _train(options, scenario, seed, run)
    played = record_runs(run, None, None, baseline=False)
    controlled = validate(played.trajectories, folder / "validation", policies=played.policies).runs[0]
    result = json.loads((run / "result.json").read_text())
    return {
        "command_seconds": round(seconds, 1),
        "steps": result["steps"],
        "day_cost": controlled.metrics.mean_day_cost.pandapower,
        **rules,
        "hard_violations": controlled.metrics.hard.agreed + controlled.metrics.hard.missed,
        "verdict": controlled.verdict,
        "said_at_the_end": result["comparison"]["sentence"],
    }


def _rules(scenario: str, folder: Path) -> dict[str, float]:
    """Mean day costs of the rules in pandapower, worked out once a task."""
    kept = folder / "rules.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        played = record_runs(None, None, None, baseline=False, yardsticks=RULES, scenario=scenario)
        report = validate(played.trajectories, folder / "rules", policies=played.policies, schedules=played.yardsticks)
        kept.write_text(json.dumps({each.run: each.metrics.mean_day_cost.pandapower for each in report.runs}))
    costs: dict[str, float] = json.loads(kept.read_text())
    return costs


def _train(options: Options, scenario: str, seed: int, run: Path) -> float:
    """Train by the command, with an empty compilation cache; gives its seconds."""
    command = [sys.executable, "-m", "neomflex_jax", "train", "--scenario", scenario, "--algorithm", options.algorithm]
    command += ["--seed", str(seed), "--max-seconds", str(options.seconds - options.spare_seconds)]
    command += ["--output", str(run), *(["--overwrite"] if run.exists() else []), *options.extra]
    with _endless_loops(2 * options.busy):
        started = time.monotonic()
        subprocess.run(command, check=True, env={**os.environ, "NEOMFLEX_CACHE": "off"})
        return time.monotonic() - started


@contextmanager
def _endless_loops(n: int) -> Iterator[None]:
    """Keep the machine busy meanwhile."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _cigre(folder: Path) -> str:
    """Make a task of CIGRE's MV grid as a user does, with three agents."""
    scenario = folder / f"{CIGRE}.toml"
    if not scenario.exists():
        import pandapower
        import pandapower.networks

        folder.mkdir(parents=True, exist_ok=True)
        net = folder / f"{CIGRE}.json"
        pandapower.to_json(pandapower.networks.create_cigre_network_mv(), str(net))
        command = [sys.executable, "-m", "neomflex_jax", "scenario", "new", "--from", str(net)]
        subprocess.run([*command, "--agents", "3", "--output", str(scenario)], check=True)
    return str(scenario)


if __name__ == "__main__":
    main()
