"""A feeder's own controls followed within environments: against OpenDSS's own controls, and what follows from them."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from phases import SMALL, Waves

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import Environment, evaluation_environment
from neomflex_jax.environment.feeder_controls import STORE
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.tables import step_metrics
from neomflex_jax.plots import draw_figure

STEP = 0.00625
FOLLOW = 'feeder_controls = "follow"\n'
TAKEN = """
[[tap_changers]]
bus = "rg60"
phases = [1]
from_bus = "650"
to_bus = "rg60"
steps = 16
step_percent = 0.625
"""
ALL_TAKEN = TAKEN.replace("phases = [1]\n", "")


def made(folder: Path, text: str = FOLLOW + SMALL) -> Environment:
    """The small task on two days whose load goes up and down."""
    hours = np.arange(16) * 3.0
    demand = 0.9 + 0.6 * np.sin(hours / 24 * 2 * np.pi - 1.0)
    rows = [
        f"{one:.6f},{max(0.0, np.sin((hour % 24 - 6) / 12 * np.pi)):.6f}"
        for one, hour in zip(demand, hours, strict=True)
    ]
    (folder / "days.csv").write_text("\n".join(["Demand,Solar", *rows]) + "\n")
    path = folder / "followed.toml"
    path.write_text(f'profiles = "{folder / "days.csv"}"\nevaluation_profiles = "{folder / "days.csv"}"\n{text}')
    return nf.make(path, **({"feeder_operation_weight": 0.5} if FOLLOW in text else {}))


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return made(tmp_path_factory.mktemp("followed"))


@pytest.fixture(scope="module")
def run(env: Environment) -> Trajectory:
    return record(evaluation_environment(env), Waves(env.action_size, 0.0), "waves")


def test_taps_are_those_of_opendss_with_its_own_controls_on(run: Trajectory, env: Environment) -> None:
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    from validation.recompute.own_controls import own_controls
    from validation.recompute.phase_set_points import phase_set_points_of
    from validation.referee.opendss.own_controls import moved_by_opendss

    controls = own_controls(run.scenario, env.feeder)
    assert controls.names == ("regcontrol.reg1", "regcontrol.reg2", "regcontrol.reg3")
    points = phase_set_points_of(run, env.feeder)
    moved = moved_by_opendss(env.feeder, controls, points, np.asarray(run.step) * run.scenario.step_hours)
    steps = np.round((run.feeder_tap_ratio - 1) / STEP)
    np.testing.assert_array_equal(np.round((moved.tap_ratio - 1) / STEP), steps)
    assert np.ptp(steps, axis=0).min() >= 3 and run.feeder_controls_settled.all()


@pytest.mark.slow
def test_days_of_ieee123_are_those_of_opendss() -> None:
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    from validation.recompute.own_controls import own_controls
    from validation.recompute.phase_set_points import phase_set_points_of
    from validation.referee.opendss.own_controls import moved_by_opendss

    env = evaluation_environment(nf.make("ieee123", feeder_controls="follow"))
    run = record(env, NoControl(env.action_size), "idle", n_days=2)
    points = phase_set_points_of(run, env.feeder)
    controls = own_controls(run.scenario, env.feeder)
    moved = moved_by_opendss(env.feeder, controls, points, np.asarray(run.step) * run.scenario.step_hours)
    apart = np.abs(np.round((moved.tap_ratio - run.feeder_tap_ratio) / STEP))
    assert (apart == 0).all(axis=1).mean() >= 0.95 and apart.max() <= 1
    assert np.abs(np.diff(run.feeder_tap_ratio, axis=0)).sum() > 50 * STEP  # they do move


def test_each_step_begins_where_the_one_before_ended_and_pays_for_its_operations(
    run: Trajectory, env: Environment
) -> None:
    taps = [env.feeder.taps[f"transformer.reg{number}", 2] for number in (1, 2, 3)]
    np.testing.assert_allclose(run.feeder_tap_ratio_before[0], taps, atol=1e-6)
    np.testing.assert_array_equal(run.feeder_tap_ratio_before[1:], run.feeder_tap_ratio[:-1])
    moved = np.abs(np.round((run.feeder_tap_ratio - run.feeder_tap_ratio_before) / STEP)).sum(axis=1)
    free = record(
        evaluation_environment(
            nf.make(replace(env.scenario, reward=replace(env.scenario.reward, feeder_operation_weight=0.0)))
        ),
        Waves(env.action_size, 0.0),
        "free",
    )
    np.testing.assert_allclose(run.cost - free.cost, 0.5 * moved, atol=1e-3)
    table = step_metrics(run)
    np.testing.assert_array_equal(table["feeder_control_operations"], moved)
    lines = draw_figure("positions", table, "waves").axes[0].get_lines()
    drawn = {str(line.get_label()): line.get_ydata() for line in lines}
    np.testing.assert_array_equal(
        np.asarray(drawn["reg2, the feeder's own"])[:16], np.round((run.feeder_tap_ratio[:, 1] - 1) / STEP)
    )
    np.testing.assert_array_equal(
        table["feeder_control_reg2_position"], np.round((run.feeder_tap_ratio[:, 1] - 1) / STEP)
    )


def test_voltages_are_those_at_the_recorded_taps(run: Trajectory, env: Environment) -> None:
    row = int(np.abs(np.diff(run.feeder_tap_ratio[:, 0])).argmax()) + 1
    taps = {(f"transformer.reg{number + 1}", 2): float(run.feeder_tap_ratio[row, number]) for number in range(3)}
    fed_in = np.flatnonzero(np.abs(run.p_injection_mw).sum(axis=0))
    labels = [env.feeder.node_labels[node] for node in fed_in]
    from neomflex_jax.powerflow.unbalanced import bind_unbalanced

    flow = bind_unbalanced(env.feeder.with_taps(taps), device_nodes=labels)(
        run.load_p_mw[row], run.load_q_mvar[row], run.p_injection_mw[row, fed_in], run.q_injection_mvar[row, fed_in]
    )
    np.testing.assert_allclose(run.vm_pu[row], flow.vm_pu, atol=2e-5)


def test_many_copies_one_trace_and_derivatives_at_given_taps(env: Environment) -> None:
    states, _ = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 4))
    action = 0.3 * jnp.ones((4, env.n_agents, env.action_size))
    traced = []

    @jax.jit
    @jax.vmap
    def step(state, action):  # type: ignore[no-untyped-def]
        traced.append(1)
        return env.step(state, action)

    after, answers = step(states, action)
    step(after, -action)
    assert len(traced) == 1
    alone, answer = jax.jit(env.step)(jax.tree.map(lambda leaf: leaf[2], states), action[2])
    np.testing.assert_array_equal(after.stores[STORE].tap_ratio[2], alone.stores[STORE].tap_ratio)
    np.testing.assert_allclose(answers.info["vm_pu"][2], answer.info["vm_pu"], atol=2e-6)
    assert np.abs(after.stores[STORE].tap_ratio - states.stores[STORE].tap_ratio).max() > 0

    def loss_mw(action):  # type: ignore[no-untyped-def]
        return env.step(jax.tree.map(lambda leaf: leaf[0], states), action)[1].info["loss_mw"]

    slope = jax.jit(jax.grad(loss_mw))(action[0])
    assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-4


def test_controls_of_what_a_device_takes_over_rest(tmp_path: Path) -> None:
    env = made(tmp_path, FOLLOW + SMALL.replace("[limits]", TAKEN + "[limits]"))
    state, first = jax.jit(env.reset)(jax.random.key(0))
    own = [env.feeder.taps[f"transformer.reg{number}", 2] for number in (2, 3)]
    np.testing.assert_allclose(state.stores[STORE].tap_ratio, own, atol=1e-6)
    assert first.info["feeder_tap_ratio"].shape == (2,) and env.power_flow.chosen.taps[0] == ("transformer.reg1", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FOLLOW + SMALL.replace("step_hours = 3.0", "step_hours = 0.001"), "regcontrol.reg1 waits 15 s, longer than a"),
        (
            FOLLOW + SMALL + ALL_TAKEN,
            "no controls to follow; its devices have taken over regcontrol.reg1, regcontrol.reg2",
        ),
        ('feeder_controls = "off"\n' + SMALL, "feeder_controls"),
        (SMALL.replace("unbalance_weight = 2.0", "feeder_operation_weight = 1.0"), 'needs feeder_controls = "follow"'),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(nf.InputError, match=said):
        made(tmp_path, text)


def test_a_balanced_feeder_has_no_controls_to_follow() -> None:
    with pytest.raises(nf.InputError, match="is balanced and has no controls of its own"):
        nf.make("neom33", feeder_controls="follow")


def test_a_run_comes_back_and_its_hash_is_another(run: Trajectory, env: Environment, tmp_path: Path) -> None:
    run.save(tmp_path / "run.npz")
    back = Trajectory.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(back.feeder_tap_ratio, run.feeder_tap_ratio)
    assert back.scenario == run.scenario
    frozen = replace(env.scenario, feeder_controls="frozen")
    assert "feeder_controls" not in frozen.as_dict() and frozen.hash() != env.scenario.hash()
