"""``--json``: one object on standard output, errors too; ``--quiet``: results and errors alone."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, neomflex
from command_options import options_of

from neomflex_jax.cli import COMMANDS
from neomflex_jax.commands.console import console
from neomflex_jax.commands.progress import progress
from neomflex_jax.files.json_values import plain_values
from neomflex_jax.resources import packaged_profiles


@pytest.fixture(autouse=True)
def a_person_reads_again():
    yield
    console.begin(as_json=False, quiet=False)


def answer_of(capsys, *arguments: object, status: int = 0) -> dict:
    """Run a command with --json; gives what it prints, which must be one line and nothing else."""
    assert neomflex(*arguments, "--json") == status
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, lines
    answer = json.loads(lines[0], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert answer["status"] == status and ("error" in answer) <= (status > 0)
    return answer


def test_every_command_has_both_options() -> None:
    assert all({"--json", "--quiet"} <= options_of(command) for command in COMMANDS.values())


def test_a_feeder_is_answered_in_numbers(capsys) -> None:
    answer = answer_of(capsys, "feeder", "show", "case33bw")
    assert answer["command"] == "feeder show" and answer["n_bus"] == 33
    assert abs(answer["nominal"]["loss_mw"] - 0.202677) < 1e-6  # Baran and Wu's 202.7 kW
    assert answer["files"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("feeder show nowhere", "unknown feeder"),
        ("export --policies nowhere --agent a --output a.txt", "must end in .onnx"),
        ("train --output x --seed abc", "takes a whole number"),
        ("trian", "Did you mean 'train'?"),
        ("plot soc nowhere.csv", "nowhere.csv"),
    ],
)
def test_errors_are_answered_too_with_the_same_status(arguments: str, said: str, capsys) -> None:
    answer = answer_of(capsys, *arguments.split(), status=2)
    assert said in answer["error"] and answer["command"] in arguments
    assert neomflex(*arguments.split()) == 2
    assert said in capsys.readouterr().out


def test_what_others_print_goes_elsewhere(capsys, tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text("print('chatter')\nimport warnings\nwarnings.warn('beware')\n")
    answer_of(capsys, "scenario", "list")
    answer = answer_of(
        capsys, "train", "--import", tmp_path / "chatty.py", "--output", "x", "--scenario", "none", status=2
    )
    assert answer["warnings"] == ["beware"] and "unknown scenario" in answer["error"]


def test_quiet_says_results_and_errors_and_not_how_far_it_has_come(capsys) -> None:
    console.begin(as_json=False, quiet=True)
    with progress("playing") as stage:
        stage.counted(1, 2, "days")
    console.remark("running on a toaster")
    with console.part():
        console.print("a part's result")
    console.print("the result")
    console.warn("of something")
    assert capsys.readouterr().out.splitlines() == ["the result", "warning: of something"]
    console.mute()
    console.print("another process answers")
    console.fail("out of toast")
    assert capsys.readouterr().out == "error: out of toast\n"


def test_what_a_machine_gets_is_json_whatever_was_found(capsys) -> None:
    found = {"nan": [math.nan, np.float32(math.inf)], "path": Path("a/b"), "array": np.arange(2), 3: (True, None, -0.0)}
    assert plain_values(found) == {"nan": [None, None], "path": "a/b", "array": [0, 1], "3": [True, None, 0.0]}
    console.begin(as_json=True, quiet=False)
    console.found(name="\udcff <b> \u2028")
    console.end("x", 0)
    assert json.loads(capsys.readouterr().out)["name"] == "\udcff <b> \u2028"


@pytest.mark.slow
def test_a_machine_goes_the_whole_way(capsys, tmp_path: Path) -> None:
    run, days = tmp_path / "run", tmp_path / "days.csv"
    days.write_text("".join(packaged_profiles("testing").read_text().splitlines(keepends=True)[:49]))
    trained = answer_of(capsys, "train", "--output", run, *SMALL)
    assert trained["result"]["steps"] >= 300 and Path(trained["policies"][0]).is_dir()
    of_policies = ("--policies", run, "--profiles", days)
    evaluated = answer_of(capsys, "evaluate", *of_policies, "--output", run / "evaluation", "--baseline")
    assert [each["run"] for each in evaluated["runs"]] == ["controlled", "baseline"] and not evaluated["validated"]
    assert neomflex("validate", *of_policies, "--output", run / "validation", "--json") == 0
    validated = json.loads(capsys.readouterr().out)
    assert validated["verdict"] == "PASS" and {each["run"] for each in validated["runs"]} == {"controlled", "baseline"}
    costs = {each["run"]: each["mean_day_cost"] for each in evaluated["runs"]}
    for each in validated["runs"]:
        assert abs(each["mean_day_cost"] - costs[each["run"]]) < 1e-2 * costs[each["run"]]
    compared = answer_of(capsys, "compare", f"sac={run}")
    assert compared["groups"][0]["n_validated"] == 1 and compared["comparisons"] == []
    steps = run / "evaluation" / "step_metrics.csv"
    drawn = answer_of(capsys, "plot", "voltage", steps, "--output", tmp_path / "voltage.png")
    paged = answer_of(capsys, "report", run)
    fidelity = answer_of(capsys, "fidelity", "--samples", 16, "--batch-size", 16, "--power-flow-methods", "dc")
    assert [each["method"] for each in fidelity["methods"]] == ["dc"]
    sizes = ("--hidden-sizes", "16", "--n-copies", "8", "--batch-size", "16", "--updates-per-step", "1")
    sizes += ("--buffer-size", "512", "--warmup-steps", "8", "--total-steps", "300", "--seeds", "1")
    swept = answer_of(capsys, "sweep", "--output", tmp_path / "sweep", *sizes)
    assert len(swept["settings"]) == 1
    for answer in (trained, evaluated, validated, drawn, paged, swept):
        assert answer["files"] and all(Path(path).exists() for path in answer["files"])
