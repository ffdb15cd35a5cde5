"""Which day comes next, with which stores and which disturbances, and its first observation.

The next day is drawn from the state's key. An auto-resetting environment steps thousands of copies of which all or none
end, nearly always; so the draw is made for a whole batch at once, and only where some copy needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.devices.registry import key_of_kind
from neomflex_jax.environment.feeder_controls import begin
from neomflex_jax.environment.state import State
from neomflex_jax.environment.step.dispatch import Stores
from neomflex_jax.environment.step.disturbances import Today, draw_today
from neomflex_jax.environment.task import Task


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Draw:
    """What chance decides about a day."""

    key: Array  # () for the day after
    day_row: Array  # () int32 a random day's first row, or that of an hour in it where episodes begin there
    stores: Stores  # as random as their kinds allow, at rest
    today: Today


def draw_day(task: Task, key: Array) -> Draw:
    """Draw a day."""
    scenario = task.scenario
    next_key, day_key, _, _, today_key = jax.random.split(key, 5)  # the others: `key_of_kind`
    every = scenario.begins_every
    beginning = jax.random.randint(day_key, (), 0, task.profiles.n_rows // every)
    stores = {kind.table: kind.random(key_of_kind(kind, key), task.params(kind)) for kind in task.kinds}
    return Draw(
        next_key, every * beginning, stores | begin(scenario, task.feeder), draw_today(today_key, scenario, task.feeder)
    )


def first_stores(task: Task) -> Stores:
    """Stores with which a file's first day begins."""
    scenario = task.scenario
    stores = {kind.table: kind.first(kind.stack(scenario.of(kind))) for kind in scenario.kinds}
    return stores | begin(scenario, task.feeder)


def first_day(task: Task, draw: Draw) -> tuple[Array, Stores]:
    """First row and stores of the day that a reset begins with."""
    return _chosen(task, draw, 0, first_stores(task))


def following_day(task: Task, state: State, draw: Draw) -> tuple[Array, Stores, Array]:
    """First row and stores of the day after a state's, and whether play goes on into it, ().

    Under `end_day` a violated day is played again with the stores it began with, at rest; after the file's last day
    comes its first, with its first stores. Ramps go on over midnight where energies are carried.
    """
    rules, kinds = task.scenario.rules, task.kinds
    replay = state.violated if rules.on_violation == "end_day" else jnp.zeros((), bool)
    following_row = (state.day_row + task.scenario.steps_per_day) % task.profiles.n_rows
    carried = state.stores
    if rules.day_order == "file":
        carried = _choose(following_row == 0, first_stores(task), carried)
    row, stores = _chosen(task, draw, following_row, carried)
    began = state.day_stores | {kind.table: kind.at_rest(state.day_stores[kind.table]) for kind in kinds}
    return jnp.where(replay, state.day_row, row), _choose(replay, began, stores), ~replay & (following_row > 0)


def _chosen(task: Task, draw: Draw, in_file_order: Array | int, carried: Stores) -> tuple[Array, Stores]:
    """A day's first row and stores by the rules: by chance, or as they come."""
    rules = task.scenario.rules
    row = jnp.asarray(in_file_order, jnp.int32) if rules.day_order == "file" else draw.day_row
    return row, carried if rules.energies == "carried" else draw.stores


def _choose(where: Array, one: Stores, other: Stores) -> Stores:
    return jax.tree.map(lambda one, other: jnp.where(where, one, other), one, other)


def draw_day_if(task: Task, needed: Array, state: State) -> Draw:
    """Draw the day after the state's if it is needed; if not, what comes back means nothing."""

    def otherwise(key: Array) -> Draw:
        nothing = jax.eval_shape(lambda key: draw_day(task, key), key)
        return jax.tree.map(lambda leaf: _zeros(leaf, key), nothing)

    def one(needed: Array, key: Array) -> Draw:
        return lax.cond(needed, lambda key: draw_day(task, key), otherwise, key)

    drawn = jax.custom_batching.custom_vmap(one)

    @drawn.def_vmap
    def rule(axis_size: int, in_batched: tuple[bool, bool], needed: Array, key: Array) -> tuple[Draw, Draw]:
        axes = 0 if in_batched[1] else None
        each = jax.vmap(lambda key: draw_day(task, key), in_axes=axes, axis_size=axis_size)
        none = jax.vmap(otherwise, in_axes=axes, axis_size=axis_size)
        draw = lax.cond(jnp.any(needed), each, none, key)
        return draw, jax.tree.map(lambda _: True, draw)

    return drawn(needed, state.key)


def _zeros(leaf: Array, key: Array) -> Array:
    return key if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.zeros(leaf.shape, leaf.dtype)
