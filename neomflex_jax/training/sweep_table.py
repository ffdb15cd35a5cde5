"""A sweep's results by setting: the interquartile mean over seeds and its 95 % interval, best first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.files.spreadsheets import guarded
from neomflex_jax.files.tables import without_negative_zeros
from neomflex_jax.interquartile import bootstrap_interval, interquartile_mean
from neomflex_jax.training.sweep_job import Outcome

TABLE, TRAININGS = "sweep.csv", "trainings.csv"


def summarise(settings: Sequence[dict[str, object]], outcomes: Sequence[Sequence[Outcome]]) -> pd.DataFrame:
    """Return a table with one row a setting, the lowest cost first.

    The cost of a day is that of the last chunks of training, exploration included; trainings that diverged are counted
    and left out of it.
    """
    rows = []
    for setting, each in zip(settings, outcomes, strict=True):
        costs = np.array([outcome.day_cost for outcome in each if not outcome.diverged])
        low, high = bootstrap_interval(costs) if costs.size else (np.nan, np.nan)
        rows.append(
            {
                **setting,
                "n_seeds": len(each),
                "n_diverged": len(each) - costs.size,
                "day_cost_iqm": float(interquartile_mean(costs)) if costs.size else np.nan,
                "day_cost_low": float(low),
                "day_cost_high": float(high),
                "steps": max(outcome.steps for outcome in each),
                "folder": str(each[0].folder.parent),
            }
        )
    return pd.DataFrame(rows).sort_values("day_cost_iqm", ignore_index=True)


def write(
    output: Path, table: pd.DataFrame, settings: Sequence[dict[str, object]], outcomes: Sequence[Sequence[Outcome]]
) -> None:
    """Write the single trainings and the table, into a folder that is there."""
    single = [
        {**setting, **vars(outcome)} for setting, each in zip(settings, outcomes, strict=True) for outcome in each
    ]
    for name, rows in ((TRAININGS, pd.DataFrame(single)), (TABLE, table)):
        folders = rows["folder"].map(lambda folder: guarded(str(folder)))
        without_negative_zeros(rows).assign(folder=folders).to_csv(output / name, index=False)
