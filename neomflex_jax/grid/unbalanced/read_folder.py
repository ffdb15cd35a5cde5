"""An unbalanced feeder from its folder of plain files; `folder.py` says what is in them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.files.paths import is_there
from neomflex_jax.files.spreadsheets import unguarded
from neomflex_jax.files.tables import integers, number_in, numbers, numbers_or_empty, read_table
from neomflex_jax.files.toml_lines import read_toml
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.unbalanced import folder as files
from neomflex_jax.grid.unbalanced.circuit import Circuit
from neomflex_jax.grid.unbalanced.control_tables import read_controls
from neomflex_jax.grid.unbalanced.element import GROUND, Bank, Element, Winding
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.grounding import check_grounded
from neomflex_jax.grid.unbalanced.load import CONNECTIONS, Load
from neomflex_jax.grid.unbalanced.load_model import LoadModel
from neomflex_jax.grid.unbalanced.source import Source
from neomflex_jax.grid.unbalanced.supply import unfed_text

LARGEST_MATRIX = 64  # conductors of an element


def read_unbalanced_feeder(folder: Path) -> UnbalancedFeeder:
    """Read the feeder in a folder; raises `InputError` naming file, line and column."""
    nodes = _Table(folder / files.NODES, files.NODE_COLUMNS)
    labels = tuple(nodes.names("node"))
    positions = {label: place for place, label in enumerate(labels)} | {files.EARTH: GROUND}
    buses = tuple(label.rpartition(".")[0] or label for label in labels)
    x, y = nodes.optional("x"), nodes.optional("y")
    name, frequency_hz, circuit = _settings(folder / files.SETTINGS)
    elements = _with_banks(folder, _elements(folder, positions))
    currents = _currents(folder, elements)
    feeder = UnbalancedFeeder(
        name=name or folder.name,
        nodes=Nodes(labels, buses),
        v_base_kv=nodes.numbers("v_base_kv"),
        elements=tuple(element for name, element in elements.items() if name not in currents),
        sources=tuple(Source(elements[name], values) for name, values in currents.items()),
        loads=_loads(folder, positions),
        coordinates={bus: (x[k], y[k]) for k, bus in enumerate(buses) if not np.isnan(x[k] + y[k])},
        frequency_hz=frequency_hz,
        controls=read_controls(folder, positions),
        circuit=circuit,
    )
    if not feeder.sources:
        raise InputError(f"{folder / files.SOURCES}: no row under the header; a feeder needs a source")
    if (feeder.v_base_kv <= 0).any():
        raise InputError(f"{nodes.path}: v_base_kv must be above 0")
    check_grounded(feeder)
    if unfed := unfed_text(feeder):
        warnings.warn(f"{folder}: {unfed}", stacklevel=3)
    return feeder


class _Table:
    """One of the files, its columns there."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.rows: pd.DataFrame = read_table(path, columns)

    def texts(self, name: str) -> list[str]:
        return self.rows[name].str.strip().map(unguarded).tolist()

    def names(self, name: str) -> list[str]:
        """Texts, each of them once."""
        found = self.texts(name)
        twice = np.flatnonzero(pd.Series(found, dtype=str).duplicated())
        if twice.size:
            where = f"{self.path}: line {self.rows.index[twice[0]]}"
            raise InputError(f"{where}: {name} {shown(found[twice[0]])} stands on an earlier line already")
        return found

    def numbers(self, name: str) -> np.ndarray:
        return numbers(self.path, self.rows, name)

    def integers(self, name: str) -> list[int]:
        return integers(self.path, self.rows, name)

    def optional(self, name: str) -> np.ndarray:
        """Numbers, NaN where the cell is empty."""
        return numbers_or_empty(self.path, self.rows, name)

    def places(self, positions: dict[str, int]) -> list[tuple[int, ...]]:
        """Positions of the nodes that each row lists."""
        found = []
        for line, text in zip(self.rows.index, self.texts("nodes"), strict=True):
            unknown = [name for name in text.split() if name not in positions]
            if unknown or not text:
                raise InputError(
                    f"{self.path}: line {line}: node {shown(unknown[0] if text else '')} is none of {files.NODES}"
                )
            found.append(tuple(positions[name] for name in text.split()))
        return found


