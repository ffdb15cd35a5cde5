"""The compiled programs of a run: an algorithm for one seed, mapped over several seeds and spread over several devices.

Devices share the seeds where there are several, else the copies; see `devices.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.environment import Environment
from neomflex_jax.one_line import one_line
from neomflex_jax.training.ahead import compile_ahead
from neomflex_jax.training.algorithm import Algorithm, TrainState, algorithm_for
from neomflex_jax.training.devices import (
    EVERYWHERE,
    SPREAD,
    check_divisible,
    devices_in_all,
    mesh,
    on_host,
    placed,
)
from neomflex_jax.training.once import once
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.step_metrics import Metrics


@dataclass(frozen=True)
class Program:
    """Binds an algorithm with a device's sizes, and numbers; with several seeds, states have a leading axis of them."""

    algorithm: Algorithm
    n_seeds: int = 1
    n_devices: int = 1

    __repr__ = one_line

    @property
    def n_copies(self) -> int:
        """Copies that all devices step side by side for one seed."""
        return self.algorithm.n_copies * (self.n_devices if self.n_seeds == 1 else 1)

    def begin(self, env: Environment, seeds: Sequence[int]) -> TrainState:
        """Return the state after the warm-up, one training a seed."""
        state: TrainState = _begin(self, env, self._keys(seeds))
        return state

    def template(self, env: Environment) -> TrainState:
        """Return shapes, dtypes and places of a state."""
        return placed(self._shapes(env), self._state_place, self.n_devices)

    def compile_ahead(self, env: Environment, state: TrainState | None = None, *, from_networks: bool = False) -> None:
        """Have other threads compile what `advance` runs.

        Parameters
        ----------
        env
            Of the training.
        state
            That it goes on from; None: from what `begin` returns, which is compiled first.
        from_networks
            True if `with_networks` comes between the two, and binds the state to its devices.
        """
        if state is None:
            compile_ahead(_begin, self, env, self._keys(range(self.n_seeds)))
            state = self.template(env) if from_networks or self.n_devices > 1 else self._shapes(env)
        compile_ahead(_advance, self, env, state, *_how_far(0.0, 0))

    def advance(
        self, env: Environment, state: TrainState, share: float, n_rounds: int | None = None
    ) -> tuple[TrainState, Metrics]:
        """Train for so many rounds, None: for a whole chunk; donates the state's buffers.

        Returns
        -------
        TrainState, Metrics
            The state after them, and metrics by name: a row for each of `chunk_rounds`, behind the axis of several
            seeds; 0 of rounds not made.
        """
        n_rounds = self.algorithm.chunk_rounds if n_rounds is None else n_rounds
        return _advance(self, env, state, *_how_far(share, n_rounds))

    def with_networks(self, state: TrainState, networks: Sequence[ActorNetwork]) -> TrainState:
        """Return the state with the given policy for every seed, one network an agent."""
        places = jax.tree.map(lambda leaf: leaf.sharding, state)
        start = self.algorithm.with_networks
        if self.n_seeds == 1:
            learner = start(state.learner, networks, jax.random.fold_in(state.key, 1))
        else:
            keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.key, 1)
            learner = jax.vmap(lambda learner, key: start(learner, networks, key))(state.learner, keys)
        return jax.jit(lambda state: state, out_shardings=places)(replace(state, learner=learner))

    def with_settings(self, state: TrainState, settings: Sequence[Mapping[str, float]]) -> TrainState:
        """Return the state with each training's own traced settings, by name; the warm-up does not depend on them."""
        old = state.learner.settings
        values = {}
        for name, leaf in vars(old).items():
            given = np.array([each[name] for each in settings], leaf.dtype)
            values[name] = jnp.asarray(given.reshape(leaf.shape))  # bound to no device, as the rest
        return replace(state, learner=replace(state.learner, settings=replace(old, **values)))

    def steps(self, state: TrainState) -> int:
        """Return the environment steps made by all copies of one seed."""
        return steps_of_a_copy(state) * self.n_copies

    def networks(self, state: TrainState) -> list[tuple[ActorNetwork, ...]]:
        """Return every seed's policy, one network an agent; all processes have to call it."""
        learner = on_host(state.learner, self.n_devices)
        if self.n_seeds == 1:
            return [self.algorithm.networks(learner)]
        each = [jax.tree.map(lambda leaf, index=index: leaf[index], learner) for index in range(self.n_seeds)]
        return [self.algorithm.networks(one) for one in each]

    def _shapes(self, env: Environment) -> TrainState:
        return jax.eval_shape(partial(_start, self), env, self._keys(range(self.n_seeds)))

    def _keys(self, seeds: Sequence[int]) -> Array:
        keys = [jax.random.key(seed) for seed in seeds]
        return keys[0] if self.n_seeds == 1 else jnp.stack(keys)

    @property
    def _state_place(self) -> PyTree:
        return self.algorithm.places() if self.n_seeds == 1 else SPREAD

    def _mapped(
        self, function: Callable[..., PyTree], takes: tuple[PyTree, ...], gives: PyTree
    ) -> Callable[..., PyTree]:
        """Return a function mapped over the seeds of its second argument, and over the devices.

        `takes` and `gives` say where arguments and results lie.
        """
        if self.n_seeds > 1:
            seed_axes = tuple(0 if index == 1 else None for index in range(len(takes)))
            function = jax.vmap(function, in_axes=seed_axes)
        if self.n_devices == 1:
            return function
        # Replication is not tracked: with tracking, gradients would be summed over devices before they are averaged.
        return jax.shard_map(function, mesh=mesh(self.n_devices), in_specs=takes, out_specs=gives, check_vma=False)


def program_for(env: Environment, options: TrainOptions) -> Program:
    """Bind all that is compiled.

    Raises
    ------
    InputError
        If the devices are too few, or cannot share copies or seeds equally.
    """
    n_devices = devices_in_all(options.devices)
    if options.n_seeds > 1:
        check_divisible("seeds", options.n_seeds, n_devices)
        return Program(algorithm_for(env, options), options.n_seeds, n_devices)
    return Program(algorithm_for(env, options, n_devices), n_devices=n_devices)


def steps_of_a_copy(state: TrainState) -> int:
    """Return the steps made by every copy: the same number for every seed, on every device."""
    return int(np.ravel(state.steps.addressable_data(0))[0])


def _how_far(share: float, n_rounds: int) -> tuple[Array, Array]:
    return jnp.asarray(share, jnp.float32), jnp.asarray(n_rounds, jnp.int32)


@partial(jax.jit, static_argnums=0)
def _start(program: Program, env: Environment, key: Array) -> TrainState:
    key_place = EVERYWHERE if program.n_seeds == 1 else SPREAD
    return program._mapped(program.algorithm.start, (EVERYWHERE, key_place), program._state_place)(env, key)


@once(static_argnums=0)
def _begin(program: Program, env: Environment, key: Array) -> TrainState:
    place = program._state_place
    return program._mapped(program.algorithm.warm_up, (EVERYWHERE, place), place)(env, _start(program, env, key))


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def _advance(
    program: Program, env: Environment, state: TrainState, share: Array, n_rounds: Array
) -> tuple[TrainState, Metrics]:
    place = program._state_place
    metrics_place = EVERYWHERE if program.n_seeds == 1 else SPREAD
    takes, gives = (EVERYWHERE, place, EVERYWHERE, EVERYWHERE), (place, metrics_place)
    return program._mapped(program.algorithm.advance, takes, gives)(env, state, share, n_rounds)
