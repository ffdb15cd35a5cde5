"""The scenario itself. Anything here is static under jit; arrays made from it live in the environment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from neomflex_jax.devices import Battery, Device, FlexibleLoad, Kind, PvInverter
from neomflex_jax.devices.device import Own
from neomflex_jax.devices.registry import STANDING, is_packaged, registered_kinds
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.fields import GATHERED, FieldError, FrozenDict, check_choice
from neomflex_jax.loose_types import BusLabel, FieldValue, JsonObject
from neomflex_jax.powerflow import check_fallback, check_method
from neomflex_jax.profiles.config import PLAIN, SESSION_TABLES, SeriesConfig
from neomflex_jax.scenario.controls import controls_of
from neomflex_jax.scenario.device_tables import DEVICE_MODULES, gather_tables
from neomflex_jax.scenario.later_fields import leave_out_later
from neomflex_jax.scenario.loading import UNLIMITED, LoadingConfig
from neomflex_jax.scenario.notebook import scenario_cell, scenario_line
from neomflex_jax.scenario.observation import ObservationConfig
from neomflex_jax.scenario.parts import FOLLOW, FROZEN, VARIANTS, Limits, Rules, Territory, Variant, check_territories
from neomflex_jax.scenario.profiles_table import split_profiles
from neomflex_jax.scenario.reward import RewardConfig
from neomflex_jax.scenario.uncertainty import Uncertainty
from neomflex_jax.scenario.users_parts import NOUNS, PART_MODULES, modules_of
from neomflex_jax.users_modules import module_of

MOST_STEPS = 86_400  # of a day: one a second


@dataclass(frozen=True)
class Scenario:
    """Everything that defines a task but the numbers of its feeder and profiles."""

    fields_in: ClassVar = "docs/scenarios.md"

    name: str
    """What tables and reports call the task."""
    feeder: str
    """A packaged feeder's name, a feeder folder, an OpenDSS file or a pandapower net.json, relative to the file."""
    territories: tuple[Territory, ...]
    """One an agent."""
    batteries: tuple[Battery, ...] = ()
    """Batteries."""
    pv_inverters: tuple[PvInverter, ...] = ()
    """PV inverters."""
    flexible_loads: tuple[FlexibleLoad, ...] = ()
    """Loads that can be shed or shifted."""
    description: str = ""
    """One line for neomflex scenario list."""
    power_flow: str = "ac"
    """Method of the power flow. Allowed: "ac", "newton", "calibrated", "lindistflow", "dc"."""
    fallback: str = ""
    """Method that solves what ac gives up, near the most that a feeder can carry. Allowed: "", "newton"."""
    enforce_q_lims: bool = False
    """Whether the feeder's generators keep their limits of reactive power; ac and newton."""
    feeder_controls: str = FROZEN
    """Whether regulators and capacitors of a feeder with phases that no device takes over follow their own controls.
    Allowed: "frozen", "follow"."""
    profiles: str = "training"
    """Packaged series (training, testing) or a CSV file with Demand and Solar to train on."""
    evaluation_profiles: str = "testing"
    """Likewise, for evaluate and validate."""
    tariff_column: str = ""
    """Column of the profiles with the price of energy, in money per MWh. Empty: none."""
    variant: str = ""
    """Which of the variants is played. Empty: the plain days."""
    step_hours: float = 0.5
    """Length of a step. Unit: h. Allowed: above 0 .. 24."""
    steps_per_day: int = 48
    """Rows of the profiles that make a day. Unit: steps. Allowed: 2 .. 86400."""
    limits: Limits = Limits()
    """Voltage limits."""
    loading: LoadingConfig = UNLIMITED
    """Limits of what branches carry; off unless one is stated."""
    reward: RewardConfig = RewardConfig()
    """What costs how much."""
    observation: ObservationConfig = ObservationConfig()
    """What agents see."""
    uncertainty: Uncertainty = Uncertainty()
    """What a day draws at random."""
    rules: Rules = Rules()
    """How load, violations and days behave."""
    variants: tuple[Variant, ...] = VARIANTS
    """The same days under stress."""
    reward_terms: tuple[str, ...] = ()
    """Terms of your own by the name under which a module registers them."""
    observations: tuple[str, ...] = ()
    """Observations of your own, likewise."""
    series: SeriesConfig = PLAIN
    """Which column each element follows: the rest of a file's table [profiles]."""
    further: Mapping[str, FieldValue] = field(default=FrozenDict(), metadata=GATHERED)
    """Devices of other kinds, by table."""

    def __post_init__(self) -> None:
        check_method(self.power_flow)
        check_fallback(self.fallback)
        check_choice("feeder_controls", self.feeder_controls, (FROZEN, FOLLOW))
        if not 0 < self.step_hours <= 24:
            raise InputError(f"step_hours = {self.step_hours} must be above 0 and at most 24")
        if not 2 <= self.steps_per_day <= MOST_STEPS:
            raise InputError(f"steps_per_day = {self.steps_per_day} must lie in 2..{MOST_STEPS}")
        if self.variant and self.variant not in [variant.name for variant in self.variants]:
            raise unknown_name("variant", self.variant, [variant.name for variant in self.variants])
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise InputError(f"variants: two have one name, {', '.join(names)}; rename one")
        if self.reward.price_weight > 0 and not self.tariff_column:
            raise InputError(
                f"price_weight = {self.reward.price_weight} needs a price: name the profiles' column in tariff_column"
            )
        if self.uncertainty.outage_probability > 0 and self.uncertainty.outage_steps > self.steps_per_day:
            raise InputError(
                f"outage_steps = {self.uncertainty.outage_steps} must be at most steps_per_day = {self.steps_per_day}"
            )
        if self.reward.solar_penalty and self.reward.solar_last_step >= self.steps_per_day:
            raise InputError(
                f"solar_last_step = {self.reward.solar_last_step} must lie below steps_per_day = {self.steps_per_day}"
            )
        for name, noun in NOUNS.items():
            named = getattr(self, name)
            if len(set(named)) < len(named):
                raise InputError(f"{name} = {list(named)} names one {noun} twice; leave one out")
        if self.rules.episode_steps and any(self.of(kind) for kind in self.kinds if kind.table in SESSION_TABLES):
            raise InputError("episode_steps begins within days, where vehicles came before; leave it out, or chargers")
        if self.series.maps_elements and self.rules.load_q != "follows_demand":
            raise InputError("load_q = 'held_from_day_start' has all loads follow Demand; leave it out with [profiles]")
        check_territories(self.name, self.territories, self.observation.scope)
        _check_devices(self)

    __repr__, _repr_html_ = scenario_line, scenario_cell

    @property
    def agents(self) -> tuple[str, ...]:
        """Agent names in order."""
        return tuple(territory.agent for territory in self.territories)

    @property
    def begins_every(self) -> int:
        """Rows between those with which play may begin: a day's, or an hour's where episodes begin within days."""
        if not self.rules.episode_steps:
            return self.steps_per_day
        hour = max(1, math.floor(1.0 / self.step_hours + 1e-9))
        return max(each for each in range(1, hour + 1) if self.steps_per_day % each == 0)

    @property
    def episode_steps(self) -> int:
        """Steps from a beginning to the clock's end: a day's, unless the rules say otherwise."""
        return self.rules.episode_steps or self.steps_per_day

    @property
    def chosen_variant(self) -> Variant:
        """The variant that is played."""
        return next((variant for variant in self.variants if variant.name == self.variant), Variant("plain"))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of devices in order: those that it has, and the packaged ones that every record names."""
        return tuple(kind for kind in registered_kinds() if kind in STANDING or self.of(kind))

    def of(self, kind: Kind) -> tuple[Own, ...]:
        """Return the devices of a kind.

        Parameters
        ----------
        kind
            A class of `devices/`.

        Returns
        -------
        tuple of Device
            Instances of it in the order of the scenario's table; empty without any.
        """
        return getattr(self, kind.table) if kind in STANDING else self.further.get(kind.table, ())

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices, kind by kind."""
        return tuple(device for kind in self.kinds for device in self.of(kind))

    def playing(self, part: str) -> Scenario:
        """Return the scenario on a part of its days, where rules split them.

        Parameters
        ----------
        part
            `train`, `validation`, `test` or `all`, as `[profiles]` has them.

        Returns
        -------
        Scenario
            This one where no rule splits the days.
        """
        if not self.series.splits:
            return self
        return dataclasses.replace(self, series=dataclasses.replace(self.series, part=part))

    def owner(self, bus: BusLabel) -> int | None:
        """Return whose territory holds a bus.

        Parameters
        ----------
        bus
            Label.

        Returns
        -------
        int or None
            The agent's index; None if no territory holds it.
        """
        return self._owners.get(bus)

    @cached_property
    def _owners(self) -> dict[BusLabel, int]:
        return {bus: index for index, part in enumerate(self.territories) for bus in part.buses}

    def as_dict(self) -> JsonObject:
        """Plain nested values, as in the TOML file, and which modules have to be imported to read them."""
        values = dataclasses.asdict(self)
        leave_out_later(values)
        tables: JsonObject = values.pop("further")
        for kind in self.kinds:
            for row in (values if kind in STANDING else tables).get(kind.table, ()):
                for name in [name for name, absent in kind.unstated.items() if row.get(name) == absent]:
                    row.pop(name, None)
        parts = {name: names for name in NOUNS if (names := values.pop(name))}
        modules = {
            DEVICE_MODULES: {kind.table: module_of(kind) for kind in self.kinds if not is_packaged(kind)},
            PART_MODULES: modules_of(parts),
        }
        return values | tables | parts | {name: stated for name, stated in modules.items() if stated}

    @classmethod
    def gather(
        cls,
        values: Mapping[str, FieldValue],
        rows_of: Callable[[Kind, str], tuple[Own, ...]],
        instance: Scenario | None,
    ) -> Mapping[str, FieldValue]:
        """Put the tables of kinds without a field of their own into `further`; for `fields.build`.

        Parameters
        ----------
        values
            The scenario file's tables.
        rows_of
            Makes the devices of a kind from the rows of a table.
        instance
            The scenario whose fields `values` replace; None for a new one.

        Returns
        -------
        Mapping
            Values by field.
        """
        return gather_tables(split_profiles(values), rows_of, {one.name for one in dataclasses.fields(cls)}, instance)

    def hash(self) -> str:
        """SHA-256 of all fields: equal hashes mean the same task."""
        values = self.as_dict()
        for name in (DEVICE_MODULES, PART_MODULES):
            values.pop(name, None)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def observation_layout(self) -> dict[str, JsonObject]:
        """Return what a policy's input and output entries mean: a policy fits a scenario if and only if these agree."""
        seen: JsonObject = {
            name: getattr(self.observation, name) for name in ("scope", "history", "forecast", "forecast_steps")
        }
        seen["tariff"] = bool(self.tariff_column)
        if self.series.outdoor_temperature:
            seen["outdoor_temperature"] = True
        if self.loading.loading_observed:
            limits = (self.loading.loading_soft_percent, self.loading.loading_hard_percent)
            seen["loading"] = "all branches" if any(limits) else sorted(self.loading.branch_limits)
        if self.observations:
            seen["own"] = list(self.observations)
        if self.observation.scope in ("neighbours", "global"):  # what others have is seen too
            seen["territories"] = [list(part.buses) for part in self.territories]
            seen["devices"] = [device.bus for device in self.devices]
        parts = [*(kind.table for kind in self.kinds), "actions"]
        layouts: list[JsonObject] = [
            {"buses": list(part.buses), **({"observes": list(part.observes)} if part.observes else {})}
            | {name: [] for name in parts}
            for part in self.territories
        ]
        for kind in self.kinds:
            for device in self.of(kind):
                layouts[self._owners[device.bus]][kind.table].append(device.bus)
        for entry in controls_of(self):
            layouts[self._owners[entry.bus]]["actions"].append(f"{entry.device} {entry.control.name}")
        return {agent: layout | {"observation": seen} for agent, layout in zip(self.agents, layouts, strict=True)}


