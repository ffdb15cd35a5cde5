"""Multipliers of constraints, by projected gradient ascent beside the policy's descent.

    minimise  E[cost]   so that  share_i <= limit_i  for every constraint i,
    L = E[cost] + scale sum_i multiplier_i share~_i,    theta descends on L,
    multiplier_i <- clip(multiplier_i + RATE clip((share_i - limit_i) / (limit_i + 0.001), -1, 1), 0, MOST)

``share`` is the share of steps that break a constraint. It has no useful gradient, so policies descend on a stand-in
``share~`` that has one, and multipliers go by the share itself, which is what the limit is stated in. ``scale`` is what
costs are at present, and a multiplier what a breaking step costs in these units: what is paid before anything is
learned is many times more than later, and a price in those units would rule the rest of the training. An ascent is
bounded in each step and in all: an impossible limit must not drown the cost.

Projected ascent: C. Tessler et al., arXiv:1805.11074. A stand-in for the one player and the constraint itself for the
other: A. Cotter et al., arXiv:1804.06500, "proxy-Lagrangian".
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from neomflex_jax.one_line import one_line

RATE = 0.1
MOST = 20.0
RESOLUTION = 1e-3  # of shares
COUNTED_STEPS = 5000.0  # over which a share is averaged, at least: fewer hold too few rare ones


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Multiplier:
    """A constraint's multiplier."""

    value: Float[Array, ""]  # of the scale
    share: Float[Array, ""]  # of the latest steps that broke it, a moving average

    __repr__ = one_line


def unpriced() -> Multiplier:
    """Return the multiplier before learning: nothing costs, nothing was broken."""
    return Multiplier(jnp.zeros(()), jnp.zeros(()))


def ascended(multiplier: Multiplier, share: Array, n_steps: int, limit: float) -> Multiplier:
    """Return the multiplier after `n_steps` steps, a `share` of which broke the constraint."""
    weight = min(n_steps / COUNTED_STEPS, 1.0)
    average = multiplier.share + weight * (share - multiplier.share)
    beyond = jnp.clip((average - limit) / (limit + RESOLUTION), -1.0, 1.0)
    return Multiplier(jnp.clip(multiplier.value + RATE * beyond, 0.0, MOST), average)


def stand_in(cost: Float[Array, ""], share: Float[Array, ""]) -> Float[Array, ""]:
    """Return a value equal to the share, with the gradient ``share d(log cost)``.

    So what a multiplier weighs neither depends on the unit of the cost nor fades as breaks become small. `cost` is the
    mean constraint cost of the steps that `share` is of.
    """
    size = lax.stop_gradient(cost)
    return jnp.where(size > 0.0, lax.stop_gradient(share) * cost / jnp.where(size > 0.0, size, 1.0), 0.0)
