"""Arithmetic that the devices share: options that are off trace nothing, and the apparent-power circle."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


def is_off(value: ArrayLike, neutral: float, like: ArrayLike) -> bool:
    """Whether an option is known to have no effect on `like`, neither on its values nor on its shape.

    Only Python and NumPy values are known before anything runs; a JAX array always counts as an option in use.
    """
    if not isinstance(value, bool | int | float | np.ndarray | np.generic):
        return False
    shape = np.shape(like)
    return bool(np.all(np.equal(value, neutral))) and np.broadcast_shapes(np.shape(value), shape) == shape


def room_in_circle(s_mva: ArrayLike, taken: ArrayLike) -> Array:
    """Give sqrt(s^2 - taken^2), 0 outside the circle of radius s, with a derivative of 0 on its edge.

    The true derivative there is infinite; one infinite entry would make NaN of a whole gradient.
    """
    squared = jnp.asarray(s_mva) ** 2 - jnp.asarray(taken) ** 2
    outside = squared <= 0
    return jnp.where(outside, 0.0, jnp.sqrt(jnp.where(outside, 1.0, squared)))
