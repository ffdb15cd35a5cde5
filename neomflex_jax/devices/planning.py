"""What a kind of device says of itself to yardsticks: how plans and rules steer it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from jax import Array

Params: TypeAlias = Any  # a kind's own pytree of NumPy arrays (n_device,)
Store: TypeAlias = Any  # a kind's own pytree of arrays (n_device,)


class Planning(NamedTuple):
    """How plans of energies steer a kind: they say of each step how full its store is after it, -1 empty to 1 full."""

    control: str
    towards: Callable[
        [Params, Store, Array, float], Array
    ]  # the request that gets nearest to a number; of params, store, number, hours of a step
    reached: Callable[[Params, Store], Array]  # the number that a store stands for


class ReactivePower(NamedTuple):
    """How a kind's reactive power is set by a rule: params have `s_mva` and `q_first`, (n_device,) each."""

    control: str
    generates: bool  # True for generation: some rules steer nothing else
