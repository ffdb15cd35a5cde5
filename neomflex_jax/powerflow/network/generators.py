"""Reactive powers by which generators hold their voltages, in the linear form of a network with one slack.

``|u|^2 = |w|^2 + 2 (R p + X q)`` of `methods/lindistflow.py`: at buses g of generators |u_g| is known and q_g is not,
so that it solves their rows, with o the other buses,

    X_gg q_g = (|u_g|^2 - |w_g|^2) / 2 - R_g p - X_go q_o
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
from neomflex_jax.powerflow.network.dense import DenseNetwork


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Generators:
    """What generators do in a linear form; bus values in the network's layout, (n_padded,), per unit."""

    from_p: HostArray  # (n_padded, n_generator) p to the q of generators
    from_q: HostArray  # (n_padded, n_generator) q to that, 0 for the generators' own
    alone: HostArray  # (n_generator,) q of generators without any injection
    p_mw: HostArray  # (n_generator,) what they produce
    bus: tuple[int, ...] = field(metadata=STATIC)  # positions in the feeder
    place: tuple[int, ...] = field(metadata=STATIC)  # positions in the layout

    __repr__ = one_line

    def kept(self, p: Array, q: Array) -> Array:
        """Return q, (n_padded,), with the generators' buses at what keeps their voltages."""
        return q.at[np.array(self.place)].set(self.alone - p @ self.from_p - q @ self.from_q)

    def producing(self, p_injection_mw: Array) -> Array:
        """Return injections (n_bus,) with what generators produce."""
        return p_injection_mw.at[np.array(self.bus)].add(self.p_mw.astype(p_injection_mw.dtype))


def generators_of(feeder: Feeder, network: DenseNetwork, scale: HostArray | None) -> Generators:
    """Build the rule of a feeder's generators.

    `scale`: magnitudes of u over those of the buses' voltages, (n_bus,), None for 1.
    """
    held = feeder.held
    assert held is not None
    bus = np.array(held.bus)
    place = bus - (bus > feeder.topology.slack)
    vm = held.vm_pu if scale is None else held.vm_pu * scale[bus]
    at_place = network.no_load[0][place] ** 2 + network.no_load[1][place] ** 2
    r, x = network.r[:, place], network.x[:, place]  # to the generators' rows
    solve = jnp.linalg.inv(x[place])
    others = np.ones((len(network.r), 1))
    others[place] = 0.0
    return Generators(
        from_p=r @ solve,
        from_q=(x * others) @ solve,
        alone=0.5 * (vm**2 - at_place) @ solve,
        p_mw=held.p_mw,
        bus=held.bus,
        place=tuple(place.tolist()),
    )
