"""fill = "interpolate": holes longer than a block, at its borders and at both ends, in the memory of a block."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.files import wide_tables
from neomflex_jax.profiles.fill import Filled
from neomflex_jax.profiles.step_rows import Reading, StepRows, read_step_rows

BLOCK, N_ROWS = 8, 48  # quarter hours
HOLES = {
    "within a block": [(9, 13)],
    "to a block's end": [(10, 16)],
    "from a block's beginning": [(16, 19)],
    "of just a block": [(16, 24)],
    "over a border": [(14, 18)],
    "over four borders": [(7, 41)],
    "one after another over borders": [(6, 9), (10, 33), (34, 47)],
    "in the beginning": [(0, 21)],
    "at the end": [(27, 48)],
    "at both ends, over borders": [(0, 9), (12, 30), (39, 48)],
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_tables, "BLOCK_CELLS", 0)
    monkeypatch.setattr(wide_tables, "LEAST_ROWS", BLOCK)


def holed(folder: Path, holes: list[tuple[int, int]]) -> tuple[Path, pd.DataFrame]:
    """Write two columns, one of them with holes (first row, row behind the last); returns the file and the table."""
    values = np.random.default_rng(0).uniform(0.0, 1.0, (N_ROWS, 2)).round(4)
    for first, end in holes:
        values[first:end, 1] = np.nan
    table = pd.DataFrame(values, columns=["a", "b"])
    times = pd.date_range("2025-06-12", periods=N_ROWS, freq="15min").strftime("%Y-%m-%d %H:%M")
    table.assign(time=times).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv", table


def read(path: Path, step_hours: float) -> StepRows:
    clock = ("time", "", step_hours, round(12 / step_hours), "" if step_hours == 0.25 else "mean")
    return read_step_rows(path, Reading(("a",), ("b",), *clock, "interpolate", "float64"))


@pytest.mark.parametrize("rows_a_step", [1, 3, 4, 12])
@pytest.mark.parametrize("where", HOLES)
def test_holes_of_any_length_are_filled_as_in_the_whole_table(where: str, rows_a_step: int, tmp_path: Path) -> None:
    path, table = holed(tmp_path, HOLES[where])
    rows = read(path, rows_a_step / 4)
    whole = table.interpolate(limit_direction="both").to_numpy().reshape(-1, rows_a_step, 2).mean(axis=1)
    np.testing.assert_allclose(np.concatenate([rows.common, rows.own], axis=1), whole, rtol=1e-12)
    (told,) = rows.told
    first = HOLES[where][0][0]
    assert told.startswith(f"line {first + 2}, column 'b' and on: {table.b.isna().sum()} cells without a number")


def test_a_column_that_is_one_hole_is_refused(tmp_path: Path) -> None:
    path, _ = holed(tmp_path, [(0, N_ROWS)])
    with pytest.raises(nf.InputError, match="column 'b' has no number; there is nothing to fill with"):
        read(path, 0.25)


def test_a_hole_through_the_whole_table_holds_no_rows() -> None:
    n_blocks, block = 200, np.random.default_rng(0).uniform(size=(96, 20))
    rows = np.empty((n_blocks * 96, 20))

    def write(column: int, steps: slice, values: np.ndarray) -> None:
        rows[steps, column] = values

    tracemalloc.start()
    try:
        filled = Filled(20, 1, write)
        for number in range(n_blocks):
            values = block.copy()
            values[:, 3] = number if number in (0, n_blocks - 1) else np.nan
            filled.fill(values)
            rows[96 * number : 96 * (number + 1)] = values
        filled.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(rows[95 : 96 * (n_blocks - 1) + 1, 3], np.linspace(0.0, n_blocks - 1, 96 * 198 + 2))
    assert peak < rows.nbytes / 2, "what is kept of a hole is one column's steps, not the rows of all"
