"""What each of SAC's options does to the day cost, all else as by default: one change at a time.

``python benchmarks/sac_options.py --output results/sac_options [--chunks 30] [--only n_steps=3 ...]``

Equal numbers of steps for all, some seeds side by side; the policies play the testing days in `ac`, energies carried
over. `options.csv` grows as it goes; what is printed is read back from there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import tyro

from neomflex_jax import load_scenario
from neomflex_jax.agents.networks import NetworkPolicy
from neomflex_jax.environment import evaluation_environment, make
from neomflex_jax.evaluation import record
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import program_for

CHANGES = (
    "default",
    "split=False",
    "reward_huber=0.3",
    "reward_huber=1000.0",
    "critics=local",
    "critics=joint",
    "share_actor=True",
    "activation=tanh",
    "n_steps=3",
    "layer_norm_critics=True",
    "normalise_observations=False",
    "learning_rate_decay=none",
    "gamma=0.95",
    "reward_scale=10.0",
    "reward_tail=3.0",
    "reward_tail=1000000.0",
    "target_entropy_per_action=-1.0",
    "temperature_learning_rate=1e-9",
)


@dataclass(frozen=True)
class Options:
    """Train with one option changed at a time."""

    output: Path
    chunks: int = 30
    """Of 24 steps of every copy."""
    seeds: int = 3
    scenario: str = "neom33"
    only: tuple[str, ...] = CHANGES


def main() -> None:
    """Run and print."""
    options = tyro.cli(Options)
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "options.csv"
    rows: list[dict[str, Any]] = []
    for change in options.only:
        rows.append({"change": change, **_train(options, change)})
        pd.DataFrame(rows).to_csv(table, index=False)
        print(f"{change}: {rows[-1]['day_costs']} a day", flush=True)
    print(pd.read_csv(table).to_string(index=False, float_format="{:.4g}".format))


def _train(options: Options, change: str) -> dict[str, Any]:
    training = TrainOptions(load_scenario(options.scenario), n_seeds=options.seeds)
    if change != "default":
        name, _, text = change.partition("=")
        kind = type(getattr(training.sac, name))
        value = text == "True" if kind is bool else _number(text) if name == "reward_scale" else kind(text)
        training = replace(training, sac=replace(training.sac, **{name: value}))
    env = make(training.scenario)
    program = program_for(env, training)
    state = program.begin(env, training.seeds)
    state, _ = program.advance(env, state, 0.0)
    started = time.monotonic()
    for chunk in range(1, options.chunks):
        state, metrics = program.advance(env, state, chunk / options.chunks)
    jax.block_until_ready(metrics)
    seconds = time.monotonic() - started
    judged = evaluation_environment(env.with_power_flow("ac"))
    played = [record(judged, NetworkPolicy(networks), "controlled") for networks in program.networks(state)]
    costs = sorted(float(trajectory.cost.sum() / judged.profiles.n_days) for trajectory in played)
    return {
        "day_cost_median": float(np.median(costs)),
        "day_costs": " ".join(f"{cost:.1f}" for cost in costs),
        "hard_violations": sum(int(trajectory.violated.sum()) for trajectory in played),
        "seconds_without_compilation": round(seconds, 1),
    }


def _number(text: str) -> float | str:
    return text if text == "auto" else float(text)


if __name__ == "__main__":
    main()
