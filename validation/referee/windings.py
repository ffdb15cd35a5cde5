"""Currents of windings from pandapower's: where two branches share a winding, or part of its iron is a bus's shunt.

A winding carries, into the transformer, what enters the branches that end there and what the bus's shunts hold of the
transformer, ``y v / sqrt(3)``. As in `powerflow.result`, of the larger end, the from end's by its rated ratio.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.feeder import Feeder

if TYPE_CHECKING:
    from pandapower import pandapowerNet

ENDS = {"line": ("from", "to"), "trafo": ("hv", "lv")}


def with_windings(
    branch_i_ka: np.ndarray, feeder: Feeder, from_ka: np.ndarray, to_ka: np.ndarray, v_kv: np.ndarray
) -> np.ndarray:
    """Put the currents of windings into those of all branches, (n, n_branch).

    Parameters
    ----------
    branch_i_ka
        Larger end's currents, (n, n_branch).
    feeder
        What the branches are.
    from_ka, to_ka
        Currents into both ends, (n, n_branch), complex.
    v_kv
        Voltages between phases, (n, n_bus), complex.
    """
    windings = feeder.windings
    if windings is None:
        return branch_i_ka
    found, ends = branch_i_ka.copy(), list(zip(feeder.topology.from_bus, feeder.topology.to_bus, strict=True))
    from_siemens = 1e-6 * (np.asarray(windings.from_g_us) + 1j * np.asarray(windings.from_b_us))
    to_siemens = 1e-6 * (np.asarray(windings.to_g_us) + 1j * np.asarray(windings.to_b_us))
    for number, (branch, following) in enumerate(zip(windings.branch, windings.next_branch, strict=True)):
        start, end = ends[branch]
        at_to = to_ka[:, branch] + to_siemens[number] * v_kv[:, end] / math.sqrt(3)
        if following >= 0:
            found[:, branch] = np.abs(at_to + from_ka[:, following])
        else:
            at_from = from_ka[:, branch] + from_siemens[number] * v_kv[:, start] / math.sqrt(3)
            found[:, branch] = np.maximum(np.abs(at_from) * rated_ratio(feeder)[branch], np.abs(at_to))
    return found


def rated_ratio(feeder: Feeder) -> np.ndarray:
    """Rated voltage of the from end over that of the to end, (n_branch,); 1 without transformers."""
    parts = feeder.transformers
    return np.ones(feeder.topology.n_branch) if parts is None else np.asarray(parts.rated_ratio, float)


def end_currents_ka(net: pandapowerNet, table: str) -> tuple[np.ndarray, np.ndarray]:
    """Currents into both ends of a table's rows in the last power flow, (n_row,) complex; 0 where out of service."""
    found = []
    for end in ENDS[table]:
        results = net[f"res_{table}"]
        vn_kv = net.bus["vn_kv"].loc[net[table][f"{end}_bus"]].to_numpy()
        v_kv = vn_kv * results[f"vm_{end}_pu"].to_numpy() * np.exp(1j * np.deg2rad(results[f"va_{end}_degree"]))
        power_mva = results[f"p_{end}_mw"].to_numpy() + 1j * results[f"q_{end}_mvar"].to_numpy()
        closed = net[table]["in_service"].to_numpy(bool)
        found.append(np.where(closed, np.conj(power_mva / (math.sqrt(3) * np.asarray(v_kv))), 0.0))
    return found[0], found[1]
