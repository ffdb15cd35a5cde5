"""Which day comes next, with which energies and which disturbances.

The next day is drawn from the state's key. An auto-resetting environment steps thousands of copies of which all or none
end, nearly always; so the draw is made for a whole batch at once, and only where some copy needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.environment.step.dispatch import Stores, rating
from neomflex_jax.environment.step.disturbances import Today, draw_today
from neomflex_jax.scenario import Scenario

if TYPE_CHECKING:
    from neomflex_jax.environment.environment import Environment
    from neomflex_jax.environment.state import State


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Draw:
    """What chance decides about a day."""

    key: Array  # () for the day after
    day_row: Array  # () int32 a random day's first row
    stores: Stores  # energies uniform in their windows, batteries at rest
    today: Today


def draw_day(env: Environment, key: Array) -> Draw:
    """Draw a day."""
    scenario = env.scenario
    next_key, day_key, soc_key, owed_key, today_key = jax.random.split(key, 5)
    day = jax.random.randint(day_key, (), 0, env.profiles.n_days)
    first = first_stores(scenario)
    low, high = (rating(scenario, "batteries")[name] for name in ("soc_min", "soc_max"))
    soc = low + (high - low) * jax.random.uniform(soc_key, first.battery_soc.shape)
    owed_share = jax.random.uniform(owed_key, first.load_owed_mwh.shape)
    owed_mwh = owed_share * rating(scenario, "flexible_loads")["buffer_mwh"]
    stores = first._replace(battery_soc=soc, load_owed_mwh=owed_mwh)
    return Draw(next_key, scenario.steps_per_day * day, stores, draw_today(today_key, scenario, env.feeder))


def first_stores(scenario: Scenario) -> Stores:
    """Give the energies of a file's first day: batteries at rest at `soc_initial`, nothing owed."""
    soc = jnp.asarray(rating(scenario, "batteries")["soc_initial"], float)
    return Stores(soc, jnp.zeros_like(soc), jnp.zeros(len(scenario.flexible_loads)))


def draw_day_if(env: Environment, needed: Array, state: State) -> Draw:
    """Draw the day after the state's if it is needed; if not, what comes back means nothing."""

    def otherwise(key: Array) -> Draw:
        nothing = jax.eval_shape(lambda key: draw_day(env, key), key)
        return jax.tree.map(lambda leaf: _zeros(leaf, key), nothing)

    def one(needed: Array, key: Array) -> Draw:
        return lax.cond(needed, lambda key: draw_day(env, key), otherwise, key)

    drawn = jax.custom_batching.custom_vmap(one)

    @drawn.def_vmap
    def rule(axis_size: int, in_batched: Any, needed: Array, key: Array) -> Any:
        axes = 0 if in_batched[1] else None
        each = jax.vmap(lambda key: draw_day(env, key), in_axes=axes, axis_size=axis_size)
        none = jax.vmap(otherwise, in_axes=axes, axis_size=axis_size)
        draw = lax.cond(jnp.any(needed), each, none, key)
        return draw, jax.tree.map(lambda _: True, draw)

    return drawn(needed, state.key)


def _zeros(leaf: Any, key: Array) -> Array:
    return key if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.zeros(leaf.shape, leaf.dtype)
