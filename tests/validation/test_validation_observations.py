"""Observations worked out a second time from the record: equal to the environment's, and spoilt ones are named."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from test_validation_replay import RandomPolicy

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.fields import with_overrides
from validation.recompute.observations import check_observations, frame_of, observation_sizes

ORIGINAL = {"first_observation": "devices_at_zero"}
LOADS = [{"bus": 24, "curtail_share": 0.5, "shift_mw": 0.1, "buffer_mwh": 0.3}]


def play(n_days: int = 2, disturbed: bool = False, **options: Any) -> Trajectory:
    """Random actions on the linear method, which compiles quickly."""
    env = evaluation_environment(nf.make("neom33", power_flow="lindistflow", **options), disturbed=disturbed)
    return record(env, RandomPolicy(jax.random.key(1), env.action_size), "random", n_days=n_days)


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return play()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scope": "local", "history": 3, "forecast_steps": 3, "flexible_loads": LOADS},
        {"scope": "neighbours", "history": 2, "forecast": "persistence", "forecast_steps": 49} | ORIGINAL,
        {"scope": "global", "forecast_steps": 2, "tariff_column": "Price", "flexible_loads": LOADS},
    ],
)
def test_every_judged_entry_equals_the_environments(options: dict[str, Any], tmp_path) -> None:
    if "tariff_column" in options:
        rows = [f"{0.5 + 0.4 * np.sin(k / 7):.6f},{max(0, np.sin(k / 9)):.6f},{20 + k % 31}" for k in range(3 * 48)]
        path = tmp_path / "priced.csv"
        path.write_text("Demand,Solar,Price\n" + "\n".join(rows) + "\n", encoding="utf-8")
        options |= {"profiles": str(path), "evaluation_profiles": str(path)}
    run = play(**options)
    feeder = nf.load_feeder("case33bw")
    found = check_observations(run, feeder)
    assert run.observation.shape[2] == max(observation_sizes(run.scenario, feeder))
    assert found.max_abs < 1e-6
    assert found.n_observed == run.observation.size
    days_begun = 2 if run.scenario.rules.first_observation == "devices_at_zero" else 1
    firsts = days_begun * sum(
        len([one for one in frame_of(run.scenario, feeder, agent) if one.kind == "vm"]) for agent in range(3)
    )
    history = run.scenario.observation.history
    unseen_voltages = firsts * (history * (history + 1) // 2)
    assert found.n_observed - found.n_judged >= unseen_voltages
    if not run.scenario.observation.forecast_steps:
        assert found.n_observed - found.n_judged == unseen_voltages
    assert found.n_judged > 0.6 * found.n_observed


def test_what_cannot_be_judged_is_said(run: Trajectory) -> None:
    feeder = nf.load_feeder("case33bw")
    assert check_observations(run, feeder).not_judged == (
        "voltages where play begins: the idle feeder's are not recorded",
    )
    original = dataclasses.replace(run, scenario=with_overrides(run.scenario, ORIGINAL))
    assert check_observations(original, feeder).not_judged == (
        "voltages before a day's first step: the idle feeder's are not recorded",
    )
    noisy = check_observations(
        play(disturbed=True, sensor_noise_pu=0.01, profile_noise=0.1, forecast="noisy", forecast_steps=2), feeder
    )
    assert noisy.max_abs < 1e-6 and "the sensors' noise" in noisy.not_judged[0] and "their noise" in noisy.not_judged[1]
    grown = check_observations(play(disturbed=True, load_growth=[0.8, 1.2], forecast_steps=3), feeder)
    assert grown.max_abs < 1e-6 and "undisturbed rows" in grown.not_judged[1]
    missing = check_observations(play(disturbed=True, missing_probability=0.5), feeder)
    assert "which agents are missing" in missing.not_judged[0]


def test_a_failed_power_flow_is_seen_as_collapsed(run: Trajectory) -> None:
    converged, vm_pu, observation = run.converged.copy(), run.vm_pu.copy(), run.observation.copy()
    converged[10], vm_pu[10] = False, np.nan
    feeder = nf.load_feeder("case33bw")
    failed = dataclasses.replace(run, converged=converged, vm_pu=vm_pu)
    assert check_observations(failed, feeder).max_abs > 0.3
    for agent, territory in enumerate(run.scenario.territories):
        observation[11, agent, : len(territory.buses)] = -0.5
    assert check_observations(dataclasses.replace(failed, observation=observation), feeder).max_abs < 1e-6


@pytest.mark.parametrize(
    ("step", "agent", "entry", "value", "said"),
    [
        (7, 2, 3, 0.02, "vm of bus 28"),
        (48, 0, 2, 0.02, "vm of bus 2"),
        (7, 1, 14, 0.5, "solar 0"),
        (0, 1, 16, 0.9, "soc 2"),
        (60, 0, 13, np.nan, "solar 0"),
        (5, 2, 12, 0.1, "padding"),
        (50, 2, 10, 0.5, "time 0"),
    ],
)
def test_a_spoilt_entry_is_named(run: Trajectory, step, agent, entry, value, said) -> None:
    observation = run.observation.copy()
    observation[step, agent, entry] += value
    found = check_observations(dataclasses.replace(run, observation=observation), nf.load_feeder("case33bw"))
    assert found.max_abs == pytest.approx(value, abs=1e-6) or (np.isnan(value) and np.isinf(found.max_abs))
    assert (found.step, found.agent) == (step, f"agent_{agent + 1}")
    assert found.entry is not None and found.entry.startswith(said)
