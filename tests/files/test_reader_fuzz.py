"""Spoilt files of every format: each reader answers with `InputError`, or takes what is still sound; nothing else.

Seeded. The slow test's number of inputs is ``NEOMFLEX_FUZZ`` (200,000 by default), over all readers together.
"""

import collections
import datetime as dt
import os
import random
import resource
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mutations
import numpy as np
import pandapower.networks
import pytest

import neomflex_jax as nf
from neomflex_jax import InputError
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.agents.policy_files import load_policies, save_policies
from neomflex_jax.commands.identity import read_identity, write_identity
from neomflex_jax.commands.report_sections import validation as page_of
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.step.actions import lay_out_actions
from neomflex_jax.evaluation import Trajectory, record, yardsticks
from neomflex_jax.evaluation.tables import read_step_metrics, run_summary, write_tables
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.plots.curves import read_curves
from neomflex_jax.profiles import SeriesConfig, SessionDevice, read_profiles
from neomflex_jax.profiles.sessions import Days, read_sessions
from neomflex_jax.resources import scenario_folder
from neomflex_jax.scenario import load_scenario
from neomflex_jax.training.options import TrainOptions, config_of, read_options
from neomflex_jax.training.result import finishing_power_flow, write_result
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.run_log import copy_rows_of_seed, drop_rows_after
from neomflex_jax.yardsticks import Optimum
from validation import validate
from validation.recompute.checks import check_trajectory
from validation.recompute.set_points import SetPoints
from validation.referee.day_files import DayFiles
from validation.report.seeds import read_groups
from validation.report.status import Identity
from validation.report.stored_report import read_report
from validation.verdict.tolerances import read_tolerances, tolerances_for

SEED, SECONDS, MEGABYTES = 17, 20.0, 1500  # of a single input's own time; of all inputs together
ALL = int(os.environ.get("NEOMFLEX_FUZZ", "200000"))


class Reader(NamedTuple):
    """A reader, the file that is spoilt for it, and how."""

    file: str  # in the folder of examples
    read: Callable[[Path], Any]  # of the folder; raises or checks what it got
    kinds: tuple[mutations.Mutation, ...]
    share: float = 1.0  # of the inputs, by how fast it is


def read_scenario(folder: Path) -> None:
    scenario = load_scenario(folder / "task.toml")
    scenario.hash(), lay_out_actions(scenario), scenario.observation_layout()


def read_feeder_folder(folder: Path) -> None:
    feeder = nf.Feeder.from_csv(folder / "feeder")
    assert np.isfinite(feeder.r_ohm).all() and np.isfinite(feeder.load_p_mw).all()


def read_net(folder: Path) -> None:
    feeder = nf.Feeder.from_pandapower(folder / "net.json")
    assert np.isfinite(feeder.r_ohm).all() and np.isfinite(feeder.load_p_mw).all()


def read_series(folder: Path) -> None:
    profiles = read_profiles(folder / "profiles.csv", 4, "Price")
    assert all(np.isfinite(np.asarray(column)).all() for column in (profiles.demand, profiles.solar, profiles.price))


def read_own_sessions(folder: Path) -> None:
    days = Days(dt.date(2025, 6, 11), n_days=3, steps_per_day=48, step_hours=0.5)
    charger = SessionDevice(0, "ev_7", 7, "EV charger 'ev_7'", 0.9, 0.05, (), "c1")
    assert np.isfinite(read_sessions(folder / "sessions.csv", (charger,), days, SeriesConfig(ignore=("*",)))).all()


def read_run(folder: Path) -> None:
    options = read_options(RunFolder(folder / "run"))
    options.scenario.hash(), finishing_power_flow(RunFolder(folder / "run"), options)


def read_metrics(folder: Path) -> None:
    drop_rows_after(folder / "run" / "metrics.csv", 500)
    copy_rows_of_seed(folder / "run" / "metrics.csv", 1, folder / "run" / "one.csv")
    for curve in read_curves(folder / "run").values():
        assert all(np.isfinite(values).all() for one in curve for values in one)


def read_evaluation(folder: Path) -> None:
    read_identity(folder / "evaluation")


def read_validation(folder: Path) -> None:
    page_of(read_report(folder / "validation"))
    read_groups([(None, folder / "validation")])


def read_steps(folder: Path) -> None:
    run_summary(read_step_metrics(folder / "evaluation" / "step_metrics.csv"))


