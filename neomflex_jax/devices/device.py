"""What a kind of device says of itself. Whoever walks over kinds knows this protocol and names none of them.

A kind is one class: its instances are the devices of a scenario, one row of its table each, with every check in
``__post_init__``; it acts for all of its devices at once, in arrays (n_device,). Powers are in MW and Mvar, **positive
into the grid**. A state of charge or a debt of energy is a kind's *store*: a pytree that goes from step to step,
``()`` for kinds that remember nothing. What a scenario's options leave out is not traced: `step` sees no request for a
control that no device has; parameters are known before anything runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.figures import Bound, Lines, Look, Operated, Symbol
from neomflex_jax.devices.planning import Params as Params
from neomflex_jax.devices.planning import Planning, ReactivePower
from neomflex_jax.devices.planning import Store as Store
from neomflex_jax.devices.surroundings import InService as InService
from neomflex_jax.devices.surroundings import Sessions as Sessions
from neomflex_jax.devices.surroundings import Surroundings as Surroundings
from neomflex_jax.loose_types import BusLabel

if TYPE_CHECKING:
    import pandas as pd

Own: TypeAlias = Any  # a device of the kind itself, which no signature here can say of its subclasses


class Turn(IntEnum):
    """When in a step a kind gets its turn; within a turn kinds come in the order of their register."""

    LOAD = 0  # changes the load at its bus: its power counts as load, not as feed-in
    STORAGE = 1
    GENERATION = 2  # may have to fit into what load and storage leave at its bus
    GRID = 3  # feeds in nothing: it sets a ratio or a shunt of the grid


class Control(NamedTuple):
    """Something that can be set at a device: one entry of its agent's action, in -1..1."""

    name: str  # unique among all kinds
    meaning: str  # of -1..1, read as a unit
    lasting: bool = False  # True if its effect outlasts the step
    rounded: bool = False  # True if it is rounded to one of a range of positions
    option: Callable[[Own], bool] | None = None  # which devices have it; None: all of them


class Recorded(NamedTuple):
    """Numbers (n_device,) that every step records, under a name that is unique among all kinds."""

    name: str
    unit: str
    meaning: str
    before: str = ""  # of what a store holds: the name of its value before the step


class Observable(NamedTuple):
    """What the owner of a device sees of it."""

    text: str  # with {} in the place of the device's label
    unit: str
    low: float
    high: float


class CostTerm(NamedTuple):
    """A kind's part in a term of the reward; the term adds up over kinds by name."""

    name: str
    amount: Callable[[Params, Delivery, float, float], Array]  # params, delivery, the term's weight, hours of a step
    priced: Callable[[Own], bool] | None = None  # True for a device that prices the term itself, whatever its weight


class Delivery(NamedTuple):
    """What came of the requests to one kind, arrays (n_device,)."""

    p_mw: Float[Array, " n_device"]
    q_mvar: Float[Array, " n_device"] | None  # None where no device has any
    store: Store  # after the step
    clipped: Float[Array, " n_device"]  # share of the rating asked for that could not be delivered, 0 out of service
    recorded: Mapping[str, Float[Array, " n_device"]]  # all of the kind's `recorded` that are not of its store
    tap_ratio: Float[Array, " n_device"] | None = None  # factor on the ratio of each device's `tap_branch`
    shunt_mvar: Float[Array, " n_device"] | None = None  # reactive power into the grid at 1 pu, growing with vm^2


class StepColumns(NamedTuple):
    """Columns (n_steps,) of a kind in the step table by their names."""

    main: dict[str, np.ndarray]  # before the voltages
    further: dict[str, np.ndarray]  # at the end


