"""Users' reward terms and observations before the referee: believed and named without a twin, judged with one."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from test_validation_closed_loop import play
from users_modules import forgotten_afterwards

from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.environment.step.measurements import Block, Now, Value
from neomflex_jax.environment.step.outcome import Outcome
from neomflex_jax.environment.task import Task
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from validation import (
    ObservationTwin,
    Steps,
    closed_loop,
    compare,
    judge,
    register_observation_twin,
    register_term_twin,
    replay,
    tolerances_for,
    validate,
)


def imported(task: Task, outcome: Outcome) -> Array:
    """Cost import while the sun shines, and what the first battery delivers."""
    battery_mw = outcome.delivered.recorded["battery_p_mw"][0]
    return -(outcome.slack_p_mw * outcome.moment.solar + battery_mw**2) * jnp.arange(1.0, 4.0)


def spread(now: Now) -> Array:
    """See the spread of voltages, and the first battery's charge times the demand to come."""
    demand = now.profiles.demand[now.row]
    return jnp.stack([jnp.ptp(now.vm_pu), now.stores["batteries"].soc[0] * demand])


SPREAD = Block(
    (Value("spread", "pu", 0.0, 2.0), Value("charge x demand", "", -9.0, 9.0)),
    spread,
    owned=[np.array([1]), np.array([], int), np.array([0])],
    name="state_of_the_feeder",
)


def imported_again(steps: Steps) -> np.ndarray:
    assert steps.slack_p_mw is not None
    cost = steps.slack_p_mw * steps["solar"] + steps["battery_p_mw"][:, 0] ** 2
    return -np.outer(cost, [1.0, 2.0, 3.0])


def spread_again(before: Steps) -> np.ndarray:
    first = before.vm_pu.max(axis=1) - before.vm_pu.min(axis=1)
    return np.stack([first, before["battery_soc"][:, 0] * before["demand"]], axis=1)


SPREAD_TWIN = ObservationTwin("state_of_the_feeder", 2, spread_again, owned=[[1], [], [0]])


@pytest.fixture(autouse=True)
def forgets_twins() -> Iterator[None]:
    with forgotten_afterwards():
        yield


@pytest.fixture(scope="module")
def played() -> tuple[Trajectory, Policies]:
    """A day with a term and a block, neighbours and history: who sees what is not trivial."""
    parts = {"reward_terms": {"imported": imported}, "observations": [SPREAD]}
    return play("ac", n_days=1, scope="neighbours", history=2, **parts)


def register_both() -> None:
    register_term_twin("imported", imported_again)
    register_observation_twin(SPREAD_TWIN)


def test_without_twins_a_run_is_incomplete_and_says_what_to_register(
    played: tuple[Trajectory, Policies], tmp_path: Path
) -> None:
    run, policy = played
    report = validate([run], tmp_path, policies={run.run: policy})
    assert report.verdict == "INCOMPLETE"
    [judged] = report.runs
    missing = {"twin_of_reward_term_imported", "twin_of_observation_state_of_the_feeder"}
    missing |= {"cost_max", "observation_max", "closed_loop_gap_max"}
    assert set(judged.failed_criteria) == missing
    text = (tmp_path / "report.md").read_text()
    assert "reward term imported costs is believed as recorded: there is no twin; give one to validation.regis" in text
    assert "what is seen as state_of_the_feeder is believed" in text and "register_observation_twin" in text
    costs = judged.metrics.mean_day_cost
    assert costs.pandapower == pytest.approx(costs.recorded, rel=1e-4)
    with pytest.raises(InputError, match=r"reward term 'imported', .*give that to validation.register_term_twin"):
        closed_loop(run, policy)
    register_term_twin("imported", imported_again)
    with pytest.raises(InputError, match=r"observation 'state_of_the_feeder', .*register_observation_twin"):
        closed_loop(run, policy)


def test_with_twins_it_passes_in_closed_loop_too(played: tuple[Trajectory, Policies], tmp_path: Path) -> None:
    run, policy = played
    register_both()
    report = validate([run], tmp_path, policies={run.run: policy})
    assert report.runs[0].record_verdict == "PASS", report.runs[0].failed_criteria
    loop = closed_loop(run, policy)
    np.testing.assert_allclose(loop.played.observation, run.observation, rtol=0, atol=1e-4)
    assert loop.cost_gap_share < 1e-3 and np.abs(run.local_reward[:, 2] - run.local_reward[:, 0]).max() > 0.1


def failed(run: Trajectory) -> set[str]:
    return {one.name for one in judge(compare(run, replay(run))[0], tolerances_for("ac")) if one.passed is False}


def test_a_wrong_term_and_a_wrong_observation_are_found(played: tuple[Trajectory, Policies]) -> None:
    run = played[0]
    register_term_twin("imported", lambda steps: 1.1 * imported_again(steps))
    register_observation_twin(dataclasses.replace(SPREAD_TWIN, read=lambda before: 1.1 * spread_again(before)))
    assert {"cost_max", "observation_max"} <= failed(run)


def test_a_twin_is_registered_once_and_returns_its_shape(played: tuple[Trajectory, Policies]) -> None:
    register_term_twin("imported", lambda steps: steps["solar"])
    register_observation_twin(SPREAD_TWIN)
    with pytest.raises(InputError, match="there is a twin of reward term 'imported' already"):
        register_term_twin("imported", imported_again)
    with pytest.raises(InputError, match="there is a twin of observation 'state_of_the_feeder' already"):
        register_observation_twin(SPREAD_TWIN)
    with pytest.raises(InputError, match=r"twin of reward term 'imported' returns .* shape \(48,\); .*\(48, 3\)"):
        compare(played[0], replay(played[0]))