def read_trajectory(folder: Path) -> None:
    trajectory = Trajectory.load(folder / "run.npz")
    check_trajectory(trajectory, nf.load_feeder("case33bw"))


def read_policies(folder: Path) -> None:
    policies = load_policies(folder / "run")
    scenario = load_scenario("neom33")
    policies.as_policy(scenario.observation_layout(), scenario.name)
    seen = {agent: np.ones(network.observation_size) for agent, network in policies.networks.items()}
    assert all(np.isfinite(action).all() for action in policies(seen).values())


def read_own_tolerances(folder: Path) -> None:
    read_tolerances(folder / "tolerances.toml", tolerances_for("ac"))


def read_day(folder: Path) -> None:
    """Damaged days count as absent; here that is a refusal too."""
    files, day, answers = DAYS[0]
    shutil.copy(folder / "day.npz", files._path(day))
    held = files.read(day)
    if held is None:
        raise InputError("absent")
    assert all(np.array_equal(held[name], answers[name]) for name in answers)


def read_optimum(folder: Path) -> None:
    """Likewise."""
    optimum = yardsticks._load(folder / "optimum.npz", PLANNED[0], 1)
    if optimum is None:
        raise InputError("absent")
    assert np.isfinite(np.asarray(optimum.action)).all()


PLANNED: list[Any] = []  # the environment of the optimum
DAYS: list[Any] = []  # the replayed day: files, set-points, answers


