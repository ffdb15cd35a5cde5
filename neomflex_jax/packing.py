"""How values of unequal agents lie in one array without much padding.

As rows, (n_agents, largest size), padding last in a row, they take the largest size times the number of agents. Where
most of that would be padding, agents form classes of similar size and are packed, (1, n_packed): class after class,
each as rows padded to its own largest, one row after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Int, Shaped

Values = TypeVar("Values", np.ndarray, Array)


def size_classes(sizes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return agents that are computed together, by their sizes: all, unless most of their rows would be padding."""
    if len(sizes) * max(sizes) <= 2 * sum(sizes):
        return (tuple(range(len(sizes))),)
    powers = np.ceil(np.log2(np.maximum(sizes, 1)))
    return tuple(tuple(np.flatnonzero(powers == power).tolist()) for power in np.unique(powers))


@dataclass(frozen=True)
class Packing:
    """Where the values of every agent lie: as rows if there is one class, else packed."""

    sizes: tuple[int, ...]  # real entries of each agent
    classes: tuple[tuple[int, ...], ...]  # agents of each

    @property
    def is_packed(self) -> bool:
        """False if arrays have a row an agent."""
        return len(self.classes) > 1

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Longest row of each class."""
        return tuple(max(self.sizes[agent] for agent in members) for members in self.classes)

    @property
    def shape(self) -> tuple[int, int]:
        """Of an array: (n_agents, largest size), or (1, n_packed)."""
        n_packed = sum(len(members) * width for members, width in zip(self.classes, self.widths, strict=True))
        return (1, n_packed) if self.is_packed else (len(self.sizes), max(self.sizes))

    @cached_property
    def mask(self) -> Bool[np.ndarray, "n_rows size"]:
        """True where an entry is real."""
        return self.packed(np.arange(max(self.sizes)) < np.array(self.sizes)[:, None])

    @cached_property
    def agent(self) -> Int[np.ndarray, "n_rows size"]:
        """Whose an entry is."""
        return self.packed(np.repeat(np.arange(len(self.sizes))[:, None], max(self.sizes), axis=1))

    def start(self, agent: int) -> tuple[int, int]:
        """Return row and place in it of an agent's first entry."""
        row, place = np.argwhere(self.agent == agent)[0]
        return int(row), int(place)

    def packed(self, rows: Values) -> Values:
        """Return rows (..., n_agents, largest size) as arrays are here."""
        if not self.is_packed:
            return rows
        parts = [rows[..., list(members), :width] for members, width in zip(self.classes, self.widths, strict=True)]
        return self.joined(parts)

    def joined(self, parts: Sequence[Values]) -> Values:
        """Return an array of rows by class, (..., n_members, width) each: the inverse of `split`."""
        if not self.is_packed:
            return parts[0]
        xp = np if isinstance(parts[0], np.ndarray) else jnp
        return xp.concatenate([part.reshape(*part.shape[:-2], 1, -1) for part in parts], axis=-1)

    def split(self, values: Shaped[Array, "*batch n_rows size"]) -> list[Shaped[Array, "*batch _n_members _width"]]:
        """Return rows by class."""
        if not self.is_packed:
            return [values]
        ends = np.cumsum([len(members) * width for members, width in zip(self.classes, self.widths, strict=True)])
        parts = jnp.split(values[..., 0, :], ends[:-1], axis=-1)
        return [part.reshape(*part.shape[:-1], -1, width) for part, width in zip(parts, self.widths, strict=True)]

    def rows(self, values: Shaped[Array, "*batch n_rows size"]) -> Shaped[Array, "*batch n_agents largest"]:
        """Return a row an agent, 0 where padded further: the inverse of `packed`."""
        parts = self.split(values)
        padded = [jnp.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, max(self.sizes) - part.shape[-1])]) for part in parts]
        return self.by_agent(padded, axis=-2)

    def sums(self, values: Shaped[Array, "*batch n_rows size"]) -> Shaped[Array, "*batch n_agents"]:
        """Return the sum of every agent's entries."""
        return self.by_agent([part.sum(axis=-1) for part in self.split(values)], axis=-1)

    def by_agent(self, parts: Sequence[Array], axis: int) -> Array:
        """Return one array in the order of the agents of what classes have along an axis, (n_members,)."""
        if not self.is_packed:
            return parts[0]
        place = np.argsort(np.concatenate(self.classes))
        return jnp.take(jnp.concatenate(parts, axis), place, axis)
