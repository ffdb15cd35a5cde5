"""Trainings that keep constraints: what they are told, what they write, and that one without any is as it was."""

import json
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from command_line import SMALL, neomflex

import neomflex_jax as nf
from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.multipliers import Multiplier, unpriced
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.training import feasibility
from neomflex_jax.training.constraints import Constraints, constraints_of
from neomflex_jax.training.options import TrainOptions, read_options
from neomflex_jax.training.program import program_for
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.train import resume, train

GRADIENT = GradientConfig(n_copies=4, horizon_days=1, warmup_steps=4, hidden_sizes=(16,), clipping_weight=0.0)
GRADIENT = replace(GRADIENT, learning_rate_decay="none")  # so that nothing goes by the budget
SAC = SacConfig(n_copies=8, batch_size=16, updates_per_step=1, buffer_size=512, warmup_steps=8, hidden_sizes=(16,))
SAC = replace(SAC, learning_rate_decay="none")
FIGURES = ("cost", "limit", "multiplier", "share")
CHUNK = {"gradient": 10 * 4 * 48, "sac": 24 * 8}
FIRST = {"gradient": 4 * 4, "sac": 8 * 8}


@pytest.fixture(scope="module")
def env():
    return nf.make("neom33", power_flow="lindistflow", hard_min_pu=0.96)


def options(env, algorithm, limits, **changes):
    given = {"algorithm": algorithm, "gradient": GRADIENT, "sac": SAC, "compared_days": 0, "constraints": limits}
    return TrainOptions(env.scenario, **given | changes)


def traced(env, algorithm, limits):
    """Shapes of a state and of what a chunk makes of it, and the chunk's program."""
    program = program_for(env, options(env, algorithm, limits))
    state = program.template(env)
    share, rounds = jax.ShapeDtypeStruct((), np.float32), jax.ShapeDtypeStruct((), np.int32)
    closed, shapes = jax.make_jaxpr(program.algorithm.advance, return_shape=True)(env, state, share, rounds)
    return state, shapes, str(closed)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["gradient", "sac"])
def test_several_constraints_have_figures_and_multipliers_of_their_own(env, algorithm):
    before, (after, metrics), _ = traced(env, algorithm, {"voltage": 0.0, "clipping": 0.1})
    assert {f"constraint_{name}_{each}" for name in ("voltage", "clipping") for each in FIGURES} <= set(metrics)
    assert set(before.learner.multipliers) == {"voltage", "clipping"}
    assert [leaf.shape for leaf in jax.tree.leaves(before)] == [leaf.shape for leaf in jax.tree.leaves(after)]


def test_no_constraint_takes_no_operation_and_keeps_no_array():
    none, cost, seen = Constraints(), object(), {"day_cost": object()}
    task, info = SimpleNamespace(constraint_names=("voltage", "clipping")), {"constraint_cost": jnp.ones((4, 3, 2))}
    step = SimpleNamespace(info=info)
    assert none.metrics(task, step) == none.broken(task, step) == {}
    assert not jax.make_jaxpr(lambda: (none.metrics(task, step), none.broken(task, step)))().eqns
    assert none.start() == {} and none.priced(cost, seen, {}, 48) is cost
    assert none.ascended({}, seen, 48, 1.0, None) == ({}, seen)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["gradient", "sac"])
def test_without_constraints_nothing_of_them_is_kept_or_computed(env, algorithm, monkeypatch):
    state, (_, metrics), program = traced(env, algorithm, {})
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert not [name for name in (*paths, *metrics) if any(word in name for word in ("constr", "multip", "broken"))]
    for name, nothing in (("costs", {}), ("broken", {}), ("metrics", {}), ("start", {})):
        monkeypatch.setattr(Constraints, name, lambda self, *_, nothing=nothing: dict(nothing))
    monkeypatch.setattr(Constraints, "priced", lambda self, cost, *_: cost)
    monkeypatch.setattr(Constraints, "ascended", lambda self, multipliers, metrics, *_: (multipliers, metrics))
    assert traced(env, algorithm, {})[2] == program


def test_constraints_that_are_not_there_are_refused():
    unlimited = SimpleNamespace(limited=None, scenario=SimpleNamespace(name="mine"))
    with pytest.raises(InputError, match=r"known: band, clipping, loading, voltage. Did you mean 'voltage'"):
        constraints_of(unlimited, {"volts": 0.0, "voltage": 0.0})
    with pytest.raises(InputError, match="no hard limit of what branches carry; set loading_hard_percent or"):
        constraints_of(unlimited, {"loading": 0.0})
    for limit in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="share of steps that may break it, at least 0 and below 1"):
            TrainOptions(load_scenario("neom33"), constraints={"voltage": limit})


def test_the_command_refuses_what_is_no_constraint(capsys, tmp_path):
    for given, message in (
        (["voltage"], "must read NAME=SHARE"),
        (["voltage=0", "voltage=0.1"], "--constraint voltage is given twice"),
        (["voltage=0,1"], "must read NAME=SHARE, for example voltage=0.001"),
    ):
        flags = [part for text in given for part in ("--constraint", text)]
        assert neomflex("train", "--output", tmp_path / "run", *flags) == 2
        assert message in " ".join(capsys.readouterr().out.split())


