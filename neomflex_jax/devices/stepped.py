"""What moves in whole steps: a position, a pause between moves, a limit of operations a day.

A request r in -1..1 stands for a position of the range, rounded to the nearest. The position goes there if the pause
after the last move is over, as far as the day's operations last; one operation moves it by one step. Derivatives pass
the rounding as if it were not there, so that a learner by gradients feels which way a position should go, while what is
played and recorded is whole. Source: the straight-through estimator, Y. Bengio, N. Leonard, A. Courville, "Estimating
or propagating gradients through stochastic neurons for conditional computation", 2013.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.devices.checks import check_not_negative, refuse

MOST_STEPS = 1000  # of a range: more is a mistake in units


class StepStore(NamedTuple):
    """What such devices carry from step to step, (n_device,) whole numbers as floats."""

    position: Array
    wait: Array  # steps of the day in which it may not move yet
    made: Array  # operations of the day


class Moved(NamedTuple):
    """A move, (n_device,)."""

    store: StepStore  # after it
    moved: Array  # steps up, negative down
    clipped: Array  # share of the range asked for and not reached


def move(
    store: StepStore,
    wanted: Array,
    around_step: ArrayLike,
    *,
    span: np.ndarray,
    delay: np.ndarray,
    most: np.ndarray,
    in_service: ArrayLike,
) -> Moved:
    """Move towards positions wanted, (n_device,), which need not be whole.

    Parameters
    ----------
    span
        Positions of the whole range, by which `clipped` is a share.
    delay
        Steps of the day from a move to the next at the earliest.
    most
        Operations a day; infinite: no limit.
    """
    target = rounded(wanted)
    made = jnp.where(jnp.asarray(around_step) == 0, 0.0, store.made)
    may = (store.wait <= 0) & in_service
    left = jnp.where(may, jnp.asarray(most) - made, 0.0)
    moved = jnp.clip(target - store.position, -left, left)
    operations = jax.lax.stop_gradient(jnp.abs(moved))
    wait = jnp.where(operations > 0, jnp.asarray(delay) - 1.0, jnp.maximum(store.wait - 1.0, 0.0))
    missed = jnp.where(in_service, jnp.abs(target - store.position - moved), 0.0)
    return Moved(StepStore(store.position + moved, wait, made + operations), moved, missed / span)


def rounded(values: Array) -> Array:
    """The nearest whole numbers, with the derivative of the values themselves."""
    return jax.lax.stop_gradient(jnp.round(values)) + (values - jax.lax.stop_gradient(values))  # whole: x - x is 0


def at_first(n_device: int) -> StepStore:
    """Position 0, free to move."""
    nothing = jnp.zeros(n_device)
    return StepStore(nothing, nothing, nothing)


def limits_of(delay: int, operations_per_day: int | None) -> tuple[float, float]:
    """Delay, and operations a day with infinity for no limit."""
    return float(delay), math.inf if operations_per_day is None else float(operations_per_day)


def check_steps(
    device: str, *, delay: int, operations_per_day: int | None, operation_cost: float, **steps: int
) -> None:
    """Raise `InputError` unless numbers of steps are whole and at least 1, and so are delay and limit.

    `steps` names the field that counts the range.
    """
    for name, value in (steps | {"delay": delay}).items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_STEPS:
            raise refuse(device, f"be a whole number in 1..{MOST_STEPS}", **{name: value})
    limit = operations_per_day
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        allowed = "be a whole number of at least 1; leave it out for no limit"
        raise refuse(device, allowed, operations_per_day=limit)
    check_not_negative(device, operation_cost=operation_cost)
