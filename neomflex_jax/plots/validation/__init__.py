"""Figures of a validation, one module each: what was recorded beside what pandapower answers."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.errors import unknown_name
from neomflex_jax.plots import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from validation import Validated

CAPTIONS = {
    "scatter": "Voltage of every bus and step, recorded against the referee",
    "error_by_bus": "Voltage error along the feeder",
    "error_over_day": "Voltage error over the day",
    "envelopes": "Voltage envelopes of both",
    "confusion": "Limits broken in truth and in the record",
}


def draw(name: str, run: Validated) -> Figure:
    """Draw one of `CAPTIONS`.

    Raises
    ------
    InputError
        If there is no such figure.
    """
    if name not in CAPTIONS:
        raise unknown_name("figure of a validation", name, CAPTIONS)
    return import_module(f"neomflex_jax.plots.validation.{name}").draw(run)


def draw_all(run: Validated, folder: Path) -> dict[str, str]:
    """Draw every figure of a run into a folder, as PNG, and return their captions by file name."""
    files = file_names(run.trajectory.run)
    for name, file in files.items():
        save(draw(name, run), folder / file)
    return {file: f"{CAPTIONS[name]}: {run.trajectory.run}" for name, file in files.items()}


def file_names(run: str) -> dict[str, str]:
    """Return the file names of a run's figures, by figure."""
    prefix = re.sub(r"[^A-Za-z0-9_-]", "_", run)
    return {name: f"{prefix}_{name}.png" for name in CAPTIONS}
