"""The linear methods of feeders with phases: currents in proportion to the powers, so one evaluation and no iteration.

A network's voltages are linear in the branches' currents c, ``v = w - Z A' c`` (`network.py`); what is not is how
currents follow voltages. Both methods take the voltages for that from a state that is known:

``lindistflow``, without load (u_0 = A w): ``c = conj(s / u_0)``, every load a constant power of its nominal size, and
squared magnitudes to first order, ``|v|^2 = |w|^2 - 2 Re(conj(w) Z A' c)``, angles ``arg w - Im(Z A' c / w)``. On a
tree of lines without charging w is the source's voltage everywhere, its phases keep their fixed rotation to each other,
Z sums the lines' phase matrices on the common way, and this is LinDist3Flow, term by term: D. Arnold, M. Sankur, R.
Dobbe, K. Brady, D. Callaway, A. von Meier, "Optimal dispatch of reactive power for voltage regulation and balancing in
unbalanced distribution systems", IEEE PES General Meeting, 2016. Transformers of any connection, delta loads, charging,
regulators and loops, which that recursion does not have, are in w and Z.

``calibrated``, at the feeder's own loads: ``c = conj(s) k(m*) y*``, y* the branch's voltage and k(m*) what its model
makes of it there (`iteration.py`), so exact at these loads: the fixed-point linearisation of A. Bernstein, C. Wang, E.
Dall'Anese, J.-Y. Le Boudec, C. Zhao, IEEE Trans. Power Systems 33(6), 2018, arXiv:1702.03310, with loads by model.

How far both are from `ac` is in docs/three_phase.md. Losses are the network's at these currents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.branch_arrays import LEAST
from neomflex_jax.powerflow.unbalanced.admittance import Follows
from neomflex_jax.powerflow.unbalanced.branches import Consumption
from neomflex_jax.powerflow.unbalanced.iteration import currents
from neomflex_jax.powerflow.unbalanced.network import PortNetwork
from neomflex_jax.powerflow.unbalanced.ports import Own

AROUND_OWN_LOADS = {"lindistflow": False, "calibrated": True}  # else without load


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Linear:
    """One of the linear methods."""

    rise: Array | None  # (2 n_branch,) of the state that is known; None: without load
    name: str = field(metadata=STATIC)

    __repr__ = one_line

    def drawn(self, network: PortNetwork, follows: Follows, drawn: Consumption, own: Own | None) -> Array:
        """Currents of one case's branches, (2 n_branch,), from its consumption (n_branch,)."""
        if self.rise is not None:
            return currents(network, follows, drawn, self.rise.astype(drawn.p.dtype), own)
        return currents(network, as_constant_power, drawn, jnp.zeros((2 * len(drawn.p),), drawn.p.dtype), own)


class Voltages(NamedTuple):
    """Of nodes, (n_node,) each."""

    real: Array
    imaginary: Array


def to_first_order(no_load: Array, rise: Array) -> Voltages:
    """Voltages whose squared magnitudes and angles are linear in the rises; all (2 n_node,), pu.

    NaN where a squared magnitude is below 0, which counts as not converged.
    """
    (wr, wi), (dr, di) = jnp.split(no_load, 2), jnp.split(rise, 2)
    squared = wr * wr + wi * wi
    some = squared > LEAST  # a node without voltage has no angle
    safe = jnp.where(some, squared, 1.0)
    change = jnp.where(some, 2 * (wr * dr + wi * di) / safe, 0.0)
    turn = jnp.where(some, (wr * di - wi * dr) / safe, 0.0)
    there = change > -1.0
    factor = jnp.where(there, jnp.sqrt(jnp.where(there, 1.0 + change, 1.0)), jnp.nan)
    cosine, sine = factor * jnp.cos(turn), factor * jnp.sin(turn)
    return Voltages(wr * cosine - wi * sine, wr * sine + wi * cosine)


def as_constant_power(m_squared: Array) -> tuple[Array, Array]:
    """Return k of p and of q of constant powers, whatever a branch's model is."""
    k = 1 / jnp.maximum(m_squared, LEAST)
    return k, k
