"""Training runs: reproducible, resumable bit for bit, and never at the cost of what is on disk."""

import dataclasses
import json
import shutil
import signal
from itertools import count
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.policy_files import load_policies
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.environment import evaluation_environment, make
from neomflex_jax.evaluation import record
from neomflex_jax.training.checkpoint import Checkpoints
from neomflex_jax.training.interrupt import deferred_interrupt
from neomflex_jax.training.options import TUNED_STEPS, TrainOptions, read_options
from neomflex_jax.training.origin import origin_of
from neomflex_jax.training.program import program_for
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.run_log import DivergedError, check_finite_arrays
from neomflex_jax.training.sac_loop import CHUNK_STEPS
from neomflex_jax.training.train import resume, train

SAC = SacConfig(
    n_copies=8,
    batch_size=16,
    updates_per_step=1,
    buffer_size=512,
    warmup_steps=8,
    hidden_sizes=(16,),
    learning_rate_decay="none",
)
CHUNK = CHUNK_STEPS * SAC.n_copies
WARM_UP = SAC.warmup_steps * SAC.n_copies


def options(chunks, seed=0):
    scenario = load_scenario("neom33", power_flow="lindistflow")
    steps = WARM_UP + chunks * CHUNK
    return TrainOptions(scenario=scenario, seed=seed, total_steps=steps, sac=SAC, compared_days=0)


def arrays(state):
    leaves = [
        jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for x in jax.tree.leaves(state)
    ]
    return [np.asarray(leaf) for leaf in leaves]


def identical(left, right):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays(left), arrays(right), strict=True))


