"""The environment on feeders with phases: against the power flow asked by hand, and what it refuses."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.command_line import neomflex

import neomflex_jax as nf
from neomflex_jax.environment import Environment
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.operation import operation
from neomflex_jax.evaluation.tables import step_metrics
from neomflex_jax.grid.unbalanced import GROUND, Load
from neomflex_jax.plots import draw_figure, draw_map, phase_map, save_day
from neomflex_jax.plots.distance import draw_distance
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.yardsticks.droop import Droop

WEST = ["sourcebus", "650", "rg60", "632", "633", "634", "645", "646", "670"]
EAST = ["671", "680", "684", "611", "652", "692", "675"]
IEEE13 = f"""
name = "phases13"
feeder = "ieee13"
[[territories]]
agent = "west"
buses = {WEST}
[[territories]]
agent = "east"
buses = {EAST}
[[batteries]]
bus = "634"
capacity_mwh = 1.0
power_mw = 0.3
[[batteries]]
bus = "675"
phases = [1, 3]
capacity_mwh = 1.0
power_mw = 0.3
s_mva = 0.4
[[pv_inverters]]
bus = "611"
p_max_mw = 0.3
s_mva = 0.33
[[flexible_loads]]
bus = "652"
curtail_share = 0.5
[limits]
band_min_pu = 0.95
band_max_pu = 1.05
[reward]
unbalance_weight = 2.0
unbalance_soft_percent = 0.5
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory, three_days: Path) -> Path:
    path = tmp_path_factory.mktemp("phases") / "phases13.toml"
    path.write_text(f'profiles = "{three_days}"\nevaluation_profiles = "{three_days}"\n{IEEE13}')
    return path


@pytest.fixture(scope="module")
def env(scenario: Path) -> Environment:
    return nf.make(scenario)


@pytest.fixture(scope="module")
def info(env: Environment) -> dict[str, Any]:
    """Of a step at noon, everything asked for to 60 %, a load's curtailment too."""
    state, _ = env.reset(jax.random.key(0))
    state = replace(state, step=jnp.asarray(24, jnp.int32))
    layout = env.action_layout
    wanted = [-0.6 if entry.control.name == "load_curtailment" else 0.6 for entry in layout.controls]
    action = jnp.array([*wanted, 0.0])[layout.slots]
    return jax.device_get(dict(jax.jit(env.step)(state, action)[1].info))


@pytest.fixture(scope="module")
def run(env: Environment) -> Trajectory:
    return record(evaluation_environment(env), Droop(), "droop", n_days=1)


def test_a_step_is_the_power_flow_of_loads_and_generators_at_nodes(env: Environment, info: dict[str, Any]) -> None:
    feeder = nf.load_feeder("ieee13")
    at = np.flatnonzero(info["p_injection_mw"])
    assert [feeder.node_labels[node] for node in at] == ["634.1", "634.2", "634.3", "675.1", "675.3", "611.3"]
    generators = tuple(
        Load(f"generator.{node}", (int(node), GROUND), 1, "wye", 2.4, -float(p_mw), -float(q_mvar))
        for node, p_mw, q_mvar in zip(at, info["p_injection_mw"][at], info["q_injection_mvar"][at], strict=True)
    )
    loads = [
        replace(load, p_mw=float(p_mw), q_mvar=float(q_mvar))
        for load, p_mw, q_mvar in zip(feeder.loads, info["load_p_mw"], info["load_q_mvar"], strict=True)
    ]
    with jax.enable_x64(True):
        flow = nf.nominal_power_flow(replace(feeder, loads=(*loads, *generators)))
    np.testing.assert_allclose(info["vm_pu"], flow.vm_pu, atol=3e-6)
    np.testing.assert_allclose(info["vuf_percent"], flow.vuf_percent, atol=1e-3)
    np.testing.assert_allclose(info["loss_mw"], flow.loss_mw, atol=2e-5)
    np.testing.assert_allclose(info["slack_p_mw"], flow.slack_p_mw, atol=2e-5)


def test_devices_feed_an_equal_share_into_each_of_their_phases(env: Environment, info: dict[str, Any]) -> None:
    place = {label: node for node, label in enumerate(env.feeder.node_labels)}
    p, q = info["p_injection_mw"], info["q_injection_mvar"]
    assert info["battery_p_mw"].min() > 0.1 and abs(info["battery_q_mvar"][1]) > 0.1 and info["pv_p_mw"][0] > 0.1
    np.testing.assert_allclose([p[place[f"634.{k}"]] for k in (1, 2, 3)], np.full(3, info["battery_p_mw"][0] / 3))
    np.testing.assert_allclose([p[place[f"675.{k}"]] for k in (1, 3)], np.full(2, info["battery_p_mw"][1] / 2))
    np.testing.assert_allclose([q[place[f"675.{k}"]] for k in (1, 3)], np.full(2, info["battery_q_mvar"][1] / 2))
    assert p[place["675.2"]] == 0 and p[place["611.3"]] == info["pv_p_mw"][0]


