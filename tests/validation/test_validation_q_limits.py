"""A generator that keeps its limits of reactive power: played, recorded, and held against pandapower."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks
import pytest
from test_validation_closed_loop import Policies, networks

import neomflex_jax as nf
from neomflex_jax.agents.networks import NetworkPolicy
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.rollout import record
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.to_csv import write_feeder
from validation import compare, replay, tolerances_for
from validation.closed_loop.closed_loop import closed_loop
from validation.verdict.criteria import PASS, judge, verdict_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = pandapower.networks.case33bw()
    pp.create_gen(net, 17, p_mw=0.2, vm_pu=0.97, min_q_mvar=-0.1, max_q_mvar=0.3)
    return write_feeder(nf.Feeder.from_pandapower(net), tmp_path_factory.mktemp("limits") / "feeder")


def test_a_run_passes_and_what_is_at_a_limit_is_recorded(folder: Path, tmp_path: Path) -> None:
    env = evaluation_environment(nf.make("neom33", feeder=str(folder), enforce_q_lims=True))
    actors = networks(env)
    record(env, NetworkPolicy(tuple(actors.values())), "networks", n_days=1).save(tmp_path / "run.npz")
    run = Trajectory.load(tmp_path / "run.npz")
    at_limit = run.held_at_limit[:, 0]
    assert 0 < np.abs(at_limit).sum() < 48, "a generator always at its limit, or never, shows nothing"
    np.testing.assert_allclose(run.held_q_mvar[at_limit > 0, 0], 0.3, atol=1e-5)
    np.testing.assert_allclose(run.held_q_mvar[at_limit < 0, 0], -0.1, atol=1e-5)
    loop = closed_loop(run, Policies(actors, {}))
    judged = judge(compare(run, replay(run))[0], tolerances_for("ac"), loop.cost_gap_share)
    assert verdict_of(judged) == PASS, [one for one in judged if not one.passed]


def test_a_bound_method_has_to_keep_them_too(folder: Path) -> None:
    bound = nf.bind(nf.load_feeder(folder))
    with pytest.raises(InputError, match="enforce_q_lims=True"):
        nf.make("neom33", feeder=str(folder), enforce_q_lims=True, power_flow=bound)
