"""The small tables of a scenario: territories, limits, rules, variants for stress tests."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from neomflex_jax.errors import InputError, shown
from neomflex_jax.fields import FieldError, check_choice
from neomflex_jax.loose_types import BusLabel

MAX_FACTOR = 10.0  # on Demand and Solar
FROZEN, FOLLOW = "frozen", "follow"  # a feeder's own controls
END_UNSOLVED = "end_unsolved"
DEVICES_AT_ZERO = "devices_at_zero"  # what a day's first observation always showed before there was the rule
NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Territory:
    """The part of the feeder that one agent controls, and by default what it observes."""

    agent: str
    """The agent's name, one a territory. Allowed: letters, digits, _ and -."""
    buses: tuple[BusLabel, ...]
    """The feeder's own numbers of its buses; every bus is in exactly one territory."""
    observes: tuple[BusLabel, ...] = ()
    """The buses whose voltages it sees in place of its own; needs scope = "territory". Empty: its own. Unit:
    numbers of buses."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.agent):
            raise InputError(f"agent = {shown(self.agent)}: names of agents are made of letters, digits, _ and -")
        for what, labels in (("the territory of", self.buses), ("observes of", self.observes)):
            if len(set(labels)) < len(labels):
                twice = next(bus for bus, count in Counter(labels).items() if count > 1)
                raise InputError(f"{what} {self.agent} names bus {twice} twice; name it once")


def check_territories(name: str, territories: tuple[Territory, ...], scope: str) -> None:
    """Raise `InputError` on no territory, on agents or buses that have two, or on what contradicts the scope."""
    if not territories:
        raise InputError(f"scenario {name!r} has no territories; add [[territories]] with agent and buses")
    owner: dict[BusLabel, str] = {}
    agents: set[str] = set()
    for number, part in enumerate(territories):
        if part.agent in agents:
            message = f"scenario {name!r}: agent {part.agent!r} has two territories; merge them"
            raise FieldError(message, "territories", number, "agent")
        agents.add(part.agent)
        for place, bus in enumerate(part.buses):
            if bus in owner:
                raise FieldError(
                    f"scenario {name!r}: bus {bus} is in the territories of {owner[bus]} and {part.agent}",
                    *("territories", number, "buses", place),
                )
            owner[bus] = part.agent
        if part.observes and scope != "territory":
            raise FieldError(
                f"scenario {name!r}: observes says what {part.agent} sees, and so does "
                f"scope = {scope!r}; leave one out",
                *("territories", number, "observes"),
            )


@dataclass(frozen=True)
class Limits:
    """Voltage limits: the band that the reward asks for, and the hard limits whose breach is a violation."""

    band_min_pu: float = 0.97
    """Lower end of the band that the reward asks for. Allowed: hard_min_pu .. band_max_pu."""
    band_max_pu: float = 1.03
    """Upper end of that band. Allowed: band_min_pu .. hard_max_pu."""
    hard_min_pu: float = 0.9
    """Below it anywhere is a violation. Allowed: above 0 .. band_min_pu."""
    hard_max_pu: float = 1.1
    """Above it anywhere is a violation. Allowed: at least band_max_pu."""

    def __post_init__(self) -> None:
        if not 0 < self.hard_min_pu <= self.band_min_pu < self.band_max_pu <= self.hard_max_pu:
            raise InputError(
                "limits must rise: 0 < hard_min_pu <= band_min_pu < band_max_pu <= hard_max_pu; they are "
                f"{self.hard_min_pu}, {self.band_min_pu}, {self.band_max_pu}, {self.hard_max_pu}"
            )


@dataclass(frozen=True)
class Rules:
    """How load, violations and days behave."""

    load_q: str = "follows_demand"
    """Whether the loads' reactive power follows Demand like the active, or stays at the day's first value, as in
    the original NeomFlex. Allowed: "follows_demand", "held_from_day_start"."""
    on_violation: str = "continue"
    """Whether the day goes on, with the penalty added, or ends and is played again, as in the original, or ends for
    another one where a power flow has no solution, the penalty added. Allowed: "continue", "end_day",
    "end_unsolved"."""
    day_order: str = "random"
    """Which day a training takes next. Evaluation plays the file's order. Allowed: "random", "file"."""
    energies: str = "random"
    """What stores hold as a day begins: drawn at random, or what the day before left. Evaluation carries over.
    Allowed: "random", "carried"."""
    first_observation: str = "last_step"
    """What a day's first observation shows of the grid where play goes on into it: the step before, or a power flow
    with all devices at zero, as in the original. Allowed: "last_step", "devices_at_zero"."""
    episode_steps: int = 0
    """In training, steps from a random hour of a random day to an episode's end; 0: whole days. Needs
    day_order = "random" and load_q = "follows_demand". Unit: steps. Allowed: at least 0."""

    def __post_init__(self) -> None:
        check_choice("load_q", self.load_q, ("follows_demand", "held_from_day_start"))
        check_choice("on_violation", self.on_violation, ("continue", "end_day", END_UNSOLVED))
        check_choice("day_order", self.day_order, ("random", "file"))
        check_choice("energies", self.energies, ("random", "carried"))
        check_choice("first_observation", self.first_observation, ("last_step", DEVICES_AT_ZERO))
        if self.episode_steps < 0:
            raise InputError(f"episode_steps = {self.episode_steps} must be at least 1, or 0 for whole days")
        if self.episode_steps and (self.day_order, self.load_q) != ("random", "follows_demand"):
            raise InputError(
                f"episode_steps = {self.episode_steps} begins at random hours, which day_order = {self.day_order!r} "
                f"and load_q = {self.load_q!r} do not; it needs 'random' and 'follows_demand'"
            )

    @property
    def grid_is_carried(self) -> bool:
        """True if a day that follows another begins with the grid that the last step left."""
        return (self.first_observation, self.day_order, self.energies) == ("last_step", "file", "carried")


@dataclass(frozen=True)
class Variant:
    """The same days under stress: Demand and Solar of every row times a factor."""

    name: str
    """What --variant and variant name. Allowed: letters, digits, _ and -."""
    demand_factor: float = 1.0
    """Factor on Demand. Unit: factor. Allowed: 0 .. 10."""
    solar_factor: float = 1.0
    """Factor on Solar. Unit: factor. Allowed: 0 .. 10."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(f"variant {shown(self.name)}: names are made of letters, digits, _ and -")
        for field in ("demand_factor", "solar_factor"):
            if not 0 <= getattr(self, field) <= MAX_FACTOR:
                value = getattr(self, field)
                raise InputError(f"variant {self.name!r}: {field} = {value} must lie in 0..{MAX_FACTOR:g}")


VARIANTS = (
    Variant("high_load", demand_factor=1.2),
    Variant("low_sun", solar_factor=0.4),
    Variant("growth", demand_factor=1.1, solar_factor=1.3),
)
