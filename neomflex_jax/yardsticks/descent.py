"""Projected gradient descent on a plan, by Adam: ``plan <- clip(reached(plan) - step, -1, 1)``.

The plan is in energies (`energies.py`), so that the gradient of the whole horizon's cost goes through all power flows
in parallel. Energies beyond reach are set back to what was reached before every step: a bound that holds today may be
left tomorrow. The learning rate falls by a cosine; where voltages end on the edge of the band, the cost has a kink,
and only ever smaller steps come to rest.

Source of the step: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jaxtyping import Float, Int

from neomflex_jax.environment import Environment, State
from neomflex_jax.yardsticks.energies import action_towards, reached
from neomflex_jax.yardsticks.play_ahead import Ahead, play_ahead


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Descent:
    """How long, and in which steps, as shares of half a control's range; numbers that need no compiling anew."""

    n_iterations: int
    first_rate: float = 0.05
    last_rate: float = 5e-5
    momentum: float = 0.9
    scale_memory: float = 0.95  # of squared gradients


class Descending(NamedTuple):
    """How far a descent has come."""

    iteration: Int[Array, ""]  # made
    plan: Float[Array, "n n_control"]
    moments: optax.OptState  # Adam's
    gradients: Float[Array, "n n_control"]  # sum of the cost's over the iterations
    products: Float[Array, ""]  # sum of gradient times plan


class Descended(NamedTuple):
    """Where a descent ended, and its means over the iterations, which hold what kinks make of single gradients."""

    plan: Float[Array, "n n_control"]
    mean_gradient: Float[Array, "n n_control"]  # of the cost
    mean_product: Float[Array, ""]  # gradient times plan


Carry: TypeAlias = tuple[Array, optax.OptState, Array, Array]  # of a `Descending`, without the count


def foresee(env: Environment, start: State, plan: Float[Array, "n n_control"]) -> Ahead:
    """Play a plan from a state on."""
    return play_ahead(env, start, plan, lambda stores, wanted: action_towards(env, stores, wanted))


def descend(
    env: Environment,
    start: State,
    plan: Float[Array, "n n_control"],
    config: Descent,
    n_iterations: Int[Array, ""] | None = None,
) -> Descended:
    """Improve a plan; `n_iterations` replaces the number that `config` has."""
    n = jnp.asarray(config.n_iterations, jnp.int32) if n_iterations is None else n_iterations
    return ended(go_on(env, start, begin(plan, config), config, n, n))


def begin(plan: Float[Array, "n n_control"], config: Descent) -> Descending:
    """Return a descent from a plan before its first iteration."""
    moments = _adam(config).init(plan)
    return Descending(jnp.zeros((), jnp.int32), plan, moments, jnp.zeros_like(plan), jnp.zeros(()))


def go_on(
    env: Environment, start: State, descending: Descending, config: Descent, until: Array, n_iterations: Array
) -> Descending:
    """Make the iterations before `until` () of the `n_iterations` () that the whole descent has."""
    adam = _adam(config)

    def total(plan: Array) -> tuple[Array, Array]:
        ahead = foresee(env, start, plan)
        return jnp.sum(ahead.cost), reached(env, plan, ahead.after)

    def improve(iteration: Array, carry: Carry) -> Carry:
        plan, moments, gradients, products = carry
        gradient, plan = jax.grad(total, has_aux=True)(plan)
        step, moments = adam.update(gradient, moments)
        sums = gradients + gradient, products + jnp.sum(gradient * plan)
        fallen = 0.5 * (1.0 + jnp.cos(jnp.pi * iteration / n_iterations))
        rate = config.last_rate + (config.first_rate - config.last_rate) * fallen
        return jnp.clip(plan - rate * step, -1.0, 1.0), moments, *sums

    # a loop of unknown length: one program serves descents of any length
    return Descending(until, *lax.fori_loop(descending.iteration, until, improve, descending[1:]))


def ended(descending: Descending) -> Descended:
    """Return the plan that a descent has come to, and its means over the iterations."""
    n = descending.iteration
    return Descended(descending.plan, descending.gradients / n, descending.products / n)


def _adam(config: Descent) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=config.momentum, b2=config.scale_memory)
