"""What is measured on a GPU, rehearsed without one: the stages, the table of what is there, and counts of launches."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu"
LOOP = """HloModule one, is_scheduled=true

%fused_computation (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %add.1 = f32[4]{0} add(%p, %p)
}

%body (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[], f32[4]{0}) parameter(0)
  %n = s32[] get-tuple-element(%state), index=0
  %x = f32[4]{0} get-tuple-element(%state), index=1
  %first = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused_computation
  %second = f32[4]{0} copy(%first)
  ROOT %next = (s32[], f32[4]{0}) tuple(%n, %second)
}

ENTRY %main (given: f32[4]) -> f32[4] {
  %given = f32[4]{0} parameter(0)
  %zero = s32[] constant(0)
  %begin = (s32[], f32[4]{0}) tuple(%zero, %given)
  %loop = (s32[], f32[4]{0}) while(%begin), condition=%test, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %x.2 = f32[4]{0} get-tuple-element(%loop), index=1
  ROOT %last = f32[4]{0} fusion(%x.2), kind=kLoop, calls=%fused_computation
}
"""


def script(name: str) -> ModuleType:
    """A script of the folder, under a name of its own: others are called `table` too."""
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", GPU / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_launches_are_counted_by_turns_and_not_inside_fusions() -> None:
    assert script("aot").launches(LOOP) == (2 * 5 + 1, 2, 11 * 32)  # each reads 16 bytes and writes 16


def test_what_rose_by_more_than_a_tenth_is_named() -> None:
    aot = script("aot")
    before = {"one": {"launches": 10.0, "temporary_mb": 2.0}, "gone": {"launches": 1.0}}
    assert aot.rises(before, {"one": {"launches": 11.0, "temporary_mb": 1.0}}) == []
    assert aot.rises(before, {"one": {"launches": 12.0, "temporary_mb": 2.0}}) == ["one: launches 10 -> 12"]


def test_kept_figures_are_of_the_programs_that_are_compiled() -> None:
    aot = script("aot")
    assert set(json.loads(aot.FIGURES.read_text(encoding="utf-8"))) == set(aot.PROGRAMS)


def test_the_table_says_what_is_not_measured(tmp_path: Path) -> None:
    table = script("table")
    assert {found for _, found in table.rows(tmp_path)} == {"not measured"}
    figures = {
        "stage": "flows",
        "device": "Some GPU",
        "small": True,
        "flows_per_second": {"33 buses, ac, 64 cases": 1e9},
    }
    (tmp_path / "flows.json").write_text(json.dumps(figures))
    assert {found for _, found in table.rows(tmp_path)} == {"not measured"}  # a rehearsal is no measurement
    (tmp_path / "flows.json").write_text(json.dumps(figures | {"small": False}))
    assert dict(table.rows(tmp_path))["`ac`, 33 buses, flows/s"] == "1,000,000,000"
    assert "| Some GPU |" in table.markdown(tmp_path)


def test_all_stages_together_take_eight_minutes_at_most() -> None:
    text = (GPU / "run.sh").read_text(encoding="utf-8")
    seconds = dict(re.findall(r"\[(\w+)\]=(\d+)", text))
    assert set(seconds) == set(script("stages").STAGES)
    assert sum(map(int, seconds.values())) <= 480
    assert re.findall(r"STAGES:-([\w ]+)\}", text)[0].split() == list(seconds)


def test_a_training_is_as_near_as_its_least_budget_that_is_near_enough(tmp_path: Path) -> None:
    table = script("table")
    rows = [{"command_seconds": 9.0, "over_optimum": 1.3}, {"command_seconds": 20.0, "over_optimum": 1.2}]
    figures = {"stage": "sac", "device": "Some GPU", "small": False, "budgets": rows}
    (tmp_path / "sac.json").write_text(json.dumps(figures))
    found = dict(table.rows(tmp_path))
    assert found["SAC, from the command's start to 1.35 times the optimum"] == "9 s"
    assert found["SAC, from the command's start to 1.15 times the optimum"] == "in no budget"
    assert found["gradient, from the command's start to 1.15 times the optimum"] == "not measured"


@pytest.mark.slow
def test_all_stages_are_rehearsed_and_none_is_repeated(tmp_path: Path) -> None:
    command = ["bash", str(GPU / "run.sh"), str(tmp_path), "--small"]
    surroundings = os.environ | {"PYTHON": sys.executable, "NEOMFLEX_CACHE": "off"}
    first = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    stages = script("stages").STAGES
    found = {stage: json.loads((tmp_path / f"{stage}.json").read_text()) for stage in stages}
    assert all(figures["small"] and figures["platform"] == "cpu" for figures in found.values())
    assert found["flows"]["flows_per_second"]["33 buses, ac, 64 cases"] > 0
    assert found["sac"]["budgets"][0]["steps"] > 0
    assert found["device"]["passed"]
    assert found["trace"]["files"]
    assert "not measured" in first.stdout
    again = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert again.stdout.count("done before") == len(stages)
