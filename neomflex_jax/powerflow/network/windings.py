"""What rated ends carry beyond their branch, per unit: two branches share a winding, and iron is a shunt of a bus.

With j the current of a branch from its `from` to its `to` end, y u what a bus's shunt holds of the transformer, and c
the ratio at the next branch's `from` end, a winding that this branch ends at and the next begins at carries, into the
transformer, ``y u - j + conj(c) j_next``, for an ideal transformer keeps power.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import STATIC, HostArray
from neomflex_jax.one_line import one_line

Pair = tuple[HostArray, HostArray]  # real and imaginary part


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class RatedEnds:
    """Admittances of the shunts at both ends, scaled as the voltages are, (n_winding,) each."""

    from_shunt: Pair
    to_shunt: Pair
    branch: tuple[int, ...] = field(metadata=STATIC)
    next_branch: tuple[int, ...] = field(metadata=STATIC)  # -1: none

    __repr__ = one_line

    def currents(self, u: tuple[Array, Array], ratio: Array, from_end: Array, to_end: Array) -> tuple[Array, Array]:
        """Currents into the transformer at both ends, complex, (n_winding,) each; 0 at a from end that is not rated.

        From voltages at both ends of all branches, the ratio c, the current into the `from` end behind c, and that out
        of the `to` end, (n_branch,) each, complex. The first is behind c, too.
        """
        row, following = np.array(self.branch), np.array(self.next_branch)
        alone = following < 0
        from_shunt, to_shunt = jax.lax.complex(*self.from_shunt), jax.lax.complex(*self.to_shunt)
        at_from = from_end[row] + from_shunt * u[0][row] / jnp.conj(ratio[row])
        joined = jnp.where(alone, 0.0, jnp.conj(ratio[following]) * from_end[following])
        return jnp.where(alone, at_from, 0.0), to_shunt * u[1][row] - to_end[row] + joined


def rated_ends(feeder: Feeder, magnitude: HostArray | None) -> RatedEnds | None:
    """Bring a feeder's windings into per unit; `magnitude`, (n_bus,), is what voltages are scaled by."""
    windings = feeder.windings
    if windings is None:
        return None
    rows = np.array(windings.branch)

    def scaled(g_us: HostArray, b_us: HostArray, ends: tuple[int, ...]) -> Pair:
        bus = np.array(ends)[rows]
        base = 1e-6 * feeder.vn_kv[bus] ** 2 / feeder.s_base_mva
        base = base if magnitude is None else base / magnitude[bus] ** 2
        return g_us * base, b_us * base

    return RatedEnds(
        from_shunt=scaled(windings.from_g_us, windings.from_b_us, feeder.topology.from_bus),
        to_shunt=scaled(windings.to_g_us, windings.to_b_us, feeder.topology.to_bus),
        branch=windings.branch,
        next_branch=windings.next_branch,
    )