def test_a_step_breaks_a_constraint_where_the_team_pays_for_it():
    """Two copies, two agents: one is outside the voltage limits by what the other is not; both clip by rounding."""
    costs = jnp.array([[[0.0, 4e-4], [0.01, 5e-4]], [[0.0, 2e-3], [0.0, 0.0]]])
    task, step = (
        SimpleNamespace(constraint_names=("voltage", "clipping")),
        SimpleNamespace(info={"constraint_cost": costs}),
    )
    constraints = Constraints((("clipping", 0.1), ("voltage", 0.0)))
    broken = constraints.broken(task, step)
    np.testing.assert_array_equal(broken["voltage"], [1.0, 0.0])
    np.testing.assert_array_equal(broken["clipping"], [0.0, 1.0])
    metrics = constraints.metrics(task, step)
    assert float(metrics["constraint_voltage_share"]) == 0.5
    assert float(metrics["constraint_voltage_cost"]) == pytest.approx(0.005)
    before = {"clipping": unpriced(), "voltage": Multiplier(jnp.ones(()), jnp.zeros(()))}
    after, said = constraints.ascended(before, metrics, 10_000, -20.0, None)
    assert float(after["voltage"].value) == pytest.approx(1.1) and float(said["constraint_voltage_multiplier"]) == 20
    assert float(after["clipping"].value) == pytest.approx(0.1) and "constraint_clipping_limit" in said


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["gradient", "sac"])
def test_a_run_keeps_its_figures_and_is_resumed_bit_for_bit(tmp_path, algorithm):
    scenario = load_scenario("neom33", power_flow="lindistflow", hard_min_pu=0.96)
    env = nf.make(scenario)
    given = options(env, algorithm, {"voltage": 0.001}, total_steps=FIRST[algorithm] + CHUNK[algorithm])
    train(given, tmp_path / "parts")
    assert read_options(RunFolder(tmp_path / "parts")).constraints == {"voltage": 0.001}
    twice = FIRST[algorithm] + 2 * CHUNK[algorithm]
    resumed = resume(tmp_path / "parts", total_steps=twice)
    whole = train(replace(given, total_steps=twice), tmp_path / "whole")
    tables = [pd.read_csv(tmp_path / name / "metrics.csv") for name in ("parts", "whole")]
    own = [name for name in tables[0] if name not in ("seconds", "steps_per_second")]
    pd.testing.assert_frame_equal(tables[0][own], tables[1][own])
    assert {f"constraint_voltage_{each}" for each in FIGURES} <= set(own)
    assert (tables[0]["constraint_voltage_share"] > 0).all() and tables[0]["constraint_voltage_multiplier"].iloc[-1] > 0
    for left, right in zip(jax.tree.leaves(resumed.learner), jax.tree.leaves(whole.learner), strict=True):
        np.testing.assert_array_equal(left, right)
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("parts", "whole")]
    assert results[0]["policies_sha256"] == results[1]["policies_sha256"]
    assert results[0]["constraints"] == results[1]["constraints"]
    assert results[0]["constraints"]["voltage"]["limit"] == pytest.approx(0.001)


@pytest.mark.slow
@pytest.mark.parametrize(("hard_min_pu", "impossible"), [(0.9, False), (0.9695, True)])
def test_an_impossible_limit_is_doubted(hard_min_pu, impossible):
    env = nf.make("neom33", hard_min_pu=hard_min_pu)
    said = feasibility.doubt(env, Constraints((("voltage", 0.0),)))
    assert bool(said) == impossible
    if impossible:
        assert "breaks voltage in" in said and "its limit is 0 %" in said


@pytest.mark.slow
def test_a_constraint_from_the_command_to_the_page(tmp_path, three_days, capsys):
    run = tmp_path / "run"
    assert neomflex("train", "--output", run, *SMALL, "--constraint", "voltage=0.25") == 0
    flags = ["--policies", run, "--profiles", three_days, "--baseline", "--output", run / "evaluation"]
    assert neomflex("evaluate", *flags) == 0
    table = pd.read_csv(run / "evaluation" / "constraints.csv")
    assert table["run"].tolist() == ["controlled", "baseline"] and (table["limit"] == 0.25).all()
    steps = pd.read_csv(run / "evaluation" / "step_metrics.csv")
    broken = (steps["voltage_violations"] > 0).groupby(steps["run"]).mean()
    np.testing.assert_allclose(table["share"], broken[table["run"]])
    assert "constraints of the training" in capsys.readouterr().out
    assert neomflex("report", run) == 0
    assert "share of steps, %" in (run / "report.html").read_text()
    assert neomflex("train", "--resume", "--output", run, "--constraint", "voltage=0") == 2
    assert "--constraint cannot change in a resumed run" in capsys.readouterr().out
