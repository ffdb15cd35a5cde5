"""Who does how well on every task: rules, planners and learners, on unseen days, in pandapower, beside the optimum.

``python benchmarks/all_tasks.py --output results/all_tasks [--tasks neom33 voltage33] [--who sac] [--seeds 0 1 2]``

Each training is a `neomflex train` of its own, nothing compiled beforehand, its seconds counted from the command's
start; with `--busy` two endless loops run beside it, with `--by-steps` its budget is in steps, which no load changes,
and with `--together` one command trains all seeds side by side, at a third of the time.
Then the unseen days are played and replayed in pandapower. `tasks.csv` grows row by row, and a second call makes only
what is missing or failed (`--dry-run` lists it). `tasks.json`, `tasks.md` and `tasks.png` are made from it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import tyro
from all_tasks_report import KEY, write_report

from neomflex_jax.commands.played_runs import PlayedRuns, record_runs
from neomflex_jax.errors import InputError
from validation import validate

MADE = {  # what `scenario new` makes them of, and for how many agents
    "cigre_mv": ("pandapower:create_cigre_network_mv()", 3),
    "simbench_lv": ("simbench:1-LV-semiurb4--1-no_sw", 6),
    "simbench_mv": ("simbench:1-MV-rural--1-no_sw", 6),
}
PACKAGED = ("neom33", "neom33-original", "voltage33", "neom69", "neom141", "lv_kerber", "ev33")
LEARNERS = ("sac", "gradient")
WHO = ("no_control", "volt_var", "mapdn_droop", "model_predictive", *LEARNERS, "perfect_foresight")
NO_BUDGET = "-"
USED = "used.json"
LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with who started it


@dataclass(frozen=True)
class Options:
    """Train, play and replay."""

    output: Path
    tasks: tuple[str, ...] = (*PACKAGED, *MADE)
    """Packaged scenarios, TOML files, or cigre_mv, simbench_lv, simbench_mv, which are made with `scenario new`."""
    who: tuple[str, ...] = WHO
    """Yardsticks and learners."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Of the learners."""
    sac_seconds: float = 120.0
    """From the command's start to its end, compilation and the last look included."""
    gradient_seconds: float = 60.0
    """Likewise."""
    spare_seconds: float = 6.0
    """Of these, for starting Python, the chunk that is being made, the last save and the comparison."""
    by_steps: bool = False
    """Train for the steps that the defaults are tuned for, in place of seconds."""
    together: bool = False
    """With --by-steps: train all seeds in one command; each row has an equal share of its time."""
    busy: bool = False
    """Two endless loops beside each training."""
    dry_run: bool = False
    """List the rows that are missing, and make none."""
    extra: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """More flags for neomflex train, for example --extra=--sac.reward-scale --extra=1."""

    def check_together(self) -> None:
        """Refuse seeds that one command cannot train."""
        first, *_ = self.seeds
        if self.together and not (self.by_steps and self.seeds == tuple(range(first, first + len(self.seeds)))):
            raise InputError("--together takes --by-steps and seeds that follow one another, for example --seeds 0 1 2")

    def seconds(self, who: str) -> float | None:
        """Return a learner's budget in seconds; None where it has one in steps."""
        return None if self.by_steps else {"sac": self.sac_seconds, "gradient": self.gradient_seconds}[who]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield what tells the rows apart, in the order in which they are made: the seeds come last."""
        for seed, task, who in product(self.seeds, self.tasks, self.who):
            if who in LEARNERS:
                seconds = self.seconds(who)
                budget = "tuned steps" if seconds is None else f"{seconds:g} s"
                yield dict(zip(KEY, (task, who, seed, budget, self.busy), strict=True))
            elif seed == self.seeds[0]:
                yield dict(zip(KEY, (task, who, 0, NO_BUDGET, False), strict=True))


def main(arguments: list[str] | None = None) -> None:
    """Make the rows that are missing, and what is said of all."""
    options = tyro.cli(Options, args=arguments)
    options.check_together()
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "tasks.csv"
    rows = pd.read_csv(table).to_dict("records") if table.exists() else []
    done = [{name: row[name] for name in KEY} for row in rows if row["day_cost"] == row["day_cost"]]
    missing = [key for key in options.rows() if key not in done]
    for number, key in enumerate(missing, 1):
        print(f"{number} of {len(missing)}: {', '.join(f'{name} {value}' for name, value in key.items())}", flush=True)
        if options.dry_run:
            continue
        rows = [row for row in rows if any(row[name] != value for name, value in key.items())]  # not the failed one
        rows.append(key | _row(options, key))
        pd.DataFrame(rows).to_csv(table, index=False)
    if table.exists() and not options.dry_run:
        write_report(pd.read_csv(table), options.output)
        print((options.output / "tasks.md").read_text(encoding="utf-8"))


def _row(options: Options, key: dict[str, Any]) -> dict[str, Any]:
    """Return what came of a row; where it could not be made, a note that says why."""
    load = round(os.getloadavg()[0], 1)
    try:
        scenario = _scenario(options.output / "scenarios", key["task"])
        made = _trained(options, key, scenario) if key["who"] in LEARNERS else _played(options, key, scenario)
    except (InputError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stdout", None) or str(error)
        return {"day_cost": float("nan"), "load": load, "note": " ".join(said.split())[-300:]}
    return {"load": load, **made}


def _played(options: Options, key: dict[str, Any], scenario: str) -> dict[str, Any]:
    """Play a yardstick; its seconds are those of playing, planning included."""
    cache = options.output / "optimum"
    cache.mkdir(exist_ok=True)
    started = time.monotonic()
    played = record_runs(None, None, None, baseline=False, yardsticks=(key["who"],), scenario=scenario, cache=cache)
    seconds = round(time.monotonic() - started, 1)
    return {"seconds": seconds, **_judged(played, _folder(options, key) / "validation")}


def _trained(options: Options, key: dict[str, Any], scenario: str) -> dict[str, Any]:
    """Train by the command, with an empty compilation cache, and play what was learned."""
    if options.together:
        run, n_seeds = _folder(options, key | {"seed": "together"}) / "run", len(options.seeds)
        if not (run / "result.json").exists():
            _run_training(options, key | {"seed": options.seeds[0]}, scenario, run, "--seeds", str(n_seeds))
        trained = run / f"seed_{key['seed']}"
    else:
        run, n_seeds = _folder(options, key) / "run", 1
        _run_training(options, key, scenario, run)
        trained = run
    result, used = (json.loads((run.parent / name).read_text()) for name in ("run/result.json", USED))
    judged = _judged(record_runs(trained, None, None, baseline=False), _folder(options, key) / "validation")
    said = {"steps": result["steps"], "said": result["comparison"]["sentence"]}
    return {**{name: round(value / n_seeds, 1) for name, value in used.items()}, **judged, **said}


def _run_training(options: Options, key: dict[str, Any], scenario: str, run: Path, *more: str) -> None:
    """Run the command, and keep its seconds and those of the cores it had in a file beside the run."""
    seconds = options.seconds(key["who"])
    command = [sys.executable, "-m", "neomflex_jax", "train", "--scenario", scenario, "--algorithm", key["who"]]
    command += ["--seed", str(key["seed"]), "--output", str(run), *(["--overwrite"] if run.exists() else [])]
    command += [] if seconds is None else ["--max-seconds", str(seconds - options.spare_seconds)]
    with _endless_loops(2 * options.busy):
        started, cpu = time.monotonic(), _cpu_seconds()
        _run([*command, *more, *options.extra])
        used = {"seconds": time.monotonic() - started, "cpu_seconds": _cpu_seconds() - cpu}
    (run.parent / USED).write_text(json.dumps(used))


def _judged(played: PlayedRuns, output: Path) -> dict[str, Any]:
    """Return what the first run costs in pandapower, and its steps x buses outside the hard limits there."""
    report = validate(played.trajectories, output, policies=played.policies, schedules=played.yardsticks)
    metrics = report.runs[0].metrics
    hard = metrics.hard.agreed + metrics.hard.missed
    return {
        "days": len(set(played.trajectories[0].day)),
        "day_cost": metrics.mean_day_cost.pandapower,
        "hard_violations": hard,
        "verdict": report.runs[0].verdict,
    }


def _folder(options: Options, key: dict[str, Any]) -> Path:
    name = f"{key['who']}_{key['seed']}_{key['budget'].replace(' ', '_')}{'_busy' * key['busy']}"
    return options.output / Path(key["task"]).stem / name


def _scenario(folder: Path, task: str) -> str:
    """Return the task's scenario; made as a user makes it where it is a grid from elsewhere."""
    if task not in MADE:
        return task
    scenario, (source, agents) = folder / f"{task}.toml", MADE[task]
    if not scenario.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "neomflex_jax", "scenario", "new", "--from", source]
        _run([*command, "--agents", str(agents), "--output", str(scenario)])
    return str(scenario)


def _run(command: list[str]) -> None:
    environment = {**os.environ, "NEOMFLEX_CACHE": "off"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _cpu_seconds() -> float:
    """Seconds of all cores that ended child processes had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


if __name__ == "__main__":
    main()
