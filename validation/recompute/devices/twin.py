"""What the referee knows of a kind of device: its twin, written a second time in NumPy.

A twin says which recorded arrays are the kind's, how far a record leaves what its devices can do, what they cost, and
whether their energies add up. It shares no code with the kind that wrote the record: it takes a device's fields (its
row of the scenario's table) and recorded numbers, and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float, Num

from neomflex_jax.scenario import Scenario

DeviceT = TypeVar("DeviceT")
SomeDevice: TypeAlias = Any  # of a kind known by its table alone: the type checker cannot follow


def no_ratings(device: SomeDevice) -> dict[str, float]:
    """Leave the columns of an element as pandapower fills them."""
    return {}


class FeedIn(NamedTuple):
    """Powers of a kind, positive into the grid, and what its devices are in pandapower."""

    p_mw: str  # recorded array (n, n_device)
    q_mvar: str | None = None  # likewise; None: it has no reactive power
    element: str = "sgen"  # table of the net, one that `pandapower_net.SIGNS` knows
    ratings: Callable[[SomeDevice], dict[str, float]] = (
        no_ratings  # of a device: columns that a power flow makes no use of
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Recorded arrays."""
        return (self.p_mw,) if self.q_mvar is None else (self.p_mw, self.q_mvar)


class Sets(NamedTuple):
    """What devices of a kind set in the grid by a recorded position: a ratio, or a shunt.

    `tap` names a device's branch by its from and to bus, and by how many per cent a step moves its ratio; `shunt` a bus
    and the Mvar that a step feeds in at 1 pu.
    """

    position: str  # recorded array (n, n_device)
    tap: Callable[[SomeDevice], tuple[int, int, float]] | None = None
    shunt: Callable[[SomeDevice], tuple[int, float]] | None = None


class Sun(NamedTuple):
    """How a kind follows the sun, of which each device may have its own."""

    available_mw: str  # recorded array (n, n_device): Solar times the rating
    rating_mw: Callable[[SomeDevice], float]  # of a device


@dataclass(frozen=True, eq=False)
class Part(Generic[DeviceT]):
    """One device's part of a run; everything recorded in double precision."""

    device: DeviceT
    scenario: Scenario
    recorded: Mapping[str, Num[np.ndarray, " n_steps"]]  # the kind's own arrays, `step` of the day, a file's sessions
    demand: Float[np.ndarray, " n_steps"]  # factor on nominal loads
    solar: Float[np.ndarray, " n_steps"]  # per unit of its rating; the own sun as recorded, checked elsewhere
    nominal_load_p_mw: float  # at its bus
    load_p_mw: Float[np.ndarray, " n_steps"]  # consumed at its bus
    measured_vm_pu: Float[np.ndarray, " n_steps"]  # recorded at its twin's `measured_bus`; NaN where it failed, or none
    outdoor_temperature_c: Float[np.ndarray, " n_steps"] | None = (
        None  # as recorded, checked elsewhere; None: not known
    )

    def __getitem__(self, name: str) -> Num[np.ndarray, " n_steps"]:
        return self.recorded[name]


class Store(ABC, Generic[DeviceT]):
    """Energy that a device carries from step to step, in the unit in which it is recorded.

    Parameters
    ----------
    device
        An instance of the kind.
    values
        Of `before` or `after`.
    part
        One device's part of a run.
    """

    entry: ClassVar[str]  # what observations call it
    before: ClassVar[str]  # recorded array (n, n_device), before each step
    after: ClassVar[str]  # likewise, after it

    @abstractmethod
    def size_mwh(self, device: DeviceT) -> float:
        """Return the energy that fits in.

        Returns
        -------
        float
            In MWh.
        """

    @abstractmethod
    def energy_mwh(self, device: DeviceT, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the energy that recorded values stand for.

        Returns
        -------
        energy_mwh
            Of the values' shape.
        """

    @abstractmethod
    def observed(self, device: DeviceT, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return what agents see of recorded values.

        Returns
        -------
        observed
            Of the values' shape, in the unit of the kind's observable.
        """

    @abstractmethod
    def gap_mwh(self, part: Part[DeviceT]) -> Float[np.ndarray, " n_steps"]:
        """Return what is missing in each step's energy balance.

        Returns
        -------
        gap_mwh
            (n_steps,); 0 where it cannot be judged.
        """


SomeStore: TypeAlias = Store[SomeDevice]


class Twin(ABC, Generic[DeviceT]):
    """A kind of device as the referee has it.

    Parameters
    ----------
    device
        An instance of the kind.
    part
        One device's part of a run.
    """

    table: ClassVar[str]  # of the scenario: the name by which the twin is found
    delivered: ClassVar[tuple[str, ...]]  # recorded arrays (n, n_device): what came of each step's requests
    remembered: ClassVar[tuple[str, ...]] = ()  # those of them that the next step depends on; 0 before a day's first
    feed_in: ClassVar[FeedIn | None] = None  # None: it changes the load at its bus, which is recorded, or `sets`
    sets: ClassVar[Sets | None] = None  # what it sets in the grid
    sun: ClassVar[Sun | None] = None  # None: no column of its own can be stated for a device
    has_sessions: ClassVar[bool] = False  # True: a file may have its devices' sessions, which its parts then hold
    store: ClassVar[SomeStore | None] = None  # what its devices carry from step to step

    @property
    def recorded(self) -> tuple[str, ...]:
        """All recorded arrays of the kind."""
        store = self.store
        return self.delivered if store is None else (*self.delivered, store.before, store.after)

    @property
    def carried(self) -> tuple[str, ...]:
        """Recorded arrays that the next step begins with: in the order in which the kind itself carries them."""
        return self.remembered if self.store is None else (self.store.after, *self.remembered)

    def measured_bus(self, device: DeviceT) -> int | None:
        """Return the bus whose voltage after a step decides on the next.

        Returns
        -------
        int or None
            Its label; None: there is none.
        """
        return None

    @abstractmethod
    def excess(self, part: Part[DeviceT]) -> Float[np.ndarray, " n_steps"]:
        """Return by how much the device is outside its limits in each step.

        Returns
        -------
        excess
            (n_steps,) in MW, MWh or per unit of charge; of ratings above 1 MW as a share of the rating, for records are
            float32. At most 0 within the limits, NaN where the record is.
        """

    def costs(
        self, device: DeviceT, scenario: Scenario, recorded: Mapping[str, Num[np.ndarray, " n_steps"]]
    ) -> Iterator[np.ndarray]:
        """Yield the device's own cost terms of each step.

        Parameters
        ----------
        scenario
            With the weights of its reward.
        recorded
            As in `Part`; only what a term with a weight above 0 needs has to be there.

        Yields
        ------
        cost
            (n_steps,), above 0 for what costs.
        """
        yield from ()


SomeTwin: TypeAlias = Twin[SomeDevice]