def test_loads_are_nominal_load_by_load_after_what_flexible_ones_shed(env: Environment, info: dict[str, Any]) -> None:
    expected = env.feeder.load_p_mw * info["demand"]
    flexible = [load.name for load in env.feeder.loads].index("load.652")
    expected[flexible] -= info["load_curtailed_mw"][0]
    assert info["load_curtailed_mw"][0] > 0.01
    np.testing.assert_allclose(info["load_p_mw"], expected, rtol=1e-6)


def test_the_unbalance_term_is_what_lies_above_the_soft_limit(env: Environment, info: dict[str, Any]) -> None:
    above = np.maximum(info["vuf_percent"] - 0.5, 0.0)
    east = np.isin(env.feeder.three_phase_buses, EAST)
    assert above[east].sum() > 0
    np.testing.assert_allclose(info["reward_unbalance"], [-2 * above[~east].sum(), -2 * above[east].sum()], rtol=1e-5)


def test_agents_see_the_nodes_of_their_buses(env: Environment) -> None:
    table = env.describe()
    seen = table[(table["agent"] == "east") & table["name"].str.startswith("vm_pu")]["name"].tolist()
    labels = [env.feeder.node_labels[node] for bus in EAST for node in env.feeder.nodes.at[bus]]
    assert seen == [f"vm_pu - 1 at bus {label}" for label in labels] and "611.3" in labels


def test_many_copies_and_derivatives(env: Environment) -> None:
    states, _ = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))
    action = jnp.full((3, env.n_agents, env.action_size), 0.1)
    flows = jax.jit(jax.vmap(env.step))(states, action)[1].info
    alone = env.step(jax.tree.map(lambda leaf: leaf[2], states), action[2])[1].info
    np.testing.assert_allclose(flows["vm_pu"][2], alone["vm_pu"], atol=2e-6)

    def cost(share: jax.Array) -> jax.Array:
        state = jax.tree.map(lambda leaf: leaf[0], states)
        return -jnp.sum(env.step(state, jnp.full((env.n_agents, env.action_size), share))[1].reward)

    with jax.enable_x64(False):
        slope, step = jax.grad(cost)(0.2), 1e-2
        quotient = (cost(0.2 + step) - cost(0.2 - step)) / (2 * step)
    assert abs(slope - quotient) < 0.03 * abs(quotient) and abs(slope) > 0.01


def test_another_environment_of_the_scenario_causes_no_new_trace(scenario: Path, env: Environment) -> None:
    traced = []

    @jax.jit
    def voltage(env: Environment, key: jax.Array) -> jax.Array:
        traced.append(env.n_agents)
        return env.reset(key)[1].info["vm_pu"]

    voltage(env, jax.random.key(0))
    voltage(nf.make(scenario), jax.random.key(1))
    assert len(traced) == 1


def test_a_run_has_a_column_for_every_node_and_comes_back(run: Trajectory, env: Environment, tmp_path: Path) -> None:
    assert run.vm_pu.shape == (48, 41) and run.load_p_mw.shape == (48, 15) and run.vuf_percent.shape == (48, 11)
    names = [name for name in step_metrics(run) if name.startswith("voltage_bus_")]
    assert names == [f"voltage_bus_{label}_pu" for label in env.feeder.node_labels]
    assert operation(run, run, env.feeder).peak_import_mw > 1.0
    run.save(tmp_path / "run.npz")
    back = Trajectory.load(tmp_path / "run.npz")
    assert back.nodes == run.nodes and back.load_buses == env.feeder.load_buses
    assert back.scenario == run.scenario
    np.testing.assert_array_equal(back.load_at("671"), run.load_p_mw[:, np.array(back.load_buses) == "671"].sum(axis=1))


