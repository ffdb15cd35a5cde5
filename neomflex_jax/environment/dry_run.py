"""What users add to a task, tried once when it is made: before hours of training find out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.contract import check_array, check_delivery, check_stores
from neomflex_jax.devices.device import Delivery, Kind, Surroundings
from neomflex_jax.devices.registry import is_packaged, key_of_kind
from neomflex_jax.environment.day_start import flow_at, start_day
from neomflex_jax.environment.days import draw_day, first_day
from neomflex_jax.environment.step.info import StepInfo
from neomflex_jax.environment.step.measurements import Now, Value
from neomflex_jax.environment.step.outcome import COLLAPSED_VM_PU, Outcome
from neomflex_jax.environment.step.rewards import ADDED_TO_BY_DEVICES, SCENARIOS_OWN, reward_terms
from neomflex_jax.environment.step.set_points import set_points
from neomflex_jax.environment.task import Task
from neomflex_jax.errors import InputError
from neomflex_jax.powerflow import PowerFlowResult

TRIES = 64
RECORDED_ANYWAY = {field.name for field in dataclasses.fields(StepInfo)}
RECORDED_ANYWAY |= {"observation", "action", "reward", "run", "scenario", "power_flow", "day", "step"}


def try_kinds(task: Task) -> None:
    """Play a step of every kind that is not packaged, many times with random stores, requests and surroundings.

    Raises
    ------
    InputError
        If a step breaks the protocol, returns a number that is not finite, or an observable leaves its bounds.
    """
    for kind in task.kinds:
        if is_packaged(kind):
            continue
        _check_names(kind)
        keys = jax.random.split(jax.random.key(0), TRIES)
        delivered, seen = jax.device_get(jax.jit(jax.vmap(partial(_play, task, kind)))(keys))
        for name, values in delivered.items():
            _check_finite(f"{_where(kind)}: {name}", values)
        for observable, values in zip(kind.observables, seen, strict=True):
            text, unit, low, high = observable
            named = [Value(text.format(device.label), unit, low, high) for device in task.scenario.of(kind)]
            _check_bounds(_where(kind), named, values, "observe")


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
        outdoor_temperature_c=task.profiles.outdoor_temperature_at(jnp.zeros((), jnp.int32)),
    )
    store = kind.random(key_of_kind(kind, store_key), params)
    check_stores(kind, params, store)
    delivery = kind.step(params, dict(zip(names, asked, strict=True)), store, around)
    check_delivery(kind, delivery, store, n_device)
    seen = kind.observe(params, delivery.store)
    if len(seen) != len(kind.observables):
        raise InputError(f"{_where(kind)}: observe returns {len(seen)} values of {len(kind.observables)} observables")
    for observable, value in zip(kind.observables, seen, strict=True):
        check_array(f"{_where(kind)}: observe returns {observable.text!r}", value, n_device)
    returned = _returned(task, kind, delivery)
    for name, value in returned.items():
        check_array(f"{_where(kind)}: {name} is", value, n_device)
    for name in ("first", "middle"):
        leaves = jax.tree.leaves(getattr(kind, name)(params))
        returned |= {f"{name}, leaf {number} of the store": leaf for number, leaf in enumerate(leaves)}
    return returned, seen


def _returned(task: Task, kind: Kind, delivery: Delivery) -> dict[str, Array]:
    """What a step delivered, recorded, keeps and costs, by name."""
    values = {"p_mw": delivery.p_mw, "clipped": delivery.clipped, **delivery.recorded, **kind.kept(delivery.store)}
    if delivery.q_mvar is not None:
        values["q_mvar"] = delivery.q_mvar
    params, hours = task.params(kind), task.scenario.step_hours
    return values | {f"cost {cost.name!r}": cost.amount(params, delivery, 1.0, hours) for cost in kind.costs}


def _check_names(kind: Kind) -> None:
    for each in kind.recorded:
        for name in {each.name, each.before} & RECORDED_ANYWAY:
            raise InputError(f"{_where(kind)}: {name!r} is recorded of every step; give what it records another name")
    for cost in kind.costs:
        if cost.name in SCENARIOS_OWN and cost.name not in ADDED_TO_BY_DEVICES:
            allowed = ", ".join(ADDED_TO_BY_DEVICES)
            raise InputError(
                f"{_where(kind)}: the reward's term {cost.name!r} is the grid's, and devices add to {allowed} or to "
                "terms of their own; give the cost another name"
            )


def try_parts(task: Task, day_start_flow: PowerFlowResult) -> None:
    """Play users' reward terms and observations many times with random days, actions and voltages.

    Raises
    ------
    InputError
        If one is not of the shape that it must be, returns a number that is not finite, or leaves its bounds.
    """
    keys = jax.random.split(jax.random.key(0), TRIES)
    costs, seen = jax.device_get(jax.jit(jax.vmap(partial(_play_parts, task, day_start_flow)))(keys))
    for name, values in costs.items():
        _check_finite(f"reward term {name!r}", values)
    for block in task.observations:
        _check_finite(f"observation {block.called!r}", seen[block.called])
        _check_bounds(f"observation {block.called!r}", block.values, seen[block.called], "read")


def _play_parts(task: Task, day_start_flow: PowerFlowResult, key: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Users' terms of a day's first step, and what is seen after it, by name; the grid's answers are made up."""
    day_key, action_key, level_key, vm_key, grid_key, loading_key = jax.random.split(key, 6)
    draw = draw_day(task, day_key)
    row, stores = first_day(task, draw)
    state, _ = start_day(task, flow_at(task, day_start_flow, row), draw, row, stores)
    action = jax.random.uniform(action_key, task.action_mask.shape, minval=-1.0)
    played, grid = set_points(task, state, action), jax.random.uniform(grid_key, (2,), minval=-1.0)
    vm_pu = jax.random.uniform(vm_key, (task.feeder.n_node,), maxval=0.1)  # above a level that is low or high for all
    vm_pu += jax.random.uniform(level_key, minval=COLLAPSED_VM_PU, maxval=1.1)
    violated = vm_pu.max() > task.scenario.limits.hard_max_pu
    loading_percent = overloaded = None
    if task.limited is not None:
        loading_percent = jax.random.uniform(loading_key, (len(task.limited.position),), maxval=200.0)
        overloaded = loading_percent.max() > min(task.limited.hard_percent)
    seen = (vm_pu, jnp.abs(grid[0]), grid[1], violated)
    outcome = Outcome(*seen, played.delivered, played.moment, loading_percent, overloaded)
    terms, row = reward_terms(task, outcome), (state.day_row + 1) % task.profiles.n_rows
    now = Now(task.profiles, state.today, row, state.step + 1, vm_pu, played.delivered.stores, loading_percent)
    return {name: terms[name] for name, _ in task.reward_terms}, {
        block.called: block.read(now) for block in task.observations
    }


def _check_finite(where: str, values: np.ndarray) -> None:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise InputError(
            f"{where} is NaN or infinite {bad} times in {values.size} numbers of a trial with random stores, requests, "
            "voltages, sun and load; all of them must be answered with numbers"
        )


def _check_bounds(where: str, named: Sequence[Value], values: np.ndarray, reader: str) -> None:
    """Check values (TRIES, n_value) of a trial."""
    low, high = (np.array([getattr(each, end) for each in named], values.dtype) for end in ("low", "high"))
    out = ~((values >= low) & (values <= high))
    if out.any():
        place = int(np.argmax(out.any(axis=0)))
        raise InputError(
            f"{where}: {named[place].name!r} leaves its bounds {low[place]:g}..{high[place]:g} {int(out.sum())} times "
            f"in {out.size} numbers of a trial, as far as {values[:, place][out[:, place]][0]:g}; clip it in {reader}, "
            "or widen its bounds"
        )


def _where(kind: Kind) -> str:
    return f"device {kind.__name__} ({kind.__module__})"
