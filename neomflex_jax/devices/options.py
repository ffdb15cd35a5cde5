"""What kinds share: stacked parameters, options that trace nothing where they are off, magnitudes, the power circle."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from neomflex_jax.devices.device import Own

P = TypeVar("P", bound=tuple[Any, ...])


def stacked(
    params: type[P],
    devices: Sequence[Own],
    absent: Mapping[str, float] | None = None,
    **given: ArrayLike | Sequence[float],
) -> P:
    """Stack the fields of devices that a NamedTuple names, as new arrays (n_device,) of float64.

    `absent` holds what stands for None; `given` are values that are no fields. The arrays are new at every call, for
    JAX 0.10.2 mixes up the precisions of programs that share one NumPy array.
    """
    columns: dict[str, np.ndarray] = {name: np.full(len(devices), value) for name, value in given.items()}
    for name in params._fields:  # type: ignore[attr-defined]
        if name not in given:
            values = [getattr(device, name) for device in devices]
            columns[name] = np.array([(absent or {})[name] if value is None else value for value in values], float)
    return params(**columns)


def by_bus(name: str, devices: Sequence[Own], values: np.ndarray) -> dict[str, np.ndarray]:
    """Split (n_steps, n_device) into columns by the devices' buses; the name has {} in the place of the bus."""
    return {name.format(device.bus): values[:, index] for index, device in enumerate(devices)}


def is_off(value: ArrayLike, neutral: float, like: ArrayLike) -> bool:
    """True if an option is known to change neither the values of `like` nor its shape.

    Only Python and NumPy values are known before anything runs; a JAX array always counts as an option in use.
    """
    if not isinstance(value, bool | int | float | np.ndarray | np.generic):
        return False
    shape = np.shape(like)
    return bool(np.all(np.equal(value, neutral))) and np.broadcast_shapes(np.shape(value), shape) == shape


def magnitude(value: Array) -> Array:
    """Return ``|value|``, with the derivative 0 at 0, where JAX takes 1: what is at rest is pushed nowhere."""
    return value * lax.stop_gradient(jnp.sign(value))


def times(power: Array, efficiency: ArrayLike) -> Array:
    """Return the product, `power` itself where all efficiencies are known to be 1."""
    return power if is_off(efficiency, 1.0, power) else power * jnp.asarray(efficiency)


def over(power: Array, efficiency: ArrayLike) -> Array:
    """Return the quotient, `power` itself where all efficiencies are known to be 1."""
    return power if is_off(efficiency, 1.0, power) else power / jnp.asarray(efficiency)


def room_in_circle(s_mva: ArrayLike, taken: ArrayLike) -> Array:
    """Return sqrt(s^2 - taken^2), 0 outside the circle of radius s, with a derivative of 0 on its edge.

    The true derivative there is infinite; one infinite entry would make NaN of a whole gradient.
    """
    squared = jnp.asarray(s_mva) ** 2 - jnp.asarray(taken) ** 2
    outside = squared <= 0
    return jnp.where(outside, 0.0, jnp.sqrt(jnp.where(outside, 1.0, squared)))
