"""Loads that follow the voltage in an environment: pandapower's answers, derivatives, and a verdict."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
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
from validation import compare, replay, second_referee, tolerances_for
from validation.closed_loop.closed_loop import closed_loop
from validation.verdict.criteria import PASS, judge, verdict_of

SHARES = {"const_z_p_percent": 40.0, "const_i_p_percent": 30.0, "const_z_q_percent": 60.0, "const_i_q_percent": 10.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = pandapower.networks.case33bw()
    for column, percent in SHARES.items():
        net.load[column] = np.where(net.load["bus"] % 3 == 0, 0.0, percent)
    return write_feeder(nf.Feeder.from_pandapower(net), tmp_path_factory.mktemp("zip") / "feeder")


@pytest.fixture(scope="module")
def played(folder: Path) -> tuple[Trajectory, Policies]:
    env = evaluation_environment(nf.make("neom33", feeder=str(folder), steps_per_day=8, step_hours=3.0))
    actors = networks(env)
    return record(env, NetworkPolicy(tuple(actors.values())), "networks", n_days=1), Policies(actors, {})


def test_a_run_passes(played: tuple[Trajectory, Policies], folder: Path) -> None:
    run, policy = played
    answers = replay(run)
    assert np.abs(answers.surplus_mw).max() < 1e-7
    loop = closed_loop(run.rows(run.day == 0), policy)
    judged = judge(compare(run, answers)[0], tolerances_for("ac"), loop.cost_gap_share)
    assert verdict_of(judged) == PASS, [one for one in judged if not one.passed]
    assert second_referee(run, answers).agrees is None
    constant = dataclasses.replace(nf.load_feeder(folder), voltage_dependence=None)
    plain = nf.power_flow(constant, run.p_injection_mw, run.q_injection_mvar)
    assert np.abs(np.asarray(plain.vm_pu) - run.vm_pu).max() > 1e-3, "nothing follows the voltage"


@pytest.mark.parametrize(
    ("method", "network"),
    [
        *(("ac", "dense"), ("ac", "tree"), ("ac", "held"), ("newton", "dense"), ("newton", "held")),
        pytest.param("newton", "tree", marks=pytest.mark.slow),
    ],
)
def test_devices_do_not_follow(method: str, network: str, folder: Path) -> None:
    """pandapower lets all at a bus follow; devices at buses of their own, next to no impedance away, do not."""
    net = pandapower.networks.case33bw()
    for column, percent in SHARES.items():
        net.load[column] = np.where(net.load["bus"] % 3 == 0, 0.0, percent)
    if network == "held":
        pp.create_gen(net, 6, p_mw=0.1, vm_pu=0.97)
    feeder = nf.Feeder.from_pandapower(net)
    random = np.random.default_rng(0)
    steady_p, steady_q = random.uniform(-0.3, 0.3, (2, 3, 33)) * np.isin(feeder.bus_labels, (7, 14, 31))
    load = random.uniform(0.3, 1.3, (3, 33))
    with jax.enable_x64(True):
        solver = nf.bind(feeder, method, network="auto" if network == "held" else network)
        flow = nf.power_flow(
            feeder,
            steady_p - load * feeder.load_p_mw,
            steady_q - load * feeder.load_q_mvar,
            solver,
            steady_p_mw=steady_p,
            steady_q_mvar=steady_q,
        )
    p_mw, q_mvar = net.load["p_mw"].to_numpy(), net.load["q_mvar"].to_numpy()
    at = [feeder.bus_position(bus) for bus in net.load["bus"]]
    apart = {bus: pp.create_bus(net, 12.66) for bus in (7, 14, 31)}
    for bus, own in apart.items():  # r and x that add up to nothing
        middle = pp.create_bus(net, 12.66)
        pp.create_impedance(net, bus, middle, 0.01, 0.01, 1.0)
        pp.create_impedance(net, middle, own, -0.01, -0.01, 1.0)
        pp.create_sgen(net, own, p_mw=0.0)
    for case in range(3):
        net.load["p_mw"], net.load["q_mvar"] = p_mw * load[case, at], q_mvar * load[case, at]
        places = [feeder.bus_position(bus) for bus in apart]
        net.sgen["p_mw"], net.sgen["q_mvar"] = steady_p[case, places], steady_q[case, places]
        pp.runpp(net, voltage_depend_loads=True, tolerance_mva=1e-10, init="dc" if network == "held" else "flat")
        found = net.res_bus["vm_pu"][list(feeder.bus_labels)].to_numpy()
        assert np.asarray(flow.vm_pu[case]) == pytest.approx(found, abs=1e-8)
        assert float(flow.slack_p_mw[case]) == pytest.approx(float(net.res_ext_grid["p_mw"].sum()), abs=1e-7)


def test_derivatives_by_actions_are_differences(folder: Path) -> None:
    with jax.enable_x64(True):
        env = nf.make("neom33", feeder=str(folder))
        state, _ = env.reset(jax.random.key(0))
        at = jnp.where(jnp.asarray(env.action_mask), 0.3, 0.0)

        def total(action: jax.Array) -> jax.Array:
            info = env.step(state, action)[1].info
            return jnp.sum(info.vm_pu**2) + info.loss_mw + info.slack_q_mvar

        direction = jnp.where(jnp.asarray(env.action_mask), jnp.linspace(0.5, 1.0, at.size).reshape(at.shape), 0.0)
        along = at + jnp.array([0.0, 1e-5, -1e-5])[:, None, None] * direction
        values, slopes = jax.jit(jax.vmap(jax.value_and_grad(total)))(along)
        slope = jnp.sum(slopes[0] * direction)
        assert float(slope) == pytest.approx(float(values[1] - values[2]) / 2e-5, rel=1e-5)


def test_surrogates_are_refused_by_what_they_know(folder: Path) -> None:
    with pytest.raises(InputError, match="loads that follow the voltage, and 'calibrated' knows constant power alone"):
        nf.make("neom33", feeder=str(folder), power_flow="calibrated")


def test_a_part_of_the_injections_has_their_shape(folder: Path) -> None:
    feeder = nf.load_feeder(folder)
    with pytest.raises(InputError, match=r"steady_p_mw has shape \(3,\), a part of the injections, which have \(33,\)"):
        nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar, steady_p_mw=np.zeros(3))
