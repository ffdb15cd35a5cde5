"""SAC's mathematics, for one agent and a batch of transitions.

Equation numbers are those of Haarnoja et al., "Soft actor-critic algorithms and applications", arXiv:1812.05905, with
the minimum of two critics of Fujimoto et al., arXiv:1802.09477. Time limits bootstrap: no end of a day cuts the value.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

SMALLEST_VARIANCE = 1e-12  # of targets that are all equal


def lesser(values: Array) -> Array:
    """Return the lesser of two critics' values, (2, batch) to (batch,).

    `jnp.min` would look for the minimum among the values once more to find out whose the gradient is; a compiler that
    rounds them differently the second time finds none, and the gradient is 0 / 0.
    """
    return jnp.where(values[0] < values[1], values[0], values[1])


def soft_target(
    reward: Array, discount: Array, next_values: Array, entropy_cost: Array, highest: Array | float = jnp.inf
) -> Array:
    """Target of the soft Bellman equation, (batch,): eqs. (2), (3) and (5), with next states' values up to `highest`.

    ``y = r + discount (min_k Q_k(s', a') - temperature log pi(a'|s'))``; `next_values` is (2, batch), `entropy_cost`
    the term with the temperature. For one step ``discount = gamma``; for n steps it is ``gamma^n`` and ``r`` their
    discounted sum, without the entropies between. Where the step's own reward is learned apart, ``r`` is without it.
    """
    return lax.stop_gradient(reward + discount * jnp.minimum(lesser(next_values) - entropy_cost, highest))


def soft_targets(reward: Array, discount: Array, next_values: Array, entropy_cost: Array, best: Array) -> Array:
    """Targets of all critics, (n_critics, batch), with no next state worth more than any can be.

    That is the best reward and the entropy of the batch's most random action, received for ever. Critics learn from
    their own values; where many actions last, small batches and quick targets sent them up without end.

    Parameters
    ----------
    reward, discount, next_values, entropy_cost
        (batch, n_critics), (batch,), (n_critics, 2, batch) and (batch, n_critics), as of `soft_target`.
    best
        Reward of the step, of every agent (n_agents,), all equal where one critic learns for all.
    """
    ends = 1.0 - discount.max()
    for_ever = (best[: len(next_values)] - entropy_cost.min(axis=0)) / jnp.where(ends > 0, ends, 1.0)
    highest = jnp.where(ends > 0, for_ever, jnp.inf)
    return jax.vmap(soft_target, in_axes=(-1, None, 0, -1, 0))(reward, discount, next_values, entropy_cost, highest)


def critic_loss(values: Array, target: Array) -> Array:
    """Squared error of both critics' values (2, batch) against the target (batch,): eq. (5)."""
    return 0.5 * jnp.mean(jnp.sum((values - target) ** 2, axis=0))


def reward_loss(predicted: Array, reward: Array, huber: float) -> Array:
    """Huber's loss, (batch,) to (): squared up to an error of `huber`, beyond it as steep as there."""
    return jnp.mean(optax.huber_loss(predicted, reward, delta=huber))


def error_moments(values: Array, target: Array) -> Array:
    """Return means, (3,), of critics' squared error, the target and its square; values (2, batch), target (batch,)."""
    return lax.stop_gradient(jnp.stack([jnp.mean((values - target) ** 2), jnp.mean(target), jnp.mean(target**2)]))


def relative_error(moments: Array) -> Array:
    """Root mean square error in standard deviations of the target, by `error_moments` (3, ...) of a whole batch."""
    squared_error, mean, square = moments
    return jnp.sqrt(squared_error / jnp.maximum(square - mean**2, SMALLEST_VARIANCE))


def actor_loss(temperature: Array, log_probability: Array, values: Array) -> Array:
    """Average ``temperature log pi(a|s) - min_k Q_k(s, a)``: eqs. (7) and (9).

    `values` (2, batch) are those of a reparameterised action, which the gradient flows through.
    """
    return jnp.mean(temperature * log_probability - lesser(values))


def temperature_gradient(entropy: Array, target_entropy: Array) -> Array:
    """Gradient by the temperature's logarithm l of the entropy constraint's dual objective, eq. (18).

    ``-l E[log pi(a|s) + target]``; the entropy is ``-E[log pi(a|s)]``.
    """
    return entropy - target_entropy
