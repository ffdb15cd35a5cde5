"""Tables as spreadsheets of other countries write them, and what is no table."""

from pathlib import Path

import numpy as np
import pytest

from neomflex_jax.errors import InputError
from neomflex_jax.files.tables import first_rows, numbers, read_table
from neomflex_jax.files.toml_lines import read_toml
from neomflex_jax.files.wide_tables import read_wide

ROWS = "time{0}Demand{0}Solar\n2023-01-01 00:00{0}{1}{0}0\n2023-01-01 00:30{0}{2}{0}1e-3\n"


@pytest.mark.parametrize(
    ("separator", "cells", "mark"),
    [
        (",", ("0.5", "-1.25"), ""),
        (";", ("0.5", "-1.25"), ""),
        (";", ("0,5", "-1,25"), "\ufeff"),
        ("\t", ("0.5", "-1.25"), ""),
    ],
)
def test_cells_are_separated_as_the_header_says(
    separator: str, cells: tuple[str, str], mark: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(mark + "\n" * len(mark) + ROWS.format(separator, *cells), encoding="utf-8")
    table = read_table(path, ("Demand", "Solar"))
    assert numbers(path, table, "Demand").tolist() == [0.5, -1.25]
    wide = read_wide(path, ("Solar", "Demand"), "time")
    np.testing.assert_array_equal(wide.values, [[0.0, 0.5], [1e-3, -1.25]])
    assert wide.texts == ("2023-01-01 00:00", "2023-01-01 00:30")
    assert first_rows(path, 1)[0] == ["time", "Demand", "Solar"]


def test_a_comma_in_the_header_separates_whatever_else_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('"a;b",c\n1,2\n', encoding="utf-8")
    assert list(read_table(path, ("a;b", "c"))) == ["a;b", "c"]


def test_decimal_commas_beside_points_are_refused_for_one_of_them_may_mean_thousands(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a;b\n0.5;1\n2;1,234\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"table.csv: line 3: '1,234' and '0.5' have different decimal marks"):
        read_table(path, ("a",))


def test_names_that_differ_in_case_are_said_to(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("demand,solar\n1,0\n", encoding="utf-8")
    with pytest.raises(InputError, match="needs Demand, Solar; upper and lower case count"):
        read_table(path, ("Demand", "Solar"))


@pytest.mark.parametrize(
    ("start", "kind"), [(b"PK\x03\x04", "an Excel workbook or another archive"), (b"\x1f\x8b\x08", "compressed")]
)
def test_a_packed_file_is_told_by_its_first_bytes(start: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(start + bytes(range(256)))
    with pytest.raises(InputError, match=f"table.csv: is {kind}, and no CSV file"):
        read_table(path, ("Demand",))


def test_a_name_that_is_a_value_and_a_table_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('profiles = "training"\n[profiles]\nfile = "my.csv"\n', encoding="utf-8")
    with pytest.raises(
        InputError, match=r"not a TOML file .*line 2.*as `profiles = ...` and as `\[profiles\]`: keep one"
    ):
        read_toml(path)