def _settings(path: Path) -> tuple[str, float, Circuit | None]:
    """Read the feeder's name, empty where none is given, its frequency in Hz and what it was made of."""
    settings = read_toml(path)[0] if is_there(path) else {}
    for field in settings:
        if field not in files.SETTING_FIELDS:
            raise unknown_name(f"field in {path}", field, files.SETTING_FIELDS)
    name, frequency_hz = settings.get("name", ""), settings.get("frequency_hz", 60.0)
    if not isinstance(name, str):
        raise InputError(f"{path}: name = {shown(name)} must be text")
    if isinstance(frequency_hz, bool) or not isinstance(frequency_hz, int | float) or not 0 < frequency_hz < 1000:
        raise InputError(f"{path}: frequency_hz = {shown(frequency_hz)} must be a number above 0 and below 1000")
    circuit, sha256 = settings.get("circuit", ""), settings.get("circuit_sha256", "")
    if not isinstance(circuit, str) or not isinstance(sha256, str) or bool(circuit) != bool(sha256):
        raise InputError(
            f"{path}: circuit is the path of an OpenDSS file or net.json, and circuit_sha256 goes with it; give both"
        )
    return name, float(frequency_hz), Circuit(path.parent / circuit, sha256) if circuit else None


def _matrices(folder: Path) -> dict[str, np.ndarray]:
    table = _Table(folder / files.MATRICES, files.MATRIX_COLUMNS)
    row, column = (np.array(table.integers(name)) for name in ("row", "column"))
    values = table.numbers("g_siemens") + 1j * table.numbers("b_siemens")
    entries: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(table.texts("matrix")):
        entries[name].append(place)
    found = {}
    for name, places in entries.items():
        size = int(column[places].max()) + 1
        if size > LARGEST_MATRIX or min(row[places].min(), column[places].min()) < 0 or row[places].max() >= size:
            limits = f"0 <= column < {LARGEST_MATRIX}, and no row beyond the columns"
            raise InputError(f"{table.path}: matrix {shown(name)}: {limits}")
        matrix = np.zeros((size, size), complex)
        if not (row > column)[places].any():  # of a symmetric one the half is written
            matrix[column[places], row[places]] = values[places]
        matrix[row[places], column[places]] = values[places]
        found[name] = matrix
    return found


def _elements(folder: Path, positions: dict[str, int]) -> dict[str, Element]:
    table, matrices, windings = (
        _Table(folder / files.ELEMENTS, files.ELEMENT_COLUMNS),
        _matrices(folder),
        _windings(folder),
    )
    factors = (table.numbers("series_factor"), table.optional("shunt_factor"))
    rating, terminals = table.optional("max_i_ka"), table.integers("terminals")
    found: dict[str, Element] = {}
    for place, (name, nodes) in enumerate(zip(table.names("element"), table.places(positions), strict=True)):
        where = f"{table.path}: line {table.rows.index[place]}"
        parts = {}
        for column in ("series", "shunt", "fixed"):
            matrix = table.rows[column].iloc[place].strip()
            if matrix and matrix not in matrices:
                raise InputError(f"{where}: {column}: {unknown_name('matrix', matrix, matrices)}")
            parts[column] = matrices[matrix] if matrix else None
        y = parts["series"]
        if y is None:
            raise InputError(f"{where}: {name} has no series matrix")
        y = y * factors[0][place]
        if parts["shunt"] is not None:
            if np.isnan(factors[1][place]):
                raise InputError(f"{where}: {name} has a shunt matrix and no shunt_factor")
            both = parts["shunt"] * factors[1][place] + y
            y = np.block([[both, -y], [-y, both]])
        if y.shape[0] != len(nodes) or terminals[place] < 1 or len(nodes) % terminals[place]:
            raise InputError(
                f"{where}: {name} has {len(nodes)} conductors, {terminals[place]} terminals, a matrix of {len(y)} rows"
            )
        if parts["fixed"] is not None and parts["fixed"].shape != y.shape:
            raise InputError(f"{where}: {name} has a fixed matrix of {len(parts['fixed'])} rows, and needs {len(y)}")
        own = windings.get(name, ())
        if own and len(own) != terminals[place]:
            raise InputError(f"{where}: {name} has {terminals[place]} terminals and {len(own)} windings")
        found[name] = Element(name, nodes, terminals[place], y, float(rating[place]), own, parts["fixed"])
    return found


def _with_banks(folder: Path, elements: dict[str, Element]) -> dict[str, Element]:
    """Add the steps of capacitors that have several, or some out."""
    if not is_there(folder / files.BANKS):
        return elements
    table, matrices = _Table(folder / files.BANKS, files.BANK_COLUMNS), _matrices(folder)
    steps, factors = table.integers("steps_in"), table.numbers("whole_factor")
    found = dict(elements)
    for place, name in enumerate(table.names("element")):
        where, shares = f"{table.path}: line {table.rows.index[place]}", table.rows["shares"].iloc[place].split()
        if name not in elements:
            raise InputError(f"{where}: {unknown_name('element', name, elements)}")
        whole = matrices.get(table.rows["whole"].iloc[place].strip())
        if whole is None or whole.shape != elements[name].y_siemens.shape:
            raise InputError(f"{where}: {name}: whole is no matrix of {files.MATRICES} of its size")
        values = [number_in(share) for share in shares]
        if (
            not values
            or not (np.diff([0.0, *values]) >= 0).all()
            or values[-1] != 1
            or not 0 <= steps[place] <= len(values)
        ):
            raise InputError(f"{where}: {name}: shares rise to 1, and steps_in is 0 .. {len(values)}")
        found[name] = replace(elements[name], bank=Bank(tuple(values), steps[place], whole * factors[place]))
    return found


def _windings(folder: Path) -> dict[str, tuple[Winding, ...]]:
    table = _Table(folder / files.WINDINGS, files.WINDING_COLUMNS)
    columns = [table.numbers(name).tolist() for name in files.WINDING_FIELDS]
    found: dict[str, list[Winding]] = defaultdict(list)
    for name, connection, *values in zip(table.texts("element"), table.texts("connection"), *columns, strict=True):
        fields = dict(zip(files.WINDING_FIELDS, values, strict=True))
        if fields["tap"] <= 0 or connection not in CONNECTIONS:
            raise InputError(f"{table.path}: winding of {shown(name)}: its tap is above 0, its connection wye or delta")
        found[name].append(Winding(**fields | {"n_taps": int(fields["n_taps"]), "connection": connection}))
    return {name: tuple(windings) for name, windings in found.items()}


def _currents(folder: Path, elements: dict[str, Element]) -> dict[str, np.ndarray]:
    table = _Table(folder / files.SOURCES, files.SOURCE_COLUMNS)
    values = table.numbers("re_ampere") + 1j * table.numbers("im_ampere")
    found: dict[str, np.ndarray] = {}
    for name, conductor, value in zip(table.texts("element"), table.integers("conductor"), values, strict=True):
        if name not in elements:
            raise InputError(f"{table.path}: {unknown_name('element', name, elements)}")
        size = len(elements[name].nodes)
        if not 1 <= conductor <= size:
            raise InputError(f"{table.path}: {name} has conductors 1 to {size}, and none of number {conductor}")
        found.setdefault(name, np.zeros(size, complex))[conductor - 1] = value
    return found


def _loads(folder: Path, positions: dict[str, int]) -> tuple[Load, ...]:
    table = _Table(folder / files.LOADS, files.LOAD_COLUMNS)
    phases, ratings = table.integers("phases"), table.optional("s_mva")
    kv, p, q = (table.numbers(name) for name in ("v_nominal_kv", "p_mw", "q_mvar"))
    numbered = {name: table.optional(name) for name in files.MODEL_NUMBERS}
    found = []
    for place, (name, nodes) in enumerate(zip(table.names("load"), table.places(positions), strict=True)):
        where = f"{table.path}: line {table.rows.index[place]}"
        connection = table.rows["connection"].iloc[place].strip()
        if connection not in CONNECTIONS or not 1 <= phases[place] <= len(nodes) or kv[place] <= 0:
            raise InputError(f"{where}: {name}: connection is wye or delta, phases 1 to its nodes, kv above 0")
        model = {key: values[place] for key, values in numbered.items() if not np.isnan(values[place])}
        model |= {key: _shares(where, table.rows[key].iloc[place]) for key in files.SHARES}
        load = Load(
            name, nodes, phases[place], connection, kv[place], p[place], q[place], LoadModel(**model), ratings[place]
        )
        found.append(load)
    return tuple(found)


def _shares(where: str, text: str) -> tuple[float, ...]:
    """Three numbers with spaces between them."""
    try:
        values = tuple(float(part) for part in text.split())
    except ValueError:
        values = ()
    if len(values) != 3 or not np.isfinite(values).all():
        raise InputError(f"{where}: {shown(text)} must be three shares: of constant impedance, current and power")
    return values
