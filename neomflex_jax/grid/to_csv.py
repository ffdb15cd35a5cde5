"""A feeder into the folder of plain files that `grid.from_csv` reads.

Numbers are written with the digits that give the same float64 back, so reading gives the identical feeder; its name is
the folder's. Columns of what a feeder does not have are left out, and so is a rating that is not known.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.files.spreadsheets import guarded
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.folders.marker import is_plain_file, is_there
from neomflex_jax.folders.results import NEW, beside, swap_in
from neomflex_jax.grid import from_csv as files
from neomflex_jax.grid.checks import SLIGHTLY
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import HostArray, Windings

FILES = (files.BUSES, files.BRANCHES, files.ELEMENTS, files.HELD, files.WINDINGS, files.SETTINGS)


def write_feeder(feeder: Feeder, folder: str | Path) -> Path:
    """Write ``buses.csv``, ``branches.csv``, ``feeder.toml`` and what else there is of the files into `folder`.

    They replace those that are there; returns the folder.

    Raises
    ------
    InputError
        If the folder holds anything else: it may be somebody's data, and would look like a part of the feeder.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    others = sorted(path.name for path in folder.iterdir() if path.name not in (*FILES, NEW)) if folder.exists() else []
    if others:
        raise InputError(f"{folder}: holds {others[0]} already, which is no part of a feeder; give an empty folder")
    for path in (folder / name for name in FILES):
        if is_there(path) and not is_plain_file(path):
            raise InputError(f"{path}: is a link or no file; move it away, or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    slack = feeder.bus_labels[feeder.topology.slack]
    settings = f"slack_bus = {slack}\nslack_vm_pu = {_text(feeder.slack_vm_pu)}\n"
    settings += "".join(f"own_{name} = {value!r}\n" for name, value in vars(feeder.own_devices).items() if value)
    with beside(folder) as new:
        _write_table(new / files.BUSES, _bus_columns(feeder))
        _write_table(new / files.BRANCHES, _branch_columns(feeder))
        if feeder.elements:
            _write_table(new / files.ELEMENTS, _element_columns(feeder))
        if feeder.held is not None:
            _write_table(new / files.HELD, _held_columns(feeder))
        if feeder.windings is not None:
            _write_table(new / files.WINDINGS, _winding_columns(feeder, feeder.windings))
        write_whole(new / files.SETTINGS, settings)
        swap_in(new, folder, (files.BUSES,), FILES)  # without its buses it is no feeder: never half of another
    return folder


def _bus_columns(feeder: Feeder) -> dict[str, Sequence[float | str]]:
    values = (feeder.bus_labels, feeder.vn_kv, feeder.load_p_mw, feeder.load_q_mvar)
    columns: dict[str, Sequence[float | str]] = dict(zip(files.BUS_COLUMNS, values, strict=True))
    if feeder.shunts is not None:
        columns |= zip(files.SHUNT_COLUMNS, (feeder.shunts.p_mw, feeder.shunts.q_mvar), strict=True)
    if feeder.voltage_dependence is not None:
        columns |= {f"{name}_share": share for name, share in vars(feeder.voltage_dependence).items()}
    return columns


def _element_columns(feeder: Feeder) -> dict[str, Sequence[float | str]]:
    rows = feeder.elements.rows
    own = ("table", "index", "name", "bus", "type", "p_mw", "q_mvar")
    return {
        column: [getattr(row, name) for row in rows] for column, name in zip(files.ELEMENT_COLUMNS, own, strict=True)
    }


def _held_columns(feeder: Feeder) -> dict[str, Sequence[float | str]]:
    held = feeder.held
    assert held is not None
    buses = [feeder.bus_labels[position] for position in held.bus]
    angles: HostArray = np.where(held.is_slack, held.va_degree, np.nan)
    values = (buses, held.vm_pu, held.p_mw, angles)
    columns: dict[str, Sequence[float | str]] = dict(zip(files.HELD_COLUMNS, values, strict=True))
    if held.q_min_mvar is not None and held.q_max_mvar is not None:
        columns |= zip(files.HELD_LIMITS, (held.q_min_mvar, held.q_max_mvar), strict=True)
    return columns


def _winding_columns(feeder: Feeder, windings: Windings) -> dict[str, Sequence[float | str]]:
    """A transformer's three branches go by the place of the first of them among all branches."""
    names, following = feeder.branch_names, dict(zip(windings.branch, windings.next_branch, strict=True))
    numbers = ["" if after < 0 else min(branch, after, following[after]) for branch, after in following.items()]
    columns: dict[str, Sequence[float | str]] = {"branch": [names[row] for row in windings.branch]}
    return columns | {"transformer": numbers} | {name: getattr(windings, name) for name in files.WINDING_COLUMNS[2:]}


def _branch_columns(feeder: Feeder) -> dict[str, Sequence[float | str]]:
    labels, topology = feeder.bus_labels, feeder.topology
    ends = ([labels[bus] for bus in side] for side in (topology.from_bus, topology.to_bus))
    in_service = [int(closed) for closed in topology.in_service]
    values = (*ends, feeder.r_ohm, feeder.x_ohm, in_service)
    columns: dict[str, Sequence[float | str]] = dict(zip(files.BRANCH_COLUMNS, values, strict=True))
    if not np.isnan(feeder.max_i_ka).all():
        columns[files.RATING] = feeder.max_i_ka
    if feeder.back is not None:
        for name, values in zip(files.BACK_COLUMNS, (feeder.back.r_ohm, feeder.back.x_ohm), strict=True):
            stated = dict(zip(feeder.back.branch, values.tolist(), strict=True))
            columns[name] = [stated.get(branch, float("nan")) for branch in range(topology.n_branch)]
    if feeder.max_loading_percent is not None:
        columns[files.LIMIT] = feeder.max_loading_percent
    is_line = np.ones(topology.n_branch, bool) if feeder.transformers is None else ~feeder.transformers.present
    equivalent = is_line & (feeder.r_ohm < -SLIGHTLY * np.abs(feeder.x_ohm))
    if equivalent.any():
        columns[files.EQUIVALENT] = equivalent.astype(int).tolist()
    for part, names in ((feeder.charging, files.CHARGING_COLUMNS), (feeder.transformers, files.TRANSFORMER_COLUMNS)):
        if part is not None:
            columns |= {name: getattr(part, name) for name in names}
    return columns


def _write_table(path: Path, columns: dict[str, Sequence[float | str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*([_text(value) for value in column] for column in columns.values()), strict=True))


def _text(value: float | str) -> str:
    """Shortest text that reads back as the same number; nothing for NaN."""
    if isinstance(value, int | str):
        return guarded(value) if isinstance(value, str) else str(value)
    number = float(value)
    return "" if np.isnan(number) else repr(number)
