"""Verdict and status: samples, references, and which files make results count as validated."""

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.profiles import profiles_hash
from neomflex_jax.resources import packaged_profiles
from validation import Report, Sample, Tolerances, idle_policy, render_table, tolerances_for, validate
from validation.recompute.profile_check import profile_gap
from validation.recompute.record import checked_record
from validation.report.provenance import git_commit
from validation.report.status import Identity, validation_status
from validation.report.stored_report import read_report
from validation.verdict.criteria import judge

HASHES = {"agent_1": "a" * 64, "agent_2": "b" * 64, "agent_3": "c" * 64}


@pytest.fixture(scope="module")
def run() -> Trajectory:
    """One idle day on exact AC."""
    env = evaluation_environment(nf.make("neom33", power_flow="ac"))
    return record(env, NoControl(env.action_size), "controlled", n_days=1, profiles_sha256="d" * 64)


@pytest.fixture(scope="module")
def passed(run: Trajectory, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A validation with closed loop, which passes."""
    folder = tmp_path_factory.mktemp("passed")
    report = validate(
        [run], folder, policies={"controlled": idle_policy(run.scenario)}, policy_hashes={"controlled": HASHES}
    )
    return report, folder


@pytest.fixture
def identity(run: Trajectory) -> Identity:
    feeder = feeder_hash(nf.load_feeder("case33bw"))
    return Identity(HASHES, run.scenario.hash(), feeder, run.profiles_sha256, first_day=0, n_days=1)


def rewritten(folder: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a report with something changed in it."""
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    change(content)
    to.mkdir(exist_ok=True)
    (to / "report.json").write_text(json.dumps(content), encoding="utf-8")
    return to


# ---- validated, or not ----


def test_a_passing_report_of_the_same_hashes_validates(passed: tuple[Report, Path], identity: Identity) -> None:
    report, folder = passed
    assert report.verdict == "PASS" and report.exit_status == 0
    status = validation_status(identity, [folder / "nowhere", folder])
    assert status.validated
    assert status.text == f"validated: PASS, {folder / 'report.json'}"


@pytest.mark.parametrize("agent", HASHES)
def test_one_changed_policy_is_named(passed: tuple[Report, Path], identity: Identity, agent: str) -> None:
    other = dataclasses.replace(identity, policies_sha256=HASHES | {agent: "e" * 64})
    status = validation_status(other, [passed[1]])
    assert not status.validated
    assert f"is of other policies ({agent})" in status.text


def test_other_scenario_profiles_or_no_policies_do_not_count(passed: tuple[Report, Path], identity: Identity) -> None:
    for change, said in (
        ({"scenario_hash": "f" * 64}, "another scenario (neom33, power flow ac)"),
        ({"profiles_sha256": "f" * 64}, "other profiles"),
        ({"feeder_sha256": "f" * 64}, "a feeder with other data"),
        ({"n_days": 84}, "other days (1, not 84)"),
        ({"first_day": 1}, "other days"),
        ({"policies_sha256": {}}, "other policies"),
    ):
        status = validation_status(dataclasses.replace(identity, **change), [passed[1]])
        assert not status.validated and said in status.text
    assert validation_status(identity, []).text == "not validated"
    nobody = dataclasses.replace(identity, policies_sha256={})
    report = rewritten(passed[1], passed[1] / "nobody", lambda content: content["runs"][0].update(policies_sha256={}))
    assert not validation_status(nobody, [report]).validated, "two reports of nothing must not be equal"


def test_a_failed_report_and_a_sample_are_named_as_such(
    passed: tuple[Report, Path], run: Trajectory, identity: Identity, tmp_path: Path
) -> None:
    vm_pu = run.vm_pu.copy()
    vm_pu[3, 30] += 0.01
    hashes = {"controlled": HASHES}
    spoilt = dataclasses.replace(run, vm_pu=vm_pu)
    report = validate([spoilt], tmp_path, policy_hashes=hashes, policies={"controlled": idle_policy(run.scenario)})
    assert report.exit_status == 1
    status = validation_status(identity, [tmp_path])
    assert not status.validated and "says FAIL (" in status.text and "vm_max_pu" in status.text
    assert status.report is not None and status.report.path == tmp_path / "report.json"
    for places in ([tmp_path, passed[1]], [passed[1], tmp_path]):
        both = validation_status(identity, places)
        assert not both.validated and both.report is not None
        assert both.report.path == tmp_path / "report.json", "a failing report outranks a passing one"
        assert "says FAIL (" in both.text and str(passed[1]) in both.text


def test_own_tolerances_are_named_with_the_status(run: Trajectory, identity: Identity, tmp_path: Path) -> None:
    loose = dataclasses.replace(Tolerances(), vm_max_pu=0.1, closed_loop_gap_max=None)
    report = validate([run], tmp_path, loose, policy_hashes={"controlled": HASHES})
    assert report.verdict == "PASS"
    assert "own tolerances: vm_max_pu, closed_loop_gap_max" in render_table(report)
    assert "PASS (own tolerances: vm_max_pu, closed_loop_gap_max)" in validation_status(identity, [tmp_path]).text


# ---- the verdict ----


def test_exact_methods_need_their_closed_loop(run: Trajectory, tmp_path: Path) -> None:
    report = validate([run], tmp_path)
    assert report.verdict == "INCOMPLETE" and report.exit_status == 2
    assert report.runs[0].failed_criteria == ("closed_loop_gap_max",)
    assert "closed_loop_gap_max" not in {
        one.name for one in judge(report.runs[0].metrics, tolerances_for("calibrated"))
    }


def test_a_closed_loop_that_earns_less_fails(run: Trajectory, tmp_path: Path) -> None:
    def busy(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {agent: action + 0.3 for agent, action in idle_policy(run.scenario)(observations).items()}

    report = validate([run], tmp_path, policies={"controlled": busy})
    assert report.runs[0].failed_criteria == ("closed_loop_gap_max",)
    assert report.exit_status == 1
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "they part at day 0, step 0: action of agent_1" in page


def test_a_reference_does_not_count(run: Trajectory, tmp_path: Path) -> None:
    good = dataclasses.replace(run, run="good")
    bad = dataclasses.replace(run, run="bad", vm_pu=run.vm_pu + np.float32(0.01))
    acting = {"good": idle_policy(run.scenario), "bad": idle_policy(run.scenario)}
    report = validate([good, bad], tmp_path, policies=acting, references=("bad",))
    assert [one.verdict for one in report.runs] == ["PASS", "FAIL"]
    assert report.verdict == "PASS" and report.exit_status == 0
    printed = render_table(report)
    assert "(FAIL)" in printed and "not counted: bad" in printed and "verdict: PASS, exit status 0" in printed
    assert [one.run for one in read_report(tmp_path).judged] == ["good"]
    with pytest.raises(InputError, match="unknown run of a policy 'godo'; known: bad, good"):
        validate([good, bad], tmp_path, policies={"godo": idle_policy(run.scenario)})
    for references, said in ((("good", "bad"), "every run is a reference"), (("ugly",), "unknown reference run")):
        with pytest.raises(InputError, match=said):
            validate([good, bad], tmp_path, references=references)


def test_flattery_is_named_and_bounded(run: Trajectory, tmp_path: Path) -> None:
    cheap = dataclasses.replace(run, local_reward=run.local_reward * np.float32(0.7))
    report = validate([cheap], tmp_path, dataclasses.replace(tolerances_for("calibrated"), cost_max=1e9))
    assert {"day_cost_gap_max", "day_cost_flattery_max"} == set(report.runs[0].failed_criteria)
    assert "flatters it by 30.0% of its day cost" in render_table(report)
    dear = dataclasses.replace(run, local_reward=run.local_reward * np.float32(1.3))
    report = validate([dear], tmp_path, dataclasses.replace(tolerances_for("calibrated"), cost_max=1e9))
    assert set(report.runs[0].failed_criteria) == {"day_cost_gap_max"}
    assert report.runs[0].metrics.day_cost_gap == pytest.approx(0.3, rel=1e-4)


def test_days_that_are_not_the_files_are_found(run: Trajectory, tmp_path: Path) -> None:
    """Half of everybody's Demand, under the profiles' own hash."""
    path = packaged_profiles("testing")
    named = dataclasses.replace(run, profiles_sha256=profiles_hash(path))
    assert profile_gap(named, path) < 1e-6
    for name in ("demand", "solar", "price"):
        values = getattr(run, name) * np.float32(0.5) + np.float32(name == "price")
        assert profile_gap(dataclasses.replace(named, **{name: values}), path) > 0.1
    stressed = dataclasses.replace(run.scenario, variant="high_load")
    assert profile_gap(dataclasses.replace(named, scenario=stressed, demand=run.demand * np.float32(1.2)), path) < 1e-6
    assert profile_gap(dataclasses.replace(named, dataset_index=run.dataset_index + 48 * 1000), path) == float("inf")
    half = dataclasses.replace(named, demand=run.demand * np.float32(0.5))
    report = validate([half], tmp_path, profiles=path)
    assert "profile_max" in report.runs[0].failed_criteria
    with pytest.raises(InputError, match="give the file that was played"):
        validate([run], tmp_path, profiles=path)


def test_runs_of_other_days_are_refused(run: Trajectory, tmp_path: Path) -> None:
    later = dataclasses.replace(run, run="later", dataset_index=run.dataset_index + 48)
    with pytest.raises(InputError, match="have other days"):
        validate([run, later], tmp_path)


# ---- a sample ----


@pytest.fixture(scope="module")
def four_days() -> Trajectory:
    env = evaluation_environment(nf.make("neom33", power_flow="ac"))
    return record(env, NoControl(env.action_size), "controlled", n_days=4, profiles_sha256="d" * 64)


def test_a_sample_of_days_never_passes(four_days: Trajectory, identity: Identity, tmp_path: Path) -> None:
    lenient = dataclasses.replace(Tolerances(), closed_loop_gap_max=None)
    report = validate([four_days], tmp_path, lenient, sample=Sample(2, 7), policy_hashes={"controlled": HASHES})
    assert report.runs[0].verdict == "PASS" and report.runs[0].metrics.n_days == 2
    assert report.verdict == "INCOMPLETE" and report.exit_status == 2 and report.is_sample
    assert "first answer on 2 sampled days of 4" in render_table(report)
    same = dataclasses.replace(identity, n_days=4)
    status = validation_status(same, [tmp_path])
    assert not status.validated and "first answer on 2 sampled days" in status.text
    whole = validate([four_days], tmp_path, lenient)
    assert [whole.runs[0].day_cost[day] for day in report.days] == pytest.approx(report.runs[0].day_cost, rel=1e-9)


def test_equal_seeds_draw_equal_days() -> None:
    assert Sample(3, 5).draw(84) == Sample(3, 5).draw(84)
    assert len({Sample(3, seed).draw(84) for seed in range(8)}) > 4
    assert Sample(9).draw(4) == (0, 1, 2, 3)
    for wrong in ({"n_days": 0}, {"seed": -1}):
        with pytest.raises(InputError, match="must be at least"):
            Sample(**wrong)


def test_sampled_days_keep_their_rows(four_days: Trajectory) -> None:
    part = checked_record(four_days).on_days((1, 3)).trajectory
    np.testing.assert_array_equal(np.unique(part.dataset_index // 48), [1, 3])
    np.testing.assert_array_equal(part.vm_pu[48:], four_days.vm_pu[144:192])


# ---- hostile reports ----


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.update(schema_version=3), "schema 3; this version reads 4"),
        (lambda content: content["runs"][0].update(kind="hero"), "kind is 'hero', not one of policy"),
        (lambda content: content["runs"][0]["metrics"]["hard"].update(missed=1), "says PASS, and its runs do not"),
        (lambda content: content["runs"][0]["metrics"]["hard"].update(missed=-1), "missed is -1, not a count"),
        (lambda content: content.update(verdict="SURE"), "SURE"),
        (lambda content: content.update(runs=[]), "no judged run"),
        (lambda content: content.update(runs={}), "runs is {}, not a list"),
        (lambda content: content["runs"][0].update(policies_sha256=["x"]), "policies_sha256 is"),
        (lambda content: content["runs"][0].update(policies_sha256={"agent_1": 3}), "must be texts"),
        (lambda content: content["runs"][0].update(verdict="FAIL"), "says PASS, and its runs do not"),
        (lambda content: content["runs"][0]["criteria"][0].update(passed=False), "says PASS, and its runs do not"),
        (lambda content: content["runs"][0]["criteria"][0].update(passed=None), "says PASS, and its runs do not"),
        (lambda content: content["runs"][0]["criteria"][0].update(limit=None), "says PASS, and its runs do not"),
        (lambda content: content.update(is_sample=True), "says PASS, and its runs do not"),
        (lambda content: content.update(days=["0"]), "days must be a list of int"),
        (lambda content: content["runs"][0].update(day_cost=["1"]), "day_cost must be a list of float"),
    ],
)
def test_a_report_that_contradicts_itself_validates_nothing(
    passed: tuple[Report, Path],
    identity: Identity,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    said: str,
) -> None:
    folder = rewritten(passed[1], tmp_path / "hostile", change)
    with pytest.raises(InputError, match=said.replace("{", r"\{").replace("}", r"\}")):
        read_report(folder)
    status = validation_status(identity, [folder])
    assert not status.validated and "validate again" in status.text


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "null", '{"schema_version": 4}'])
def test_a_file_that_is_no_report_is_passed_over_in_words(identity: Identity, tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text, encoding="utf-8")
    status = validation_status(identity, [tmp_path])
    assert not status.validated and "report.json" in status.text


# ---- what a report says of itself ----


def test_a_report_states_hashes_versions_and_machine_and_no_path(passed: tuple[Report, Path], run: Trajectory) -> None:
    report, folder = passed
    text = (folder / "report.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    one = stored["runs"][0]
    assert one["policies_sha256"] == HASHES
    assert (one["scenario_hash"], one["profiles_sha256"]) == (run.scenario.hash(), "d" * 64)
    assert set(stored["machine"]) == {"system", "processor", "cpu_count"}
    assert stored["git_commit"] == report.git_commit
    assert str(folder) not in text and str(Path(__file__).parents[2]) not in text and str(Path.home()) not in text
    assert one["closed_loop"]["cost_gap_share"] < 1e-3 and len(one["closed_loop"]["days"]) == 1


def test_git_commit_is_that_of_the_checkout_alone(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    inside = tmp_path / "repository" / "site-packages"
    inside.mkdir(parents=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(inside.parent), *arguments], check=True, capture_output=True)
    assert git_commit(inside) is None, "installed inside somebody's repository: its commit is not ours"
    commit = git_commit(inside.parent)
    assert commit is not None and len(commit) == 40