READERS = {
    "scenario": Reader("task.toml", read_scenario, mutations.TEXT),
    "buses": Reader("feeder/buses.csv", read_feeder_folder, mutations.CSV),
    "branches": Reader("feeder/branches.csv", read_feeder_folder, mutations.CSV),
    "feeder settings": Reader("feeder/feeder.toml", read_feeder_folder, mutations.TEXT),
    "pandapower net": Reader("net.json", read_net, mutations.JSON, 0.1),
    "profiles": Reader("profiles.csv", read_series, mutations.CSV),
    "sessions": Reader("sessions.csv", read_own_sessions, mutations.CSV, 0.5),
    "config": Reader("run/config.json", read_run, mutations.JSON),
    "result": Reader("run/result.json", read_run, mutations.JSON),
    "metrics": Reader("run/metrics.csv", read_metrics, mutations.CSV),
    "evaluation": Reader("evaluation/evaluation.json", read_evaluation, mutations.JSON, 2.0),
    "report": Reader("validation/report.json", read_validation, mutations.JSON),
    "step table": Reader("evaluation/step_metrics.csv", read_steps, mutations.CSV, 0.2),
    "trajectory": Reader("run.npz", read_trajectory, mutations.NPZ),
    "policy": Reader("run/policies/agent_1.safetensors", read_policies, mutations.SAFETENSORS),
    "tolerances": Reader("tolerances.toml", read_own_tolerances, mutations.TEXT, 2.0),
    "replayed day": Reader("day.npz", read_day, mutations.NPZ),
    "optimum": Reader("optimum.npz", read_optimum, mutations.NPZ),
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sound file of every format."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(scenario_folder() / "neom33.toml", folder / "task.toml")
    write_feeder(nf.load_feeder("case33bw"), folder / "feeder")
    pandapower.to_json(pandapower.networks.create_cigre_network_mv(), str(folder / "net.json"))
    rows = "".join(f"{0.5 + row / 20},{0.1 * row},{30 + row}\n" for row in range(8))
    (folder / "profiles.csv").write_text(f"Demand,Solar,Price\n{rows}", encoding="utf-8")
    rows = "".join(f"c1,2025-06-1{day} 0{day}:00,2025-06-1{day} 1{day}:30,8.5,11\n" for day in range(1, 4))
    (folder / "sessions.csv").write_text(f"charger,arrival,departure,energy_kwh,power_kw\n{rows}", encoding="utf-8")
    (folder / "tolerances.toml").write_text("vm_max_pu = 0.004\nloss_max_mw = 0.01\n", encoding="utf-8")
    write_run(folder / "run")
    env = evaluation_environment(nf.make("neom33", power_flow="lindistflow"))
    played = record(env, NoControl(env.action_size), "controlled", n_days=1, profiles_sha256="ab" * 32)
    played.save(folder / "run.npz")
    write_tables([played], folder / "evaluation")
    feeder = nf.load_feeder("case33bw")
    identity = Identity({"agent_1": "a"}, played.scenario.hash(), feeder_hash(feeder), "ab" * 32, 0, 1)
    write_identity(identity, folder / "evaluation")
    validate([played], folder / "validation", policy_hashes={"controlled": {"agent_1": "a"}})
    write_planned(folder, env)
    return folder


def write_run(folder: Path) -> None:
    """A run folder without checkpoints."""
    run, scenario, draw = RunFolder(folder), load_scenario("neom33"), np.random.default_rng(SEED)
    folder.mkdir()
    run.write_config(config_of(TrainOptions(scenario, finish_on="ac")))
    result = {"steps": 9, "seconds": 1.5, "stopped": "total_steps", "power_flow": "ac", "policies_sha256": "0a"}
    write_result(run.result, result)
    run.metrics.write_text("steps,seconds,seed,day_cost\n" + "".join(f"{n}00,{n},1,{9 - n}\n" for n in range(1, 9)))
    action_mask, layout = lay_out_actions(scenario).mask, scenario.observation_layout()
    networks = {}
    for agent, mask in zip(scenario.agents, action_mask, strict=True):
        kernel = draw.normal(size=(18, mask.sum())).astype(np.float32)
        mean, scale = np.zeros(18, np.float32), np.ones(18, np.float32)
        networks[agent] = ActorNetwork(mean, scale, ((kernel, kernel[0]),))
    save_policies(run.policies, networks, scenario.name, layout)


def write_planned(folder: Path, env: Any) -> None:
    """What evaluation and validation keep of earlier work."""
    steps = env.scenario.steps_per_day
    action = np.zeros((steps, *env.action_mask.shape), np.float32)
    yardsticks._save(folder / "optimum.npz", Optimum(action, np.ones(1, np.float32), 0.5, (1.0,)))
    PLANNED[:] = [env]
    devices = {name: np.ones((steps, 1)) for name in ("battery_p_mw", "pv_p_mw", "pv_q_mvar")}
    day = SetPoints(np.ones(steps), np.ones(steps), devices)
    answers = {name: np.ones(steps) for name in ("loss_mw", "slack_p_mw", "slack_q_mvar")}
    answers |= {"status": np.array(["ok"] * steps), "attempts": np.ones(steps, int)}
    answers |= {"vm_pu": np.ones((steps, 3)), "branch_i_ka": np.ones((steps, 2))}
    files = DayFiles(folder / "days", "key", 3, 2)
    files.folder.mkdir()
    files.write(day, answers)
    shutil.copy(files._path(day), folder / "day.npz")
    DAYS[:] = [(files, day, answers)]


def play(name: str, count: int, examples: Path, folder: Path) -> collections.Counter[str]:
    """Spoil a reader's file so many times and read it; gives how often it was refused and taken."""
    reader, choose, found = READERS[name], random.Random(f"{SEED} {name}"), collections.Counter()
    shutil.copytree(examples, folder)
    good = (examples / reader.file).read_bytes()
    reader.read(folder)  # the example itself is sound
    for number in range(count):
        kind = choose.choice(reader.kinds)
        (folder / reader.file).write_bytes(kind(good, choose))
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                reader.read(folder)
                outcome = "taken"
            except InputError as error:
                outcome = "refused"
                assert 0 < len(str(error)) < 20_000, f"{name} {number} ({kind.__name__}): {len(str(error))} letters"
            except BaseException as error:
                raise AssertionError(
                    f"{name} {number} ({kind.__name__}): {type(error).__name__} {error!s:.200}"
                ) from error
        assert time.process_time() - started < SECONDS, f"{name} {number} ({kind.__name__}) took too long"
        found[outcome] += 1
    return found


@pytest.mark.parametrize("name", READERS)
def test_spoilt_files_are_refused_or_sound(name: str, examples: Path, tmp_path: Path) -> None:
    assert play(name, 20, examples, tmp_path / "spoilt").total() == 20


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_spoilt_files_are_refused_or_sound(name: str, examples: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shares = sum(reader.share for reader in READERS.values())
    found = play(name, round(ALL * READERS[name].share / shares), examples, tmp_path / "spoilt")
    print(f"{name}: {dict(found)}")
    assert found["refused"] and (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES
