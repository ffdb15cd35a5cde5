"""What users add to a task, tried once when it is made: before hours of training find out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.contract import check_delivery
from neomflex_jax.devices.device import Delivery, Kind, Surroundings
from neomflex_jax.devices.registry import is_packaged, key_of_kind
from neomflex_jax.environment.task import Task
from neomflex_jax.errors import InputError

TRIES = 64


def try_kinds(task: Task) -> None:
    """Play a step of every kind that is not packaged, many times with random stores, requests and surroundings.

    Raises
    ------
    InputError
        If a step breaks the protocol, returns a number that is not finite, or an observable leaves its bounds.
    """
    keys = jax.random.split(jax.random.key(0), TRIES)
    for kind in task.kinds:
        if not is_packaged(kind):
            delivered, seen = jax.device_get(jax.jit(jax.vmap(partial(_play, task, kind)))(keys))
            _check_finite(kind, delivered)
            _check_bounds(task, kind, seen)


def _play(task: Task, kind: Kind, key: Array) -> tuple[dict[str, Array], tuple[Array, ...]]:
    """A step from a random store: everything it returns by name, and what its owner sees afterwards."""
    n_device, params = len(task.scenario.of(kind)), task.params(kind)
    store_key, request_key, world_key = jax.random.split(key, 3)
    names = [control.name for control in kind.controls if control.name in task.action_layout.by_device]
    asked = jax.random.uniform(request_key, (len(names), n_device), minval=-1.0)
    world = jax.random.uniform(world_key, (5,))
    around = Surroundings(
        step_hours=task.scenario.step_hours,
        step=(world[0] * task.scenario.steps_per_day).astype(jnp.int32),
        demand=world[1],
        solar=world[2],
        price=None if task.profiles.price is None else task.profiles.price[0],
        in_service=True,
        load=lambda: (jnp.full(n_device, world[3]), jnp.full(n_device, 0.3 * world[3])),
        others_p_mw=lambda: jnp.full(n_device, world[4]),
    )
    store = kind.random(key_of_kind(kind, store_key), params)
    delivery = kind.step(params, dict(zip(names, asked, strict=True)), store, around)
    check_delivery(kind, delivery, store, n_device)
    check_delivery(kind, delivery, kind.first(params), n_device)
    seen = kind.observe(params, delivery.store)
    if len(seen) != len(kind.observables):
        raise InputError(f"{_where(kind)}: observe returns {len(seen)} values of {len(kind.observables)} observables")
    return _returned(task, kind, delivery), seen


def _returned(task: Task, kind: Kind, delivery: Delivery) -> dict[str, Array]:
    values = {"p_mw": delivery.p_mw, "clipped": delivery.clipped, **delivery.recorded, **kind.kept(delivery.store)}
    if delivery.q_mvar is not None:
        values["q_mvar"] = delivery.q_mvar
    params, hours = task.params(kind), task.scenario.step_hours
    return values | {f"cost {cost.name!r}": cost.amount(params, delivery, 1.0, hours) for cost in kind.costs}


def _check_finite(kind: Kind, delivered: Mapping[str, np.ndarray]) -> None:
    for name, values in delivered.items():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise InputError(
                f"{_where(kind)}: {name} is NaN or infinite {bad} times in {values.size} numbers of a trial with "
                "random stores, requests, sun and load; a step must answer all of them with numbers"
            )


def _check_bounds(task: Task, kind: Kind, seen: tuple[np.ndarray, ...]) -> None:
    for observable, values in zip(kind.observables, seen, strict=True):
        out = ~((values >= observable.low) & (values <= observable.high))
        if out.any():
            place = int(np.argmax(out.any(axis=0)))
            label = task.scenario.of(kind)[place].label
            raise InputError(
                f"{_where(kind)}: {observable.text.format(label)!r} leaves its bounds {observable.low:g}.."
                f"{observable.high:g} {int(out.sum())} times in {out.size} numbers of a trial, as far as "
                f"{values[:, place][out[:, place]][0]:g}; clip it in observe, or widen its bounds"
            )


def _where(kind: Kind) -> str:
    return f"device {kind.__name__} ({kind.__module__})"
