"""Users' text in CSV files is no formula for a spreadsheet, and reads back as it was."""

import csv
import dataclasses
from pathlib import Path

import pytest

from neomflex_jax.files.spreadsheets import FORMULA, guarded, unguarded
from neomflex_jax.grid import Feeder, load_feeder
from neomflex_jax.grid.elements import Element, Elements
from neomflex_jax.grid.to_csv import write_feeder

EVIL = ('=HYPERLINK("http://x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "'=1", "''-x")


@pytest.mark.parametrize("text", EVIL)
def test_what_a_spreadsheet_would_compute_is_guarded_and_comes_back(text: str) -> None:
    assert guarded(text)[0] == "'" and unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", ["", "pv 3", "'", "'quoted'", "3-phase", "a=b", "'n Haus"])
def test_other_text_stays(text: str) -> None:
    assert guarded(text) == text == unguarded(text)


def cells_of(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


def test_a_feeder_folder_holds_no_formula_and_gives_the_names_back(tmp_path: Path) -> None:
    feeder = load_feeder("case33bw")
    rows = [
        Element("load", place, name, bus, float(p_mw), float(q_mvar), name)
        for place, (name, bus, p_mw, q_mvar) in enumerate(
            zip(("", *EVIL, *map(str, range(25))), feeder.bus_labels, feeder.load_p_mw, feeder.load_q_mvar, strict=True)
        )
    ]
    written = dataclasses.replace(feeder, elements=Elements(tuple(rows)))
    folder = write_feeder(written, tmp_path / "=1+1")
    assert not [cell for cell in cells_of(folder / "elements.csv") if FORMULA.match(cell) and cell[0] != "'"]
    read = Feeder.from_csv(folder).elements.rows
    assert [each.name for each in read] == [each.name for each in rows]
