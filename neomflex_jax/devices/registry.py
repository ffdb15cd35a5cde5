"""The kinds of devices there are: the packaged ones in a fixed order, then those that users register.

The order is that of devices in scenarios, of entries in observations and actions, and of columns in tables.
"""

from __future__ import annotations

from zlib import crc32

import jax
from jax import Array

from neomflex_jax.devices.battery import Battery
from neomflex_jax.devices.device import Kind
from neomflex_jax.devices.flexible_load import FlexibleLoad
from neomflex_jax.devices.pv_inverter import PvInverter

STANDING: tuple[Kind, ...] = (Battery, PvInverter, FlexibleLoad)  # recorded also where a scenario has none
_KINDS: list[Kind] = [*STANDING]


def registered_kinds() -> tuple[Kind, ...]:
    """All kinds in order."""
    return tuple(_KINDS)


def key_of_kind(kind: Kind, key: Array) -> Array:
    """Key of a kind's own random draws, made from a day's key: another for every kind, whichever others there are."""
    first = {Battery.table: 2, FlexibleLoad.table: 3}  # of five, since before there were others: seeds keep their days
    if kind.table in first:
        return jax.random.split(key, 5)[first[kind.table]]
    return jax.random.fold_in(key, crc32(kind.table.encode()))
