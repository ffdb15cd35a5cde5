"""The tanh-squashed Gaussian, with padded action dimensions left out.

``a = tanh(u)``, ``u ~ N(mean, std)``; ``log pi(a) = sum_i [log N(u_i) - log(1 - tanh(u_i)^2)]`` over the real
dimensions i. Source: Haarnoja et al., "Soft actor-critic algorithms and applications", arXiv:1812.05905, appendix C.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def sample(
    mean: Array,
    log_std: Array,
    mask: Array,
    noise: Array,
    sums: Callable[[Array], Array] | None = None,
) -> tuple[Array, Array]:
    """Sample with given standard normal noise, shapes (..., action_size).

    `sums` adds up the entries of every action; None: those of the last axis.

    Returns
    -------
    action, log_probability
        The action, 0 in padded dimensions, and its log-density, shape (...).
    """
    unsquashed = mean + jnp.exp(log_std) * noise
    log_normal = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2.0 * jnp.pi)
    # log(1 - tanh(u)^2) in a form that does not overflow
    log_jacobian = 2.0 * (jnp.log(2.0) - unsquashed - jax.nn.softplus(-2.0 * unsquashed))
    densities = jnp.where(mask, log_normal - log_jacobian, 0.0)
    log_probability = jnp.sum(densities, axis=-1) if sums is None else sums(densities)
    return jnp.where(mask, jnp.tanh(unsquashed), 0.0), log_probability


def mode(mean: Array, mask: Array) -> Array:
    """Return the squashed mean, what a trained policy does: the median of each dimension, 0 where padded."""
    return jnp.where(mask, jnp.tanh(mean), 0.0)