def test_loads_may_follow_series_of_their_own(scenario: Path, three_days: Path, tmp_path: Path) -> None:
    rows = three_days.read_text().splitlines()
    own = [f"{row},{'house' if not number else number % 5}" for number, row in enumerate(rows)]
    (tmp_path / "days.csv").write_text("\n".join(own))
    env = nf.make(scenario, profiles=str(tmp_path / "days.csv"), loads={"611": "house"})
    timestep = env.reset(jax.random.key(0))[1]
    load = [load.name for load in env.feeder.loads].index("load.611")
    row = int(timestep.info["dataset_index"])
    np.testing.assert_allclose(timestep.info["load_p_mw"][load], 0.17 * ((row + 1) % 5), rtol=1e-6)
    np.testing.assert_allclose(timestep.info["load_p_mw"][0], env.feeder.load_p_mw[0] * timestep.info["demand"])


def _with(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_a_linear_method_plays_it_too(env: Environment) -> None:
    linear = env.with_power_flow("lindistflow")
    state, _ = env.reset(jax.random.key(0))
    action = jnp.zeros(env.action_layout.mask.shape)
    found, exact = (jax.jit(played.step)(state, action)[1].info for played in (linear, env))
    off = np.abs(found.vm_pu - exact.vm_pu).max()
    assert 1e-5 < off < 0.011 and linear.power_flow.method == "lindistflow"


REFUSED = {
    "a phase": (("phases = [1, 3]", "phases = [1, 4]"), "phases = \\[1, 4\\] must be some of 1, 2 and 3"),
    "not there": (('bus = "611"', 'bus = "611"\nphases = [1]'), "'pv_611' has phase 1, which bus 611 does not have"),
    "a number": (('bus = "611"\n', "bus = 611\n"), "nobody's territory .as a text, '611', it is in one"),
    "method": (
        ('feeder = "ieee13"', 'feeder = "ieee13"\npower_flow = "dc"'),
        "'dc' is of balanced feeders alone",
    ),
    "lines": (("[limits]", "[uncertainty]\nline_error = 0.1\n[limits]"), "line_error = 0.1 must be 0"),
    "no branch": (("[limits]", '[loading.branch_limits]\n"650-632" = 90.0\n[limits]'), "branch_labels of the feeder"),
    "flexible": (('bus = "652"', 'bus = "680"'), "bus 680 has no loads"),
    "bank": (("[limits]", '[[capacitor_banks]]\nbus = "680"\nstep_mvar = 0.1\nsteps = 2\n[limits]'), "has some at"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_played_is_refused_by_name(what: str, tmp_path: Path) -> None:
    (old, new), message = REFUSED[what]
    (tmp_path / "bad.toml").write_text(_with(IEEE13, old, new))
    with pytest.raises(nf.InputError, match=message):
        nf.make(tmp_path / "bad.toml")


@pytest.mark.parametrize("method", ["dc", "newton"])
def test_another_method_is_refused_in_one_sentence_wherever_it_is_asked_for(
    method: str, scenario: Path, env: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = f"feeder 'ieee13' has phases, and power flow '{method}' is of balanced feeders alone; take 'ac'"
    other = tmp_path / "other.toml"
    other.write_text(f'power_flow = "{method}"\n{scenario.read_text()}')
    folder = str(tmp_path / "out")
    asked: list[Callable[[], object]] = [
        lambda: nf.load_scenario(other),
        lambda: nf.load_scenario(scenario, power_flow=method),
        lambda: nf.make(other),
        lambda: nf.make(scenario, power_flow=method),
        lambda: env.with_power_flow(method),
        lambda: nf.bind(nf.load_feeder("ieee13"), method),
        lambda: TrainOptions(scenario=env.scenario, finish_on=method),
    ]
    for ask in asked:
        with pytest.raises(nf.InputError, match=re.escape(sentence)):
            ask()
    commands = [
        ["scenario", "show", str(other)],
        ["scenario", "check", str(other)],
        ["train", "--scenario", str(other), "--output", folder],
        ["train", "--scenario", str(scenario), "--power-flow", method, "--output", folder],
        ["evaluate", "--scenario", str(other), "--policy", "no_control", "--output", folder],
        ["evaluate", "--scenario", str(scenario), "--policy", "no_control", "--power-flow", method, "--output", folder],
        ["validate", "--scenario", str(other), "--policy", "no_control", "--output", folder],
    ]
    for command in commands:
        assert neomflex(*command) == 2
        assert sentence in " ".join(capsys.readouterr().out.split())


def test_balanced_feeders_have_no_phases() -> None:
    battery = nf.devices.Battery(7, 2.0, 0.5, phases=(1,))
    with pytest.raises(nf.InputError, match="'battery_7' has phases = \\[1\\], and the feeder is balanced"):
        nf.make("neom33", batteries=[battery])
    with pytest.raises(nf.InputError, match="unbalance_weight"):
        nf.make("neom33", unbalance_weight=1.0)


def test_an_adapter_hands_out_each_agents_own_loads_and_nodes(env: Environment) -> None:
    pytest.importorskip("pettingzoo")
    from neomflex_jax.adapters.pettingzoo import NeomFlexParallelEnv

    made = NeomFlexParallelEnv(env)
    _, infos = made.reset(seed=0)
    assert sum(len(own["vm_pu"]) for own in infos.values()) == 41
    own = [load for load, bus in zip(env.feeder.load_p_mw, env.feeder.load_buses, strict=True) if bus in EAST]
    np.testing.assert_allclose(infos["east"]["load_p_mw"], np.array(own) * infos["east"]["demand"], rtol=1e-6)


def test_figures_are_drawn_by_phase(run: Trajectory, env: Environment) -> None:
    steps = step_metrics(run)
    assert np.isclose(steps["vuf_max_percent"], run.vuf_percent.max(axis=1), rtol=1e-6).all()
    labels = draw_figure("voltage", steps, "droop").axes[0].get_legend_handles_labels()[1]
    assert [label for label in labels if "phase" in label] == [
        f"droop: phase {phase}, lowest, highest" for phase in (1, 2, 3)
    ]
    (worst, *_) = draw_figure("unbalance", steps, "droop").axes[0].get_lines()
    np.testing.assert_allclose(worst.get_ydata(), run.vuf_percent.max(axis=1), rtol=1e-6)
    axes = draw_distance([run], nf.load_feeder("ieee13"), 0, 24).axes[0]
    dots = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    place = [str(label).endswith(".2") for label in env.feeder.node_labels]
    np.testing.assert_allclose(np.sort(dots["phase 2"]), np.sort(run.vm_pu[24, place]))


def test_a_map_has_a_line_for_each_phase_and_the_worst_voltage_of_each_bus(run: Trajectory) -> None:
    feeder = nf.load_feeder("ieee13")
    axes = draw_map([run], feeder, 0, 24).axes[0]
    lines, dots = axes.collections[:3], axes.collections[-1]
    labels = set(feeder.node_labels)
    topology = feeder.topology
    pairs = {
        (feeder.bus_labels[a], feeder.bus_labels[b])
        for a, b, closed in zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
        if closed
    }
    for phase, drawn in zip((1, 2, 3), lines, strict=True):
        shared = [pair for pair in pairs if {f"{pair[0]}.{phase}", f"{pair[1]}.{phase}"} <= labels]
        assert len(drawn.get_segments()) == len(shared) > 5
    away = np.abs(run.vm_pu[24] - 1.0)  # the band's middle
    worst = [run.vm_pu[24, at[np.argmax(away[at])]] for at in feeder.nodes.at.values()]
    np.testing.assert_allclose(dots.get_array(), worst, rtol=1e-6)
    place = np.array(dots.get_offsets())
    stated = np.array([feeder.coordinates[label] for label in feeder.bus_labels])
    scale = np.ptp(place, axis=0) / np.ptp(stated, axis=0)
    np.testing.assert_allclose(scale, scale[0])  # as it lies, not distorted
    tree = draw_map([run], replace(feeder, coordinates={}), 0, 24).axes[0].collections[-1]
    assert not np.allclose(tree.get_offsets(), place)
    with pytest.raises(nf.InputError, match="the run has days"):
        draw_map([run], feeder, 5, 0)


def test_a_whole_day_of_a_feeder_with_phases_is_a_picture_a_step_that_does_not_move(run: Trajectory) -> None:
    feeder = nf.load_feeder("ieee13")
    morning, noon = islice(phase_map.images_of_day_by_phase([run], feeder, 0), 0, 25, 24)
    changed = (morning != noon).any(axis=(0, 2))
    bar = int(0.88 * len(changed))  # the scale of colours stands to the right of it
    assert changed[:bar].any() and not changed[bar:].any()


def test_a_day_with_phases_is_written(run: Trajectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phase_map, "images_of_day_by_phase", lambda *_: iter(np.zeros((2, 4, 4, 3), np.uint8)))
    save_day([run], nf.load_feeder("ieee13"), 0, tmp_path / "day.gif")
    assert (tmp_path / "day.gif").read_bytes().startswith(b"GIF89a")


def test_a_run_without_phases_has_no_unbalance_to_draw(run: Trajectory) -> None:
    with pytest.raises(nf.InputError, match="only feeders with phases have an unbalance"):
        draw_figure("unbalance", step_metrics(run).drop(columns="vuf_max_percent"), "droop")
