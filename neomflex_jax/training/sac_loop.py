"""SAC's compiled loop: step all copies, add to the replay buffer, update, repeat, in one scan on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Key, PyTree

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.sac import LearnerState, Sac
from neomflex_jax.agents.sac.replay_buffer import ReplayBuffer, Transition, add, empty_buffer, sample_batch
from neomflex_jax.agents.sac.reward import UNITS
from neomflex_jax.environment import AutoReset, Environment, State
from neomflex_jax.fields import with_overrides
from neomflex_jax.one_line import one_line
from neomflex_jax.scenario import Scenario
from neomflex_jax.training.constraints import UNCONSTRAINED, Constraints
from neomflex_jax.training.devices import EVERYWHERE, SPREAD, key_of_device
from neomflex_jax.training.packed import packed_for
from neomflex_jax.training.rounds import make_rounds
from neomflex_jax.training.step_metrics import Metrics, share_at_bounds, step_metrics

CHUNK_STEPS = 24  # of every copy: half a day, about a second on two cores


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class SacState:
    """All that a training run is: saving it and loading it back continues the run bit for bit."""

    learner: LearnerState
    buffer: ReplayBuffer
    environments: State  # (n_copies, ...)
    observation: Array  # (n_copies, n_rows, size)
    key: Array  # () typed PRNG key
    steps: Array  # () int32 steps made by every copy

    __repr__ = one_line


@dataclass(frozen=True)
class SacTraining:
    """SAC as an `Algorithm`; `n_copies` and buffer are those of one device."""

    sac: Sac
    constraints: Constraints = UNCONSTRAINED

    __repr__ = one_line

    @property
    def n_copies(self) -> int:
        """Copies stepped side by side."""
        return self.sac.config.n_copies

    @property
    def chunk_rounds(self) -> int:
        """Steps of every copy in a whole chunk, each followed by its updates."""
        return CHUNK_STEPS

    @property
    def round_steps(self) -> int:
        """One step, followed by the updates."""
        return 1

    @property
    def actors(self) -> Actors:
        """Sizes and kind of the actors."""
        return self.sac.actors

    def places(self) -> SacState:
        """Return which arrays of a state the devices share: what belongs to copies."""
        everywhere: PyTree = EVERYWHERE
        spread: PyTree = SPREAD
        return SacState(
            learner=everywhere,
            buffer=ReplayBuffer(storage=spread, position=everywhere, filled=everywhere),
            environments=spread,
            observation=spread,
            key=everywhere,
            steps=everywhere,
        )

    def start(self, env: Environment, key: Key[Array, ""]) -> SacState:
        """Return fresh networks, fresh days and an empty buffer."""
        key, learner_key, reset_key = jax.random.split(key, 3)
        environments, timestep = jax.vmap(self._days(env).reset)(
            jax.random.split(key_of_device(reset_key, self.sac.mesh_axis), self.n_copies)
        )
        example = self._example()
        return SacState(
            learner=self.sac.init(learner_key),
            buffer=empty_buffer(example, self.sac.config.buffer_size),
            environments=environments,
            observation=timestep.observation,
            key=key,
            steps=jnp.zeros((), jnp.int32),
        )

    def _example(self) -> Transition:
        observation = jnp.zeros(self.sac.observation_mask.shape)
        return Transition(
            observation=observation,
            action=jnp.zeros(self.sac.action_mask.shape),
            reward=jnp.zeros(self.sac.n_agents),
            truncated=jnp.zeros(()),
            next_observation=observation,
            broken={name: jnp.zeros(()) for name in self.constraints.names},
        )

    @property
    def transition_bytes(self) -> int:
        """Bytes of a transition in the buffer."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(self._example)))

    def warm_up(self, env: Environment, state: SacState) -> SacState:
        """Fill the buffer with uniformly random actions, then take scales of observations and rewards from it."""
        config = self.sac.config
        shape = (self.n_copies, *self.sac.action_mask.shape)

        def act(state: SacState, key: Array) -> Array:
            return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0) * self.sac.action_mask

        def body(state: SacState, _: None) -> tuple[SacState, None]:
            return self._step(env, state, act)[0], None

        state = jax.lax.scan(body, state, None, length=config.warmup_steps)[0]
        seen = jax.tree.map(lambda leaf: leaf[: config.warmup_steps * self.n_copies], state.buffer.storage)
        learner = self.sac.with_reward_scale(state.learner, seen.reward)
        return replace(state, learner=self.sac.with_statistics(learner, seen.observation))

    def advance(
        self, env: Environment, state: SacState, share: Float[Array, ""], n_rounds: Int[Array, ""]
    ) -> tuple[SacState, Metrics]:
        """Make so many steps of every copy, at most a chunk of them, each followed by the updates."""

        def act(state: SacState, key: Array) -> Array:
            return self.sac.act(state.learner, state.observation, key)

        def step_and_learn(state: SacState) -> tuple[SacState, Metrics]:
            state, metrics = self._step(env, state, act)
            state, learning = self._learn(state, share)
            learner, axis = state.learner, self.sac.mesh_axis
            made = learner.multipliers, metrics, self.n_copies, UNITS, axis
            multipliers, metrics = self.constraints.ascended(*made)
            return replace(state, learner=replace(learner, multipliers=multipliers)), metrics | learning

        return make_rounds(step_and_learn, state, n_rounds, self.chunk_rounds, self.sac.mesh_axis)

    def networks(self, learner: LearnerState) -> tuple[ActorNetwork, ...]:
        """Return the trained policy, one network an agent."""
        return self.sac.networks(learner)

    def with_networks(self, learner: LearnerState, networks: Sequence[ActorNetwork], key: Array) -> LearnerState:
        """Return the learner with the given policy, one network an agent."""
        return self.sac.with_networks(learner, networks, key)

    def _days(self, env: Environment) -> AutoReset:
        if self.sac.config.days == "random":
            env = replace(env, scenario=_of_random_days(env.scenario))
        return AutoReset(packed_for(self.sac.actors, env))

    def _step(
        self, env: Environment, state: SacState, act: Callable[[SacState, Array], Array]
    ) -> tuple[SacState, Metrics]:
        key, action_key = jax.random.split(state.key)
        action = act(state, key_of_device(action_key, self.sac.mesh_axis))
        environments, timestep = jax.vmap(self._days(env).step)(state.environments, action)
        # A violation may end the day here, but never where policies are judged. Were nothing to come after it, learners
        # would look for violations, which cost less than to go on badly: so every end counts as the clock's.
        ended, is_shared = timestep.terminated | timestep.truncated, env.scenario.reward.sharing != "local"
        transitions = Transition(
            observation=state.observation,
            action=action,
            reward=self.sac.received(timestep.reward, timestep.info["local_reward"], shared=is_shared),
            truncated=ended.astype(timestep.reward.dtype),
            next_observation=timestep.final_observation,
            broken=self.constraints.broken(env, timestep),
        )
        advanced = replace(
            state,
            buffer=add(state.buffer, transitions),
            environments=environments,
            observation=timestep.observation,
            key=key,
            steps=state.steps + 1,
        )
        bounds = {"at_bounds": share_at_bounds(self.sac.actors.actions, action)}
        return advanced, step_metrics(env, timestep) | bounds | self.constraints.metrics(env, timestep)

    def _learn(self, state: SacState, share: Float[Array, ""]) -> tuple[SacState, Metrics]:
        config, axis = self.sac.config, self.sac.mesh_axis
        key, batch_key, update_key = jax.random.split(state.key, 3)
        batch_key, update_key = key_of_device(batch_key, axis), key_of_device(update_key, axis)
        shape, gamma = (config.updates_per_step, config.batch_size), state.learner.settings.gamma
        learned = partial(self.sac.learned_rewards, state.learner)
        batches = sample_batch(state.buffer, batch_key, shape, gamma, config.n_steps, self.n_copies, learned)

        keys = jax.random.split(update_key, config.updates_per_step)
        learner, metrics = self.sac.updates(state.learner, batches, keys, share)
        return replace(state, learner=learner, key=key), jax.tree.map(lambda values: values.mean(axis=0), metrics)


def _of_random_days(scenario: Scenario) -> Scenario:
    """Return the task with days and energies at random, played to their end: whole days are what is judged."""
    ends = {"on_violation": "continue"} if scenario.rules.on_violation == "end_day" else {}
    return with_overrides(scenario, {"day_order": "random", "energies": "random", **ends})
