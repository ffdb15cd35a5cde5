"""power-grid-model against pandapower: they agree on every kind of feeder, and a disagreement is said."""

import dataclasses
import inspect
import math
from importlib.metadata import PackageNotFoundError

import jax
import numpy as np
import pytest
from test_validation_replay import RandomPolicy, record_random

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from validation import Replay, replay, second_referee

pytest.importorskip("power_grid_model")


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return record_random("ac")


@pytest.fixture(scope="module")
def replayed(run: Trajectory) -> Replay:
    return replay(run)


def test_both_referees_agree_on_neom33(run: Trajectory, replayed: Replay) -> None:
    found = second_referee(run, replayed)
    assert found.agrees and found.vm_max_pu < 1e-8 and found.n_compared == 96 and found.n_disputed == 0
    assert found.slack_p_max_mw < 1e-6 and found.slack_q_max_mvar < 1e-6
    assert "agrees with pandapower within 1e-06 pu" in found.sentence
    assert found.as_dict()["agrees"] is True


def test_both_referees_agree_on_transformers_shunts_charging_and_loops(feeder_folder) -> None:
    folder = feeder_folder(  # the transformer has an odd tap and turns the voltage
        buses=(
            "bus,vn_kv,p_mw,q_mvar,shunt_p_mw,shunt_q_mvar\n10,110,0,0,0,0\n20,20,2.5,0.2,0,-0.4\n"
            "30,20,1.4,0.1,0.05,0\n40,20,1.3,-0.1,0,0\n"
        ),
        branches=(
            "from_bus,to_bus,r_ohm,x_ohm,in_service,g_us,b_us,ratio,shift_degree,rated_ratio\n"
            "10,20,0.1,1.9,1,2,-15,1.02,150,5.5\n20,30,0.6,0.3,1,0,60,1,0,1\n20,40,0.7,0.2,1,0,80,1,0,1\n"
            "30,40,1,1,1,0,20,1,0,1\n"
        ),
    )
    options = {
        "feeder": str(folder),
        "territories": [{"agent": "agent_1", "buses": [10, 20, 30, 40]}],
        "batteries": [{"bus": 30, "capacity_mwh": 2.0, "power_mw": 0.5}],
        "pv_inverters": [{"bus": 40, "p_max_mw": 2.0, "s_mva": 2.0}],
    }
    env = evaluation_environment(nf.make("neom33", power_flow="ac", **options))
    feeder = nf.load_feeder(str(folder))
    assert feeder.shunts is not None and feeder.charging is not None and feeder.transformers is not None
    run = record(env, RandomPolicy(jax.random.key(0), env.action_size), "random", n_days=1)
    result = replay(run)
    assert not result.failed.any() and np.abs(result.surplus_mw).max() < 1e-6
    found = second_referee(run, result)
    assert found.agrees and found.vm_max_pu < 1e-8 and found.slack_q_max_mvar < 1e-5


def test_a_disagreement_is_said(run: Trajectory, replayed: Replay) -> None:
    vm_pu = replayed.vm_pu.copy()
    vm_pu[70, 17] += 2e-6
    found = second_referee(run, dataclasses.replace(replayed, vm_pu=vm_pu))
    assert found.agrees is False and (found.bus, found.row) == (17, 70)
    assert found.vm_max_pu == pytest.approx(2e-6, abs=1e-8) and "does not agree" in found.sentence


def test_a_step_that_only_one_solves_is_disputed(run: Trajectory, replayed: Replay) -> None:
    overloaded = {name: getattr(run, name).copy() for name in ("demand", "load_q_factor")}
    for values in overloaded.values():
        values[60] = 6.0
    heavy = dataclasses.replace(run, **overloaded)
    both_fail = second_referee(heavy, replay(heavy))
    assert both_fail.agrees and both_fail.n_compared == 95 and both_fail.n_disputed == 0
    one_fails = second_referee(heavy, replayed)
    assert one_fails.agrees is False and one_fails.n_disputed == 1 and "1 of 96 steps" in one_fails.sentence


def test_without_the_program_there_is_a_sentence_instead(run: Trajectory, replayed: Replay, monkeypatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setitem(inspect.unwrap(second_referee).__globals__, "version", absent)
    found = second_referee(run, replayed)
    assert found.agrees is None and math.isnan(found.vm_max_pu) and "neomflex-jax[referee]" in found.sentence