class Device(ABC):
    """A kind of device; subclasses are frozen dataclasses with at least `bus` and ``name: str = ""``.

    What all methods take and return, beside what each says of itself:

    Parameters
    ----------
    devices
        Instances of the kind, in the scenario's order.
    params, Params
        The kind's own pytree of NumPy arrays (n_device,), units in their names.
    store, Store
        The kind's own pytree of arrays (n_device,); `()` for kinds that remember nothing.
    vm_pu
        (n_device,) at each device's `measured_bus`, at its own bus without one; NaN where the power flow failed.
    """

    table: ClassVar[str]  # of the scenario file, and field of the scenario: "batteries"
    noun: ClassVar[str]  # in messages: "battery"
    prefix: ClassVar[str]  # of the label of a device without a name: "battery"
    turn: ClassVar[Turn]
    controls: ClassVar[tuple[Control, ...]]
    recorded: ClassVar[tuple[Recorded, ...]] = ()
    observables: ClassVar[tuple[Observable, ...]] = ()
    costs: ClassVar[tuple[CostTerm, ...]] = ()
    planning: ClassVar[Planning | None] = None
    reactive: ClassVar[ReactivePower | None] = None
    symbol: ClassVar[Symbol | None] = None  # None: a disc under the kind's noun
    drawn: ClassVar[Mapping[str, Lines]] = {}  # by the name of a figure over days, as "soc"
    needs_outdoor_temperature: ClassVar[bool] = False  # True: a scenario with such devices names its column
    # fields that hashes leave out at these values: there were none once
    unstated: ClassVar[Mapping[str, object]] = {"phases": ()}
    table_families: ClassVar[tuple[tuple[str, str], ...]] = ()  # what columns of the step table begin and end with

    bus: BusLabel
    name: str
    phases: tuple[int, ...] = ()  # at which of its bus's phases; all of them if empty

    @property
    def label(self) -> str:
        """The name, or one made of the bus."""
        return self.name or f"{self.prefix}_{self.bus}"

    @property
    def tap_branch(self) -> tuple[int, int] | None:
        """Labels of the from and to bus of the branch whose ratio it multiplies; None: of no branch."""
        return None

    @property
    def follows_rule(self) -> bool:
        """True if a rule of its own moves it, and no agent's action."""
        return False

    @property
    def measured_bus(self) -> int | None:
        """Label of the bus whose voltage it measures, see `measured`; None: it measures none."""
        return None

    def look(self, recorded: Mapping[str, float]) -> Look:
        """Return what its symbol shows after a step.

        Parameters
        ----------
        recorded
            The device's own numbers by name, those of `recorded`.

        Returns
        -------
        Look
            An empty symbol beside its first powers, unless the kind has its own.
        """
        powers = [(recorded[one.name], one.unit) for one in self.recorded if one.unit in ("MW", "Mvar")]
        return Look(0.0, tuple(powers[:2]))

    def bounds(self, p_mw: Float[np.ndarray, " n_steps"]) -> Mapping[str, tuple[Bound, Bound]]:
        """Return within which limits its recorded numbers stay, for figures.

        Parameters
        ----------
        p_mw
            What it delivered, positive into the grid.

        Returns
        -------
        mapping
            Lowest and highest by unit, "MW", "Mvar", "MWh" or "steps"; a number, or one a step (n_steps,).
        """
        return {}

    def refusal(self, load_p_mw: float) -> str | None:
        """Return why the device cannot stand at its bus.

        Parameters
        ----------
        load_p_mw
            Nominal load of the bus.

        Returns
        -------
        str or None
            The end of a sentence that begins with the bus; None if the device can stand there.
        """
        return None

    @staticmethod
    @abstractmethod
    def stack(devices: Sequence[Own]) -> Params:
        """Return the parameters of devices as new arrays; see `stacked`."""

    @staticmethod
    @abstractmethod
    def step(
        params: Params, requests: Mapping[str, Float[Array, " n_device"]], store: Store, around: Surroundings
    ) -> Delivery:
        """Play one step.

        Parameters
        ----------
        requests
            By name of control, (n_device,) in -1..1, 0 for devices without it; only controls that some device has.
        around
            Load, sun, price, hour, and what other devices at the buses do.

        Returns
        -------
        Delivery
            Powers in MW and Mvar, positive into the grid, stores after the step, and what is recorded.
        """

    @staticmethod
    def first(params: Params) -> Store:
        """Return the stores with which a file's first day begins."""
        return ()

    @staticmethod
    def random(key: Array, params: Params) -> Store:
        """Return the stores with which a random day begins.

        Parameters
        ----------
        key
            JAX PRNG key, the kind's own.
        """
        return ()

    @staticmethod
    def middle(params: Params) -> Store:
        """Return stores that leave room both ways."""
        return ()

    @staticmethod
    def at_rest(store: Store) -> Store:
        """Return the store of a day that is played again: what it holds, without memory of the last step."""
        return store

    @staticmethod
    def measured(store: Store, vm_pu: Float[Array, " n_device"]) -> Store:
        """Return the store with the voltages that a step's power flow left; they have no derivatives."""
        return store

    @staticmethod
    def kept(store: Store) -> dict[str, Float[Array, " n_device"]]:
        """Return what is recorded of a store.

        Returns
        -------
        dict
            (n_device,) by the name of every `Recorded` that has a `before`.
        """
        return {}

    @staticmethod
    def observe(params: Params, store: Store) -> tuple[Float[Array, " n_device"], ...]:
        """Return the values of every observable.

        Returns
        -------
        tuple
            (n_device,) for each of `observables`, in its unit.
        """
        return ()

    @staticmethod
    def step_columns(devices: Sequence[Own], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray) -> StepColumns:
        """Return columns of the step table.

        Parameters
        ----------
        recorded
            (n_steps, n_device) by name, those before the step too.
        load_p_mw
            (n_steps, n_device) consumption at the devices' buses.

        Returns
        -------
        StepColumns
            (n_steps,) each, bus and unit in their names.
        """
        return StepColumns({}, {})

    @staticmethod
    def operated(devices: Sequence[Own], recorded: Mapping[str, Float[np.ndarray, "n_steps n_device"]]) -> Operated:
        """Return what an operator counts of the devices over a run, in the figures of `evaluation/operation.py`.

        Parameters
        ----------
        recorded
            In double precision by name, those before the step too.

        Returns
        -------
        Operated
            All fields None, unless the kind has its own.
        """
        return Operated()

    @staticmethod
    def day_columns(steps: pd.DataFrame) -> dict[str, pd.Series[float]]:
        """Return columns of the daily summary, from the step table alone.

        Parameters
        ----------
        steps
            The step table: a row a step of a run.

        Returns
        -------
        dict
            Series by column, indexed by run and day.
        """
        return {}

    @staticmethod
    def missing_column(columns: Sequence[str]) -> tuple[str, str] | None:
        """Return a column that a step table lacks, and the one that it belongs to.

        Parameters
        ----------
        columns
            Names of the table's columns.

        Returns
        -------
        tuple of str or None
            The missing column and the one that it belongs to; None if none is missing.
        """
        return None


Kind: TypeAlias = type[Device]
