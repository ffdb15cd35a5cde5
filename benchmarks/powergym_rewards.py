"""PowerGym's reward on unseen days of IEEE 13 in OpenDSS: OpenDSS's own controllers, fixed taps, trained policies.

``python benchmarks/powergym_rewards.py --policies RUN [RUN ...] --days 84``

Days are the evaluation's, of 24 hourly steps, each the mean of two half hours. *OpenDSS's controllers* are the
RegControls of the file, with both banks in, as it has no CapControl; they and *fixed as published* leave the battery
alone. A policy acts on OpenDSS's answers, in PowerGym's choices. `validation/powergym.py` has task and reward. Needs
the extra `opendss`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import tyro

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.agents.policy_files import load_policies
from neomflex_jax.environment import Environment, evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.profiles import resolve_profiles
from neomflex_jax.training.options import read_options
from neomflex_jax.training.run_folder import RunFolder
from validation import closed_loop, replay
from validation.powergym import HORIZON, Rewards, in_its_choices, rewards
from validation.recompute.own_controls import STEPS, STEPS_BEFORE, TAPS, TAPS_BEFORE, own_controls
from validation.recompute.phase_set_points import phase_set_points_of
from validation.referee.opendss.own_controls import moved_by_opendss

SCENARIO = "ieee13_volt_var"


@dataclass(frozen=True)
class Options:
    """Compare controllers on PowerGym's reward."""

    policies: tuple[Path, ...]
    """Output folders of trainings on ieee13_volt_var or another scenario of PowerGym's devices, which are played."""
    days: int = 84
    """How many days of the evaluation."""


def hourly(scenario: nf.Scenario, folder: Path) -> nf.Scenario:
    """Scenario of the evaluation's days by the hour."""
    table = pd.read_csv(resolve_profiles(scenario.evaluation_profiles))[["Demand", "Solar"]]
    path = folder / "hours.csv"
    table.groupby(np.arange(len(table)) // 2).mean().to_csv(path, index=False)
    days = {"profiles": str(path), "evaluation_profiles": str(path), "steps_per_day": HORIZON, "step_hours": 1.0}
    return replace(scenario, **days)


def under_opendss(env: Environment, days: int) -> tuple[Trajectory, Rewards]:
    """Days under OpenDSS's own controls, each step from where OpenDSS left the last."""
    run = record(env, NoControl(env.action_size), "OpenDSS's controllers", days)
    feeder = env.feeder
    assert isinstance(feeder, nf.UnbalancedFeeder)
    controls = own_controls(run.scenario, feeder)
    hour = np.asarray(run.step) * run.scenario.step_hours
    moved = moved_by_opendss(feeder, controls, phase_set_points_of(run, feeder), hour)
    assert np.isfinite(moved.tap_ratio).all()
    own = {TAPS: moved.tap_ratio, TAPS_BEFORE: np.vstack([run.devices[TAPS_BEFORE][:1], moved.tap_ratio[:-1]])}
    own |= {STEPS: moved.steps, STEPS_BEFORE: np.vstack([run.devices[STEPS_BEFORE][:1], moved.steps[:-1]])}
    run = replace(run, devices={**run.devices, **own})
    return run, rewards(run, replay(run))


def main(options: Options) -> None:
    """Print the mean reward of a day and its parts."""
    rows: dict[str, Rewards] = {}
    with TemporaryDirectory() as folder:
        scenario = hourly(nf.load_scenario(SCENARIO), Path(folder))
        own: dict[str, object] = {"tap_changers": (), "capacitor_banks": ()}
        followed = evaluation_environment(nf.make(scenario, feeder_controls="follow", **own))
        frozen = evaluation_environment(nf.make(scenario, **own))
        still = record(frozen, NoControl(frozen.action_size), "fixed as published", options.days)
        rows["fixed as published"] = rewards(still, replay(still))
        rows["OpenDSS's controllers"] = under_opendss(followed, options.days)[1]
        for each in options.policies:
            trained = hourly(read_options(RunFolder(each)).scenario, Path(folder))
            env = evaluation_environment(nf.make(trained))
            idle = record(env, NoControl(env.action_size), "idle", options.days)
            played = closed_loop(idle, in_its_choices(load_policies(each), trained), apart_action=0.0).played
            rows[str(each)] = rewards(played, played)
    best = rows["OpenDSS's controllers"].by_day()
    for name, found in rows.items():
        days = found.by_day()
        parts = "  ".join(f"{part} {24 * getattr(found, part).mean():8.3f}" for part in found._fields)
        better = f"better on {int((days > best).sum())} of {len(days)} days"
        print(f"{name[-28:]:28} reward of a day {days.mean():8.3f}  ({parts})  {better}")


if __name__ == "__main__":
    main(tyro.cli(Options))
