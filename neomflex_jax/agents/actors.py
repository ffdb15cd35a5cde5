"""Decentralised actors, one an agent, stacked: every parameter carries a leading agent axis.

An actor maps its agent's own observation to the mean and the log standard deviation of an action before squashing; the
gradient learner uses the mean alone. Padding comes last in a row, so that an unpadded network can be cut out. Where it
outweighs what is real, observations and actions are packed (`packing.py`), and agents of similar size are computed
together. Where agents share parameters (`sharing.py`), every agent's are made of its group's before they are applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Key, PyTree

from neomflex_jax.agents.fresh import fresh
from neomflex_jax.agents.networks import ACTIVATIONS, ActivationName, ActorNetwork
from neomflex_jax.agents.optimiser import mean_over_devices
from neomflex_jax.agents.sharing import Sharing
from neomflex_jax.errors import InputError
from neomflex_jax.packing import Packing, size_classes

Params: TypeAlias = PyTree
LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0


class Actor(nn.Module):
    """Observation to mean and log standard deviation before squashing."""

    hidden_sizes: tuple[int, ...]
    action_size: int
    activation: str

    @nn.compact
    def __call__(self, observation: Array) -> tuple[Array, Array]:
        """Return mean and log standard deviation, (..., action_size) each, for inputs (..., input_size)."""
        x = observation
        for size in self.hidden_sizes:
            x = ACTIVATIONS[self.activation](nn.Dense(size)(x), jnp)
        mean, log_std = jnp.split(nn.Dense(2 * self.action_size)(x), 2, axis=-1)
        return mean, LOG_STD_MIN + 0.5 * (LOG_STD_MAX - LOG_STD_MIN) * (jnp.tanh(log_std) + 1.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Statistics:
    """What observations are normalised by: ``(observation - mean) * scale``."""

    mean: Float[Array, "n_rows size"]
    scale: Float[Array, "n_rows size"]  # reciprocal of the standard deviation


def statistics_of(observations: Float[Array, "n_samples n_rows size"], mesh_axis: str | None = None) -> Statistics:
    """Return mean and spread of the observations of all devices; entries that do not vary are not scaled."""
    mean = mean_over_devices(jnp.mean(observations, axis=0), mesh_axis)
    std = jnp.sqrt(mean_over_devices(jnp.mean((observations - mean) ** 2, axis=0), mesh_axis))
    return Statistics(mean, jnp.where(std > 1e-6, 1.0 / jnp.maximum(std, 1e-6), 1.0))


@dataclass(frozen=True)
class Actors:
    """Binds sizes; holds no parameters and is hashable, so equal ones share a compilation."""

    hidden_sizes: tuple[int, ...]
    observation_sizes: tuple[int, ...]  # real entries of each agent; padding comes after them
    action_sizes: tuple[int, ...]
    activation: ActivationName = "relu"
    sharing: Sharing | None = None  # who shares parameters with whom; None: nobody

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.action_sizes)

    @cached_property
    def size_classes(self) -> tuple[tuple[int, ...], ...]:
        """Agents that are computed together."""
        return size_classes(self.observation_sizes)

    @cached_property
    def observations(self) -> Packing:
        """Where every agent's observation lies."""
        return Packing(self.observation_sizes, self.size_classes)

    @cached_property
    def actions(self) -> Packing:
        """Where every agent's action lies."""
        return Packing(self.action_sizes, self.size_classes)

    @property
    def observation_mask(self) -> np.ndarray:
        """True where an observation entry is real, (n_agents, observation_size), or (1, n_packed)."""
        return self.observations.mask

    @property
    def action_mask(self) -> np.ndarray:
        """True where an action entry is real, (n_agents, action_size), or (1, n_packed)."""
        return self.actions.mask

    @property
    def input_size(self) -> int:
        """Length of what a network sees: the padded observation."""
        return max(self.observation_sizes)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Of the inputs of all networks: that of observations."""
        return self.observations.shape

    @cached_property
    def _network(self) -> Actor:
        return Actor(self.hidden_sizes, max(self.action_sizes), self.activation)

    @property
    def _last(self) -> str:
        return f"Dense_{len(self.hidden_sizes)}"

    def init(self, key: Key[Array, ""]) -> Params:
        """Make fresh parameters."""
        keys = jax.random.split(key, self.n_agents)
        every = jax.vmap(lambda k: fresh(self._network, k, jnp.zeros(self.input_size)))(keys)
        return every if self.sharing is None else self.sharing.start(every, self._last)

    def every_agents(self, params: Params) -> Params:
        """Return the parameters of every agent, (n_agents, ...), whoever shares them."""
        sharing = self.sharing
        return params if sharing is None else sharing.expanded(params, self._last, self.observation_sizes)

    def nearly_idle(self, params: Params) -> Params:
        """Return parameters with a hundredth of the last layer's kernel: mean actions are then near 0, no control."""
        if self.sharing is not None and self.sharing.own_head:
            head = params["own"]["head"]
            return params | {"own": params["own"] | {"head": head | {"kernel": 0.01 * head["kernel"]}}}
        layer = params["params"][self._last]
        return params | {"params": params["params"] | {self._last: layer | {"kernel": 0.01 * layer["kernel"]}}}

    def no_statistics(self) -> Statistics:
        """Leave observations as they are."""
        return Statistics(jnp.zeros(self.observation_mask.shape), jnp.ones(self.observation_mask.shape))

    def inputs(
        self, statistics: Statistics, observation: Float[Array, "*batch n_rows size"]
    ) -> Float[Array, "*batch n_rows input_size"]:
        """Return the networks' inputs; padded entries are 0 whatever they hold."""
        normal = (observation - statistics.mean) * statistics.scale
        return jnp.where(self.observation_mask, normal, 0.0)

    def apply_one(
        self, params: Params, inputs: Float[Array, "*batch input_size"]
    ) -> tuple[Float[Array, "*batch action_size"], Float[Array, "*batch action_size"]]:
        """Return one agent's mean and log standard deviation before squashing."""
        outputs: Any = self._network.apply(params, inputs)
        return outputs

    def apply(
        self, params: Params, inputs: Float[Array, "*batch n_rows input_size"]
    ) -> tuple[Float[Array, "*batch n_rows action_size"], Float[Array, "*batch n_rows action_size"]]:
        """Return every agent's mean and log standard deviation before squashing."""
        axis, params = inputs.ndim - 2, self.every_agents(params)

        def every(network: Actor, params: Params, inputs: Array) -> tuple[Array, Array]:
            outputs: Any = jax.vmap(network.apply, in_axes=(0, axis), out_axes=axis)(params, inputs)
            return outputs

        if not self.observations.is_packed:
            return every(self._network, params, inputs)
        cut = [self._cut(number, params) for number in range(len(self.size_classes))]
        parts = [every(*each, own) for each, own in zip(cut, self.observations.split(inputs), strict=True)]
        mean, log_std = (self.actions.joined(each) for each in zip(*parts, strict=True))
        return mean, log_std

    def _cut(self, number: int, params: Params) -> tuple[Actor, Params]:
        """Return network and parameters of a class of agents, of the sizes of its largest."""
        last = self._last
        n_in, n_out, largest = self.observations.widths[number], self.actions.widths[number], max(self.action_sizes)
        members = np.array(self.size_classes[number])
        layers = jax.tree.map(lambda leaf: leaf[members], params["params"])
        layers["Dense_0"] = layers["Dense_0"] | {"kernel": layers["Dense_0"]["kernel"][:, :n_in]}
        of_mean_and_spread = np.arange(n_out) + np.array([[0], [largest]])
        layers[last] = jax.tree.map(lambda leaf: leaf[..., of_mean_and_spread.ravel()], layers[last])
        return Actor(self.hidden_sizes, n_out, self.activation), {"params": layers}

    def pooled(self, gradients: Params) -> Params:
        """Gradients as they act: of what agents share, averaged over these."""
        return gradients if self.sharing is None else self.sharing.averaged(gradients)

    def by_agent(self, values: Float[Array, " n_groups"]) -> Float[Array, " n_agents"]:
        """Return every agent's of what optimisers have: its group's, if agents share parameters."""
        return values if self.sharing is None else values[np.array(self.sharing.groups)]

    def networks(self, params: Params, statistics: Statistics) -> tuple[ActorNetwork, ...]:
        """Cut out the policy's mode: one unpadded network an agent, in NumPy."""
        params, statistics = jax.device_get((self.every_agents(params), statistics))
        return tuple(self._cut_out(params["params"], statistics, index) for index in range(self.n_agents))

    def _cut_out(self, params: Params, statistics: Statistics, index: int) -> ActorNetwork:
        n_in, n_out = self.observation_sizes[index], self.action_sizes[index]
        dense = [params[f"Dense_{layer}"] for layer in range(len(self.hidden_sizes) + 1)]
        layers = [(layer["kernel"][index], layer["bias"][index]) for layer in dense]
        layers[0] = (layers[0][0][:n_in], layers[0][1])
        layers[-1] = (layers[-1][0][:, :n_out], layers[-1][1][:n_out])  # the mean's part, real dimensions only
        own = self._entries(index)
        return ActorNetwork(statistics.mean[own], statistics.scale[own], tuple(layers), self.activation)

    def _entries(self, index: int) -> tuple[int, slice]:
        """Return where an agent's observation lies."""
        row, first = self.observations.start(index)
        return row, slice(first, first + self.observation_sizes[index])

    def from_networks(self, networks: Sequence[ActorNetwork], key: Array) -> tuple[Params, Statistics]:
        """Parameters and statistics that act as given networks do; what these lack (spread, padding) is fresh.

        Raises
        ------
        InputError
            If the networks have other sizes, or parameters are to be shared.
        """
        if self.sharing is not None:
            raise InputError(
                "initial policies are one network an agent; they cannot start shared parameters: "
                "give actors = 'independent'"
            )
        params, statistics = self.init(key), self.no_statistics()
        mean, scale, layers = statistics.mean, statistics.scale, dict(params["params"])
        for index, network in enumerate(networks):
            self._check_fits(network, index)
            mean = mean.at[self._entries(index)].set(network.observation_mean)
            scale = scale.at[self._entries(index)].set(network.observation_scale)
            for layer, (kernel, bias) in enumerate(network.layers):
                old = layers[f"Dense_{layer}"]
                layers[f"Dense_{layer}"] = {
                    "kernel": old["kernel"].at[index, : kernel.shape[0], : kernel.shape[1]].set(kernel),
                    "bias": old["bias"].at[index, : bias.shape[0]].set(bias),
                }
        return {"params": layers}, Statistics(mean, scale)

    def _check_fits(self, network: ActorNetwork, index: int) -> None:
        sizes = tuple(int(bias.shape[0]) for _, bias in network.layers)
        if sizes != (*self.hidden_sizes, self.action_sizes[index]):
            raise InputError(
                f"initial policies have hidden sizes {sizes[:-1]}, these actors {self.hidden_sizes}; "
                "give hidden_sizes that fit"
            )
        if network.activation != self.activation:
            raise InputError(
                f"initial policies have activation {network.activation!r}, these actors {self.activation!r}; "
                "give the activation that fits"
            )
