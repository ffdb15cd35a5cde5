"""Sums of devices' or nodes' values by agent.

Of few agents, a product with the matrix of who owns what is fastest: a CPU is slow at sums along short rows. Of many,
nearly all of that would be products with 0. There all agents' first values are added up with their second ones, and so
on; and the derivative, every value's from its owner, is gathered, where that sum's own would be a scatter: a serial
loop, which the compiler would work out beforehand wherever a weight is constant, for minutes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.grid.territories import pad

LARGEST_MATRIX = 100_000  # entries of a matrix of who owns what


def sums_by_agent(
    owns: Float[np.ndarray, "n_agents n_values"], values: Float[Array | np.ndarray, " n_values"]
) -> Float[Array, " n_agents"]:
    """Return sums by agent; `owns` is 1 where an agent has a value, else 0, and a value has one owner at most."""
    if owns.size <= LARGEST_MATRIX:
        return jnp.matmul(jnp.asarray(owns, jnp.result_type(float)), values, precision="highest")
    slots, mask = pad([np.flatnonzero(own) for own in owns], fill=0)
    owner = np.where(owns.any(axis=0), owns.argmax(axis=0), len(owns))  # nobody's value is left out

    @jax.custom_jvp
    def sums(values: Array) -> Array:
        return jnp.sum(jnp.where(mask.T, values[slots.T], 0.0), axis=0)

    @sums.defjvp
    def along(values: tuple[Array], change: tuple[Array]) -> tuple[Array, Array]:
        return sums(*values), jax.ops.segment_sum(*change, owner, len(owns))

    return sums(jnp.asarray(values))
