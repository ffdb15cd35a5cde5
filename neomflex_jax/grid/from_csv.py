"""A feeder from a folder of plain files; `grid.columns` says what they mean.

``buses.csv``: ``bus,vn_kv,p_mw,q_mvar[,shunt_p_mw,shunt_q_mvar,p_current_share,p_impedance_share,q_current_share,
q_impedance_share]``, nominal consumption, and shares of it that follow the voltage. ``branches.csv``: ``from_bus,
to_bus,r_ohm,x_ohm,in_service[,back_r_ohm,back_x_ohm,equivalent,max_i_ka,max_loading_percent,g_us,b_us,ratio,
shift_degree,rated_ratio]``; an empty ``max_i_ka`` is a rating that is not known, an empty ``max_loading_percent`` no
limit, ``back_r_ohm`` and ``back_x_ohm`` are empty but for a branch whose impedance is another one from its `to` end,
and an `equivalent` (1) may have ``r_ohm`` below 0. ``elements.csv``, optional: ``element,index,name,bus,type,p_mw,
q_mvar``, what the loads are the sum of, `element` being load, sgen or storage and generation below 0.
``held_voltages.csv``, optional: ``bus,vm_pu,p_mw,va_degree[,q_min_mvar,q_max_mvar]``, buses beside the slack whose
voltage is held, by a generator that produces ``p_mw`` where ``va_degree`` is empty, else by a further external grid of
that angle; an empty limit of q is none. ``windings.csv``, optional: ``branch,transformer,from_g_us,from_b_us,to_g_us,
to_b_us``, what the ends of a branch carry beyond it, by its name; the three branches of a three-winding transformer
have one number.
``feeder.toml``, optional: ``slack_bus`` (default: the first row), ``slack_vm_pu`` (1.0), and what the loads hold of
generators and storages (``own_generators``, ``own_generation_mw``, ``own_storages``, ``own_storage_mw``).

Further columns are the user's own (names, remarks), unless they look like one of the above that is not there: a
misspelt rating must not silently mean "no rating".
"""

from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import MOST_SHOWN, InputError, short_path, shown, unknown_name
from neomflex_jax.files.paths import is_folder, is_there
from neomflex_jax.files.spreadsheets import unguarded
from neomflex_jax.files.tables import integers, numbers, numbers_or_empty, read_table
from neomflex_jax.files.toml_lines import read_toml
from neomflex_jax.grid.columns import FeederColumns, Held, WindingEnds
from neomflex_jax.grid.elements import NO_ELEMENTS, TABLES, Element, Elements
from neomflex_jax.grid.parts import OwnDevices, branch_names
from neomflex_jax.loose_types import Keywords

BUSES, BRANCHES, ELEMENTS, SETTINGS = "buses.csv", "branches.csv", "elements.csv", "feeder.toml"
HELD, WINDINGS = "held_voltages.csv", "windings.csv"
BUS_COLUMNS = ("bus", "vn_kv", "p_mw", "q_mvar")
ELEMENT_COLUMNS = ("element", "index", "name", "bus", "type", "p_mw", "q_mvar")
HELD_COLUMNS = ("bus", "vm_pu", "p_mw", "va_degree")
HELD_LIMITS = ("q_min_mvar", "q_max_mvar")
WINDING_COLUMNS = ("branch", "transformer", "from_g_us", "from_b_us", "to_g_us", "to_b_us")
BRANCH_COLUMNS = ("from_bus", "to_bus", "r_ohm", "x_ohm", "in_service")
SHUNT_COLUMNS = ("shunt_p_mw", "shunt_q_mvar")
SHARE_COLUMNS = tuple(f"{power}_{part}_share" for power in "pq" for part in ("current", "impedance"))
CHARGING_COLUMNS = ("g_us", "b_us")
BACK_COLUMNS = ("back_r_ohm", "back_x_ohm")
TRANSFORMER_COLUMNS = ("ratio", "shift_degree", "rated_ratio")
RATING = "max_i_ka"
LIMIT = "max_loading_percent"
EQUIVALENT = "equivalent"
BRANCH_OPTIONS = (*BACK_COLUMNS, EQUIVALENT, RATING, LIMIT, *CHARGING_COLUMNS, *TRANSFORMER_COLUMNS)
OWN_DEVICES = tuple(field.name for field in fields(OwnDevices))
SETTING_NAMES = ("slack_bus", "slack_vm_pu", *(f"own_{name}" for name in OWN_DEVICES))


