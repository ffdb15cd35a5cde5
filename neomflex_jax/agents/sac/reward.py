"""Rewards as critics learn from them: in units that the task itself gives, and far ones by their logarithm.

    x = scale * reward;   learned = x  where |x| <= tail,  sign(x) tail (1 + log(|x| / tail))  beyond

Random actions mostly receive penalties, hundreds of times what good actions differ by, and critics of a few thousand
updates would spend them all on how bad the bad ones are. So the scale comes from the best quarter of the warm-up's
rewards, which is where policies worth having live, and in the tail only the order of magnitude counts. The order of
rewards stays, and what is learned at last, without penalties, is the reward itself.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

BEST_QUARTER = 0.75, 0.99  # quantiles: the very best are left to chance
UNITS = 5.0  # that the best quarter spans
SMALLEST_SHARE = 1e-3  # of the median's size that the span may be: at night, say, all rewards are nearly equal


def measured_scale(rewards: Array) -> Array:
    """Scale (n,) of rewards (n_samples, n): units from the best quarter; 1 where all are 0."""
    low, high = jnp.quantile(rewards, jnp.array(BEST_QUARTER), axis=0)
    span = jnp.maximum(high - low, SMALLEST_SHARE * jnp.abs(jnp.median(rewards, axis=0)))
    return jnp.where(span > 0.0, UNITS / jnp.where(span > 0.0, span, 1.0), 1.0)


def squeezed(reward: Array, tail: Array | float) -> Array:
    """Take the logarithm of what lies beyond `tail`, elementwise; value and slope are continuous there."""
    beyond = jnp.maximum(jnp.abs(reward) / tail, 1.0)
    return jnp.where(beyond > 1.0, jnp.sign(reward) * tail * (1.0 + jnp.log(beyond)), reward)
