"""The table of all tasks, with nothing trained: which rows are made, resumed or failed, and what is said of them."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from neomflex_jax.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import all_tasks as benchmark

COSTS = {"no_control": 1600.0, "perfect_foresight": 20.0, "sac": 22.0}
ARGUMENTS = ["--tasks", "neom33", "ev33", "--who", *COSTS, "--seeds", "3", "4"]


@pytest.fixture
def made(monkeypatch):
    """Keys of the rows that are made; nothing is played, and no control of ev33 cannot be."""
    keys = []

    def row(options, key, scenario):
        keys.append((key["task"], key["who"], key["seed"], key["budget"]))
        if key["who"] == "no_control" and scenario == "ev33":
            raise InputError("no such\ngrid")
        return {"day_cost": COSTS[key["who"]] + key["seed"], "hard_violations": 1, "seconds": 60.0}

    monkeypatch.setattr(benchmark, "_trained", row)
    monkeypatch.setattr(benchmark, "_played", row)
    return keys


def test_rules_are_played_once_and_learners_train_every_seed(tmp_path, made, capsys):
    benchmark.main(["--output", str(tmp_path), *ARGUMENTS])
    assert made == [
        *[
            (task, who, 3 * (who == "sac"), "120 s" if who == "sac" else "-")
            for task in ("neom33", "ev33")
            for who in COSTS
        ],
        *[(task, "sac", 4, "120 s") for task in ("neom33", "ev33")],
    ]
    text = (tmp_path / "tasks.md").read_text()
    assert "| neom33 | sac | 120 s | 2 | 25.5 | 26 | 1.275 | 1.3 | 2 |" in text
    assert "Not made: ev33, no_control: no such grid" in text
    assert text in capsys.readouterr().out
    assert len(json.loads((tmp_path / "tasks.json").read_text())["rows"]) == 8
    assert (tmp_path / "tasks.png").stat().st_size > 1000


def test_a_second_call_makes_what_is_missing_or_failed(tmp_path, made, capsys):
    benchmark.main(["--output", str(tmp_path), *ARGUMENTS])
    made.clear()
    more = ["--output", str(tmp_path), *ARGUMENTS, "5"]
    benchmark.main([*more, "--dry-run"])
    assert "3 of 3: task ev33, who sac, seed 5, budget 120 s, busy False" in capsys.readouterr().out
    benchmark.main([*more, "--dry-run", "--by-steps"])
    assert "7 of 7: task ev33, who sac, seed 5, budget tuned steps" in capsys.readouterr().out
    assert made == []
    benchmark.main(more)
    assert made == [("ev33", "no_control", 0, "-"), ("neom33", "sac", 5, "120 s"), ("ev33", "sac", 5, "120 s")]
    assert len(pd.read_csv(tmp_path / "tasks.csv")) == 10


def test_seeds_trained_together_are_one_command_and_a_row_each(tmp_path, monkeypatch):
    commands = []

    def trained(command):
        commands.append(command)
        run = Path(command[command.index("--output") + 1])
        run.mkdir(parents=True)
        (run / "result.json").write_text(json.dumps({"steps": 500, "comparison": {"sentence": "good"}}))

    monkeypatch.setattr(benchmark, "_run", trained)
    monkeypatch.setattr(benchmark, "record_runs", lambda run, *_, **__: run)
    monkeypatch.setattr(benchmark, "_judged", lambda run, _: {"day_cost": float(run.name[-1]), "hard_violations": 0})
    arguments = ["--tasks", "neom33", "--who", "sac", "--by-steps", "--together", "--seeds", "3"]
    benchmark.main(["--output", str(tmp_path), *arguments, "4"])
    assert [command[command.index("--seed") + 1 : command.index("--seed") + 2] for command in commands] == [["3"]]
    assert commands[0][-2:] == ["--seeds", "2"]
    rows = pd.read_csv(tmp_path / "tasks.csv")
    assert list(rows["day_cost"]) == [3.0, 4.0]  # each seed's own policies
    with pytest.raises(InputError, match="follow one another"):
        benchmark.main(["--output", str(tmp_path), *arguments, "5"])