def read_columns(folder: Path) -> FeederColumns:
    """Read the feeder in `folder`; raises `InputError` naming file, line and column."""
    if not is_folder(folder):
        raise InputError(f"{short_path(folder)}: no such feeder folder")
    settings = _read_settings(folder / SETTINGS)
    buses = _Table(folder / BUSES, BUS_COLUMNS, (*SHUNT_COLUMNS, *SHARE_COLUMNS))
    branches = _Table(folder / BRANCHES, BRANCH_COLUMNS, BRANCH_OPTIONS)
    ends = list(zip(branches.integers("from_bus"), branches.integers("to_bus"), strict=True))
    columns: Keywords = {
        "bus_labels": buses.integers("bus"),
        "vn_kv": buses.numbers("vn_kv"),
        "load_p_mw": buses.numbers("p_mw"),
        "load_q_mvar": buses.numbers("q_mvar"),
        "branches": ends,
        "r_ohm": branches.numbers("r_ohm"),
        "x_ohm": branches.numbers("x_ohm"),
        "in_service": [value != 0 for value in branches.integers("in_service")],
        RATING: branches.numbers_or_empty(RATING),
        LIMIT: branches.numbers_or_empty(LIMIT),
        **{name: branches.numbers_or_empty(name) for name in BACK_COLUMNS},
    }
    for name in (*SHUNT_COLUMNS, *SHARE_COLUMNS):
        columns[name] = buses.optional_numbers(name)
    for name in (*CHARGING_COLUMNS, *TRANSFORMER_COLUMNS):
        columns[name] = branches.optional_numbers(name)
    if EQUIVALENT in branches.rows.columns:
        columns[EQUIVALENT] = [value != 0 for value in branches.integers(EQUIVALENT)]
    own = {name: settings[f"own_{name}"] for name in OWN_DEVICES if f"own_{name}" in settings}
    return FeederColumns(
        name=folder.name or folder.resolve().name,
        slack_bus=settings.get("slack_bus"),
        slack_vm_pu=float(settings.get("slack_vm_pu", 1.0)),
        own_devices=OwnDevices(**own),
        elements=_read_elements(folder / ELEMENTS, columns),
        held=_read_held(folder / HELD),
        windings=_read_windings(folder / WINDINGS, branch_names(ends)),
        source=str(folder),
        **columns,
    )


def _read_elements(path: Path, columns: Keywords) -> Elements:
    """Read what the loads are the sum of, and make sure that they are; none without the file."""
    if not is_there(path):
        return NO_ELEMENTS
    table = _Table(path, ELEMENT_COLUMNS, ())
    index, bus, p_mw, q_mvar = (table.integers("index"), table.integers("bus"), *map(table.numbers, ("p_mw", "q_mvar")))
    kinds, names, types = (table.rows[name].str.strip().map(unguarded).tolist() for name in ("element", "name", "type"))
    for line, kind in zip(table.rows.index, kinds, strict=True):
        if kind not in TABLES:
            raise InputError(f"{path}: line {line}: {unknown_name('element', kind, TABLES)}")
    position = {label: place for place, label in enumerate(columns["bus_labels"])}
    for line, label in zip(table.rows.index, bus, strict=True):
        if label not in position:
            raise InputError(f"{path}: line {line}: bus {label} is none of {BUSES}")
    places = [position[label] for label in bus]
    for name, values in (("load_p_mw", p_mw), ("load_q_mvar", q_mvar)):
        total = np.bincount(places, values, minlength=len(position))
        off = np.flatnonzero(~np.isclose(total, columns[name], rtol=1e-9, atol=1e-12))
        if off.size:
            stated, label = columns[name][off[0]], columns["bus_labels"][off[0]]
            raise InputError(f"{path}: at bus {label} they add up to {total[off[0]]:g}, and {BUSES} has {stated:g}")
    rows = zip(kinds, index, names, bus, p_mw.tolist(), q_mvar.tolist(), types, strict=True)
    return Elements(tuple(Element(*row) for row in rows))


