"""IPPO through the JaxMARL adapter: a learner from outside the package, written against JaxMARL's interface alone.

    python examples/ippo_jaxmarl.py --scenario neom33 --total-steps 600000

PPO (J. Schulman et al., arXiv:1707.06347) for every agent by itself (C. Schroeder de Witt et al., arXiv:2011.09533),
with parameters that all share: an observation begins with the agent's number (``padded=True``). The Gaussian is over u,
the environment gets ``tanh(u)``; a day that ends is truncated, so values bootstrap from the final observation.
Then the unseen days are played by what was learned and replayed in pandapower.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from neomflex_jax.adapters.jaxmarl import NeomFlex, make
from neomflex_jax.agents.networks import ActorNetwork, NetworkPolicy
from neomflex_jax.agents.policy_files import load_policies, save_policies
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.make import evaluation_scenario, scenario_profiles
from neomflex_jax.evaluation import record
from validation import validate

COPIES, STEPS = 128, 48  # stepped side by side, between two updates
EPOCHS, MINIBATCHES = 4, 8
GAMMA, GAE_LAMBDA, CLIP, ENTROPY_WEIGHT = 0.98, 0.95, 0.2, 1e-3
LEARNING_RATE, MAX_GRADIENT_NORM, REWARD_SCALE = 1e-3, 0.5, 0.1


class ActorCritic(nn.Module):
    """Mean and log standard deviation before squashing, and value, of one agent's observation."""

    action_size: int

    @nn.compact
    def __call__(self, observation: Array) -> tuple[Array, Array, Array]:
        """Return (..., action_size), (action_size,) and (...)."""
        x, v = observation, observation
        for layer in range(2):
            x = nn.tanh(nn.Dense(64, name=f"actor_{layer}")(x))
            v = nn.tanh(nn.Dense(64, name=f"critic_{layer}")(v))
        small = nn.initializers.orthogonal(0.01)
        mean = nn.Dense(self.action_size, kernel_init=small, name="actor_2")(x)
        log_std = self.param("log_std", nn.initializers.constant(-1.0), (self.action_size,))
        return mean, log_std, nn.Dense(1, name="critic_2")(v)[..., 0]


class Played(NamedTuple):
    """A step of all copies and agents, (STEPS, COPIES, n_agents, ...)."""

    observation: Array
    unsquashed: Array
    log_probability: Array
    value: Array
    reward: Array
    next_value: Array  # 0 where the task ended, else of the final observation
    done: Array


