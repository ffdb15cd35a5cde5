"""Nothing from devices to the verdict takes a bus for one voltage: played on a feeder where some buses have several."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from several_nodes import PHASES, SeveralNodes, environment_of_several_nodes, feeder_of_several_nodes

import neomflex_jax as nf
from neomflex_jax.adapters.pettingzoo import NeomFlexParallelEnv
from neomflex_jax.environment import Environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.operation import operation
from neomflex_jax.evaluation.tables import run_summary, step_metrics
from neomflex_jax.plots.one_line import OneLine
from neomflex_jax.yardsticks.droop import Droop
from validation.recompute.checks import check_trajectory
from validation.recompute.cost import local_cost
from validation.recompute.observations import check_observations
from validation.recompute.set_points import implied_injections

ROOT = Path(__file__).parents[2]
N_NODE = 33 + sum(phases - 1 for phases in PHASES.values())
BY_NODE = ("vm_pu", "p_injection_mw", "q_injection_mvar", "load_p_mw", "load_q_mvar")


@pytest.fixture(scope="module")
def env(three_days: Path) -> Environment:
    return environment_of_several_nodes(three_days)


@pytest.fixture(scope="module")
def feeder() -> SeveralNodes:
    return feeder_of_several_nodes(nf.load_feeder("case33bw"))


@pytest.fixture(scope="module")
def run(env: Environment) -> Trajectory:
    return record(env, Droop(), "droop", n_days=1)


def test_a_feeder_says_what_its_nodes_are(feeder: SeveralNodes, case33bw: nf.Feeder) -> None:
    assert feeder.n_node == N_NODE and feeder.n_bus == 33 and feeder.node_labels[:4] == ("0.1", "0.2", "0.3", "1.1")
    assert [feeder.node_labels[node] for node in feeder.nodes.at[7]] == ["7.1", "7.2", "7.3"]
    assert feeder.nodes.bus_labels == feeder.bus_labels and feeder.nodes.bus_position[-1] == 32
    assert case33bw.node_labels == case33bw.bus_labels and case33bw.n_node == 33


def test_a_step_runs_over_nodes(env: Environment, feeder: SeveralNodes) -> None:
    state, _ = env.reset(jax.random.key(0))
    info = jax.jit(env.step)(state, jnp.full((env.n_agents, env.action_size), 0.5))[1].info
    assert all(info[name].shape == (N_NODE,) for name in BY_NODE)
    battery_p_mw = info["battery_p_mw"][[each.bus for each in env.scenario.batteries].index(7)]
    fed_in_mw = (info["p_injection_mw"] + info["load_p_mw"])[feeder.nodes.at[7]]
    np.testing.assert_allclose(fed_in_mw, np.full(3, battery_p_mw / 3), atol=1e-6)
    assert battery_p_mw > 0.1
    np.testing.assert_allclose(info["load_p_mw"].sum(), info["demand"] * feeder.load_p_mw.sum(), rtol=1e-6)


def test_an_agent_sees_all_nodes_of_its_buses(env: Environment, feeder: SeveralNodes) -> None:
    table = env.describe()
    for agent, part in zip(env.agents, env.scenario.territories, strict=True):
        seen = table[(table["agent"] == agent) & table["name"].str.startswith("vm_pu")]["name"].tolist()
        nodes = [feeder.node_labels[node] for bus in part.buses for node in feeder.nodes.at[bus]]
        assert seen == [f"vm_pu - 1 at bus {label}" for label in nodes]


def test_a_record_and_its_tables_have_a_column_for_every_node(run: Trajectory, feeder: SeveralNodes) -> None:
    assert all(getattr(run, name).shape == (48, N_NODE) for name in BY_NODE)
    steps = step_metrics(run)
    names = [name for name in steps if name.startswith("voltage_bus_")]
    assert names == [f"voltage_bus_{label}_pu" for label in feeder.node_labels]
    np.testing.assert_array_equal(steps["voltage_bus_7.2_pu"], run.vm_pu[:, feeder.nodes.at[7][1]])
    outside = (run.vm_pu < 0.97) | (run.vm_pu > 1.03)
    assert run_summary(steps)["share_outside_band"][0] == pytest.approx(outside.mean()) and outside.any()
    assert operation(run, run, feeder).bands[0].worst_bus in feeder.bus_labels


def test_a_record_of_several_nodes_comes_back_from_its_file(run: Trajectory, tmp_path: Path) -> None:
    run.save(tmp_path / "run.npz")
    back = Trajectory.load(tmp_path / "run.npz")
    assert back.nodes == run.nodes and back.bus_labels == run.bus_labels
    np.testing.assert_array_equal(back.vm_pu, run.vm_pu)


def test_the_second_calculation_agrees_node_by_node(run: Trajectory, feeder: SeveralNodes) -> None:
    check_trajectory(run, feeder)
    for implied, name in zip(implied_injections(run, feeder), ("p_injection_mw", "q_injection_mvar"), strict=True):
        np.testing.assert_allclose(implied, getattr(run, name), atol=1e-6)
    assert check_observations(run, feeder).max_abs < 1e-6
    recorded = {name: np.asarray(values, float) for name, values in run.devices.items()}
    cost = local_cost(run.scenario, feeder, vm_pu=run.vm_pu, loss_mw=run.loss_mw, step=run.step, **recorded)
    np.testing.assert_allclose(cost, -run.local_reward, rtol=1e-4, atol=1e-5)


def test_adapters_and_pictures_take_nodes(env: Environment) -> None:
    made = NeomFlexParallelEnv(env)
    made.reset(seed=0)
    *_, infos = made.step({agent: made.action_space(agent).sample() for agent in made.agents})
    n_seen = sum(len(info["vm_pu"]) for info in infos.values())
    assert n_seen == N_NODE
    OneLine(env).draw(env.reset(jax.random.key(0))[1].info)


# What stands for a bus is said of buses: how many a feeder has, in a text that says so.
OF_BUSES = re.compile(
    r"\bn_bus\b|\bbus_position\(|\bdevice_bus\b|layout\.buses|feeder\.bus_labels|trajectory\.bus_labels"
)
SAYS_BUSES = ("n_bus} buses", '"n_bus": vm_pu.shape[1]', "n_bus: int  # without", "self.n_solved * self.n_bus")
SOURCES = [
    path
    for room in ("environment", "evaluation", "adapters", "yardsticks", "devices")
    for path in sorted((ROOT / "neomflex_jax" / room).rglob("*.py"))
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "neomflex_jax")))
def test_no_array_is_taken_to_run_over_buses(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    left = [line for line in lines if OF_BUSES.search(line) and not any(said in line for said in SAYS_BUSES)]
    assert not left
