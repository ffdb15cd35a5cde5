"""Rewards as critics learn from them: in units that the task itself gives, and far ones by their logarithm.

    x = scale * reward;   learned = x  where |x| <= T,  sign(x) T (1 + log(|x| / T))  beyond
    T = tail max(1, k / 3000)  after k updates

Random actions mostly receive penalties, hundreds of times what good actions differ by, and critics of
a few thousand updates would spend them all on how bad the bad ones are. So the scale comes from the best quarter of the
warm-up's rewards, which is where policies worth having live, and in the tail only the order of magnitude counts. The
order of rewards stays. The tail recedes as critics learn: where the best policies still pay penalties, their logarithm
would put one large penalty before two small ones, and on `neom69` that costs half as much again.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

BEST_QUARTER = 0.75, 0.99  # quantiles: the very best are left to chance
UNITS = 5.0  # that the best quarter spans
SMALLEST_SHARE = 1e-3  # of the median's size that the span may be: at night, say, all rewards are nearly equal
EARLY_UPDATES = 3000.0  # after which the tail recedes, in proportion to the updates


def measured_scale(rewards: Array) -> Array:
    """Scale (n,) of rewards (n_samples, n): units from the best quarter; 1 where all are 0."""
    low, high = jnp.quantile(rewards, jnp.array(BEST_QUARTER), axis=0)
    span = jnp.maximum(high - low, SMALLEST_SHARE * jnp.abs(jnp.median(rewards, axis=0)))
    return jnp.where(span > 0.0, UNITS / jnp.where(span > 0.0, span, 1.0), 1.0)


def receding(tail: Array | float, updates: Array) -> Array:
    """Where the tail begins, (), after so many updates."""
    return tail * jnp.maximum(updates / EARLY_UPDATES, 1.0)


def squeezed(reward: Array, tail: Array | float) -> Array:
    """Return rewards with what lies beyond `tail` by its logarithm, elementwise; value and slope are continuous."""
    beyond = jnp.maximum(jnp.abs(reward) / tail, 1.0)
    return jnp.where(beyond > 1.0, jnp.sign(reward) * tail * (1.0 + jnp.log(beyond)), reward)
