"""A load that sheds a share of its power, or defers some of it and catches up later.

``p = p_load - curtailed - deferred + caught_up`` and ``owed' = owed + h (deferred - caught_up)``, with powers in MW
**positive when consumed**, ``h`` the step in hours and ``owed`` in 0..buffer the energy in MWh still to be caught up.
What is shed is lost for the consumer, what is deferred is not; so over any span the energies obey
``sum p h = sum p_load h - sum curtailed h - (owed_end - owed_start)``.

Deferring is the storage equivalent of flexible demand (H. Hao, B. M. Sanandaji, K. Poolla and T. L. Vincent, "Aggregate
flexibility of thermostatically controlled loads", IEEE Transactions on Power Systems 30(1), 2015), without its
dissipation. Neglected: deadlines, rebound above what is owed, and what the consumer loses; to pay the debt back is the
controller's task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.devices.checks import check_name, check_not_negative, check_phases, refuse
from neomflex_jax.devices.device import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Observable,
    Recorded,
    StepColumns,
    Surroundings,
    Turn,
)
from neomflex_jax.devices.figures import Operated
from neomflex_jax.devices.options import is_off, stacked
from neomflex_jax.devices.planning import Planning
from neomflex_jax.loose_types import BusLabel


class LoadParams(NamedTuple):
    """Fields of `FlexibleLoad` as arrays (n_flexible,)."""

    curtail_share: np.ndarray
    shift_mw: np.ndarray
    buffer_mwh: np.ndarray


class LoadStore(NamedTuple):
    """What flexible loads carry from step to step, (n_flexible,)."""

    owed_mwh: Array  # consumption that was deferred and not caught up


def _shed(params: LoadParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return delivered.recorded["load_curtailed_mw"]


def _towards(params: LoadParams, store: LoadStore, wanted: Array, step_hours: float) -> Array:
    deferred_mwh = params.buffer_mwh * (1.0 + wanted) / 2.0 - store.owed_mwh
    return jnp.clip(deferred_mwh / step_hours / params.shift_mw, -1.0, 1.0)


def _reached(params: LoadParams, store: LoadStore) -> Array:
    return jnp.clip(2.0 * (store.owed_mwh / params.buffer_mwh) - 1.0, -1.0, 1.0)


@dataclass(frozen=True)
class FlexibleLoad(Device):
    """The flexible part of the load at a bus (by label): how much may be shed, deferred and owed."""

    table: ClassVar = "flexible_loads"
    noun: ClassVar = "flexible load"
    prefix: ClassVar = "load"
    turn: ClassVar = Turn.LOAD
    controls: ClassVar = (
        Control(
            "load_curtailment",
            "below 0: minus the share of what may be shed; 0 and above: none",
            lasting=True,
            option=lambda load: load.curtail_share > 0,
        ),
        Control(
            "load_shift",
            "share of the shifting power, positive defers, negative catches up",
            lasting=True,
            option=lambda load: load.shift_mw > 0,
        ),
    )
    recorded: ClassVar = (
        Recorded("load_curtailed_mw", "MW", "load that is not served"),
        Recorded("load_owed_mwh", "MWh", "deferred and not caught up after the step", before="load_owed_before_mwh"),
    )
    observables: ClassVar = (Observable("owed by {}", "of buffer", 0.0, 1.0),)
    costs: ClassVar = (CostTerm("curtailment", _shed),)
    planning: ClassVar = Planning("load_shift", _towards, _reached)
    table_families: ClassVar = (("load_bus_", "_p_mw"), ("load_bus_", "_curtailed_mw"), ("load_bus_", "_owed_mwh"))

    bus: BusLabel
    """Where it stands, by the feeder's own number; a bus of some territory that has a load. At most one at a bus."""
    curtail_share: float = 0.0
    """Largest share of the load that may be shed. Unit: share. Allowed: 0 .. 1."""
    shift_mw: float = 0.0
    """Largest power deferred or caught up; above 0 together with buffer_mwh. Allowed: at least 0."""
    buffer_mwh: float = 0.0
    """Largest energy that may be owed; above 0 together with shift_mw. Allowed: at least 0."""
    name: str = ""
    """Your name of it; two devices must not share one. Without one it is called after its kind and bus. Allowed:
    letters, digits, _ and -."""
    phases: tuple[int, ...] = ()
    """At which of its bus's phases it stands, each with an equal share of its power; for feeders with phases. Empty:
    all that the bus has. Unit: numbers of phases. Allowed: 1, 2, 3, each once."""

    def __post_init__(self) -> None:
        device = f"flexible load at bus {self.bus}"
        if not 0 <= self.curtail_share <= 1:
            raise refuse(device, "lie in 0..1", curtail_share=self.curtail_share)
        shifting = {"shift_mw": self.shift_mw, "buffer_mwh": self.buffer_mwh}
        check_not_negative(device, **shifting)
        if (self.shift_mw > 0) != (self.buffer_mwh > 0):
            raise refuse(device, "both be above 0 (to shift load) or both be 0", **shifting)
        if self.curtail_share == 0 and self.shift_mw == 0:
            allowed = "not all be 0: set curtail_share to shed load, shift_mw and buffer_mwh to shift it"
            raise refuse(device, allowed, curtail_share=self.curtail_share, **shifting)
        check_name(device, self.name)
        check_phases(device, self.phases)

    def refusal(self, load_p_mw: float) -> str | None:
        """Refuse a bus without a load."""
        return None if load_p_mw > 0 else "has no load; move it to a bus that has one"

    @staticmethod
    def operated(devices: Sequence[FlexibleLoad], recorded: Mapping[str, np.ndarray]) -> Operated:
        """Return the load that is not served."""
        return Operated(unserved_mw=recorded["load_curtailed_mw"])

    @staticmethod
    def stack(devices: Sequence[FlexibleLoad]) -> LoadParams:
        """Parameters as new arrays."""
        return stacked(LoadParams, devices)

    @staticmethod
    def step(params: LoadParams, requests: Mapping[str, Array], store: LoadStore, around: Surroundings) -> Delivery:
        """Shed and shift; what is taken off the load counts as fed in, and q follows p: the power factor stays."""
        nothing = jnp.zeros_like(store.owed_mwh)
        before_p_mw, before_q_mvar = around.load()
        shift = requests.get("load_shift", nothing)
        p_mw, curtailed_mw, owed_mwh = deliver_flexible_load(
            jnp.maximum(-requests.get("load_curtailment", nothing), 0.0),
            shift,
            before_p_mw,
            store.owed_mwh,
            curtail_share=params.curtail_share,
            shift_mw=params.shift_mw,
            buffer_mwh=params.buffer_mwh,
            step_hours=around.step_hours,
            available=around.in_service,
        )
        ratio = p_mw / jnp.where(before_p_mw > 0, before_p_mw, 1.0)
        q_mvar = jnp.where(before_p_mw > 0, before_q_mvar * ratio, before_q_mvar)
        shifted_mw = before_p_mw - p_mw - curtailed_mw  # positive: deferred
        missed_mw = jnp.where(around.in_service, jnp.abs(shift * params.shift_mw - shifted_mw), 0.0)
        clipped = missed_mw / np.where(params.shift_mw > 0, params.shift_mw, 1.0)
        recorded = {"load_curtailed_mw": curtailed_mw}
        return Delivery(before_p_mw - p_mw, before_q_mvar - q_mvar, LoadStore(owed_mwh), clipped, recorded)

    @staticmethod
    def first(params: LoadParams) -> LoadStore:
        """Owe nothing."""
        return LoadStore(jnp.zeros(params.buffer_mwh.shape))

    @staticmethod
    def random(key: Array, params: LoadParams) -> LoadStore:
        """Draw a debt uniform in the buffer."""
        return LoadStore(jax.random.uniform(key, params.buffer_mwh.shape) * params.buffer_mwh)

    @staticmethod
    def middle(params: LoadParams) -> LoadStore:
        """Owe half of what may be owed."""
        return LoadStore(jnp.asarray(params.buffer_mwh / 2.0))

    @staticmethod
    def kept(store: LoadStore) -> dict[str, Array]:
        """Record the debt."""
        return {"load_owed_mwh": store.owed_mwh}

    @staticmethod
    def observe(params: LoadParams, store: LoadStore) -> tuple[Array, ...]:
        """See the debt as a share of the buffer."""
        return (store.owed_mwh / jnp.where(params.buffer_mwh > 0, jnp.asarray(params.buffer_mwh), 1.0),)

    @staticmethod
    def step_columns(
        devices: Sequence[FlexibleLoad], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray
    ) -> StepColumns:
        """Columns of the step table: what is consumed, shed and owed."""
        columns = {}
        for index, load in enumerate(devices):
            columns[f"load_bus_{load.bus}_p_mw"] = load_p_mw[:, index]
            columns[f"load_bus_{load.bus}_curtailed_mw"] = recorded["load_curtailed_mw"][:, index]
            columns[f"load_bus_{load.bus}_owed_mwh"] = recorded["load_owed_mwh"][:, index]
        return StepColumns({}, columns)


