"""Voltages that devices measure after a step's power flow and move by in the next (`devices/band_control.py`)."""

from __future__ import annotations

import jax
from jax import Array
from jaxtyping import Float

from neomflex_jax.environment.step.dispatch import Stores
from neomflex_jax.environment.step.node_sums import mean_at_devices
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.territories import pad
from neomflex_jax.scenario import Scenario


def with_measured(scenario: Scenario, nodes: Nodes, stores: Stores, vm_pu: Float[Array, " _n_node"]) -> Stores:
    """Return the stores of a step whose power flow left these voltages, NaN where it failed."""
    measuring = [kind for kind in scenario.kinds if any(one.measured_bus is not None for one in scenario.of(kind))]
    if not measuring:
        return stores
    vm_pu = jax.lax.stop_gradient(vm_pu)
    measured = dict(stores)
    for kind in measuring:
        buses = [one.bus if one.measured_bus is None else one.measured_bus for one in scenario.of(kind)]
        at_devices, _ = pad([nodes.at[bus] for bus in buses], fill=len(nodes))
        measured[kind.table] = kind.measured(stores[kind.table], mean_at_devices(vm_pu, at_devices))
    return measured
