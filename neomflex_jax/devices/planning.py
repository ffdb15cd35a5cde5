"""What a kind of device says of itself to yardsticks: how plans and rules steer it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from jax import Array

Params: TypeAlias = Any  # a kind's own pytree of NumPy arrays (n_device,)
Store: TypeAlias = Any  # a kind's own pytree of arrays (n_device,)


class Planning(NamedTuple):
    """How a plan in energies steers a kind: one number in -1..1, emptiest to fullest, is the store after the step."""

    control: str
    towards: Callable[
        [Params, Store, Array, float], Array
    ]  # the request that gets nearest; params, store, wanted, hours
    reached: Callable[[Params, Store], Array]  # the number that a store stands for


class ReactivePower(NamedTuple):
    """How a kind's reactive power is set by a rule: params have `s_mva` and `q_first`, (n_device,) each."""

    control: str
    generates: bool  # whether it belongs to generation, which some rules steer alone