def deliver_flexible_load(
    curtail_fraction: ArrayLike,
    shift_fraction: ArrayLike,
    p_load_mw: ArrayLike,
    owed_mwh: ArrayLike,
    *,
    curtail_share: ArrayLike,
    shift_mw: ArrayLike,
    buffer_mwh: ArrayLike,
    step_hours: float,
    available: ArrayLike = True,
) -> tuple[Array, Array, Array]:
    """Shed and shift as much of a load as asked and possible; elementwise over any shape.

    `curtail_fraction` in 0..1 is a share of what may be shed, `shift_fraction` in -1..1 one of `shift_mw`: positive
    defers, negative catches up. Deferred is at most what shedding leaves of the load and what the buffer can still owe,
    caught up at most what is owed. A load that is 0 or negative (a feed-in) has nothing to shed or defer. With
    `available` False the load is not controlled: it consumes `p_load_mw` and owes what it owed. The caller scales q
    with p (constant power factor).

    Returns
    -------
    p_mw, curtailed_mw, next_owed_mwh
        Consumption (at least 0 where the load is), what was shed of it, and the energy owed after the step.
    """
    p_load_mw, owed_mwh = jnp.asarray(p_load_mw), jnp.asarray(owed_mwh)
    curtail_fraction, shift_fraction = jnp.asarray(curtail_fraction), jnp.asarray(shift_fraction)
    if not is_off(available, True, p_load_mw):
        curtail_fraction = jnp.where(available, curtail_fraction, 0.0)
        shift_fraction = jnp.where(available, shift_fraction, 0.0)
    curtailed_mw = curtail_fraction * curtail_share * jnp.maximum(p_load_mw, 0.0)
    left_mw = p_load_mw - curtailed_mw
    can_owe_mw = jnp.maximum(jnp.asarray(buffer_mwh) - owed_mwh, 0.0) / step_hours
    can_defer_mw = jnp.minimum(jnp.maximum(left_mw, 0.0), can_owe_mw)
    deferred_mw = jnp.minimum(jnp.maximum(shift_fraction, 0.0) * shift_mw, can_defer_mw)
    can_catch_up_mw = jnp.maximum(owed_mwh, 0.0) / step_hours
    caught_up_mw = jnp.minimum(jnp.maximum(-shift_fraction, 0.0) * shift_mw, can_catch_up_mw)
    owed = owed_mwh + step_hours * (deferred_mw - caught_up_mw)
    # Takes off rounding only; a debt that starts outside 0..buffer stays where it is.
    next_owed_mwh = jnp.clip(owed, jnp.minimum(owed_mwh, 0.0), jnp.maximum(owed_mwh, buffer_mwh))
    return left_mw - deferred_mw + caught_up_mw, curtailed_mw, next_owed_mwh
