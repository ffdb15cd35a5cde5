"""What moves in whole steps: a position, a pause between moves, a limit of operations a day.

A request r in -1..1 asks for the position ``round(r N)`` of a range up to N; where the range begins at 0, r below 0
asks for 0. One within `hysteresis_steps` of the position asks for no move: an agent whose requests change a little
between steps does not switch to and fro. The position goes there if the pause after the last move is over, as far as
the day's operations last; one operation moves it by one step. Under band control no agent asks; `band_control.py` has
the rule.

Derivatives pass rounding and range as if they were not there, so that a learner by gradients feels which way a position
should go, while what is played and recorded is whole. Source: the straight-through estimator, Y. Bengio, N. Leonard,
A. Courville, "Estimating or propagating gradients through stochastic neurons for conditional computation", 2013.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from neomflex_jax.devices.band_control import Band, band_of, check_band, direction_of
from neomflex_jax.devices.checks import check_name, check_not_negative, check_phases, refuse
from neomflex_jax.devices.device import CostTerm, Delivery, Device, Recorded, StepColumns, Surroundings, Turn
from neomflex_jax.devices.figures import Bound, Look
from neomflex_jax.devices.options import is_off, magnitude, stacked
from neomflex_jax.loose_types import BusLabel

MOST_STEPS = 1000  # of a range: more is a mistake in units


class StepParams(NamedTuple):
    """Fields of stepped devices as arrays (n_device,)."""

    lowest: np.ndarray  # position
    steps: np.ndarray  # highest position
    step_size: np.ndarray  # in the unit of the kind's field
    operation_cost: np.ndarray
    delay: np.ndarray  # steps of the day from a move to the next at the earliest
    hysteresis_steps: np.ndarray  # from the position, within which a request leaves it
    most: np.ndarray  # operations a day, infinite: no limit
    band: Band  # NaN where an agent moves the device


class StepStore(NamedTuple):
    """What such devices carry from step to step, (n_device,); all but voltages are whole numbers as floats."""

    position: Array
    wait: Array  # steps of the day in which it may not move yet
    made: Array  # operations of the day
    vm_pu: Array | None = None  # measured after the step before, NaN: nothing was; None: no device measures


class Moved(NamedTuple):
    """A move, (n_device,)."""

    store: StepStore  # after it
    moved: Array  # steps up, negative down
    clipped: Array  # share of the range asked for and not reached


class SteppedDevice(Device):
    """What kinds of devices with a position have in common; they are dataclasses with the fields named here."""

    turn: ClassVar = Turn.GRID
    word: ClassVar[str]  # for positions, in names of columns and records
    step_field: ClassVar[str]  # which field says how much a step is
    both_ways: ClassVar[bool]  # positions -steps..steps; if not, 0..steps

    steps: int
    delay: int
    operations_per_day: int | None
    operation_cost: float
    hysteresis_steps: float
    control: str
    vm_set_pu: float | None
    dead_band_pu: float | None
    controlled_bus: BusLabel | None

    @property
    def follows_rule(self) -> bool:
        """True under band control."""
        return self.control == "band"

    @property
    def raising(self) -> int:
        """Direction in which positions raise the voltage of the controlled bus, 1 or -1."""
        return 1

    def check(self, where: str) -> None:
        """Raise `InputError` unless the common fields are usable; `where` names the device."""
        for name, value in (("steps", self.steps), ("delay", self.delay)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_STEPS:
                raise refuse(where, f"be a whole number in 1..{MOST_STEPS}", **{name: value})
        limit = self.operations_per_day
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            allowed = "be a whole number of at least 1; leave it out for no limit"
            raise refuse(where, allowed, operations_per_day=limit)
        check_not_negative(where, operation_cost=self.operation_cost)
        self._check_hysteresis(where)
        check_name(where, self.name)
        check_phases(where, self.phases)
        own = {name: getattr(self, name) for name in ("vm_set_pu", "dead_band_pu", "controlled_bus")}
        check_band(where, self.control, **own)

    def _check_hysteresis(self, where: str) -> None:
        if not 0 <= self.hysteresis_steps <= self.steps:
            raise refuse(where, f"be in 0..{self.steps}, its steps", hysteresis_steps=self.hysteresis_steps)
        if self.hysteresis_steps and self.follows_rule:
            allowed = 'be left out with control = "band", where dead_band_pu says when it moves'
            raise refuse(where, allowed, hysteresis_steps=self.hysteresis_steps)

    def look(self, recorded: Mapping[str, float]) -> Look:
        """Return its position, the symbol filled by its place in the range."""
        position = recorded[f"{self.prefix}_{self.word}"]
        lowest = -self.steps if self.both_ways else 0
        return Look((position - lowest) / (self.steps - lowest), ((position, "steps"),))

    def bounds(self, p_mw: np.ndarray) -> dict[str, tuple[Bound, Bound]]:
        """Return its lowest and highest position."""
        return {"steps": (float(-self.steps if self.both_ways else 0), float(self.steps))}

    @staticmethod
    @abstractmethod
    def grid_effect(params: StepParams, position: Float[Array, " n_device"]) -> dict[str, Float[Array, " n_device"]]:
        """Return what positions set in the grid: `tap_ratio` or `shunt_mvar` of a `Delivery`, by that name."""

    @classmethod
    def stack(cls, devices: Sequence[SteppedDevice]) -> StepParams:
        """Parameters as new arrays."""
        params = stacked(
            StepParams,
            devices,
            lowest=[-float(device.steps) if cls.both_ways else 0.0 for device in devices],
            step_size=[float(getattr(device, cls.step_field)) for device in devices],
            most=[float(device.operations_per_day or math.inf) for device in devices],
            band=math.nan,
        )
        return params._replace(band=band_of(devices))

    @classmethod
    def step(
        cls,
        params: StepParams,
        requests: Mapping[str, Array],
        store: StepStore,
        around: Surroundings,
    ) -> Delivery:
        """Move by request or rule; the grid has what the new position sets."""
        wanted = requests[cls.controls[0].name] * params.steps
        after, moved, clipped = move(params, store, wanted, around)
        recorded = {"moved": moved, "wait": after.wait, "made": after.made}
        return Delivery(
            jnp.zeros_like(moved),
            None,
            after,
            clipped,
            {f"{cls.prefix}_{what}": values for what, values in recorded.items()},
            **cls.grid_effect(params, after.position),
        )

    @staticmethod
    def first(params: StepParams) -> StepStore:
        """Position 0, free to move."""
        return _free(params, jnp.zeros(len(params.steps)))

    @staticmethod
    def random(key: Array, params: StepParams) -> StepStore:
        """Draw a position of the range."""
        positions = params.steps - params.lowest + 1.0
        share = jax.random.uniform(key, params.steps.shape)
        return _free(params, jnp.minimum(params.lowest + jnp.floor(share * positions), params.steps))

    @staticmethod
    def middle(params: StepParams) -> StepStore:
        """Stand in the middle of the range."""
        return _free(params, jnp.asarray(np.round((params.lowest + params.steps) / 2)))

    @staticmethod
    def at_rest(store: StepStore) -> StepStore:
        """Stand where it stood, free to move."""
        nothing = jnp.zeros_like(store.position)
        return StepStore(store.position, nothing, nothing, None if store.vm_pu is None else nothing + jnp.nan)

    @staticmethod
    def measured(store: StepStore, vm_pu: Float[Array, " n_device"]) -> StepStore:
        """Remember the voltages for the next step."""
        return store._replace(vm_pu=vm_pu)

    @classmethod
    def kept(cls, store: StepStore) -> dict[str, Float[Array, " n_device"]]:
        """Record the position."""
        return {f"{cls.prefix}_{cls.word}": store.position}

    @staticmethod
    def observe(params: StepParams, store: StepStore) -> tuple[Float[Array, " n_device"], ...]:
        """See the position as a share of the highest."""
        return (store.position / params.steps,)

    @classmethod
    def step_columns(
        cls,
        devices: Sequence[SteppedDevice],
        recorded: Mapping[str, Float[np.ndarray, "n_steps n_device"]],
        load_p_mw: Float[np.ndarray, "n_steps n_device"],
    ) -> StepColumns:
        """Columns of the step table: position and operations."""
        columns = {}
        for index, device in enumerate(devices):
            bus = f"{cls.prefix}_bus_{device.bus}"
            columns[f"{bus}_{cls.word}"] = recorded[f"{cls.prefix}_{cls.word}"][:, index]
            columns[f"{bus}_operations"] = np.abs(recorded[f"{cls.prefix}_moved"][:, index])
        return StepColumns({}, columns)


def recorded_steps(prefix: str, word: str) -> tuple[Recorded, ...]:
    """Return what every step records of a kind with this prefix and this word for positions."""
    return (
        Recorded(f"{prefix}_{word}", "steps", "position after the step", before=f"{prefix}_{word}_before"),
        Recorded(f"{prefix}_moved", "steps", "operations, negative where the position fell"),
        Recorded(f"{prefix}_wait", "steps", "steps of the day in which it may not move yet"),
        Recorded(f"{prefix}_made", "operations", "operations of the day so far"),
    )


def operations_term(prefix: str) -> CostTerm:
    """Return the term of the reward that charges a kind's operations."""

    def amount(params: StepParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
        return magnitude(delivered.recorded[f"{prefix}_moved"]) * params.operation_cost

    return CostTerm(f"{prefix}_operations", amount, priced=lambda device: device.operation_cost > 0)


def move(params: StepParams, store: StepStore, wanted: Float[Array, " n_device"], around: Surroundings) -> Moved:
    """Move towards positions wanted, which need neither be whole nor in the range; under band control by its rule."""
    ruled, inside = jnp.asarray(params.band.ruled), jnp.zeros_like(store.position, bool)
    if store.vm_pu is not None:
        direction = direction_of(params.band, store.vm_pu)
        wanted = jnp.where(ruled, store.position + direction, wanted)
        inside = ruled & (direction == 0)
    target = _rounded(wanted, store.position, params)
    made = jnp.where(jnp.asarray(around.step) == 0, 0.0, store.made)
    may = (store.wait <= 0) & around.in_service
    left = jnp.where(may, jnp.asarray(params.most) - made, 0.0)
    moved = jnp.clip(target - store.position, -left, left)
    operations = jax.lax.stop_gradient(jnp.abs(moved))
    wait = jnp.where((operations > 0) | inside, jnp.asarray(params.delay) - 1.0, jnp.maximum(store.wait - 1.0, 0.0))
    missed = jnp.where(around.in_service & ~ruled, jnp.abs(target - store.position - moved), 0.0)
    after = StepStore(store.position + moved, wait, made + operations, store.vm_pu)
    return Moved(after, moved, missed / (params.steps - params.lowest))


def _rounded(wanted: Array, position: Array, params: StepParams) -> Array:
    """Return the nearest position of the range, or the present one if near enough, with the derivative of `wanted`."""
    wanted_alone, present = jax.lax.stop_gradient((wanted, position))
    whole = jnp.clip(jnp.round(wanted_alone), params.lowest, params.steps)
    if not is_off(params.hysteresis_steps, 0.0, whole):
        whole = jnp.where(jnp.abs(wanted_alone - present) <= params.hysteresis_steps, present, whole)
    return whole + (wanted - wanted_alone)  # whole: x - x is 0


def _free(params: StepParams, position: ArrayLike) -> StepStore:
    position = jnp.asarray(position, float)
    nothing = jnp.zeros_like(position)
    return StepStore(position, nothing, nothing, nothing + jnp.nan if params.band.ruled.any() else None)
