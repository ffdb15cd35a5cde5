"""What devices feed in, and loads, to net injections of nodes, MW and Mvar into the grid: ``devices - load``.

On feeders with phases loads stay apart, for they lie between phases as they like: injections are devices' alone.

Devices of the turn GRID feed in nothing; what they set goes to the power flow beside the injections. Where loads follow
the voltage, both are stated at 1 pu, and the power flow is told what part is devices': that is constant power.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.device import Turn
from neomflex_jax.environment.step.dispatch import Delivered
from neomflex_jax.environment.step.node_sums import sum_at_nodes
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.powerflow import Setting
from neomflex_jax.scenario import Scenario


def node_injections(
    scenario: Scenario,
    layout: TerritoryLayout,
    feeder: Feeder,
    delivered: Delivered,
    load_factors: tuple[Float[Array, ""], Float[Array, ""]] | None = None,
    *,
    in_one: bool = False,
) -> tuple[Float[Array, " n_node"], Float[Array, " n_node"]]:
    """Active and reactive injections of one step.

    `load_factors` are those on all nominal p and q, where loads are nothing else; `in_one` is `sum_at_nodes`'.
    """
    p_mw, q_mvar = _fed_in(scenario, delivered)

    def net(fed_in: dict[str, Array], load: Array, nominal: Array, factor: Array | None) -> Array:
        places = [layout.device_nodes[table] for table in fed_in]
        if factor is None:
            return sum_at_nodes(list(fed_in.values()), places, layout.n_node, in_one=in_one) - load
        return sum_at_nodes(list(fed_in.values()), places, layout.n_node, scaled=(factor, -jnp.asarray(nominal)))

    p_factor, q_factor = load_factors or (None, None)
    return (
        net(p_mw, delivered.load_p_mw, feeder.load_p_mw, p_factor),
        net(q_mvar, delivered.load_q_mvar, feeder.load_q_mvar, q_factor),
    )


def _fed_in(scenario: Scenario, delivered: Delivered) -> tuple[dict[str, Array], dict[str, Array]]:
    """What devices feed in, p and q by table."""
    tables = feeding_in(scenario)
    p_mw = {table: delivered.by_table[table].p_mw for table in tables}
    return p_mw, {table: q for table in tables if (q := delivered.by_table[table].q_mvar) is not None}


def feeding_in(scenario: Scenario) -> list[str]:
    """Tables of the devices that feed in beside the loads."""
    turns = (Turn.STORAGE, Turn.GENERATION)
    return [kind.table for kind in reversed(scenario.kinds) if kind.turn in turns and scenario.of(kind)]


def feeding_nodes(scenario: Scenario, layout: TerritoryLayout) -> np.ndarray:
    """Positions of the nodes at which devices feed in, ascending."""
    nodes = [layout.device_nodes[table].ravel() for table in feeding_in(scenario)]
    every = np.unique(np.concatenate([np.zeros(0, int), *nodes]))
    return every[every < layout.n_node]


def device_injections(
    scenario: Scenario, layout: TerritoryLayout, delivered: Delivered
) -> tuple[Float[Array, " n_feeding"], Float[Array, " n_feeding"]]:
    """Active and reactive power that devices feed in at `feeding_nodes`."""
    at = feeding_nodes(scenario, layout)
    place = np.full(layout.n_node + 1, len(at))
    place[at] = np.arange(len(at))

    def total(fed_in: dict[str, Array]) -> Array:
        return sum_at_nodes(list(fed_in.values()), [place[layout.device_nodes[table]] for table in fed_in], len(at))

    p_mw, q_mvar = _fed_in(scenario, delivered)
    return total(p_mw), total(q_mvar)


def grid_setting(
    scenario: Scenario, layout: TerritoryLayout, feeder: Feeder, delivered: Delivered, injections: tuple[Array, Array]
) -> Setting | None:
    """Ratios, in the order of `tapped_branches`, shunts, and devices' part of the injections of one step.

    None if no device sets anything of the grid and all loads are constant power.
    """
    own = {kind.table: delivered.by_table[kind.table] for kind in scenario.kinds if scenario.of(kind)}
    ratios = [each.tap_ratio for each in own.values() if each.tap_ratio is not None]
    shunts = {table: each.shunt_mvar for table, each in own.items() if each.shunt_mvar is not None}
    steady: tuple[Array | None, Array | None] = (None, None)
    if feeder.voltage_dependence is not None:
        steady = (injections[0] + delivered.load_p_mw, injections[1] + delivered.load_q_mvar)
    elif not (ratios or shunts):
        return None
    places = [layout.device_nodes[table] for table in shunts]
    return Setting(
        tap_ratio=jnp.concatenate(ratios) if ratios else None,
        shunt_mvar=sum_at_nodes(list(shunts.values()), places, layout.n_node) if shunts else None,
        steady_p_mw=steady[0],
        steady_q_mvar=steady[1],
    )


def tapped_branches(scenario: Scenario) -> tuple[tuple[int, int], ...]:
    """Branches whose ratios the scenario's devices set, each by the labels of its from and to bus."""
    return tuple(device.tap_branch for device in scenario.devices if device.tap_branch is not None)
