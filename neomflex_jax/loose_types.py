"""What the type checker is told nothing of, and why; annotations elsewhere take these names in the place of `Any`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

Keywords: TypeAlias = dict[str, Any]  # arguments of many types to be handed on by `**`, checked where they arrive
PandapowerNet: TypeAlias = Any  # pandapower states no types, and is not imported for one
Info: TypeAlias = dict[str, Any]  # of a step, by name: Gymnasium, PettingZoo, JaxMARL and Stable-Baselines3 have it so
JsonValue: TypeAlias = Any  # of a JSON or TOML file: what it is, is checked where it is used
JsonObject: TypeAlias = dict[str, JsonValue]
FieldValue: TypeAlias = Any  # of any field of a scenario or argument of `make`, where it is checked
if TYPE_CHECKING:
    BusLabel: TypeAlias = Any  # a number on a balanced feeder, a text on one with phases; a feeder has one of both
else:
    BusLabel = int | str  # what fields take
