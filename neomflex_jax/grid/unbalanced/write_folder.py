"""An unbalanced feeder into a folder of plain files; `folder.py` says what is in them.

Numbers have the digits that give the same float64 back. Lines of one kind differ in length alone, so matrices that are
each other's multiples up to rounding are kept once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.files.spreadsheets import guarded
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.grid.unbalanced import folder as files
from neomflex_jax.grid.unbalanced.control_tables import TABLES, node_label, rows_of
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.load import Load


def write_unbalanced_feeder(feeder: UnbalancedFeeder, folder: str | Path) -> Path:
    """Write a feeder's files into a folder; those of them that are there are replaced.

    Parameters
    ----------
    feeder
        Its load shapes are left out.
    folder
        A new or empty folder, or one of such a feeder.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If the folder holds anything else.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    others = sorted(path.name for path in folder.iterdir() if path.name not in files.FILES) if folder.exists() else []
    if others:
        raise InputError(f"{folder}: holds {others[0]} already, which is no part of a feeder; give an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    matrices = _Matrices()
    elements = [*feeder.elements, *(source.element for source in feeder.sources)]
    tables: dict[str, tuple[Sequence[str], list[list[object]]]] = {
        files.NODES: (files.NODE_COLUMNS, _node_rows(feeder)),
        files.ELEMENTS: (files.ELEMENT_COLUMNS, [_element_row(feeder, element, matrices) for element in elements]),
        files.SOURCES: (files.SOURCE_COLUMNS, _source_rows(feeder)),
        files.WINDINGS: (files.WINDING_COLUMNS, _winding_rows(feeder)),
        files.LOADS: (files.LOAD_COLUMNS, [_load_row(feeder, load) for load in feeder.loads]),
        files.BANKS: (files.BANK_COLUMNS, _bank_rows(feeder, matrices)),
        files.MATRICES: (files.MATRIX_COLUMNS, matrices.rows()),
    }
    for name, kind in TABLES.items():
        rows = rows_of(feeder.controls, kind, node_label(feeder.node_labels))
        tables[name] = ([field.name for field in fields(kind)], rows)
    for name, (header, rows) in tables.items():
        if name in files.OPTIONAL and not rows:
            (folder / name).unlink(missing_ok=True)
            continue
        lines = [",".join(header), *(",".join(map(_text, row)) for row in rows)]
        write_whole(folder / name, "\n".join(lines) + "\n")
    settings = {"name": feeder.name, "frequency_hz": feeder.frequency_hz}
    if feeder.circuit is not None:
        settings |= {"circuit": _path_from(folder, feeder.circuit.path), "circuit_sha256": feeder.circuit.sha256}
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items()]
    write_whole(folder / files.SETTINGS, "".join(lines))
    return folder


def _path_from(folder: Path, path: Path) -> str:
    """Path from a folder to a file in it, else the whole path."""
    inside = path.resolve().is_relative_to(folder.resolve())
    return (path.resolve().relative_to(folder.resolve()) if inside else path.resolve()).as_posix()


def _symmetric(values: np.ndarray) -> bool:
    return np.allclose(values, values.T, rtol=0, atol=files.EXACT * np.abs(values).max(initial=0.0))


class _Matrices:
    """Matrices that are kept, each with a name, and found again up to a factor."""

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []

    def place(self, values: np.ndarray) -> tuple[str, float]:
        """Name and factor of a matrix."""
        lead = values[0, 0]
        for number, known in enumerate(self.kept):
            factor = abs(lead) / abs(known[0, 0]) if known[0, 0] else 0.0
            if (
                known.shape == values.shape
                and np.abs(known * factor - values).max() <= files.EXACT * np.abs(values).max()
            ):
                return f"m{number}", 1.0 if np.array_equal(known, values) else float(factor)
        self.kept.append(values)
        return f"m{len(self.kept) - 1}", 1.0

    def rows(self) -> list[list[object]]:
        return [
            [f"m{number}", row, column, values[row, column].real, values[row, column].imag]
            for number, values in enumerate(self.kept)
            for row in range(len(values))
            for column in range(row if _symmetric(values) else 0, len(values))
            if values[row, column] != 0 or row == column == len(values) - 1  # which says how large it is
        ]


def _node_rows(feeder: UnbalancedFeeder) -> list[list[object]]:
    """Coordinates stand at the first node of a bus."""
    left = dict(feeder.coordinates)
    rows = zip(feeder.node_labels, feeder.v_base_kv.tolist(), feeder.nodes.bus, strict=True)
    return [[label, base, *left.pop(bus, ("", ""))] for label, base, bus in rows]


def _nodes(feeder: UnbalancedFeeder, nodes: Sequence[int]) -> str:
    return " ".join(str(feeder.node_labels[node]) if node >= 0 else files.EARTH for node in nodes)


def _element_row(feeder: UnbalancedFeeder, element: Element, matrices: _Matrices) -> list[object]:
    y, half = element.y_siemens, len(element.nodes) // 2
    series: tuple[str, float] = ("", 1.0)
    shunt: tuple[str, float] | tuple[str, str] = ("", "")
    across = -y[:half, half:]
    ends = (y[:half, :half] - across, y[half:, half:] - across)
    if not element.windings and element.n_terminals == 2 and _symmetric(y) and across.any() and np.array_equal(*ends):
        series, shunt = matrices.place(across), matrices.place(ends[0])
    else:
        series = matrices.place(y)
    fixed = "" if element.fixed_siemens is None else matrices.place(element.fixed_siemens)[0]
    if fixed and matrices.place(element.fixed_siemens)[1] != 1.0:  # type: ignore[arg-type]
        matrices.kept.append(np.asarray(element.fixed_siemens))
        fixed = f"m{len(matrices.kept) - 1}"
    nodes = _nodes(feeder, element.nodes)
    return [element.name, nodes, element.n_terminals, element.max_i_ka, *series, *shunt, fixed]


def _source_rows(feeder: UnbalancedFeeder) -> list[list[object]]:
    return [
        [source.element.name, place, current.real, current.imag]
        for source in feeder.sources
        for place, current in enumerate(source.i_ampere.tolist(), 1)
    ]


def _winding_rows(feeder: UnbalancedFeeder) -> list[list[object]]:
    return [
        [element.name, number, *(getattr(winding, name) for name in files.WINDING_FIELDS), winding.connection]
        for element in feeder.elements
        for number, winding in enumerate(element.windings, 1)
    ]


def _bank_rows(feeder: UnbalancedFeeder, matrices: _Matrices) -> list[list[object]]:
    return [
        [element.name, bank.steps_in, " ".join(map(_text, bank.shares)), *matrices.place(bank.y_siemens)]
        for element in feeder.elements
        if (bank := element.bank) is not None
    ]


def _load_row(feeder: UnbalancedFeeder, load: Load) -> list[object]:
    numbers = (load.v_nominal_kv, load.p_mw, load.q_mvar, load.s_mva)
    shares = [" ".join(map(_text, getattr(load.model, name))) for name in files.SHARES]
    own = ["" if value is None else value for value in (getattr(load.model, name) for name in files.MODEL_NUMBERS)]
    return [load.name, _nodes(feeder, load.nodes), load.n_phases, load.connection, *numbers, *shares, *own]


def _text(value: object) -> str:
    """Shortest text that reads back as the same number; nothing for NaN and for no limit."""
    if isinstance(value, int | str):
        return guarded(value) if isinstance(value, str) else str(value)
    number = float(value)  # type: ignore[arg-type]
    return repr(number).removesuffix(".0") if math.isfinite(number) else ""
