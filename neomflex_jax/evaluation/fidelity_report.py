"""The result of `fidelity`: a table of errors and speeds, what it rests on, and its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.files.json_values import plain_values
from neomflex_jax.files.tables import without_negative_zeros
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.loose_types import JsonObject, Keywords
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow import method_named
from neomflex_jax.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Fidelity:
    """Errors and speeds of the methods, and what they rest on. Make it with `fidelity`."""

    scenario: Scenario
    table: pd.DataFrame  # a row per method; units are in the columns' names
    samples_from: str
    n_samples: int
    n_solved: int  # by the reference
    n_bus: int  # without the slack
    n_branch: int  # in service
    mean_loss_mw: float  # exact
    residual_mva: float  # largest bus mismatch of the reference
    hard_violations: int  # buses x samples of the reference outside the limits
    band_violations: int
    precision: str
    batch_size: int
    device: str

    __repr__ = one_line

    def rows(self) -> list[Keywords]:
        """Return the table's rows as dictionaries of plain values."""
        return [{str(name): value for name, value in row.items()} for row in self.table.to_dict("records")]

    def notes(self) -> list[str]:
        """Return sentences on what the numbers rest on: reference, samples, fit, limits, speeds."""
        limits, n_voltages = self.scenario.limits, self.n_solved * self.n_bus
        fitted = [name for name in self.table["method"] if method_named(name).fitted]
        return [
            f"reference: ac in float64, largest bus mismatch {self.residual_mva:.1g} MVA; mean loss "
            f"{self.mean_loss_mw:.4g} MW; it solves {self.n_solved:,} of {self.n_samples:,} samples.",
            f"samples: {self.n_samples:,}, {self.samples_from}; {self.n_bus} buses (slack left out), "
            f"{self.n_branch} branches.",
            *(f"{name}: fitted as training fits it, to other samples than these." for name in fitted),
            f"limits: hard {limits.hard_min_pu:g} to {limits.hard_max_pu:g} pu, with {self.hard_violations:,} of "
            f"{n_voltages:,} true voltages outside; band {limits.band_min_pu:g} to {limits.band_max_pu:g} pu, with "
            f"{self.band_violations:,} outside.",
            "missed: voltages (buses x samples) outside in truth and inside by the method; invented: the reverse; "
            "samples without an answer are left out of all errors.",
            f"flows/s: voltages and losses in {self.precision}, batches of {self.batch_size:,}, the best of repeated "
            f"calls on {self.device}, compilation left out.",
        ]

    def write(self, folder: str | Path) -> None:
        """Write ``fidelity.csv`` (a row per method) and ``fidelity.json`` (the same with everything beside it)."""
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: is a file; give an output folder")
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps(self.as_dict(), indent=2, allow_nan=False)
        (folder / "fidelity.json").unlink(missing_ok=True)  # never beside another table than its own
        write_whole(folder / "fidelity.csv", without_negative_zeros(self.table).to_csv(index=False))
        write_whole(folder / "fidelity.json", content + "\n")

    def as_dict(self) -> JsonObject:
        """Return everything as plain values for JSON, what is not finite as None."""
        facts = {name: value for name, value in vars(self).items() if name not in ("scenario", "table")}
        scenario = {"scenario": self.scenario.name, "scenario_sha256": self.scenario.hash()}
        beside = {"limits": vars(self.scenario.limits), "notes": self.notes(), "methods": self.rows()}
        plain: JsonObject = plain_values(scenario | facts | beside)
        return plain
