"""What constraints keep and cost beside penalties: one task, a sweep of the penalty's weight, and `--constraint`.

``python benchmarks/constraints.py --algorithm gradient --output results/constraints [--seeds 0 1 2]``

All policies are judged on the testing days in `ac` by the scenario's own cost without its violation penalty: shares of
steps and costs stand apart. Budgets are in steps: a busy machine changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from neomflex_jax import load_policies, load_scenario
from neomflex_jax.environment import evaluation_environment, make
from neomflex_jax.evaluation import record
from neomflex_jax.fields import with_overrides
from neomflex_jax.scenario import Scenario
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import train


@dataclass(frozen=True)
class Options:
    """Train and judge."""

    output: Path
    algorithm: str = "gradient"
    seeds: tuple[int, ...] = (0,)
    scenario: str = "examples/heavy33.toml"
    total_steps: int = 2_500_000
    weights: tuple[float, ...] = (1.0, 3.0, 10.0)
    """Factors on the voltage term and the violation penalty, without a constraint."""
    limits: tuple[float, ...] = (0.0, 0.0005)
    """Shares of steps of the constraint `voltage`."""


def main() -> None:
    """Run and print."""
    options = tyro.cli(Options)
    base = load_scenario(options.scenario)
    ways = [(f"penalty x {weight:g}", _weighted(base, weight), {}) for weight in options.weights]
    ways += [(f"constraint voltage={limit:g}", base, {"voltage": limit}) for limit in options.limits]
    rows = []
    for seed in options.seeds:
        for way, scenario, limits in ways:
            folder = options.output / f"{way.replace(' ', '_')}_{options.algorithm}_{seed}"
            if not (folder / "result.json").exists():
                given = TrainOptions(scenario, seed=seed, algorithm=options.algorithm, total_steps=options.total_steps)
                train(replace(given, constraints=limits, compared_days=0), folder, overwrite=True)
            rows.append({"seed": seed, "training": way, **_judged(base, folder)})
            pd.DataFrame(rows).to_csv(options.output / f"{options.algorithm}.csv", index=False)
            print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format))


def _weighted(scenario: Scenario, weight: float) -> Scenario:
    """Return the scenario with voltages as many times dearer."""
    names = ("voltage_weight", "violation_penalty")
    return with_overrides(scenario, {name: weight * getattr(scenario.reward, name) for name in names})


def _judged(base: Scenario, folder: Path) -> dict[str, float]:
    env = evaluation_environment(make(base, power_flow="ac"))
    policy = load_policies(folder).as_policy(base.observation_layout(), base.name)
    played = record(env, policy, "controlled")
    penalty = base.reward.violation_penalty * len(base.agents) * played.violated
    return {
        "violating_percent": 100 * float(played.violated.mean()),
        "day_cost": float((played.cost - penalty).sum()) / env.profiles.n_days,
        "lowest_pu": float(np.nanmin(played.vm_pu)),
    }


if __name__ == "__main__":
    main()