class Ippo:
    """Binds the environment; all it keeps is static."""

    def __init__(self, env: NeomFlex) -> None:
        self.env = env
        self.network = ActorCritic(env.env.action_size)
        self.optimiser = optax.chain(optax.clip_by_global_norm(MAX_GRADIENT_NORM), optax.adam(LEARNING_RATE))

    def rows(self, by_agent: dict[str, Array]) -> Array:
        """Stack what agents see, (..., n_agents, size)."""
        return jnp.stack([by_agent[agent] for agent in self.env.agents], axis=-2)

    def start(self, key: Array) -> tuple[Any, Any, Any, Array]:
        """Return parameters, the optimiser's state, environments and what is observed in them."""
        network_key, reset_key = jax.random.split(key)
        observation, states = jax.vmap(self.env.reset)(jax.random.split(reset_key, COPIES))
        seen = self.rows(observation)
        params = self.network.init(network_key, seen[0, 0])
        return params, self.optimiser.init(params), states, seen

    def play(self, params: Any, states: Any, seen: Array, key: Array) -> tuple[Any, Array, Played]:
        """Play STEPS steps."""

        def step(carry: tuple[Any, Array], key: Array) -> tuple[tuple[Any, Array], Played]:
            states, seen = carry
            mean, log_std, value = self.network.apply(params, seen)
            unsquashed = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
            action = {agent: jnp.tanh(unsquashed[:, i]) for i, agent in enumerate(self.env.agents)}
            following, states, reward, done, info = jax.vmap(self.env.step)(
                jax.random.split(key, COPIES), states, action
            )
            final = self.network.apply(params, self.rows(info["final_observation"]))[2]
            played = Played(
                observation=seen,
                unsquashed=unsquashed,
                log_probability=log_probability(unsquashed, mean, log_std),
                value=value,
                reward=jnp.stack([reward[agent] for agent in self.env.agents], axis=-1),
                next_value=jnp.where(info["terminated"][:, None], 0.0, final),
                done=jnp.broadcast_to(done["__all__"][:, None], value.shape),
            )
            return (states, self.rows(following)), played

        (states, seen), played = jax.lax.scan(step, (states, seen), jax.random.split(key, STEPS))
        return states, seen, played

    def loss(self, params: Any, batch: tuple[Played, Array]) -> Array:
        """PPO's clipped objective, the value's error and the entropy of one minibatch."""
        played, advantage = batch
        mean, log_std, value = self.network.apply(params, played.observation)
        ratio = jnp.exp(log_probability(played.unsquashed, mean, log_std) - played.log_probability)
        normal = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        gain = jnp.minimum(ratio * normal, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * normal).mean()
        error = 0.5 * jnp.mean((value - (played.value + advantage)) ** 2)
        return -gain + error - ENTROPY_WEIGHT * log_std.sum()

    def update(self, params: Any, moments: Any, played: Played, key: Array) -> tuple[Any, Any]:
        """Make EPOCHS passes over what was played, in minibatches."""
        flat = jax.tree.map(lambda each: each.reshape(-1, *each.shape[3:]), (played, advantages(played)))

        def minibatch(carry: tuple[Any, Any], chosen: Array) -> tuple[tuple[Any, Any], None]:
            params, moments = carry
            gradient = jax.grad(self.loss)(params, jax.tree.map(lambda each: each[chosen], flat))
            change, moments = self.optimiser.update(gradient, moments)
            return (optax.apply_updates(params, change), moments), None

        n_samples = flat[1].shape[0]
        orders = [jax.random.permutation(each, n_samples) for each in jax.random.split(key, EPOCHS)]
        chosen = jnp.stack(orders).reshape(EPOCHS * MINIBATCHES, -1)
        return jax.lax.scan(minibatch, (params, moments), chosen)[0]

    def train(self, total_steps: int, seed: int) -> tuple[Any, np.ndarray]:
        """Return parameters, and the mean reward of a day and agent in every update."""

        def one(carry: tuple[Any, Any, Any, Array], key: Array) -> tuple[tuple[Any, Any, Any, Array], Array]:
            params, moments, states, seen = carry
            play_key, update_key = jax.random.split(key)
            states, seen, played = self.play(params, states, seen, play_key)
            scaled = played._replace(reward=REWARD_SCALE * played.reward)
            params, moments = self.update(params, moments, scaled, update_key)
            day_reward = played.reward.mean() * self.env.env.scenario.steps_per_day
            return (params, moments, states, seen), day_reward

        start_key, key = jax.random.split(jax.random.key(seed))
        keys = jax.random.split(key, max(total_steps // (COPIES * STEPS), 1))
        (params, *_), rewards = jax.jit(lambda start, keys: jax.lax.scan(one, start, keys))(self.start(start_key), keys)
        return params, np.asarray(rewards)

    def policy(self, params: Any) -> NetworkPolicy:
        """Cut an actor of its own out for every agent: its number never changes, so it is a part of the bias."""
        env, networks = self.env.env, []
        layers = [(params["params"][f"actor_{i}"]["kernel"], params["params"][f"actor_{i}"]["bias"]) for i in range(3)]
        (kernel, bias), hidden, (last_kernel, last_bias) = jax.tree.map(np.asarray, layers)
        for index, (seen, acts) in enumerate(zip(env.observation_mask, env.action_mask, strict=True)):
            n_seen, n_acts = int(seen.sum()), int(acts.sum())
            first = (kernel[env.n_agents : env.n_agents + n_seen], bias + kernel[index])
            last = (last_kernel[:, :n_acts], last_bias[:n_acts])
            networks.append(ActorNetwork(np.zeros(n_seen), np.ones(n_seen), (first, hidden, last), "tanh"))
        return NetworkPolicy(tuple(networks))


def log_probability(unsquashed: Array, mean: Array, log_std: Array) -> Array:
    """Log-density before squashing, which cancels in a ratio, up to a constant; padded entries count in both."""
    return jnp.sum(-0.5 * ((unsquashed - mean) / jnp.exp(log_std)) ** 2 - log_std, axis=-1)


def advantages(played: Played) -> Array:
    """Generalised advantage estimates (J. Schulman et al., arXiv:1506.02438), which end with a day."""

    def back(later: Array, step: Played) -> tuple[Array, Array]:
        error = step.reward + GAMMA * step.next_value - step.value
        own = error + GAMMA * GAE_LAMBDA * jnp.where(step.done, 0.0, later)
        return own, own

    return jax.lax.scan(back, jnp.zeros_like(played.value[0]), played, reverse=True)[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, play the unseen days and replay them in pandapower."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--scenario", default="neom33")
    parser.add_argument("--total-steps", type=int, default=600_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("results/ippo"), help="folder of policies and verdict")
    options = parser.parse_args(arguments)
    env = make(options.scenario, padded=True)
    ippo = Ippo(env)
    params, rewards = ippo.train(options.total_steps, options.seed)
    print(f"mean reward of a day and agent in training: {rewards[0]:,.1f} at first, {rewards[-1]:,.1f} at last")
    days = scenario_profiles(evaluation_scenario(env.env.scenario), env.env.scenario.evaluation_profiles)
    policy = ippo.policy(params)
    trajectory = record(evaluation_environment(env.env, days), policy, "ippo")
    files, layout = options.output / "policies", env.env.scenario.observation_layout()
    save_policies(files, dict(zip(env.agents, policy.networks, strict=True)), env.env.scenario.name, layout)
    run = validate([trajectory], options.output / "validation", policies={"ippo": load_policies(options.output)}).runs[
        0
    ]
    hard = run.metrics.hard.agreed + run.metrics.hard.missed
    print(
        f"day cost on unseen days, in pandapower: {run.metrics.mean_day_cost.pandapower:,.1f}; hard violations: {hard}"
    )
    print(f"record: {run.verdict}; policies: {files}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
