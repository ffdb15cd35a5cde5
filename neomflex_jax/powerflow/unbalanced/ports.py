"""What taps and capacitors of each case's own do, on a network that was factorised at the feeder's.

A winding at tap t in the place of t_0 sees its conductors' voltages v as ``t_0 / t v`` and draws ``t_0 / t m``, with m
the currents that it would draw at t_0: the feeder's own network with a voltage ``e = d v`` in series with each of the
winding's conductors and a current ``j = d m`` beside it, ``d = 1 - t_0 / t``. A bank of which the share s is in, in the
place of s_0, is the feeder's own with ``j = -d Y v``, ``d = s - s_0``, Y its admittance with all of it in. So with what
is seen, x (voltages in pu, currents in MVA at the node's base), and the sources s = D x, D = diag(d),

    x = x_0 + G c + H s   gives   s = K (x_0 + G c),   K = (I - D H)^-1 D

for the branches' currents c, and every voltage and current is what it was before plus a part in proportion to s. H has
few rows, and none is large, whatever the impedance of a regulator: the ports are those of an ideal transformer, and not
of admittances in parallel (Woodbury's identity on these would lose as many digits as they are larger than the grid's).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.branch_arrays import PortArrays

Pair: TypeAlias = tuple[Array, Array]  # real and imaginary parts


class Own(NamedTuple):
    """One case's own, or a batch's with its axis last."""

    shift: Array  # (2 n_branch, ...) what the ports add to the branches' voltages without load
    gain: Pair  # K, (n_port, n_port, ...)
    change: Array  # d, (n_port, ...), of which both are made


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Ports:
    """Where taps and capacitors act; complex vectors are real and imaginary parts one after the other."""

    seen: Array  # (2 n_port,) x_0
    seen_by_branch: Array  # (2 n_port, 2 n_branch) G
    own: Pair  # H, (n_port, n_port) real and imaginary part
    branch: Array  # (2 n_branch, 2 n_port) what sources add to the branches' voltages, as `PortNetwork.impedance`
    node: Array  # (2 n_node, 2 n_port)
    source: Array  # (2 n_terminal, 2 n_port)
    conductor: Pair  # (n_conductor, n_port)
    meter: Array  # (2 n_meter, 2 n_port)
    present: Array  # (n_tap + n_capacitor,) taps and shares that the network has
    setting: tuple[int, ...] = field(metadata=STATIC)  # (n_port,) which of those acts there
    n_tap: int = field(metadata=STATIC)

    __repr__ = one_line

    def of_case(self, tap_ratio: Array | None, capacitor_share: Array | None) -> Own:
        """Work out one case's own from its taps (n_tap,) and shares (n_capacitor,); None: as the network has them."""
        n_tap, present = self.n_tap, self.present
        taps = 1.0 - present[:n_tap] / (present[:n_tap] if tap_ratio is None else tap_ratio)
        shares = jnp.zeros_like(present[n_tap:]) if capacitor_share is None else capacitor_share - present[n_tap:]
        d = jnp.concatenate([taps, shares])[np.array(self.setting, int)]
        real, imaginary = d[:, None] * self.own[0], d[:, None] * self.own[1]
        inverse = _inverse(jnp.eye(len(d), dtype=real.dtype) - real, -imaginary)
        gain = inverse[0] * d, inverse[1] * d
        return Own(self.branch @ sources(gain, self.seen), gain, d)

    @property
    def arrays(self) -> PortArrays:
        """What the kernel takes."""
        return PortArrays(self.seen, self.own, self.seen_by_branch, self.branch)


def sources(gain: Pair, seen: Array) -> Array:
    """Sources s from what is seen without them, (2 n_port, ...) both."""
    n_port = gain[0].shape[0]
    xr, xi = seen[None, :n_port], seen[None, n_port:]
    kr, ki = gain
    return jnp.concatenate([jnp.sum(kr * xr - ki * xi, axis=1), jnp.sum(kr * xi + ki * xr, axis=1)])


@jax.custom_jvp
def _inverse(real: Array, imaginary: Array) -> Pair:
    """Inverse of a complex matrix by elimination without pivots, of which one next to I needs none.

    LAPACK's batched kernels hang where several threads call them (`powerflow/batch.py`).
    """

    def eliminate(k: Array, parts: Pair) -> Pair:
        (row_r, row_i), (column_r, column_i) = ((part[k] for part in parts), (part[:, k] for part in parts))
        size = row_r[k] ** 2 + row_i[k] ** 2
        pr, pi = row_r[k] / size, -row_i[k] / size
        row_r, row_i = row_r * pr - row_i * pi, row_r * pi + row_i * pr
        row_r, row_i = row_r.at[k].set(pr), row_i.at[k].set(pi)
        ar, ai = (part.at[:, k].set(0.0) for part in parts)
        ar = ar - (column_r[:, None] * row_r - column_i[:, None] * row_i)
        ai = ai - (column_r[:, None] * row_i + column_i[:, None] * row_r)
        return ar.at[k].set(row_r), ai.at[k].set(row_i)

    return lax.fori_loop(0, real.shape[0], eliminate, (real, imaginary))


@_inverse.defjvp
def _inverse_jvp(primals: Pair, tangents: Pair) -> tuple[Pair, Pair]:
    """Derivative ``-A^-1 dA A^-1``."""
    r, i = _inverse(*primals)
    dr, di = tangents
    real, imaginary = dr @ r - di @ i, dr @ i + di @ r
    return (r, i), (i @ imaginary - r @ real, -(r @ imaginary + i @ real))