def _read_held(path: Path) -> list[Held]:
    """Read which voltages are held beside the slack's; none without the file."""
    if not is_there(path):
        return []
    table = _Table(path, HELD_COLUMNS, HELD_LIMITS)
    vm_pu, p_mw, va_degree = table.numbers("vm_pu"), table.numbers("p_mw"), table.numbers_or_empty("va_degree")
    assert va_degree is not None  # a required column
    limits = [table.numbers_or_empty(name) for name in HELD_LIMITS]
    absent = np.full(len(vm_pu), np.nan)
    q_min, q_max = (absent if each is None else each for each in limits)
    values = (each.tolist() for each in (vm_pu, p_mw, va_degree, q_min, q_max))
    rows = zip(table.integers("bus"), *values, strict=True)
    return [Held(bus, vm, p, None if np.isnan(va) else va, low, high) for bus, vm, p, va, low, high in rows]


def _read_windings(path: Path, names: tuple[str, ...]) -> list[WindingEnds]:
    """Read what ends of branches carry beyond them; nothing without the file. `names` are those of all branches."""
    if not is_there(path):
        return []
    table = _Table(path, WINDING_COLUMNS, ())
    rows = {name: row for row, name in enumerate(names)}
    transformers = table.numbers_or_empty("transformer")
    assert transformers is not None  # a required column
    admittances = zip(*(table.numbers(name).tolist() for name in WINDING_COLUMNS[2:]), strict=True)
    found = []
    for line, name, number, values in zip(
        table.rows.index, table.rows["branch"].str.strip(), transformers.tolist(), admittances, strict=True
    ):
        if name not in rows:
            raise InputError(f"{path}: line {line}: branch {shown(name)} is none of {BRANCHES}")
        found.append(WindingEnds(rows[name], None if np.isnan(number) else int(number), *values))
    return found


class _Table:
    """One of the files, its header checked."""

    def __init__(self, path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
        self.path = path
        self.rows: pd.DataFrame = read_table(path, required)
        header = list(self.rows.columns)
        absent = [name for name in optional if name not in header]
        for name in header:
            meant = _meant(name, absent) if name not in (*required, *optional) else None
            if meant is not None:
                raise InputError(
                    f"{path}: line 1, column {shown(name)} is none that is read; did you mean {meant!r}? "
                    f"Columns: {', '.join(required)}, optional {', '.join(optional)}"
                )

    def integers(self, name: str) -> list[int]:
        return integers(self.path, self.rows, name)

    def numbers(self, name: str) -> np.ndarray:
        return numbers(self.path, self.rows, name)

    def optional_numbers(self, name: str) -> np.ndarray | None:
        return self.numbers(name) if name in self.rows.columns else None

    def numbers_or_empty(self, name: str) -> np.ndarray | None:
        """NaN where the cell is empty; None without the column."""
        return numbers_or_empty(self.path, self.rows, name) if name in self.rows.columns else None


def _meant(name: str, absent: list[str]) -> str | None:
    """Find the absent column that `name` looks like: another case or spelling, a word more or less."""
    words = set(name.lower().split("_"))
    for column in absent:
        own = set(column.split("_"))
        if words <= own or own <= words:
            return column
    if len(name) > MOST_SHOWN:
        return None
    close = get_close_matches(name.lower(), absent, n=1, cutoff=0.75)
    return close[0] if close else None


def _read_settings(path: Path) -> Keywords:
    if not is_there(path):
        return {}
    settings, _ = read_toml(path)
    for name, value in settings.items():
        if name not in SETTING_NAMES:
            raise unknown_name(f"field in {path}", name, SETTING_NAMES)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{path}: {name} = {shown(value)} must be a number")
    if not 0.5 <= settings.get("slack_vm_pu", 1.0) <= 1.5:
        raise InputError(f"{path}: slack_vm_pu = {settings['slack_vm_pu']} must lie in 0.5 to 1.5")
    return settings