def policy_files(folder):
    return {path.name: path.read_bytes() for path in (folder / "policies").iterdir()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "run"
    return folder, train(options(3), folder)


def test_equal_seeds_give_identical_parameters_and_files_and_other_seeds_do_not(run, tmp_path):
    assert identical(train(options(3), tmp_path / "same"), run[1])
    assert policy_files(tmp_path / "same") == policy_files(run[0])
    assert not identical(train(options(3, seed=1), tmp_path / "other"), run[1])
    assert set(policy_files(tmp_path / "other").values()).isdisjoint(policy_files(run[0]).values())


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(run, tmp_path):
    train(options(1), tmp_path / "run")
    resumed = resume(tmp_path / "run", total_steps=WARM_UP + 3 * CHUNK)
    assert identical(resumed, run[1])
    whole, parts = (np.genfromtxt(f / "metrics.csv", delimiter=",", names=True) for f in (run[0], tmp_path / "run"))
    for name in set(whole.dtype.names) - {"seconds", "steps_per_second"}:
        np.testing.assert_array_equal(whole[name], parts[name])


def test_an_interrupted_run_saves_what_it_has_learned(tmp_path):
    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(options(3), tmp_path / "run", on_progress=interrupt)
    assert (tmp_path / "run" / "policies" / "agent_1.safetensors").exists()
    assert int(resume(tmp_path / "run").steps) == SAC.warmup_steps + 3 * CHUNK_STEPS


@pytest.fixture
def ctrl_c_interrupts():
    """Have Ctrl-C raise, also where a shell started the tests in the background and had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_takes_effect_after_the_chunk_and_then_as_usual(ctrl_c_interrupts):
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interrupt:
        interrupt.let_through()
        signal.raise_signal(signal.SIGINT)
        finished = True
        interrupt.let_through()
    assert finished
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_broken_newest_checkpoint_is_skipped_with_a_warning(tmp_path):
    folder = tmp_path / "run"
    train(options(1), folder)
    before = resume(folder, total_steps=WARM_UP + 2 * CHUNK)
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    assert int(newest.name) == int(before.steps)
    for path in newest.rglob("*"):
        if path.is_file() and path.stat().st_size > 2000:
            path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="does not load, skipped"):
        again = resume(folder, total_steps=WARM_UP + 2 * CHUNK)
    assert identical(again, before)


@pytest.fixture
def a_chunk_takes_100_seconds(monkeypatch):
    """Give the callback after every chunk, which moves the clock that trainings read."""
    now = count(0.0, 0.001)  # a clock never stands still
    passed = []
    monkeypatch.setattr("neomflex_jax.training.clock.time", SimpleNamespace(monotonic=lambda: next(now) + sum(passed)))
    return lambda progress: passed.append(100.0)


def test_a_time_budget_counts_the_seconds_of_all_sittings(tmp_path, a_chunk_takes_100_seconds):
    folder = tmp_path / "run"

    def interrupted_after_the_second(progress):
        a_chunk_takes_100_seconds(progress)
        if progress.steps == WARM_UP + 2 * CHUNK:
            raise KeyboardInterrupt

    def chunks_and_result(state):
        result = json.loads((folder / "result.json").read_text())
        return (int(state.steps) - SAC.warmup_steps) // CHUNK_STEPS, result["stopped"], round(result["seconds"])

    with pytest.raises(KeyboardInterrupt):
        train(dataclasses.replace(options(10_000), max_seconds=350.0), folder, on_progress=interrupted_after_the_second)
    rest = resume(folder, on_progress=a_chunk_takes_100_seconds)
    assert chunks_and_result(rest) == (4, "max_seconds", 400)
    more = resume(folder, max_seconds=150.0, on_progress=a_chunk_takes_100_seconds)  # from now on
    assert chunks_and_result(more) == (6, "max_seconds", 600)
    seconds = np.genfromtxt(folder / "metrics.csv", delimiter=",", names=True)["seconds"]
    np.testing.assert_allclose(seconds, np.arange(0.0, 600.0, 100.0), atol=1.0)


def test_a_budget_below_the_warm_up_still_makes_a_chunk(tmp_path):
    state = train(dataclasses.replace(options(1), total_steps=1), tmp_path / "run")
    assert int(state.steps) == SAC.warmup_steps + CHUNK_STEPS
    with pytest.raises(InputError, match="has ended"):
        resume(tmp_path / "run")


def test_time_alone_goes_on_with_a_run_that_made_all_its_steps(tmp_path):
    def interrupt(progress):
        assert progress.share < 0.5
        raise KeyboardInterrupt

    train(options(1), tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run", max_seconds=10_000.0, on_progress=interrupt)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == WARM_UP + 2 * CHUNK
    assert read_options(RunFolder(tmp_path / "run")).most_steps == np.inf


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_a_budget_in_seconds_alone_bounds_the_time_and_nothing_else(algorithm):
    by_default = dataclasses.replace(options(1), total_steps=None, algorithm=algorithm)
    assert by_default.most_steps == TUNED_STEPS[algorithm]
    assert dataclasses.replace(by_default, max_seconds=5.0).most_steps == np.inf
    assert dataclasses.replace(by_default, max_seconds=5.0, total_steps=7).most_steps == 7


def test_parameters_that_are_not_finite_replace_no_checkpoint(run):
    check_finite_arrays(run[1].learner)
    spoilt = jax.tree.map(lambda leaf: leaf, run[1].learner)
    actor = jax.tree.map(lambda leaf: leaf.at[(0,) * leaf.ndim].set(np.nan), spoilt.actor)
    with pytest.raises(DivergedError, match="parameters are not finite"):
        check_finite_arrays(dataclasses.replace(spoilt, actor=actor))


def test_every_process_refuses_a_folder_that_holds_a_run(run, monkeypatch):
    monkeypatch.setattr("neomflex_jax.training.train.is_first", lambda: False)
    with pytest.raises(InputError, match="already holds a run"):
        train(options(1), run[0])


def test_the_run_folder_says_what_was_done(run):
    config = json.loads((run[0] / "config.json").read_text())
    assert config["scenario"]["name"] == "neom33"
    assert config["seed"] == 0
    assert read_options(RunFolder(run[0])) == options(3)
    header, *rows = (run[0] / "metrics.csv").read_text().splitlines()
    assert header.startswith("steps,seconds,steps_per_second,day_cost,")
    assert [int(row.split(",")[0]) for row in rows] == [WARM_UP + (i + 1) * CHUNK for i in range(3)]


def test_a_folder_that_holds_a_run_is_refused_and_untouched(run):
    before = (run[0] / "config.json").read_bytes()
    with pytest.raises(InputError, match=r"already holds a run.*--resume.*--overwrite"):
        train(options(1), run[0])
    assert (run[0] / "config.json").read_bytes() == before


def test_folders_that_merely_look_like_a_runs_are_not_overwritten(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "mine.txt").write_text("insurance")
    with pytest.raises(InputError, match=r"holds policies but no config\.json"):
        RunFolder(tmp_path).prepare(overwrite=True)
    assert (tmp_path / "policies" / "mine.txt").exists()


def test_learning_that_leaves_the_finite_numbers_keeps_the_last_good_state(tmp_path):
    bad = dataclasses.replace(options(50), sac=dataclasses.replace(SAC, learning_rate=1e30, reward_scale=1e30))
    with pytest.raises(DivergedError, match="is not finite"):
        train(bad, tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", origin_of(bad))
    state, _ = checkpoints.restore_newest(template_of(bad))
    checkpoints.close()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.learner.actor))


def template_of(given):
    env = make(given.scenario)
    return program_for(env, given).template(env)


def test_a_run_whose_profiles_have_changed_is_not_resumed(tmp_path):
    profiles = tmp_path / "mine.csv"
    profiles.write_text("Demand,Solar\n" + "0.5,0.1\n" * 48)
    scenario = load_scenario("neom33", power_flow="lindistflow", profiles=str(profiles))
    train(dataclasses.replace(options(1), scenario=scenario), tmp_path / "run")
    profiles.write_text("Demand,Solar\n" + "0.6,0.1\n" * 48)
    with pytest.raises(InputError, match=r"mine\.csv: changed since"):
        resume(tmp_path / "run")


def test_overwriting_a_run_leaves_other_files_alone(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    folder.prepare(overwrite=False)
    folder.write_config({"seed": 1})
    folder.prepare(overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_resuming_where_there_is_no_run_says_so(tmp_path):
    with pytest.raises(InputError, match="holds no training run"):
        resume(tmp_path)


def test_a_run_without_its_checkpoints_is_not_started_over(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder, ignore=shutil.ignore_patterns("checkpoints"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"no checkpoint to go on from, but metrics\.csv is there"):
        resume(folder, total_steps=WARM_UP + 4 * CHUNK)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_checkpoint_of_other_sizes_does_not_load(run):
    other = dataclasses.replace(options(3), sac=dataclasses.replace(SAC, hidden_sizes=(8,)))
    checkpoints = Checkpoints(run[0] / "checkpoints", origin_of(options(3)))
    with pytest.warns(UserWarning), pytest.raises(InputError, match="no checkpoint that loads"):
        checkpoints.restore_newest(template_of(other))


def test_saved_policies_act_alike_in_numpy_and_inside_the_environment(run):
    env = evaluation_environment(make(options(3).scenario))
    policies = load_policies(run[0])
    trajectory = record(env, policies.as_policy(env.scenario.observation_layout(), "neom33"), "controlled", n_days=1)
    actions = policies(env.split(trajectory.observation))
    for agent, action in env.split(trajectory.action).items():
        np.testing.assert_allclose(actions[agent], action, rtol=1e-4, atol=1e-5)


def test_training_numbers_are_finite_and_counted(run):
    table = np.genfromtxt(run[0] / "metrics.csv", delimiter=",", names=True)
    assert all(np.isfinite(table[name]).all() for name in table.dtype.names)
    assert (table["failed_power_flows"] == 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_steps": 0}, "total_steps = 0"),
        ({"max_seconds": -1.0}, "max_seconds"),
        ({"seed": -1}, "seed"),
        ({"algorithm": "ppo"}, "'sac'"),
    ],
)
def test_bad_options_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(options(1), **changes)


@pytest.mark.parametrize("days", ["random", "scenario"])
def test_copies_begin_different_days_whatever_order_the_scenario_has(days):
    """In the order of the file, all of them would play one and the same day, and learn from little else."""
    scenario = load_scenario("neom33-original", power_flow="lindistflow")
    made = TrainOptions(scenario=scenario, sac=dataclasses.replace(SAC, days=days))
    env = make(scenario)
    state = jax.jit(program_for(env, made).algorithm.start)(env, jax.random.key(0))
    n_days, n_copies = len(np.unique(state.environments.day_row)), SAC.n_copies
    assert n_days > n_copies / 2 if days == "random" else n_days == 1
