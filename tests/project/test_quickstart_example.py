"""The script to copy first: it goes the whole way, and what it prints is what pandapower found."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neomflex_jax.resources import packaged_profiles

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.mark.slow
def test_the_quickstart_goes_the_whole_way(tmp_path: Path) -> None:
    days = tmp_path / "days.csv"
    days.write_text("".join(packaged_profiles("testing").read_text().splitlines(keepends=True)[:97]))
    command = [sys.executable, str(EXAMPLE), "--seconds", "3", "--days", str(days), "--output", "out"]
    paths = {"PYTHONPATH": os.pathsep.join([str(EXAMPLE.parents[1]), os.environ.get("PYTHONPATH", "")])}
    ran = subprocess.run(command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    out = tmp_path / "out"
    stored = json.loads((out / "validation" / "report.json").read_text())
    said = re.findall(r"'(\w+)': ([\d.]+)", ran.stdout)
    costs = {run["run"]: run["metrics"]["mean_day_cost"]["pandapower"] for run in stored["runs"]}
    assert stored["verdict"] == "PASS" and ran.stdout.splitlines()[-1].startswith("PASS")
    assert {name: float(cost) for name, cost in said} == {name: round(cost, 2) for name, cost in costs.items()}
    assert (out / "voltage.png").stat().st_size > 10_000 and (out / "evaluation" / "run_summary.csv").exists()
