"""Voltages that devices measure after a step's power flow and move by in the next (`devices/band_control.py`).

On a feeder with phases a device measures at the controlled bus the phases that it names, or all that the bus has: the
mean of their magnitudes to ground where these are several, as a ganged device has one voltage to go by. Neutrals do not
count.
"""

from __future__ import annotations

import jax
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.device import Device
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
        at_devices, _ = pad([measured_nodes(nodes, one) for one in scenario.of(kind)], fill=len(nodes))
        measured[kind.table] = kind.measured(stores[kind.table], mean_at_devices(vm_pu, at_devices))
    return measured


def measured_nodes(nodes: Nodes, device: Device) -> np.ndarray:
    """Positions of the nodes whose mean voltage a device measures; those of its own bus where it measures none.

    Raises
    ------
    InputError
        If its controlled bus lacks a phase that it names; the end of a sentence that begins with the device.
    """
    bus = device.measured_bus
    return nodes.at[device.bus] if bus is None else nodes.of_phases(bus, device.phases)
