"""Requests to what the devices deliver: kind by kind, in the order of their turns.

What a kind of the turn LOAD feeds in is taken off the load at its bus, of which one with phases has a single one; later
kinds meet the load as it is then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from neomflex_jax.devices.contract import check_delivery
from neomflex_jax.devices.device import Delivery, InService, Kind, Sessions, Store, Surroundings, Turn
from neomflex_jax.environment.step.node_sums import sum_at_devices, sum_at_nodes
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.profiles.config import SESSION_TABLES
from neomflex_jax.scenario import Scenario

Stores = dict[str, Store]  # by table
Requests = dict[str, Array]  # by name of control


class Moment(NamedTuple):
    """What the world is like in a step."""

    step: Int[Array, ""]  # of the day
    demand: Float[Array, ""]  # factor on nominal loads
    solar: Float[Array, ""]  # per unit of a rating
    price: Float[Array, ""] | None  # per MWh
    own_solar: Mapping[str, Float[Array, " _n_device"]]  # of the tables with devices of an own sun
    outdoor_temperature_c: Float[Array, ""] | None = None
    sessions: Sessions | None = None  # of the devices of `SESSION_TABLES`; None where no file has them


@dataclass(frozen=True, eq=False)
class Delivered:
    """What is fed in and consumed in one step."""

    by_table: dict[str, Delivery]
    load_p_mw: Float[Array, " n_load"]  # consumption, by node on balanced feeders, by load on those with phases
    load_q_mvar: Float[Array, " n_load"]

    @property
    def stores(self) -> Stores:
        """What devices hold after the step."""
        return {table: delivery.store for table, delivery in self.by_table.items()}

    @property
    def recorded(self) -> dict[str, Array]:
        """What the kinds record of the step, but of their stores."""
        return {name: values for each in self.by_table.values() for name, values in each.recorded.items()}


def deliver(
    scenario: Scenario,
    layout: TerritoryLayout,
    requests: Requests,
    stores: Stores,
    moment: Moment,
    *,
    load_p_mw: Array,
    load_q_mvar: Array,
    in_service: Mapping[str, InService],
) -> Delivered:
    """Deliver the requests.

    Parameters
    ----------
    stores
        Before the step.
    load_p_mw, load_q_mvar
        Loads (n_load,) as they would be without devices.
    in_service
        By table; a table that is not in it has all of its devices in service.
    """
    by_table: dict[str, Delivery] = {}
    for kind in sorted(scenario.kinds, key=lambda kind: kind.turn):
        table, nodes = kind.table, layout.device_nodes[kind.table]
        if not scenario.of(kind):
            by_table[table] = nothing_delivered(scenario, kind, stores[table])
            continue
        others = [other for other in scenario.kinds if Turn.LOAD < other.turn < kind.turn and scenario.of(other)]
        around = Surroundings(
            step_hours=scenario.step_hours,
            step=moment.step,
            demand=moment.demand,
            solar=moment.own_solar.get(table, moment.solar),
            price=moment.price,
            in_service=in_service.get(table, True),
            load=partial(_load, layout.device_loads[table], load_p_mw, load_q_mvar),
            others_p_mw=partial(_fed_in, nodes, layout, {other.table: by_table[other.table].p_mw for other in others}),
            outdoor_temperature_c=moment.outdoor_temperature_c,
            sessions=moment.sessions if table in SESSION_TABLES else None,
        )
        by_table[table] = delivery = kind.step(kind.stack(scenario.of(kind)), requests, stores[table], around)
        check_delivery(kind, delivery, stores[table], len(nodes))
        if kind.turn == Turn.LOAD:
            loads = layout.device_loads[table]
            load_p_mw = load_p_mw - sum_at_nodes([delivery.p_mw], [loads], layout.n_load)
            if delivery.q_mvar is not None:
                load_q_mvar = load_q_mvar - sum_at_nodes([delivery.q_mvar], [loads], layout.n_load)
    return Delivered({kind.table: by_table[kind.table] for kind in scenario.kinds}, load_p_mw, load_q_mvar)


def nothing_delivered(scenario: Scenario, kind: Kind, store: Store) -> Delivery:
    """What devices at rest deliver; they keep what they hold."""
    nothing = jnp.zeros(len(scenario.of(kind)))
    return Delivery(nothing, None, store, nothing, {each.name: nothing for each in kind.recorded if not each.before})


def _load(loads: np.ndarray, p_mw: Array, q_mvar: Array) -> tuple[Array, Array]:
    return sum_at_devices(p_mw, loads), sum_at_devices(q_mvar, loads)


def _fed_in(nodes: np.ndarray, layout: TerritoryLayout, p_mw: Mapping[str, Array]) -> Array:
    if not p_mw:
        return jnp.zeros(len(nodes))
    by_node = sum_at_nodes(list(p_mw.values()), [layout.device_nodes[table] for table in p_mw], layout.n_node)
    return sum_at_devices(by_node, nodes)
