"""How good SAC gets in a given time, over several seeds, on days it has not seen, judged by pandapower.

``python benchmarks/sac_seeds.py --output results/sac_seeds [--seeds 0 1 2 3 4] [--seconds 90]``

Trains one seed after the other with the default settings, plays the 84 testing days, replays them in pandapower and
writes a report a seed and `seeds.csv`; what is printed is read back from there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from neomflex_jax import load_scenario
from neomflex_jax.commands.played_runs import record_runs
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import train
from validation import validate


@dataclass(frozen=True)
class Options:
    """Train, play and replay several seeds."""

    output: Path
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    seconds: float = 90.0
    """Of training for each seed, compilation included."""
    scenario: str = "neom33"


def main() -> None:
    """Run and print."""
    options = tyro.cli(Options)
    rows = []
    for seed in options.seeds:
        started = time.monotonic()
        folder = options.output / f"seed_{seed}"
        training = TrainOptions(
            load_scenario(options.scenario), seed=seed, total_steps=10**9, max_seconds=options.seconds
        )
        state = train(training, folder / "run", started=started)
        seconds = time.monotonic() - started
        played = record_runs(folder / "run", None, None, baseline=True)
        report = validate(
            played.trajectories,
            folder / "validation",
            references=("baseline",),
            policy_hashes={"controlled": played.policy_hashes},
            metadata=played.metadata,
        )
        controlled, baseline = (run.metrics.mean_day_cost for run in report.runs)
        rows.append(
            {
                "seed": seed,
                "train_seconds": round(seconds, 1),
                "environment_steps": int(state.steps) * training.sac.n_copies,
                "day_cost_surrogate": controlled.recorded,
                "day_cost_pandapower": controlled.pandapower,
                "no_control_pandapower": baseline.pandapower,
                "share_of_no_control_percent": 100 * controlled.pandapower / baseline.pandapower,
                "voltage_error_max_pu": report.runs[0].metrics.vm_pu.max_abs,
                "verdict": report.verdict,
            }
        )
        pd.DataFrame(rows).to_csv(options.output / "seeds.csv", index=False)
    table = pd.read_csv(options.output / "seeds.csv")
    print(table.to_string(index=False, float_format="{:.4g}".format))
    cost = table["day_cost_pandapower"]
    print(f"day cost in pandapower over {len(cost)} seeds: median {cost.median():.1f}, worst {cost.max():.1f}")


if __name__ == "__main__":
    main()
