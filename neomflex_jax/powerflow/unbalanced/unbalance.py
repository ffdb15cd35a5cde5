"""Voltage unbalance factor of three-phase buses: negative over positive sequence, in percent.

``[v0, v1, v2] = 1/3 [[1, 1, 1], [1, a, a^2], [1, a^2, a]] [va, vb, vc]`` with ``a = e^{j 120 degrees}``. Source: IEC
61000-4-30:2015, section 5.7.1; C. L. Fortescue, "Method of symmetrical co-ordinates applied to the solution of
polyphase networks", AIEE Transactions 37, 1918. Voltages to ground have the same two sequences as those between lines.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder

_HALF_ROOT_3 = np.sqrt(3) / 2


def phase_positions(feeder: UnbalancedFeeder) -> np.ndarray:
    """Positions of the phases 1, 2 and 3 of every three-phase bus, (n_three_phase_bus, 3)."""
    position = {label: place for place, label in enumerate(feeder.node_labels)}
    rows = [[position[f"{bus}.{phase}"] for phase in (1, 2, 3)] for bus in feeder.three_phase_buses]
    return np.array(rows, int).reshape(-1, 3)


def vuf_percent(vr: Array, vi: Array, phases: np.ndarray) -> Array:
    """Unbalance factors of buses, (n_three_phase_bus,); 0 where there is no voltage."""
    (ar, br, cr), (ai, bi, ci) = (part[phases].T for part in (vr, vi))
    # a b + a^2 c and its mirror image: -(b + c) / 2 +- j (b - c) sqrt(3) / 2
    middle_r, middle_i = ar - (br + cr) / 2, ai - (bi + ci) / 2
    turned_r, turned_i = _HALF_ROOT_3 * (ci - bi), _HALF_ROOT_3 * (br - cr)
    positive = (middle_r + turned_r) ** 2 + (middle_i + turned_i) ** 2
    negative = (middle_r - turned_r) ** 2 + (middle_i - turned_i) ** 2
    # the double `where` keeps derivatives finite where a part is 0
    ratio = negative / jnp.where(positive > 0, positive, 1.0)
    some = (positive > 0) & (negative > 0)
    return 100 * jnp.where(some, jnp.sqrt(jnp.where(some, ratio, 1.0)), 0.0)
