"""A record of very unequal agents: no larger than what it holds, padded only where somebody asks, and validated."""

from pathlib import Path

import numpy as np
import pytest
from test_validation_closed_loop import networks

import neomflex_jax as nf
from neomflex_jax.agents.networks import NetworkPolicy
from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.agent_rows import laid_out
from neomflex_jax.scenario import Territory
from validation import validate

ALONE = (7, 14, 16, 23, 31)  # an agent each, with a device each, beside one that has the rest of the grid
BATTERIES = [{"bus": bus, "capacity_mwh": 0.4, "power_mw": 0.1} for bus in (7, 14, 23, *range(2, 7), *range(24, 30))]


@pytest.mark.slow
def test_what_is_recorded_written_and_validated_has_no_padding(tmp_path: Path) -> None:
    rest = tuple(bus for bus in range(33) if bus not in ALONE)
    territories = [Territory("most", rest), *(Territory(f"at_{bus}", (bus,)) for bus in ALONE)]
    env = evaluation_environment(nf.make("neom33", territories=territories, batteries=BATTERIES, power_flow="ac"))
    actors = networks(env)
    policies = Policies(actors, {})
    run = record(env, NetworkPolicy(tuple(actors.values())), "controlled", n_days=1)
    for rows, padded, mask in (
        (run.observations, run.observation, env.observation_mask),
        (run.actions, run.action, env.action_mask),
    ):
        assert rows.values.shape == (48, mask.sum()) and padded.shape == (48, *mask.shape)
        assert not padded[:, ~mask].any() and np.ptp(padded[:, mask], axis=0).max() > 0
        np.testing.assert_array_equal(laid_out(padded, rows.sizes), rows.values)
    asked = policies(env.split(run.observation[5]))
    for agent, action in env.split(run.action[5]).items():
        np.testing.assert_allclose(asked[agent], action, atol=1e-5)
    run.save(tmp_path / "run.npz")
    [judged] = validate([Trajectory.load(tmp_path / "run.npz")], tmp_path, policies={"controlled": policies}).runs
    assert {one.name for one in judged.criteria if one.passed is not True} <= {"hard_violations"}
