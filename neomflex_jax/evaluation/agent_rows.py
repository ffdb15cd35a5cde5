"""Numbers of every agent in every step, as records keep them: observations and actions.

They have a row an agent, (n_steps, n_agents, largest size), padding last in a row. Where most of that would be padding
(`packing.py`), one agent's follow the other's instead: joined, (n_steps, sum of the sizes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Shaped

from neomflex_jax.packing import size_classes

Values = TypeVar("Values", np.ndarray, Array)


def joined_sizes(mask: Bool[np.ndarray, "n_agents size"]) -> tuple[int, ...] | None:
    """Return the sizes of agents whose numbers are joined, by which entries are real; None: they have a row each."""
    sizes = tuple(int(size) for size in mask.sum(axis=1))
    return None if len(size_classes(sizes)) == 1 else sizes


@dataclass(frozen=True, eq=False)
class AgentRows:
    """Numbers of every agent in some steps, or in one."""

    values: Float[np.ndarray, "*steps n_agents size"] | Float[np.ndarray, "*steps n_joined"]
    sizes: tuple[int, ...] | None = None  # of joined agents; None: a row each

    def __getitem__(self, which: int | slice | Shaped[np.ndarray, " n_chosen"]) -> AgentRows:
        """Return some of the steps."""
        return replace(self, values=self.values[which])

    def of(self, agent: int) -> Float[np.ndarray, "*steps size"]:
        """Return an agent's numbers, with the padding of its row if it has one."""
        if self.sizes is None:
            return self.values[..., agent, :]
        first = sum(self.sizes[:agent])
        return self.values[..., first : first + self.sizes[agent]]

    @property
    def padded(self) -> Float[np.ndarray, "*steps n_agents largest"]:
        """A row an agent, 0 where padded."""
        if self.sizes is None:
            return self.values
        mask = _mask(self.sizes)
        rows = np.zeros((*self.values.shape[:-1], *mask.shape), self.values.dtype)
        rows[..., mask] = self.values
        return rows

    def entry(self, place: Sequence[int]) -> tuple[int, int]:
        """Return agent and entry of it, of a place in a step's values."""
        if self.sizes is None:
            return int(place[0]), int(place[1])
        agent, entry = np.argwhere(_mask(self.sizes))[place[0]]
        return int(agent), int(entry)


def laid_out(rows: Values, sizes: tuple[int, ...] | None) -> Values:
    """Return padded rows (..., n_agents, largest) as `AgentRows` of these sizes has them."""
    if sizes is None:
        return rows
    agent, entry = _mask(sizes).nonzero()
    return rows[..., agent, entry]


def _mask(sizes: tuple[int, ...]) -> Bool[np.ndarray, "n_agents largest"]:
    return np.arange(max(sizes)) < np.array(sizes)[:, None]
