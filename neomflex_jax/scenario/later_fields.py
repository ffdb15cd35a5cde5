"""Fields that a scenario's plain values leave out while they say nothing: there were none of them once.

So scenarios and hashes of earlier versions stay what they were.
"""

from __future__ import annotations

import dataclasses

from neomflex_jax.loose_types import JsonObject
from neomflex_jax.profiles.config import LATER, PLAIN
from neomflex_jax.scenario.loading import UNLIMITED
from neomflex_jax.scenario.parts import DEVICES_AT_ZERO, FROZEN

ABSENT = {
    "series": dataclasses.asdict(PLAIN),
    "loading": dataclasses.asdict(UNLIMITED),
    "fallback": "",
    "enforce_q_lims": False,
    "feeder_controls": FROZEN,
}
ABSENT_IN_TABLES = (
    ("rules", "episode_steps", 0),
    ("rules", "first_observation", DEVICES_AT_ZERO),
    ("reward", "unsolved_penalty", 0.0),
    ("reward", "feeder_operation_weight", 0.0),
)


def leave_out_later(values: JsonObject) -> None:
    """Remove such fields from the values of ``dataclasses.asdict(scenario)``."""
    for name, absent in ABSENT.items():
        if values[name] == absent:
            values.pop(name)
    for table, name, absent in ABSENT_IN_TABLES:
        if values[table][name] == absent:
            values[table].pop(name)
    if not values["reward"]["unbalance_weight"]:
        values["reward"] = {name: value for name, value in values["reward"].items() if "unbalance" not in name}
    for part in values["territories"]:
        if not part["observes"]:
            part.pop("observes")
    for name in LATER:
        if not values.get("series", {}).get(name):
            values.get("series", {}).pop(name, None)
