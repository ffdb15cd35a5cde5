"""Which form the impedances take: one dense matrix, loops included, or a tree cut into pieces.

Both have the same few methods, so that no power-flow method knows which it runs on. Where more voltages than the
slack's are held, or a branch has another impedance from its `to` end, there is neither.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.topology import spanning_tree
from neomflex_jax.powerflow.network.dense import DenseNetwork, dense_network
from neomflex_jax.powerflow.network.scaling import Scaled, cartesian
from neomflex_jax.powerflow.network.tree import TreeNetwork, tree_network

NETWORKS = ("auto", "sweep", "dense", "tree")
TREE_FROM_BUSES = 200  # where a tree's small products overtake the dense ones on a CPU (benchmarks/power_flow.py)


def check_form(feeder: Feeder, network: str, lossless: bool) -> None:
    """Raise `InputError` if the form asked for cannot hold the feeder's loops, held voltages or loads."""
    if network not in NETWORKS:
        raise InputError(f"network = {network!r} must be one of {', '.join(NETWORKS)}")
    if network == "sweep" and feeder.voltage_dependence is not None:
        raise InputError(
            f"feeder {feeder.name!r} has loads that follow the voltage, which 'sweep' does not know; take 'auto'"
        )
    if feeder.needs_admittances:
        if network in ("tree", "sweep"):
            what = "generators or several external grids" if feeder.held is not None else "branches of two impedances"
            raise InputError(f"feeder {feeder.name!r} has {what}, which {network!r} cannot hold; take 'auto'")
        return
    loop_branches = spanning_tree(feeder.topology).loop_branches
    if network in ("tree", "sweep") and not feeder.topology.is_radial:
        raise InputError(
            f"feeder {feeder.name!r} is not radial: branch {branch_name(feeder, loop_branches[0])} closes a "
            f"loop, and {network!r} needs a tree; open a branch of it, or ask for the network 'dense'"
        )
    if lossless and isinstance(feeder.x_ohm, np.ndarray):
        bare = [branch for branch in loop_branches if feeder.x_ohm[branch] == 0]
        if bare:
            raise InputError(
                f"feeder {feeder.name!r}: branch {branch_name(feeder, bare[0])} closes a loop with x_ohm = 0, on "
                "which `dc` has no answer; give it a reactance, or take `lindistflow` or `ac`"
            )


def is_swept(feeder: Feeder, network: str) -> bool:
    """True if a form asked for lets machine code sweep the feeder, where a method has a sweep."""
    constant_power_alone = not feeder.needs_admittances and feeder.voltage_dependence is None
    return network in ("auto", "sweep") and feeder.topology.is_radial and constant_power_alone


def branch_name(feeder: Feeder, branch: int) -> str:
    """Labels of a branch's ends."""
    ends = feeder.topology.from_bus[branch], feeder.topology.to_bus[branch]
    return "-".join(str(feeder.bus_labels[bus]) for bus in ends)


def network_of(feeder: Feeder, network: str, scaled: Scaled, lossless: bool) -> DenseNetwork | TreeNetwork:
    """Build the impedances of a feeder with one slack in the form asked for; `lossless` takes the reactances alone."""
    topology, r, x = feeder.topology, 0.0 * scaled.r if lossless else scaled.r, scaled.x
    if network in ("auto", "sweep"):
        network = "tree" if topology.is_radial and topology.n_bus >= TREE_FROM_BUSES else "dense"
    if network == "tree":
        return tree_network(topology, r, x, feeder.slack_vm_pu)
    loops = spanning_tree(topology).loop_branches
    loop_ratio = None
    if scaled.from_ratio is not None and len(loops):
        magnitude, angle = scaled.from_ratio
        real, imaginary = cartesian(magnitude[loops], angle[loops])
        loop_ratio = real + 1j * imaginary
    return dense_network(topology, r, x, feeder.slack_vm_pu, loop_ratio)
