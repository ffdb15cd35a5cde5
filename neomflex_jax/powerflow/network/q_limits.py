"""What the equations of held voltages become where a generator is at a limit of its reactive power.

Such a generator is a given injection, and its voltage is free: the row of its bus in F is that of q instead of |u|^2.
So the Jacobian at u0 changes in one row for each generator at a limit, and with E those rows' unit vectors, R the
differences of the rows, and m 1 for those at a limit and else 0,

    (J + E m R)^-1 = J^-1 - J^-1 E (1 + m R J^-1 E)^-1 m R J^-1

Source: M. A. Woodbury, "Inverting modified matrices", Statistical Research Group, Princeton, 1950.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.parts import HeldVoltages, HostArray
from neomflex_jax.one_line import one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class QLimits:
    """Limits of generators, and by what they change the Jacobian's inverse; per unit."""

    low: HostArray  # (n_held,) -inf where there is none
    high: HostArray  # (n_held,)
    change: HostArray  # (2 n_bus, n_held) R, transposed
    answer: HostArray  # (n_held, 2 n_bus) J^-1 E, transposed
    small: HostArray  # (n_held, n_held) R J^-1 E

    __repr__ = one_line

    def given(self, at_limit: Array) -> Array:
        """Return what generators at a limit deliver, (n_held,), 0 for the others; `at_limit` is -1, 0 or 1."""
        low, high = jnp.where(at_limit < 0, self.low, 0.0), jnp.where(at_limit > 0, self.high, 0.0)
        return low + high

    def beyond(self, q: Array) -> Array:
        """Return -1 or 1 where q, (n_held,), is below or above its limits, else 0."""
        return jnp.where(q > self.high, 1, jnp.where(q < self.low, -1, 0)).astype(jnp.int32)

    def corrected(self, d: Array, at_limit: Array) -> Array:
        """Turn J^-1 F, (2 n_bus,), into what the changed Jacobian makes of F."""
        m = (at_limit != 0).astype(d.dtype)
        inner = jnp.eye(len(m), dtype=d.dtype) + m[:, None] * self.small
        return d - jnp.linalg.solve(inner, m * (d @ self.change)) @ self.answer


def q_limits(held: HeldVoltages, s_base_mva: float, rows: HostArray, inverse: HostArray) -> QLimits | None:
    """Build a feeder's; None where no generator states one.

    Parameters
    ----------
    held, s_base_mva
        The feeder's.
    rows
        The Jacobian's rows of q less those of |u|^2 / 2 at all buses, (n_bus, 2 n_bus).
    inverse
        Of the Jacobian, transposed, (2 n_bus, 2 n_bus).
    """
    if held.q_min_mvar is None or held.q_max_mvar is None:
        return None
    bus, n = np.array(held.bus), len(rows)
    change, answer = rows[bus].T, inverse[n + bus]
    xp = np if isinstance(held.q_min_mvar, np.ndarray) and isinstance(held.q_max_mvar, np.ndarray) else jnp
    low, high = (
        xp.where(xp.isnan(limit) | np.array(held.is_slack), none, limit / s_base_mva)
        for limit, none in ((held.q_min_mvar, -np.inf), (held.q_max_mvar, np.inf))
    )
    return QLimits(low, high, change, answer, answer @ change)
