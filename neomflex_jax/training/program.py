"""The compiled programs of a run: an algorithm for one seed, or mapped over several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.environment import Environment
from neomflex_jax.training.algorithm import Algorithm, TrainState
from neomflex_jax.training.step_metrics import Metrics


@dataclass(frozen=True)
class Program:
    """Binds an algorithm and a number of seeds; with more than one, states have a leading axis of seeds."""

    algorithm: Algorithm
    n_seeds: int = 1

    def begin(self, env: Environment, seeds: Sequence[int]) -> TrainState:
        """Start and warm up, one training a seed."""
        keys = [jax.random.key(seed) for seed in seeds]
        return _begin(self, env, keys[0] if self.n_seeds == 1 else jnp.stack(keys))

    def template(self, env: Environment) -> TrainState:
        """Give shapes and dtypes of a state."""
        start = self.algorithm.start
        if self.n_seeds == 1:
            return jax.eval_shape(start, env, jax.random.key(0))
        return jax.eval_shape(
            jax.vmap(start, in_axes=(None, 0)), env, jax.random.split(jax.random.key(0), self.n_seeds)
        )

    def advance(self, env: Environment, state: TrainState, share: float) -> tuple[TrainState, Metrics]:
        """Make a chunk; takes the state's memory."""
        return _advance(self, env, state, jnp.asarray(share, jnp.float32))

    def with_networks(self, state: TrainState, networks: Sequence[ActorNetwork]) -> TrainState:
        """Start every seed from the given policies."""
        start = self.algorithm.with_networks
        if self.n_seeds == 1:
            return replace(state, learner=start(state.learner, networks, jax.random.fold_in(state.key, 1)))
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.key, 1)
        return replace(state, learner=jax.vmap(lambda learner, key: start(learner, networks, key))(state.learner, keys))

    def with_settings(self, state: TrainState, settings: Sequence[Mapping[str, float]]) -> TrainState:
        """Give every training its own values of the traced settings, by name; the warm-up does not depend on them."""
        old = state.learner.settings
        values = {}
        for name, leaf in vars(old).items():
            given = np.array([each[name] for each in settings], leaf.dtype)
            values[name] = jnp.asarray(given.reshape(leaf.shape))  # bound to no device, as the rest
        return replace(state, learner=replace(state.learner, settings=replace(old, **values)))

    def steps(self, state: TrainState) -> int:
        """Environment steps made by all copies of one seed."""
        return int(np.ravel(jax.device_get(state.steps))[0]) * self.algorithm.n_copies

    def networks(self, state: TrainState) -> list[tuple[ActorNetwork, ...]]:
        """Give every seed's policy."""
        if self.n_seeds == 1:
            return [self.algorithm.networks(state.learner)]
        each = [jax.tree.map(lambda leaf, index=index: leaf[index], state.learner) for index in range(self.n_seeds)]
        return [self.algorithm.networks(one) for one in each]


@partial(jax.jit, static_argnums=0)
def _begin(program: Program, env: Environment, key: Array) -> TrainState:
    def one(key: Array) -> TrainState:
        return program.algorithm.warm_up(env, program.algorithm.start(env, key))

    return one(key) if program.n_seeds == 1 else jax.vmap(one)(key)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def _advance(program: Program, env: Environment, state: TrainState, share: Array) -> tuple[TrainState, Metrics]:
    def one(state: TrainState) -> tuple[TrainState, Metrics]:
        return program.algorithm.advance(env, state, share)

    return one(state) if program.n_seeds == 1 else jax.vmap(one)(state)
