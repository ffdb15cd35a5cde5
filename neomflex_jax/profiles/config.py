"""The table ``[profiles]`` of a scenario: which column each of the feeder's own elements follows, and the clock."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass

from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.fields import FieldError, FrozenDict, check_choice
from neomflex_jax.profiles.split import FORMS, PARTS, rule_of

UNITS = {"per_unit": None, "MW": 1.0, "kW": 1e-3, "W": 1e-6}  # MW in one; per unit of the nominal power
DEMAND_UNITS = ("per_unit", "per_cent", "MW", "kW", "W")
TABLES = {"loads": "load", "generators": "sgen", "storages": "storage"}  # of the feeder's elements
SOLAR_TABLES = {"pv_inverters": "PV inverter"}  # of the scenario's devices, those that follow the sun
SESSION_TABLES = {"ev_chargers": "EV charger"}  # those at which vehicles charge
LATER = (
    "demand_unit",
    "sessions_file",
    "ev_chargers",
    "outdoor_temperature",
)  # fields that hashes leave out where nothing is stated


@dataclass(frozen=True)
class SeriesConfig:
    """How a table of series is read; the default is the plain one, `Demand` and `Solar` for all.

    Keys of `loads`, `generators` and `storages` are elements, those of `pv_inverters` and `ev_chargers` devices: an
    index, a name, ``bus 12``, or a pattern of a name with ``*`` and ``?``. Values are columns (those of `ev_chargers`
    chargers in the sessions' file), in which ``{name}``, ``{index}`` and ``{bus}`` stand for the element's own.
    """

    unit: str = "per_unit"  # of the mapped columns
    demand_unit: str = ""  # of the column Demand, one of `DEMAND_UNITS`; empty: per unit, if its size allows that
    loads: Mapping[str, str] = FrozenDict()
    generators: Mapping[str, str] = FrozenDict()  # positive into the grid
    storages: Mapping[str, str] = FrozenDict()  # positive charging, as in pandapower
    pv_inverters: Mapping[str, str] = FrozenDict()  # available power; per unit is of p_max_mw
    outdoor_temperature: str = ""  # a column in degrees Celsius; empty: nobody knows it
    sessions_file: str = ""  # in the folder of the series: when vehicles charge, see `sessions.py`
    ev_chargers: Mapping[str, str] = FrozenDict()  # those that are not here have the charger of their name
    loads_q: Mapping[str, str] = FrozenDict()  # reactive power; what is not here keeps its power factor
    generators_q: Mapping[str, str] = FrozenDict()
    storages_q: Mapping[str, str] = FrozenDict()
    power_factor: float = 0.0  # of mapped loads, inductive; 0 keeps that of their nominal powers
    ignore: tuple[str, ...] = ()  # patterns of columns that nobody needs
    time_column: str = ""  # empty: found by its name
    timezone: str = ""  # in which the times are written, or the days counted if the times state their own
    resample: str = ""  # "mean": of finer rows
    fill: str = ""  # "interpolate": what is missing
    train: tuple[str, ...] = ()  # days by rules, see `split.py`; none: what is left
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    split_column: str = ""  # or what a column says of each day
    part: str = "train"  # of the days, which are played, where there are any such rules

    def __post_init__(self) -> None:
        check_choice("unit", self.unit, tuple(UNITS))
        check_choice("demand_unit", self.demand_unit, ("", *DEMAND_UNITS))
        check_choice("resample", self.resample, ("", "mean"))
        check_choice("fill", self.fill, ("", "interpolate"))
        check_choice("part", self.part, (*PARTS, "all"))
        for part in PARTS:
            for number, rule in enumerate(getattr(self, part)):
                if rule_of(rule) is None:
                    raise FieldError(f"{shown(rule)} is no rule of days; write {FORMS}", part, number)
        if self.split_column and any(self.rules.values()):
            raise FieldError("split_column and rules of days contradict; keep one", "split_column")
        if self.sessions_file in (".", "..") or any(sign in self.sessions_file for sign in "/\\"):
            message = f"sessions_file = {self.sessions_file!r} must be the name of a file in the folder of the series"
            raise FieldError(message, "sessions_file")
        if self.ev_chargers and not self.sessions_file:
            raise FieldError("ev_chargers are mapped to chargers of a file; name it in sessions_file", "ev_chargers")
        if not 0 <= self.power_factor <= 1:
            raise InputError(f"power_factor = {self.power_factor} must lie in 0..1, 0 for the nominal powers' own")
        if self.timezone and self.timezone not in zoneinfo.available_timezones():
            known, where = zoneinfo.available_timezones(), "zoneinfo.available_timezones()"
            raise FieldError(str(unknown_name("timezone", self.timezone, known, listed_by=where)), "timezone")
        for name in ("loads", "generators", "storages"):
            for key in getattr(self, f"{name}_q"):
                if key not in getattr(self, name):
                    message = f"{name}_q has {key!r} and {name} has not; give its active power a column too"
                    raise FieldError(message, f"{name}_q", key)

    @property
    def rules(self) -> dict[str, tuple[str, ...]]:
        """Rules of days by part."""
        return {part: getattr(self, part) for part in PARTS}

    @property
    def splits(self) -> bool:
        """True if days are split."""
        return bool(self.split_column) or any(self.rules.values())

    @property
    def has_test(self) -> bool:
        """True if some days are for test."""
        return bool(self.split_column or self.test)

    @property
    def maps_elements(self) -> bool:
        """True if any element has a column of its own."""
        return any(getattr(self, name) for name in TABLES)


PLAIN = SeriesConfig()
