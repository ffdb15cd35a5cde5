"""The compiled training loop: step all copies, add to the replay buffer, update, repeat, in one scan on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.agents.sac import LearnerState, Sac
from neomflex_jax.agents.sac.replay_buffer import ReplayBuffer, Transition, add, empty_buffer, sample_transitions
from neomflex_jax.environment import AutoReset, Environment, State

Metrics = dict[str, Array]
COUNTS = ("violations", "failed_power_flows")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TrainState:
    """All that a training run is: saving it and loading it back continues the run bit for bit."""

    learner: LearnerState
    buffer: ReplayBuffer
    environments: State  # (n_copies, ...)
    observation: Array  # (n_copies, n_agents, observation_size)
    key: Array  # () typed PRNG key
    steps: Array  # () int32 steps made by every copy


def start(env: Environment, sac: Sac, key: Array) -> TrainState:
    """Fresh networks, fresh days, an empty buffer."""
    key, learner_key, reset_key = jax.random.split(key, 3)
    reset = jax.vmap(AutoReset(env).reset)
    environments, timestep = reset(jax.random.split(reset_key, sac.config.n_copies))
    observation = jnp.zeros(sac.observation_mask.shape)
    example = Transition(
        observation, jnp.zeros(sac.action_mask.shape), jnp.zeros(sac.n_agents), jnp.zeros(()), observation
    )
    return TrainState(
        learner=sac.init(learner_key),
        buffer=empty_buffer(example, sac.config.buffer_size),
        environments=environments,
        observation=timestep.observation,
        key=key,
        steps=jnp.zeros((), jnp.int32),
    )


def warm_up(env: Environment, sac: Sac, state: TrainState) -> TrainState:
    """Fill the buffer with uniformly random actions, then fix the observation normalisation from it."""
    shape = (sac.config.n_copies, *sac.action_mask.shape)

    def act(state: TrainState, key: Array) -> Array:
        return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0) * sac.action_mask

    def body(state: TrainState, _: None) -> tuple[TrainState, None]:
        return _step(env, sac, state, act)[0], None

    state = jax.lax.scan(body, state, None, length=sac.config.warmup_steps)[0]
    seen = state.buffer.storage.observation[: sac.config.warmup_steps * sac.config.n_copies]
    return replace(state, learner=sac.with_statistics(state.learner, seen))


def train_steps(env: Environment, sac: Sac, state: TrainState, n_steps: int) -> tuple[TrainState, Metrics]:
    """Make `n_steps` steps of every copy, each followed by the updates; metrics are means, counts are sums."""

    def act(state: TrainState, key: Array) -> Array:
        keys = jax.random.split(key, sac.config.n_copies)
        return jax.vmap(partial(sac.act, state.learner))(state.observation, keys)

    def body(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
        state, metrics = _step(env, sac, state, act)
        state, learning = _learn(sac, state)
        return state, metrics | learning

    state, metrics = jax.lax.scan(body, state, None, length=n_steps)
    means = {name: jnp.mean(values, axis=0) for name, values in metrics.items() if name not in COUNTS}
    return state, means | {name: jnp.sum(metrics[name]) for name in COUNTS}


def _step(
    env: Environment, sac: Sac, state: TrainState, act: Callable[[TrainState, Array], Array]
) -> tuple[TrainState, Metrics]:
    key, action_key = jax.random.split(state.key)
    action = act(state, action_key)
    environments, timestep = jax.vmap(AutoReset(env).step)(state.environments, action)
    transitions = Transition(
        observation=state.observation,
        action=action,
        reward=timestep.reward,
        terminated=timestep.terminated.astype(timestep.reward.dtype),
        next_observation=timestep.final_observation,
    )
    info, limits = timestep.info, env.scenario.limits
    inside = (info["vm_pu"] >= limits.band_min_pu) & (info["vm_pu"] <= limits.band_max_pu)  # NaN is outside
    solved = info["converged"]
    metrics = {
        "day_cost": -info["local_reward"].sum(-1).mean() * env.scenario.steps_per_day,
        "loss_mw": jnp.where(solved, info["loss_mw"], 0.0).sum() / jnp.maximum(solved.sum(), 1),
        "share_outside_band": 1.0 - inside.mean(),
        "violations": info["violated"].sum(),
        "failed_power_flows": (~solved).sum(),
    }
    advanced = replace(
        state,
        buffer=add(state.buffer, transitions),
        environments=environments,
        observation=timestep.observation,
        key=key,
        steps=state.steps + 1,
    )
    return advanced, metrics


def _learn(sac: Sac, state: TrainState) -> tuple[TrainState, Metrics]:
    key, batch_key, update_key = jax.random.split(state.key, 3)
    n_updates = sac.config.updates_per_step
    batches = sample_transitions(state.buffer, batch_key, (n_updates, sac.config.batch_size))

    def body(learner: LearnerState, xs: tuple[Transition, Array]) -> tuple[LearnerState, Metrics]:
        return sac.update(learner, *xs)

    learner, metrics = jax.lax.scan(body, state.learner, (batches, jax.random.split(update_key, n_updates)))
    return replace(state, learner=learner, key=key), jax.tree.map(lambda values: values.mean(axis=0), metrics)
