"""A trained actor to take away: one agent's network, unpadded, evaluated alike in NumPy and in JAX.

``action = tanh(W_n f(... f(W_1 x + b_1)) + b_n)``, f the activation, ``x = (observation - mean) * scale``: the mode of
the policy, no randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal, Protocol, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.one_line import one_line
from neomflex_jax.packing import size_classes

MANY = 32  # agents whose networks are stacked
Stored: TypeAlias = np.ndarray | Array
Values = TypeVar("Values", np.ndarray, Array)


class Activation(Protocol):
    """A function of values, elementwise."""

    def __call__(self, values: Values, xp: ModuleType) -> Values:
        """Evaluate it with the array module `xp` (`numpy` or `jax.numpy`)."""
        ...


def _relu(values: Values, xp: ModuleType) -> Values:
    return xp.maximum(values, 0.0)


def _tanh(values: Values, xp: ModuleType) -> Values:
    return xp.tanh(values)


ActivationName = Literal["relu", "tanh"]
ACTIVATIONS: dict[str, Activation] = {"relu": _relu, "tanh": _tanh}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ActorNetwork:
    """One agent's deterministic actor."""

    observation_mean: Stored  # (observation_size,)
    observation_scale: Stored  # (observation_size,)
    layers: tuple[tuple[Stored, Stored], ...]  # (kernel (size_in, size_out), bias (size_out,)) from input to output
    activation: str = field(default="relu", metadata={"static": True})

    __repr__ = one_line

    @property
    def observation_size(self) -> int:
        """Number of observation entries."""
        return int(self.observation_mean.shape[0])

    @property
    def action_size(self) -> int:
        """Number of action entries."""
        return int(self.layers[-1][1].shape[0])

    def __call__(self, observation: Values, xp: ModuleType = np) -> Values:
        """Act on (..., observation_size) with the array module `xp` (`numpy` or `jax.numpy`)."""
        x = (observation - self.observation_mean) * self.observation_scale
        for kernel, bias in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](x @ kernel + bias, xp)
        kernel, bias = self.layers[-1]
        return xp.tanh(x @ kernel + bias)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class NetworkPolicy:
    """All agents' actors as one policy on padded arrays (see `agents.policy.Policy`); padding comes last in a row."""

    networks: tuple[ActorNetwork, ...]

    __repr__ = one_line

    def __call__(self, observation: Float[Array, "n_agents observation_size"]) -> Float[Array, "n_agents action_size"]:
        """Return every agent's action from its own row alone."""
        action_size = max(network.action_size for network in self.networks)
        rows = [
            network(observation[index, : network.observation_size], jnp) for index, network in enumerate(self.networks)
        ]
        return jnp.stack([jnp.pad(row, (0, action_size - row.shape[0])) for row in rows])


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class StackedPolicy:
    """Many agents' actors as one policy: a compiler takes minutes over hundreds of networks one after the other."""

    mean: Stored  # (n_agents, observation_size), 0 where padded, as all that follows
    scale: Stored
    layers: tuple[tuple[Stored, Stored], ...]  # kernels (n_agents, size_in, size_out), biases (n_agents, size_out)
    sizes: tuple[int, ...] = field(metadata={"static": True})  # of the agents' observations
    activation: str = field(metadata={"static": True})

    __repr__ = one_line

    def __call__(self, observation: Float[Array, "n_agents observation_size"]) -> Float[Array, "n_agents action_size"]:
        """Return every agent's action from its own row alone."""
        real = np.arange(self.mean.shape[1]) < np.array(self.sizes)[:, None]
        x = jnp.where(real, (observation[:, : real.shape[1]] - self.mean) * self.scale, 0.0)
        for number, (kernel, bias) in enumerate(self.layers, start=1):
            x = jnp.einsum("ai,aij->aj", x, kernel) + bias
            x = ACTIVATIONS[self.activation](x, jnp) if number < len(self.layers) else jnp.tanh(x)
        return x


def team_policy(networks: Sequence[ActorNetwork]) -> NetworkPolicy | StackedPolicy:
    """Return all agents' actors as one policy on padded arrays: stacked if they are many and alike in size."""
    sizes = tuple(network.observation_size for network in networks)
    shapes = {(network.activation, len(network.layers)) for network in networks}
    if len(networks) < MANY or len(shapes) > 1 or len(size_classes(sizes)) > 1:
        return NetworkPolicy(tuple(networks))
    every = [(network.observation_mean, network.observation_scale, network.layers) for network in networks]
    mean, scale, layers = jax.tree.map(_stacked, *every)
    return StackedPolicy(mean, scale, layers, sizes, networks[0].activation)


def _stacked(*leaves: Stored) -> np.ndarray:
    """Return arrays as one with a leading axis, padded with 0 to the largest."""
    shape = np.max([leaf.shape for leaf in leaves], axis=0)
    stacked = np.zeros((len(leaves), *shape), leaves[0].dtype)
    for own, leaf in zip(stacked, leaves, strict=True):
        own[tuple(slice(size) for size in leaf.shape)] = leaf
    return stacked
