"""The page of a run: self-contained, escaped, and of the right policies; validation by command, with its flags."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import neomflex
from run_pages import Page, check_same, unpacked

from neomflex_jax import load_feeder
from neomflex_jax.cli import COMMANDS, DESCRIPTION
from neomflex_jax.commands.arguments import read_arguments
from neomflex_jax.commands.demo import print_results
from neomflex_jax.commands.identity import doubt
from neomflex_jax.commands.page.played import played
from neomflex_jax.commands.report import ReportCommand
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.branch_flows import flows_into_buses
from neomflex_jax.resources import packaged_profiles
from neomflex_jax.training.options import config_of, read_options
from neomflex_jax.training.run_folder import RunFolder
from validation.report.stored_report import read_report
from validation.verdict.headline import headline


@pytest.fixture(scope="module")
def work(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training, its evaluation and its validation on two days, as README.md makes them."""
    folder = tmp_path_factory.mktemp("report")
    pd.read_csv(packaged_profiles("testing")).head(96).to_csv(folder / "days.csv", index=False)
    shutil.copytree(trained_run, folder / "run")
    common = ["--policies", folder / "run", "--profiles", folder / "days.csv", "--power-flow", "ac"]
    assert neomflex("evaluate", *common, "--baseline", "--output", folder / "evaluation") == 0
    assert neomflex("validate", *common, "--output", folder / "validation") == 0
    return folder


def copied(work: Path, to: Path) -> Path:
    shutil.copytree(work, to)
    return to


