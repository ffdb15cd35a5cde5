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

    unit: str = "per_unit"
    """Of the mapped columns: per unit of the nominal power, or a power. Allowed: "per_unit", "MW", "kW", "W"."""
    demand_unit: str = ""
    """Of the column Demand; empty is per unit, if its size allows that. Allowed: "", "per_unit", "per_cent", "MW",
    "kW", "W"."""
    loads: Mapping[str, str] = FrozenDict()
    """Column of a load by its name, index, "bus 12" or a pattern; {name}, {index}, {bus} stand for its own."""
    generators: Mapping[str, str] = FrozenDict()
    """Likewise of static generators, positive into the grid."""
    storages: Mapping[str, str] = FrozenDict()
    """Likewise of storages, positive charging, as in pandapower."""
    pv_inverters: Mapping[str, str] = FrozenDict()
    """Likewise, what the scenario's own roofs could feed in; per unit is of p_max_mw."""
    outdoor_temperature: str = ""
    """Column of the outdoor temperature, in degrees Celsius. Empty: nobody knows it."""
    sessions_file: str = ""
    """CSV file of charging sessions, in the folder of the series."""
    ev_chargers: Mapping[str, str] = FrozenDict()
    """Charger of that file by the name of the scenario's; one that is not here has the charger of its name."""
    loads_q: Mapping[str, str] = FrozenDict()
    """Columns of reactive power; a load that is not here keeps its power factor."""
    generators_q: Mapping[str, str] = FrozenDict()
    """Likewise of static generators."""
    storages_q: Mapping[str, str] = FrozenDict()
    """Likewise of storages."""
    power_factor: float = 0.0
    """Of mapped loads, inductive. 0: that of their nominal powers. Unit: share. Allowed: 0 .. 1."""
    ignore: tuple[str, ...] = ()
    """Patterns of columns that nobody needs; any other that nobody uses is refused."""
    time_column: str = ""
    """Column of dates and times. Empty: found by its name."""
    timezone: str = ""
    """In which the times are written, or the days counted if the times state their own. Allowed: a name of
    zoneinfo, as "Europe/Berlin"."""
    resample: str = ""
    """"mean": finer rows become steps of the scenario. Allowed: "", "mean"."""
    fill: str = ""
    """"interpolate": cells without a number, counted in a warning. Allowed: "", "interpolate"."""
    train: tuple[str, ...] = ()
    """Days of training by rules, as "2025-07", "month 7", "week 4 of 4". Empty: what is left."""
    validation: tuple[str, ...] = ()
    """Days by which trainings are compared at their end."""
    test: tuple[str, ...] = ()
    """Days that evaluate, validate and yardsticks play."""
    split_column: str = ""
    """Column that says train, validation or test of each day, in place of rules."""
    part: str = "train"
    """Which of the days are played, where they are split; commands set it. Allowed: "train", "validation", "test",
    "all"."""

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
