"""Values of devices added up at their buses, as one small product: XLA turns a scatter into a serial loop on CPUs."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def sum_at_bus(
    values: Sequence[Array], bus: Sequence[np.ndarray], n_bus: int, scaled: tuple[Array, Array] | None = None
) -> Array:
    """Sums by bus, (n_bus,), of the values of kinds, (n_device,) each.

    Parameters
    ----------
    bus
        Positions (n_device,) of each kind's devices.
    scaled
        A factor () and a row (n_bus,) whose product is added, which costs no pass over all buses of its own.
    """
    parts, rows = list(values), [np.eye(n_bus)[each] for each in bus]
    if scaled is not None:
        parts, rows = [*parts, scaled[0][None]], [*rows, scaled[1][None]]
    if not parts:
        return jnp.zeros(n_bus)
    joined = jnp.concatenate(parts)
    with jax.default_matmul_precision("highest"):
        return joined @ jnp.concatenate([jnp.asarray(row, joined.dtype) for row in rows])
