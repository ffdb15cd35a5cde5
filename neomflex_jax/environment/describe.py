"""What every entry of observations and actions is, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from neomflex_jax.scenario.controls import KINDS

if TYPE_CHECKING:
    from neomflex_jax.environment.environment import Environment


def describe(env: Environment) -> pd.DataFrame:
    """One row an entry: kind (observation, action), agent, index (of the unpadded vector), name, unit, low, high."""
    rows: list[tuple[str, str, int, str, str, float, float]] = []
    seen, acts = env.observation_layout, env.action_layout
    for number, agent in enumerate(env.agents):
        for index, slot in enumerate(seen.slots[number][seen.mask[number]]):
            age, which = divmod(int(slot), len(seen.values))
            value = seen.values[which]
            name = value.name + (f", {age} steps before" if age else "")
            rows.append(("observation", agent, index, name, value.unit, value.low, value.high))
        for index, slot in enumerate(acts.slots[number][acts.mask[number]]):
            control = acts.controls[slot]
            name = f"{control.kind} of {control.device}"
            rows.append(("action", agent, index, name, KINDS[control.kind], -1.0, 1.0))
    return pd.DataFrame(rows, columns=["kind", "agent", "index", "name", "unit", "low", "high"])