def _check_devices(scenario: Scenario) -> None:
    where = f"scenario {scenario.name!r}"
    owned = {bus for part in scenario.territories for bus in part.buses}
    for kind in scenario.kinds:
        taken: set[BusLabel] = set()
        for number, device in enumerate(scenario.of(kind)):
            bus = device.bus
            if bus not in owned:
                text = f" (as a text, {str(bus)!r}, it is in one)" if str(bus) in owned else ""
                raise FieldError(
                    f"{where}: the {kind.noun} at bus {bus} is in nobody's territory{text}; add it to one, or move it",
                    *(kind.table, number, "bus"),
                )
            if bus in taken:
                message = f"{where}: two devices ({kind.noun}) at bus {bus}; merge them"
                raise FieldError(message, kind.table, number, "bus")
            taken.add(bus)
            if kind.needs_outdoor_temperature and not scenario.series.outdoor_temperature:
                advice = (
                    f"[profiles] outdoor_temperature = {'t_outdoor'!r} (yours) names its column, in degrees Celsius"
                )
                message = f"{where}: the {kind.noun} at bus {bus} needs the outdoor temperature; {advice}"
                raise FieldError(message, kind.table, number)
            if kind.table in SESSION_TABLES and not device.sessions and not scenario.series.sessions_file:
                advice = f"list them, or name a file of them: [profiles] sessions_file = {'sessions.csv'!r}"
                message = f"{where}: the {kind.noun} at bus {bus} has no sessions; {advice}"
                raise FieldError(message, kind.table, number)
    labels: set[str] = set()
    for kind in scenario.kinds:
        for number, device in enumerate(scenario.of(kind)):
            if device.label in labels:
                message = f"{where}: two devices are called {device.label!r}; give one another name"
                raise FieldError(message, kind.table, number, "name")
            labels.add(device.label)
    having = {device.bus for device in scenario.devices if not device.follows_rule}
    for number, part in enumerate(scenario.territories):
        if having.isdisjoint(part.buses):
            message = f"{where}: agent {part.agent!r} has no device to act with; give it one"
            raise FieldError(message, "territories", number)
