"""Demand and solar series: one pytree, whole days.

``demand`` multiplies every load's nominal power, ``solar`` is per unit of each inverter's ``p_max_mw``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import InputError
from neomflex_jax.files.digest import file_sha256
from neomflex_jax.files.parquet import is_parquet
from neomflex_jax.files.paths import is_folder, is_there
from neomflex_jax.files.tables import numbers, read_table
from neomflex_jax.grid.elements import Places
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.loose_types import Keywords
from neomflex_jax.one_line import one_line
from neomflex_jax.profiles.assign import DEMAND, SOLAR
from neomflex_jax.profiles.by_element import ElementSeries, check_sizes, check_suns, element_series
from neomflex_jax.profiles.demand_unit import DEMAND_IS, DOUBTFUL_MAX, DOUBTFUL_MEAN, check_demand_unit, range_of
from neomflex_jax.profiles.series_clock import read_clock
from neomflex_jax.profiles.table import Wanted, read_columns, read_session_rows, read_split
from neomflex_jax.profiles.table_files import series_files
from neomflex_jax.resources import PROFILES, packaged_profiles

MAX_DEMAND = 100.0  # above this the column holds kW or per cent, no multiple of the nominal load
DOUBTFUL_LEAST = 0.02  # a series that never gets here may be in another unit too
MAX_PRICE = 1e6  # per MWh
COLDEST_C, WARMEST_C = -90.0, 60.0  # what has been measured on earth
MAX_SOLAR = 1.2  # above this the column is no per-unit series (a percentage or W/m2, most likely)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Profiles:
    """Whole days of demand and solar, in file order."""

    demand: Array  # (n_rows,)
    solar: Array  # (n_rows,)
    steps_per_day: int = field(metadata=STATIC)
    price: Array | None = None  # (n_rows,) of energy, per MWh
    by_element: ElementSeries | None = None  # None: all loads follow demand
    outdoor_temperature_c: Array | None = None  # (n_rows,)
    sessions: Array | None = None  # (n_rows, 3, n_device) of a file, see `sessions.py`

    __repr__ = one_line

    @property
    def n_rows(self) -> int:
        """Number of steps in the series."""
        return int(self.demand.shape[0])

    @property
    def n_days(self) -> int:
        """Number of days in the series."""
        return self.n_rows // self.steps_per_day

    def price_at(self, row: Array) -> Array | None:
        """Price of a row, (), None without prices."""
        return None if self.price is None else self.price[row]

    def outdoor_temperature_at(self, row: Array) -> Array | None:
        """Outdoor temperature of a row, (), None where nobody knows it."""
        return None if self.outdoor_temperature_c is None else self.outdoor_temperature_c[row]

    def sessions_at(self, row: Array) -> Array | None:
        """Sessions of a row, (3, n_device), None where no file has them."""
        return None if self.sessions is None else self.sessions[row]

    def rows(self, which: np.ndarray | Array) -> Profiles:
        """Return some rows, whole days of them."""
        own = self.by_element
        own = None if own is None else dataclasses.replace(own, values=_taken(own.values, which))
        columns = {name: getattr(self, name) for name in _BY_ROW}
        taken: Keywords = {name: None if column is None else _taken(column, which) for name, column in columns.items()}
        return dataclasses.replace(self, by_element=own, **taken)

    def in_the_dark(self) -> Profiles:
        """The same days without sun on any device."""
        own = self.by_element
        own = None if own is None else dataclasses.replace(own, solar={})
        return dataclasses.replace(self, solar=jnp.zeros_like(self.solar), by_element=own)

    def with_elements(self, by_element: ElementSeries) -> Profiles:
        """The same days with loads by element."""
        return dataclasses.replace(self, by_element=by_element)

    def scaled(self, demand_factor: float, solar_factor: float) -> Profiles:
        """Scale every row; the factors 1 change nothing."""
        if demand_factor == solar_factor == 1.0:
            return self
        own = self.by_element
        if own is not None:
            factors = own.scaled(jnp.array([demand_factor, solar_factor]))
            own = dataclasses.replace(own, values=own.values * factors)
        demand, solar = self.demand * demand_factor, self.solar * solar_factor
        return dataclasses.replace(self, demand=demand, solar=solar, by_element=own)


def _taken(column: Array, which: np.ndarray | Array) -> Array:
    """Take rows of a column, known ones on the host: JAX would compile a program for it, outside of any other."""
    if isinstance(which, np.ndarray) and not isinstance(column, jax.core.Tracer):
        return jax.device_put(np.asarray(column)[which])
    return jnp.asarray(column)[which]


_BY_ROW = ("demand", "solar", "price", "outdoor_temperature_c", "sessions")


def resolve_profiles(source: str | Path, folder: Path | None = None) -> Path:
    """Path of a series: the packaged `training` or `testing`, a file or a folder, relative ones to `folder` first."""
    if str(source) in PROFILES:
        return packaged_profiles(str(source))
    if folder is not None and is_there(folder / source):
        return folder / source
    return Path(source)


def read_profiles(
    path: Path, steps_per_day: int = 48, tariff_column: str = "", nominal_mw: float | None = None
) -> Profiles:
    """Read a CSV file with columns `Demand` and `Solar` and whole days of rows; other columns are ignored.

    Negative Solar (a pyranometer's night offset) is set to 0 with one warning.

    Parameters
    ----------
    tariff_column
        One more to read, the price of energy.
    nominal_mw
        Of the feeder's loads, by which a Demand of another unit is told.

    Raises
    ------
    InputError
        On a missing file or column, a cell that is not a finite number, Solar above 1.2, Demand of another unit by its
        size, or rows that make no whole days, naming line and column.
    """
    if is_parquet(path):
        raise InputError(f"{path}: a Parquet table is read by [profiles] file = {path.name!r}, not as a plain one")
    table = read_table(path, ("Demand", "Solar", *([tariff_column] if tariff_column else [])), others=False)
    demand, solar = numbers(path, table, "Demand"), numbers(path, table, "Solar")
    price = numbers(path, table, tariff_column) if tariff_column else np.zeros(0)
    places = _Places(path, lambda row: f"line {table.index[row]}")
    if nominal_mw is not None:
        check_demand_unit(path, demand, nominal_mw)
    return _checked(places, steps_per_day, demand, solar, price if tariff_column else None, tariff_column)


def read_profiles_by_element(path: Path, wanted: Wanted, load_places: Places) -> Profiles:
    """Read a table with series by element.

    Parameters
    ----------
    load_places
        Where the feeder's consumption is counted.

    Raises
    ------
    InputError
        As `table.read_columns`, `table.read_session_rows` and `read_profiles`, or if a column cannot be in the unit
        that it is said to be in.
    """
    columns = read_columns(path, wanted)
    demand, solar = columns.common[DEMAND], columns.common[SOLAR]
    price = columns.common[wanted.tariff_column] if wanted.tariff_column else None
    places = _Places(path, "row {} of the steps".format)
    profiles = _checked(places, wanted.steps_per_day, demand, solar, price, wanted.tariff_column)
    if wanted.config.outdoor_temperature:
        celsius = columns.common[wanted.config.outdoor_temperature]
        _check_celsius(places, wanted.config.outdoor_temperature, celsius)
        profiles = dataclasses.replace(profiles, outdoor_temperature_c=jnp.asarray(celsius, float))
    check_sizes(wanted.config, wanted.assigned, columns.names, columns.own, MAX_DEMAND, str(path))
    check_suns(wanted.config, wanted.devices, columns.names, columns.own, MAX_SOLAR, str(path))
    if any(each.is_mapped or each.p_column != DEMAND for each in wanted.assigned) or columns.names:
        own = element_series(wanted.config, wanted.assigned, columns.names, columns.own, load_places, wanted.devices)
        profiles = profiles.with_elements(own)
    sessions = read_session_rows(path, wanted, columns)
    if sessions is not None:
        profiles = dataclasses.replace(profiles, sessions=jnp.asarray(sessions, float))
    if not wanted.config.splits or wanted.config.part == "all":
        return profiles
    split = read_split(path, wanted, columns)
    return profiles.rows(split.rows(wanted.config.part, wanted.steps_per_day))


@dataclass(frozen=True)
class _Places:
    """How errors call a file and its rows."""

    path: Path
    row: Callable[[int], str]


def _checked(
    places: _Places,
    steps_per_day: int,
    demand: np.ndarray,
    solar: np.ndarray,
    price: np.ndarray | None,
    tariff_column: str,
) -> Profiles:
    """Make profiles of columns (n_rows,) that are numbers."""
    path, n_rows = places.path, len(demand)
    if n_rows == 0 or n_rows % steps_per_day:
        raise InputError(
            f"{path}: {n_rows} rows make no whole number of days of {steps_per_day} rows; "
            f"add or remove rows ({n_rows // steps_per_day} whole days and {n_rows % steps_per_day} rows)"
        )
    prices = np.zeros(0) if price is None else price
    for column, values, most in (("Demand", demand, MAX_DEMAND), (tariff_column, prices, MAX_PRICE)):
        too_much = np.flatnonzero(np.abs(values) > most)
        if too_much.size:
            raise InputError(
                f"{path}: {places.row(too_much[0])}, column {column!r}: {values[too_much[0]]:g} is beyond "
                f"{most:g}; {DEMAND_IS if column == 'Demand' else 'prices are per MWh'}"
            )
    too_bright = np.flatnonzero(solar > MAX_SOLAR)
    if too_bright.size:
        raise InputError(
            f"{path}: {places.row(too_bright[0])}, column 'Solar': "
            f"{solar[too_bright[0]]:g} is above {MAX_SOLAR}; "
            "Solar is per unit of the inverter's p_max_mw, so divide by the rating"
        )
    negative = solar < 0
    if negative.any():
        warnings.warn(
            f"{path}: {negative.sum()} negative Solar values (lowest {solar.min():g}) are taken as 0", stacklevel=3
        )
        solar = np.maximum(solar, 0.0)
    known = None if price is None else jnp.asarray(price, float)
    return Profiles(jnp.asarray(demand, float), jnp.asarray(solar, float), steps_per_day, known)


def _check_celsius(places: _Places, column: str, celsius: np.ndarray) -> None:
    """Refuse temperatures (n_rows,) that no place on earth has had."""
    for row in np.flatnonzero((celsius < COLDEST_C) | (celsius > WARMEST_C))[:1]:
        allowed = f"outdoor temperatures are in degrees Celsius, {COLDEST_C:g}..{WARMEST_C:g}; convert the column"
        raise InputError(f"{places.path}: {places.row(row)}, column {column!r}: {celsius[row]:g} is none; {allowed}")


def doubts_of(path: Path, profiles: Profiles, step_hours: float) -> list[str]:
    """Return one text for each doubt about a series that may be meant otherwise: demand by its size, its own clock."""
    demand, said = np.asarray(profiles.demand), []
    mean, most = float(demand.mean()), float(demand.max())
    if most > DOUBTFUL_MAX or mean > DOUBTFUL_MEAN:
        said.append(f"{range_of(demand)}; {DEMAND_IS}")
    elif 0 < most < DOUBTFUL_LEAST:
        said.append(f"Demand never exceeds {most:.4g}; {DEMAND_IS}")
    clock = read_clock(path)
    said += [] if clock is None else clock.doubts(profiles.n_rows, profiles.steps_per_day, step_hours)
    return said


def profiles_hash(path: Path) -> str:
    """SHA-256 of the file, to tell which series a result was made with; raises `InputError` if it cannot be read.

    Of a folder that of its files' names and hashes, a line each as `sha256sum` writes them.
    """
    if not is_folder(path):
        return file_sha256(path)
    lines = [f"{file_sha256(file)}  {file.name}\n" for file in series_files(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
