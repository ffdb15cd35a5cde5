"""EV chargers before the referee: a run passes, and what its record leaves out or invents is found."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_validation_closed_loop import play

from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.evaluation import Trajectory
from validation import validate

CHARGERS = [
    {"bus": 24, "sessions": [[8.0, 10.0, 0.2, 0.2], [17.5, 18.5, 0.3, 0.2]], "efficiency": 0.9, "power_factor": 0.95},
    {"bus": 30, "sessions": [[0.0, 24.0, 0.9, 0.1]]},
    {"bus": 12, "sessions": [[0.1, 9.8, 0.9, 0.1], [9.9, 23.4, 0.9, 0.1]]},  # parts of steps
]


@pytest.fixture(scope="module")
def played() -> tuple[Trajectory, Policies]:
    """A day of random networks."""
    return play("ac", n_days=1, ev_chargers=CHARGERS)


def failed(run: Trajectory, policies: Policies, folder: Path) -> set[str]:
    """Criteria that are not met, but for the limits that random networks break."""
    [judged] = validate([run], folder, policies={run.run: policies}).runs
    return {one.name for one in judged.criteria if one.passed is not True} - {"hard_violations"}


def test_a_run_is_pandapowers_in_open_and_closed_loop(played: tuple[Trajectory, Policies], tmp_path: Path) -> None:
    run, policies = played
    assert np.ptp(run.ev_p_mw, axis=0).min() > 0.05 and run.ev_unmet_mwh.max() > 0.01
    assert failed(run, policies, tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("ev_p_mw", lambda p: p * np.float32(0.5), "energy_max_mwh"),
        ("ev_unmet_mwh", lambda unmet: unmet * np.float32(0.0), "energy_max_mwh"),
        ("ev_p_mw", lambda p: p - np.float32(0.3), "device_limit_max"),
    ],
)
def test_faults_are_found(
    played: tuple[Trajectory, Policies],
    tmp_path: Path,
    name: str,
    change: Callable[[np.ndarray], np.ndarray],
    found: str,
) -> None:
    run, policies = played
    faulty = dataclasses.replace(run, **{name: change(getattr(run, name))})
    assert found in failed(faulty, policies, tmp_path)
