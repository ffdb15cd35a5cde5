"""Power through the branches of a recorded run on a radial feeder, from its injections and voltages.

A branch carries what the buses behind it take, and the losses of the branches between them (DistFlow)::

    P_j = sum_k (P_k + r_k l_k) - p_j        l_k = (P_k^2 + Q_k^2) / V_k^2        k: the buses next behind j

and the same of Q with x. P_j enters bus j from the side of the slack, at j's end of the branch, V_k is the recorded
voltage and p_j the injection, positive into the grid. Charging and shunts are left out.
Source: Baran and Wu, "Optimal capacitor placement on radial distribution systems", 1989.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from neomflex_jax.grid import AnyFeeder, Feeder, UnbalancedFeeder
from neomflex_jax.grid.topology import spanning_tree


def flows_are_known(feeder: AnyFeeder) -> str:
    """Return why the equations above do not tell a feeder's flows; empty if they do."""
    if isinstance(feeder, UnbalancedFeeder):
        return "buses have several phases"
    if not feeder.topology.is_radial:
        return "a loop is closed"
    if feeder.held is not None:
        return "generators hold voltages"
    if feeder.voltage_dependence is not None:
        return "loads follow the voltage"
    if feeder.has_two_impedances:
        return "branches have two impedances"
    return ""


def flows_into_buses(
    feeder: Feeder,
    vm_pu: Float[np.ndarray, "n_steps n_node"],
    p_injection_mw: Float[np.ndarray, "n_steps n_node"],
    q_injection_mvar: Float[np.ndarray, "n_steps n_node"],
) -> Float[np.ndarray, "n_steps n_node"]:
    """Return the active power that enters each bus from the side of the slack, in MW.

    Parameters
    ----------
    feeder
        One of which `flows_are_known` says nothing.
    vm_pu, p_injection_mw, q_injection_mvar
        Recorded; injections positive into the grid.

    Returns
    -------
    (n_steps, n_node)
        Positive away from the slack, at the bus's end; at a slack what it draws from outside. NaN where `vm_pu` is.
    """
    tree = spanning_tree(feeder.topology)
    s_mva = -(np.asarray(p_injection_mw, float) + 1j * np.asarray(q_injection_mvar, float)).T
    z_ohm = np.asarray(feeder.r_ohm, float) + 1j * np.asarray(feeder.x_ohm, float)
    vn_kv, to_bus = np.asarray(feeder.vn_kv, float), np.array(feeder.topology.to_bus)
    vm_pu = np.asarray(vm_pu, float).T
    for bus in tree.order[::-1]:
        branch = tree.parent_branch[bus]
        if branch < 0:
            continue
        v_kv = vm_pu[bus] * vn_kv[to_bus[branch]]  # the level that the impedance is stated at
        with np.errstate(invalid="ignore"):  # steps without voltages
            s_mva[tree.parent[bus]] += s_mva[bus] + z_ohm[branch] * np.abs(s_mva[bus] / v_kv) ** 2
    return s_mva.real.T
