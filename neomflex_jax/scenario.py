"""A scenario: what is simulated, as plain, validated, hashable values.

Read from a TOML file (see `scenarios/neom33.toml` for every field) or by packaged name. Anything here is static under
jit; arrays made from it live in the environment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neomflex_jax.devices import Battery, PvInverter
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.fields import build, check_choice, with_overrides
from neomflex_jax.powerflow import check_method
from neomflex_jax.resources import scenario_folder


@dataclass(frozen=True)
class Territory:
    """The part of the feeder that one agent observes and controls."""

    agent: str
    buses: tuple[int, ...]  # labels


@dataclass(frozen=True)
class Limits:
    """Voltage limits: the band that the reward asks for, and the hard limits whose breach is a violation."""

    band_min_pu: float = 0.97
    band_max_pu: float = 1.03
    hard_min_pu: float = 0.9
    hard_max_pu: float = 1.1

    def __post_init__(self) -> None:
        if not 0 < self.hard_min_pu <= self.band_min_pu < self.band_max_pu <= self.hard_max_pu:
            raise InputError(
                "limits must rise: 0 < hard_min_pu <= band_min_pu < band_max_pu <= hard_max_pu; they are "
                f"{self.hard_min_pu}, {self.band_min_pu}, {self.band_max_pu}, {self.hard_max_pu}"
            )


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the reward's named terms; see `environment/rewards.py`."""

    voltage_weight: float = 100.0
    loss_weight: float = 5.0
    violation_penalty: float = 100.0
    solar_penalty: bool = False
    solar_penalty_weight: float = 30.0
    solar_first_step: int = 14
    solar_last_step: int = 34
    sharing: str = "team"

    def __post_init__(self) -> None:
        check_choice("sharing", self.sharing, ("team", "local"))
        for name in ("voltage_weight", "loss_weight", "violation_penalty", "solar_penalty_weight"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} = {getattr(self, name)} must be at least 0: terms are costs")
        if not 0 <= self.solar_first_step <= self.solar_last_step:
            raise InputError(
                f"solar_first_step = {self.solar_first_step} must lie in 0..solar_last_step = {self.solar_last_step}"
            )


@dataclass(frozen=True)
class Rules:
    """How load, violations and days behave."""

    load_q: str = "follows_demand"
    on_violation: str = "continue"
    day_order: str = "random"
    energies: str = "random"

    def __post_init__(self) -> None:
        check_choice("load_q", self.load_q, ("follows_demand", "held_from_day_start"))
        check_choice("on_violation", self.on_violation, ("continue", "end_day"))
        check_choice("day_order", self.day_order, ("random", "file"))
        check_choice("energies", self.energies, ("random", "carried"))


@dataclass(frozen=True)
class Scenario:
    """Everything that defines a task but the numbers of its feeder and profiles."""

    name: str
    feeder: str
    territories: tuple[Territory, ...]
    batteries: tuple[Battery, ...] = ()
    pv_inverters: tuple[PvInverter, ...] = ()
    description: str = ""
    power_flow: str = "calibrated"
    profiles: str = "training"
    evaluation_profiles: str = "testing"
    step_hours: float = 0.5
    steps_per_day: int = 48
    limits: Limits = Limits()
    reward: RewardConfig = RewardConfig()
    rules: Rules = Rules()

    def __post_init__(self) -> None:
        check_method(self.power_flow)
        if not 0 < self.step_hours <= 24:
            raise InputError(f"step_hours = {self.step_hours} must lie above 0 and at most at 24")
        if self.steps_per_day < 2:
            raise InputError(f"steps_per_day = {self.steps_per_day} must be at least 2")
        _check_territories(self)

    @property
    def agents(self) -> tuple[str, ...]:
        """Agent names in order."""
        return tuple(territory.agent for territory in self.territories)

    def owner(self, bus: int) -> int | None:
        """Index of the agent whose territory holds the bus, None if nobody's does."""
        return next((index for index, part in enumerate(self.territories) if bus in part.buses), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested values, as in the TOML file."""
        return dataclasses.asdict(self)

    def hash(self) -> str:
        """SHA-256 of all fields: equal hashes mean the same task."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def observation_layout(self) -> dict[str, dict[str, list[int]]]:
        """Say what a policy's input and output entries mean: a policy fits a scenario if and only if these agree."""
        return {
            part.agent: {
                "buses": list(part.buses),
                "batteries": [device.bus for device in self.batteries if device.bus in part.buses],
                "pv_inverters": [device.bus for device in self.pv_inverters if device.bus in part.buses],
            }
            for part in self.territories
        }


def scenario_names() -> tuple[str, ...]:
    """Names of the packaged scenarios."""
    return tuple(sorted(path.stem for path in scenario_folder().glob("*.toml")))


def load_scenario(source: str | Path, **overrides: Any) -> Scenario:
    """Load a packaged scenario by name or a TOML file by path; any field can be overridden by keyword.

    Raises
    ------
    InputError
        On an unknown scenario, field or value, naming file, field, value and what is allowed.
    """
    if str(source) in scenario_names():
        path = scenario_folder() / f"{source}.toml"
    elif Path(source).suffix == ".toml":
        path = Path(source)
    else:
        raise unknown_name("scenario (and no .toml file)", str(source), scenario_names())
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error})") from error
    values = _resolve_paths(values, path.parent)
    return with_overrides(build(Scenario, values, str(path)), overrides)


def scenario_from_dict(values: Mapping[str, Any], where: str) -> Scenario:
    """Rebuild a scenario from `Scenario.as_dict`."""
    return build(Scenario, values, where)


def _resolve_paths(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make files named in a scenario file relative to that file, where they exist there."""
    resolved = dict(values)
    for name in ("feeder", "profiles", "evaluation_profiles"):
        given = resolved.get(name)
        if isinstance(given, str) and (folder / given).exists():
            resolved[name] = str((folder / given).resolve())
    return resolved


def _check_territories(scenario: Scenario) -> None:
    if not scenario.territories:
        raise InputError(f"scenario {scenario.name!r} has no territories; add [[territories]] with agent and buses")
    owner: dict[int, str] = {}
    for part in scenario.territories:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", part.agent):
            raise InputError(f"agent = {part.agent!r}: names of agents are made of letters, digits, _ and -")
        if scenario.agents.count(part.agent) > 1:
            raise InputError(f"scenario {scenario.name!r}: agent {part.agent!r} has two territories; merge them")
        for bus in part.buses:
            if bus in owner:
                raise InputError(
                    f"scenario {scenario.name!r}: bus {bus} is in the territories of {owner[bus]} and {part.agent}"
                )
            owner[bus] = part.agent
    for kind, taken in (
        ("battery", [battery.bus for battery in scenario.batteries]),
        ("PV inverter", [inverter.bus for inverter in scenario.pv_inverters]),
    ):
        for bus in taken:
            if bus not in owner:
                raise InputError(
                    f"scenario {scenario.name!r}: the {kind} at bus {bus} is in nobody's territory; "
                    f"add bus {bus} to one, or move the device"
                )
            if taken.count(bus) > 1:
                raise InputError(f"scenario {scenario.name!r}: two devices ({kind}) at bus {bus}; merge them")
    for part in scenario.territories:
        devices = [battery.bus for battery in scenario.batteries] + [inverter.bus for inverter in scenario.pv_inverters]
        if not any(bus in part.buses for bus in devices):
            raise InputError(f"scenario {scenario.name!r}: agent {part.agent!r} has no device to act with")