def test_the_page_loads_nothing_and_says_validated(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert neomflex("report", work / "run") == 0
    assert f"validated: PASS, {work / 'validation' / 'report.json'}" in capsys.readouterr().out.replace("\n", "")
    page = Page((work / "run" / "report.html").read_text(encoding="utf-8"))
    assert page.loads and all(value.startswith("#s0-") for value in page.loads)  # places on the page itself
    assert page.open == [] and len(page.scripts) == len(page.data) == 1
    for said in ("Settings", "Learning", "Evaluation", "closed_loop_gap_max", "controlled: record PASS", "neom33"):
        assert said in page.text


def test_both_lines_stand_wherever_a_headline_does(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_line, policy_line = headline(read_report(work / "validation"))
    assert record_line.text == "record confirmed by pandapower: PASS"
    assert policy_line.text.startswith("policy: ") and "no control" in policy_line.text
    assert neomflex("report", work / "run") == 0
    page = (work / "run" / "report.html").read_text(encoding="utf-8")
    markdown = (work / "validation" / "report.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    for line in (record_line, policy_line):
        assert f'<p class="status {line.tone}">{line.text}</p>' in page
        assert f"**{line.text}**" in markdown and line.text in printed


def test_every_number_of_the_page_is_the_table_s(work: Path) -> None:
    data = Page(ReportCommand(work / "run").page().html()).data[0]
    steps = pd.read_csv(work / "evaluation" / "step_metrics.csv")
    play = data["play"]
    assert play["days"] == [0, 1] and [run["name"] for run in play["runs"]] == ["controlled", "baseline"]
    for run in play["runs"]:
        own = steps[steps["run"] == run["name"]]
        check_same(run["vm"], own[[f"voltage_bus_{label}_pu" for label in play["grid"]["labels"]]])
        for name, column in (("low", "voltage_min_pu"), ("high", "voltage_max_pu"), ("loss", "losses_mw")):
            check_same(run[name], own[column])
        check_same(run["outside"], own["buses_outside_band"])
        check_same(run["cost"], -own[[f"reward_{agent}" for agent in play["agents"]]])
        named = [play["grid"]["labels"].index(run["named"][int(bus)]) for bus in unpacked(run["low_bus"])[:, 0]]
        np.testing.assert_array_equal(unpacked(run["vm"])[np.arange(96), named], unpacked(run["low"])[:, 0])
        for device, numbers in zip(play["devices"], run["recorded"], strict=True):
            bus = play["grid"]["labels"][device["bus"]]
            table = f"battery_power_bus_{bus}_mw" if device["noun"] == "battery" else f"pv_bus_{bus}_p_mw"
            assert device["recorded"][0]["unit"] == "MW"
            np.testing.assert_allclose(unpacked(numbers)[:, 0], own[table], atol=0.51 * 10.0 ** -numbers["decimals"])
    daily = pd.read_csv(work / "evaluation" / "daily_summary.csv").set_index(["run", "day"])
    for run, name in zip(data["days"]["runs"], ("controlled", "baseline"), strict=True):
        np.testing.assert_allclose(run["cost"], daily.loc[name, "day_cost"], rtol=1e-5)


def test_flows_of_a_recorded_run_leave_the_slack_as_the_record_says(work: Path) -> None:
    run = Trajectory.load(work / "evaluation" / "trajectory_controlled.npz")
    feeder = load_feeder("case33bw")
    flows = flows_into_buses(feeder, run.vm_pu, run.p_injection_mw, run.q_injection_mvar)
    np.testing.assert_allclose(flows[:, feeder.topology.slack], run.slack_p_mw, atol=5e-6)
    end = feeder.bus_position(17)  # of a branch: what enters it is what it takes
    np.testing.assert_allclose(flows[:, end], -run.p_injection_mw[:, end], atol=1e-12)


def test_a_page_that_has_no_room_carries_one_day(work: Path) -> None:
    run = Trajectory.load(work / "evaluation" / "trajectory_controlled.npz")
    carried = played((run,), load_feeder("case33bw"), 1).plain()
    assert len(carried["days"]) == 1 and "1 of 2 days can be picked here" in carried["notes"][0]


def test_commands_on_the_page_are_ones_that_the_program_takes(work: Path) -> None:
    page = ReportCommand(work / "run").page().seeds[0]
    commands = [read_arguments(shlex.split(text)[1:], COMMANDS, DESCRIPTION) for text in page.reproduce.commands]
    assert [type(command).__name__ for command in commands] == [
        f"{name}Command" for name in ("Train", "Evaluate", "Validate", "Report")
    ]
    assert commands[1].profiles == commands[2].profiles == Path("days.csv") and commands[1].baseline
    assert any("days.csv" in note and "SHA-256" in note for note in page.reproduce.notes)
    assert config_of(commands[0].options()) == config_of(read_options(RunFolder(work / "run")))


def test_runs_that_the_report_is_not_of_are_named_and_compared_with_nothing(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy_line = headline(read_report(work / "validation"))[1]
    common = ["--policies", work / "run", "--profiles", work / "days.csv", "--power-flow", "ac"]
    assert neomflex("evaluate", *common, "--policy", "volt_var", "--output", tmp_path / "more") == 0
    printed = capsys.readouterr().out
    assert policy_line.text in printed and "volt_var (best rule)" not in printed
    assert "not in that report, so not validated: volt_var" in " ".join(printed.split())
    shutil.copytree(work / "run", tmp_path / "alone" / "run")  # with no report beside it
    assert neomflex("report", tmp_path / "alone" / "run", "--evaluation", tmp_path / "more") == 0
    printed = capsys.readouterr().out
    assert "record not confirmed by pandapower: not validated" in printed
    alone = next(line for line in printed.splitlines() if line.endswith(", in the evaluation's power flow alone"))
    assert "volt_var (best rule)" in alone
    costs = re.search("costs .*? no control", alone)
    assert costs is not None and costs[0] in policy_line.text, "no control is known without --baseline"


def test_the_demo_ends_on_both_lines(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stages.json").write_text('{"seconds": {"train": 1.0}}', encoding="utf-8")
    shutil.copytree(work / "validation", tmp_path / "validation")
    print_results(tmp_path)
    said = [line.text for line in headline(read_report(work / "validation"))]
    assert capsys.readouterr().out.splitlines()[-2:] == said
    (tmp_path / "report.html").touch()
    print_results(tmp_path)
    assert capsys.readouterr().out.splitlines()[-3:] == [*said, f"page, for any browser: {tmp_path / 'report.html'}"]


def test_one_changed_byte_in_a_policy_is_not_validated(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(work, tmp_path / "changed")
    path = folder / "run" / "policies" / "agent_2.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit of the last number
    path.write_bytes(content)
    assert neomflex("report", folder / "run") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "not validated" in printed and "of other policies (agent_2)" in printed
    assert "not evaluated" in (folder / "run" / "report.html").read_text(encoding="utf-8")
    common = ["--policies", folder / "run", "--profiles", folder / "days.csv", "--power-flow", "ac"]
    assert neomflex("evaluate", *common, "--output", folder / "evaluation", "--overwrite") == 0
    assert "of other policies (agent_2)" in " ".join(capsys.readouterr().out.split())


def test_evaluation_says_validated_for_equal_hashes_alone(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--policies", work / "run", "--profiles", work / "days.csv"]
    output = work / "evaluation"
    assert neomflex("evaluate", *common, "--power-flow", "ac", "--output", output, "--overwrite") == 0
    assert "validated: PASS" in capsys.readouterr().out
    assert neomflex("evaluate", *common, "--power-flow", "dc", "--output", tmp_path / "dc") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "not validated" in printed and "another scenario" in printed


def said_of(run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `report` prints first."""
    capsys.readouterr()
    assert neomflex("report", run) == 0
    return " ".join(capsys.readouterr().out.split("page:")[0].split())


@pytest.mark.parametrize("table", ["step_metrics.csv", "run_summary.csv", "trajectory_controlled.npz"])
def test_tables_that_differ_from_their_hash_are_not_validated(
    work: Path, tmp_path: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(work, tmp_path / "changed")
    path = folder / "evaluation" / table
    path.write_bytes(path.read_bytes() + b"\n")
    said = said_of(folder / "run", capsys)
    assert "not validated" in said and f"{table} is not the one that evaluation.json is of" in said
    assert f"{table} is not the one" in (folder / "run" / "report.html").read_text(encoding="utf-8")
    path.unlink()
    assert f"{table} is no longer there" in doubt(folder / "evaluation")


def test_tables_of_an_older_version_that_say_no_hashes_are_not_validated(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(work, tmp_path / "old")
    path = folder / "evaluation" / "evaluation.json"
    content = json.loads(path.read_text()) | {"format": 2}
    del content["files_sha256"]
    path.write_text(json.dumps(content))
    assert "does not say which tables it is of" in said_of(folder / "run", capsys)
    (folder / "evaluation" / ".neomflex.json").unlink()
    common = ["--policies", folder / "run", "--profiles", folder / "days.csv", "--power-flow", "ac"]
    assert neomflex("evaluate", *common, "--output", folder / "evaluation", "--overwrite") == 0
    assert "validated: PASS" in said_of(folder / "run", capsys)


def test_an_evaluation_killed_while_it_is_exchanged_has_no_headline(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(work, tmp_path / "killed")
    plain = Path.replace

    def last_file_missing(self: Path, target: Path) -> Path:
        if Path(target) == folder / "evaluation" / "evaluation.json":
            raise KeyboardInterrupt
        return plain(self, target)

    other = ["--policies", folder / "run", "--profiles", folder / "days.csv", "--power-flow", "lindistflow"]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", last_file_missing)
        assert neomflex("evaluate", *other, "--output", folder / "evaluation", "--overwrite") == 130
    said = said_of(folder / "run", capsys)
    assert "not validated" in said and "holds tables without evaluation.json" in said
    assert neomflex("evaluate", *other, "--output", folder / "evaluation", "--overwrite") == 0
    assert "another scenario" in said_of(folder / "run", capsys)


def test_a_report_s_files_that_differ_from_their_hash_are_not_validated_nor_shown(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(work, tmp_path / "changed")
    figure = folder / "validation" / "controlled_scatter.png"
    figure.write_bytes(figure.read_bytes() + b"x")
    said = said_of(folder / "run", capsys)
    assert "not validated" in said and "controlled_scatter.png is not the one" in said


def test_other_programs_results_are_refused_and_stay(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--policies", work / "run", "--profiles", work / "days.csv", "--power-flow", "ac", "--overwrite"]
    others = [("evaluate", "step_metrics.csv"), ("evaluate", "trajectory_controlled.npz"), ("validate", "report.json")]
    for command, name in (*others, ("validate", "report.md"), ("validate", "baseline_scatter.png")):
        mine = tmp_path / command / name
        mine.parent.mkdir(exist_ok=True)
        mine.write_text('{"verdict": "PASS", "schema_version": 3}')
        assert neomflex(command, *common, "--output", mine.parent) == 2
        assert f"holds {name}, and no .neomflex.json says" in " ".join(capsys.readouterr().out.split())
        assert mine.read_text() == '{"verdict": "PASS", "schema_version": 3}'
        mine.unlink()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_page_that_is_not_ours_is_not_replaced(
    work: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, page = tmp_path / "mine.html", tmp_path / "page.html"
    mine.write_text("<html><title>Profiling report</title></html>")
    page.symlink_to(mine) if kind == "link" else shutil.copy(mine, page)
    assert neomflex("report", work / "run", "--output", page) == 2
    assert "no page of this program" in " ".join(capsys.readouterr().out.split())
    assert page.is_symlink() == (kind == "link") and mine.read_bytes() == page.read_bytes()


def test_everything_hostile_is_escaped(work: Path, tmp_path: Path) -> None:
    folder = copied(work, tmp_path / "hostile")
    evil = "<script>alert(1)</script>\" onload='x' [x](javascript:alert(2))"
    config = json.loads((folder / "run" / "config.json").read_text(encoding="utf-8"))
    config |= {"device": evil, "algorithm": evil}
    (folder / "run" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    report = json.loads((folder / "validation" / "report.json").read_text(encoding="utf-8"))
    run = report["runs"][0]
    run["run"] = run["operation"]["bands"][0]["band"] = run["criteria"][0]["name"] = evil
    run["budget"]["rows"][-1]["group"] = report["versions"]["python"] = evil
    (folder / "validation" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    assert neomflex("report", folder / "run") == 0
    page = Page((folder / "run" / "report.html").read_text(encoding="utf-8"))  # refuses scripts and handlers
    assert page.text.count("<script>alert(1)</script>") >= 5
    assert page.scripts == Page((work / "run" / "report.html").read_text(encoding="utf-8")).scripts
    assert all(value.startswith("#s0-") for value in page.loads)


def test_a_run_that_is_neither_evaluated_nor_validated_has_a_page(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "alone" / "run"
    shutil.copytree(work / "run", run)
    assert neomflex("report", run, "--output", tmp_path / "page.html") == 0
    assert "not validated" in capsys.readouterr().out
    assert "not evaluated" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "WORK/nowhere"), "holds no training run"),
        (("report", "WORK/run", "--output", "WORK/page.pdf"), "must end in .html"),
        (("report", "WORK/run", "--evaluation", "WORK/run"), "evaluation.json"),
        (("validate", "--policies", "WORK/run", "--output", "WORK/validation"), "already holds report.json"),
        (("validate", "--policies", "WORK/run", "--output", "OUT", "--quick", "--quick-days", "0"), "n_days = 0"),
        (("validate", "--policies", "WORK/run", "--output", "OUT", "--quick-days", "2"), "--quick takes; add --quick"),
        (("validate", "--policies", "WORK/run", "--output", "OUT", "--tolerances", "WORK/none.toml"), "no such file"),
    ],
)
def test_unusable_input_is_named(
    work: Path, tmp_path: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = [each.replace("WORK", str(work)).replace("OUT", str(tmp_path / "out")) for each in arguments]
    assert neomflex(*placed) == 2
    assert said in " ".join(capsys.readouterr().out.split())


def test_quick_is_a_first_answer_and_own_tolerances_are_named(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.toml").write_text("closed_loop_gap_max = 0.01\n", encoding="utf-8")
    common = ["--policies", work / "run", "--profiles", work / "days.csv", "--power-flow", "ac"]
    quick = ["--quick", "--quick-days", "1", "--tolerances", tmp_path / "my.toml", "--output", tmp_path / "quick"]
    assert neomflex("validate", *common, *quick) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "first answer on 1 sampled days of 2" in printed and "own tolerances: closed_loop_gap_max" in printed
    assert "verdict: INCOMPLETE" in printed
    assert not (tmp_path / "quick" / "replayed_days").exists()
