"""What every entry of observations and actions is, as a table."""

from __future__ import annotations

import pandas as pd

from neomflex_jax.environment.task import Task


def describe(task: Task) -> pd.DataFrame:
    """One row an entry: kind (observation, action), agent, index (of the unpadded vector), name, unit, low, high."""
    rows: list[tuple[str, str, int, str, str, float, float]] = []
    seen, acts = task.observation_layout, task.action_layout
    for number, agent in enumerate(task.agents):
        for index, slot in enumerate(seen.slots[number][seen.mask[number]]):
            age, which = divmod(int(slot), len(seen.values))
            value = seen.values[which]
            name = value.name + (f", {age} steps before" if age else "")
            rows.append(("observation", agent, index, name, value.unit, value.low, value.high))
        for index, slot in enumerate(acts.slots[number][acts.mask[number]]):
            entry = acts.controls[slot]
            rows.append(("action", agent, index, entry.text, entry.control.meaning, -1.0, 1.0))
    return pd.DataFrame(rows, columns=["kind", "agent", "index", "name", "unit", "low", "high"])
