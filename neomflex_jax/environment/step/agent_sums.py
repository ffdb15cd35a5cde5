"""Sums of devices' or nodes' values by agent.

Of few agents, a product with the matrix of who owns what is fastest: a CPU is slow at sums along short rows. Of many,
nearly all of that would be products with 0, and where the gradient is constant, the compiler would work it out for
longer than all the rest takes. There all agents' first values are added up with their second ones, and so on.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.grid.territories import pad

LARGEST_MATRIX = 100_000  # entries of a matrix of who owns what


def sums_by_agent(
    owns: Float[np.ndarray, "n_agents n_values"], values: Float[Array | np.ndarray, " n_values"]
) -> Float[Array, " n_agents"]:
    """Return sums by agent; `owns` is 1 where an agent has a value, else 0."""
    if owns.size <= LARGEST_MATRIX:
        return jnp.matmul(jnp.asarray(owns, jnp.result_type(float)), values, precision="highest")
    slots, mask = pad([np.flatnonzero(own) for own in owns], fill=0)
    return jnp.sum(jnp.where(mask.T, jnp.asarray(values)[slots.T], 0.0), axis=0)
