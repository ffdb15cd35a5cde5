"""The protocol that everything that acts shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

STATIC = {"static": True}


class Policy(Protocol):
    """A pytree that maps padded observations to padded actions; agent i's row depends on agent i's row alone."""

    def __call__(self, observation: Float[Array, "n_agents observation_size"]) -> Float[Array, "n_agents action_size"]:
        """Choose the actions of one step.

        Parameters
        ----------
        observation
            Padded: an agent's own entries come first in its row.

        Returns
        -------
        action
            In [-1, 1], padded likewise.
        """
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class NoControl:
    """Zero actions: batteries idle, inverters at unity power factor."""

    action_size: int = field(metadata=STATIC)

    def __call__(self, observation: Float[Array, "n_agents observation_size"]) -> Float[Array, "n_agents action_size"]:
        """Return zeros."""
        return jnp.zeros((observation.shape[0], self.action_size), observation.dtype)
