"""SAC's mathematics, for one agent and a batch of transitions.

Equation numbers are those of Haarnoja et al., "Soft actor-critic algorithms and applications", arXiv:1812.05905, with
the minimum of two critics of Fujimoto et al., arXiv:1802.09477. Time limits bootstrap: only `terminated` cuts the
return.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.agents.sac.distribution import sample

Params = Any
CriticApply = Callable[[Params, Array], Array]  # (twin parameters, inputs (batch, size)) -> values (2, batch)


def soft_target(
    reward: Array, discount: Array, next_values: Array, next_log_probability: Array, temperature: Array
) -> Array:
    """Target of the soft Bellman equation, (batch,): eqs. (2), (3) and (5).

    ``y = r + discount (min_k Q_k(s', a') - temperature log pi(a'|s'))``; `next_values` is (2, batch). For one step
    ``discount = gamma (1 - terminated)``; for n steps ``r`` is their discounted sum, without the entropies between.
    """
    soft_value = jnp.min(next_values, axis=0) - temperature * next_log_probability
    return lax.stop_gradient(reward + discount * soft_value)


def critic_loss(critic_params: Params, critic: CriticApply, inputs: Array, target: Array) -> Array:
    """Squared error of both critics against the target: eq. (5)."""
    return 0.5 * jnp.mean(jnp.sum((critic(critic_params, inputs) - target) ** 2, axis=0))


def actor_loss(
    actor_params: Params,
    actor: Callable[[Params, Array], tuple[Array, Array]],
    critic: Callable[[Array], Array],
    observation: Array,
    temperature: Array,
    mask: Array,
    noise: Array,
) -> tuple[Array, Array]:
    """Average ``temperature log pi(a|s) - min_k Q_k(s, a)``, reparameterised: eqs. (7) and (9).

    `critic` maps this agent's action (batch, action_size) to values (2, batch).

    Returns
    -------
    loss, log_probability
        The latter, (batch,), is what the temperature learns from.
    """
    mean, log_std = actor(actor_params, observation)
    action, log_probability = sample(mean, log_std, mask, noise)
    values = jnp.min(critic(action), axis=0)
    return jnp.mean(temperature * log_probability - values), log_probability


def temperature_loss(log_temperature: Array, log_probability: Array, target_entropy: Array) -> Array:
    """Dual objective of the entropy constraint: eq. (18), in the logarithm of the temperature."""
    return -jnp.mean(log_temperature * lax.stop_gradient(log_probability + target_entropy))
