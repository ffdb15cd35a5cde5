"""Behaviour cloning: actors that answer what they see as a teacher did, who may have seen and known more.

``minimise over theta  E[ sum over controls (tanh(mean_theta(o)) - a)^2 ]`` over recorded steps (o, a), drawn at random:
plain regression, each agent by itself. Where a clone errs it comes to states that the teacher never saw, so it is a
place to start learning from, no policy to operate with. D. A. Pomerleau, "ALVINN", NIPS 1988; S. Ross et al.,
arXiv:1011.0686.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Key

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.gradient import GradientConfig, GradientLearner, GradientState
from neomflex_jax.agents.gradient.learner import Acting
from neomflex_jax.agents.networks import ActorNetwork

N_UPDATES = 2000
BATCH_SIZE = 512
LEARNING_RATE = 3e-3


def clone(
    actors: Actors,
    observation: Float[Array, "n_steps n_agents observation_size"],
    action: Float[Array, "n_steps n_agents action_size"],
    key: Key[Array, ""],
    n_updates: int = N_UPDATES,
) -> tuple[ActorNetwork, ...]:
    """Fit actors to a teacher's steps.

    Parameters
    ----------
    actors
        Sizes and kind of the networks.
    observation, action
        Of every step, padded; actions in [-1, 1], what lies beyond is cut off.
    key
        Of the first parameters and of the draws.
    n_updates
        Steps of the gradient learner's optimiser.

    Returns
    -------
    tuple of ActorNetwork
        One an agent, with the observations' mean and spread in it.
    """
    config = GradientConfig(
        hidden_sizes=actors.hidden_sizes,
        activation=actors.activation,
        learning_rate=LEARNING_RATE,
    )
    learner = GradientLearner(config, actors.observation_sizes, actors.action_sizes)
    seen = actors.observations.packed(observation)
    wanted = actors.actions.packed(jnp.clip(action, -1.0, 1.0)) * actors.action_mask
    return learner.networks(_fitted(learner, seen, wanted, key, n_updates))


@jax.jit(static_argnames=("learner", "n_updates"))
def _fitted(learner: GradientLearner, seen: Array, wanted: Array, key: Array, n_updates: int) -> GradientState:
    first_key, draw_key = jax.random.split(key)
    state = learner.with_statistics(learner.init(first_key), seen)

    def update(state: GradientState, made: Array) -> tuple[GradientState, None]:
        rows = jax.random.randint(jax.random.fold_in(draw_key, made), (BATCH_SIZE,), 0, seen.shape[0])

        def error(act: Acting) -> tuple[Array, dict[str, Array]]:
            return jnp.square(act(seen[rows]) - wanted[rows]).sum(axis=(-2, -1)).mean(), {}

        return learner.update(state, error, made / n_updates)[0], None

    return jax.lax.scan(update, state, jnp.arange(n_updates))[0]
