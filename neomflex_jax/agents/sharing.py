"""Parameters that agents share, and what each keeps of its own.

    independent   every agent its own parameters
    shared        one trunk for all; an agent's own are the first layer's bias and the last layer
    by-kind       all layers for the agents of a kind, which control the same; an agent's own is the first layer's bias

The own bias says where an agent is: one input for each agent, 1 for itself, would do the same and cost the square of
their number. Agents of a group see different numbers of buses, and what all of them see comes last in their
observations: so rows of the first kernel are counted from the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from neomflex_jax.agents.optimiser import Params

SharingName = Literal["independent", "shared", "by-kind"]
SHARING = get_args(SharingName)


@dataclass(frozen=True)
class Sharing:
    """Who shares with whom; parameters have a leading axis of groups, which optimisers go by."""

    groups: tuple[int, ...]  # number of every agent's group, from 0 on
    own_head: bool  # the last layer is every agent's own

    @cached_property
    def members(self) -> tuple[np.ndarray, ...]:
        """Agents of each group."""
        return tuple(np.flatnonzero(np.array(self.groups) == group) for group in range(max(self.groups) + 1))

    @cached_property
    def _places(self) -> np.ndarray:
        """Place of every agent in its group."""
        places = np.zeros(len(self.groups), int)
        for members in self.members:
            places[members] = np.arange(len(members))
        return places

    def start(self, every: Params, last: str) -> Params:
        """Return fresh parameters from fresh ones of every agent, (n_agents, ...); `last` names the last layer."""
        first = np.array([members[0] for members in self.members])
        layers = {name: jax.tree.map(lambda leaf: leaf[first], layer) for name, layer in every["params"].items()}
        own: Params = {"bias": jnp.zeros_like(every["params"]["Dense_0"]["bias"])}
        if self.own_head:
            own["head"] = every["params"][last]
            del layers[last]
        return {"params": layers, "own": jax.tree.map(self._by_group, own)}

    def expanded(self, params: Params, last: str, sizes: Sequence[int]) -> Params:
        """Return the parameters of every agent, (n_agents, ...); agents see so many entries each."""
        group, largest = np.array(self.groups), max(sizes)
        own = jax.tree.map(lambda leaf: leaf[group, self._places], params["own"])
        layers = {name: jax.tree.map(lambda leaf: leaf[group], layer) for name, layer in params["params"].items()}
        rows = (np.arange(largest) + largest - np.array(sizes)[:, None]) % largest
        kernel = params["params"]["Dense_0"]["kernel"][group[:, None], rows]
        layers["Dense_0"] = {"kernel": kernel, "bias": layers["Dense_0"]["bias"] + own["bias"]}
        return {"params": layers | ({last: own["head"]} if self.own_head else {})}

    def averaged(self, gradients: Params) -> Params:
        """Return gradients, of what is shared averaged over who shares it: as large as those of one agent."""
        counts = np.array([len(members) for members in self.members])

        def mean(leaf: jax.Array) -> jax.Array:
            return leaf / counts.reshape(-1, *(1,) * (leaf.ndim - 1)).astype(leaf.dtype)

        return gradients | {"params": jax.tree.map(mean, gradients["params"])}

    def _by_group(self, leaf: jax.Array) -> jax.Array:
        """Return (n_groups, largest group, ...) of (n_agents, ...), 0 where a group is smaller."""
        shape = len(self.members), max(map(len, self.members)), *leaf.shape[1:]
        return jnp.zeros(shape, leaf.dtype).at[np.array(self.groups), self._places].set(leaf)


def sharing_of(
    actors: str, n_agents: int, kinds: Sequence[int] | None = None, *, share_actor: bool = False
) -> Sharing | None:
    """Return who shares what.

    Parameters
    ----------
    actors
        One of `SHARING`.
    n_agents
        How many there are.
    kinds
        Number of every agent's kind, from 0 on: agents of a kind control the same. None: they are all of one.
    share_actor
        True makes `independent` mean `shared`.

    Returns
    -------
    Sharing or None
        None: nobody shares anything.
    """
    if actors == "by-kind":
        return Sharing(tuple(kinds or (0,) * n_agents), own_head=False)
    return Sharing((0,) * n_agents, own_head=True) if share_actor or actors == "shared" else None
