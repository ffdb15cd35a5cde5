"""The kinds of results that commands write, and how results from before folders had markers are recognised."""

from __future__ import annotations

from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.text import open_text
from neomflex_jax.folders.results import ResultKind
from neomflex_jax.loose_types import JsonObject

TABLES = ("step_metrics.csv", "daily_summary.csv", "run_summary.csv")
RUNS = ("controlled", "baseline", "no_control", "volt_var", "mapdn_droop", "perfect_foresight", "model_predictive")
NO_CONTROL_RUNS = ("baseline", "no_control")  # of these, by an option and as a policy by name
PAGE = "report.html"  # of a run, or of a demo
FIGURES = ("soc", "voltage", "reactive-power", "dispatch", "comparison")  # of a demo


def trajectory_file(run: str) -> str:
    """Return the name of a recorded run's file."""
    return f"trajectory_{run}.npz"


def _evaluation(folder: Path) -> tuple[str, ...]:
    content = _json(folder / "evaluation.json")
    ours = {"format", "policies_sha256", "scenario_hash", "profiles_sha256"} <= content.keys()
    return (*EVALUATION.files, *map(trajectory_file, RUNS)) if ours else ()


def _sweep(folder: Path) -> tuple[str, ...]:
    try:
        with open_text(folder / "sweep.csv", "table") as file:
            header = file.readline(10_000).strip().split(",")
    except InputError:
        return ()
    return SWEEP.files if {"n_seeds", "n_diverged", "day_cost_iqm", "folder"} <= set(header) else ()


def _demo(folder: Path) -> tuple[str, ...]:
    seconds = _json(folder / "stages.json").get("seconds")
    ours = isinstance(seconds, dict) and {"train", "evaluate", "validate"} <= seconds.keys()
    return tuple(name for name in DEMO.files if name != PAGE) if ours else ()


def _fidelity(folder: Path) -> tuple[str, ...]:
    content = _json(folder / "fidelity.json")
    return FIDELITY.files if {"scenario_sha256", "methods", "notes"} <= content.keys() else ()


def _json(path: Path) -> JsonObject:
    try:
        return read_json_object(path)
    except InputError:
        return {}


EVALUATION = ResultKind("evaluation", ("evaluation.json",), (*TABLES, "evaluation.json"), _evaluation)
SWEEP = ResultKind("sweep", ("sweep.csv",), ("sweep.csv", "trainings.csv"), _sweep)
DEMO = ResultKind("demo", ("stages.json",), ("stages.json", PAGE, *(f"{figure}.png" for figure in FIGURES)), _demo)
FIDELITY = ResultKind("fidelity", ("fidelity.json",), ("fidelity.csv", "fidelity.json", "fidelity.png"), _fidelity)
