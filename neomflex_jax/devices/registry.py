"""The kinds of devices there are: the packaged ones in a fixed order, then those that users register.

The order is that of devices in scenarios, of entries in observations and actions, and of columns in tables.
"""

from __future__ import annotations

import dataclasses
import re
from zlib import crc32

import jax
from jax import Array

from neomflex_jax.devices.battery import Battery
from neomflex_jax.devices.capacitor_bank import CapacitorBank
from neomflex_jax.devices.device import Device, Kind
from neomflex_jax.devices.ev_charger import EvCharger
from neomflex_jax.devices.flexible_load import FlexibleLoad
from neomflex_jax.devices.pv_inverter import PvInverter
from neomflex_jax.devices.tap_changer import TapChanger
from neomflex_jax.errors import InputError, shown
from neomflex_jax.users_modules import module_of

STANDING: tuple[Kind, ...] = (Battery, PvInverter, FlexibleLoad)  # recorded also where a scenario has none
PACKAGED: tuple[Kind, ...] = (*STANDING, EvCharger, TapChanger, CapacitorBank)
_registered: list[Kind] = [*PACKAGED]
SAYS = ("table", "noun", "prefix", "turn", "controls")  # what a kind has no default for


def registered_kinds() -> tuple[Kind, ...]:
    """All kinds in order."""
    return tuple(_registered)


def is_packaged(kind: Kind) -> bool:
    """True for a kind of the package, which needs no import of a user's module."""
    return kind in PACKAGED


def register_device(kind: Kind) -> Kind:
    """Make a kind of device known: from then on scenario files may have its table. Usable as a decorator.

    Parameters
    ----------
    kind
        A frozen dataclass that is a `devices.Device`, with fields `bus` and `name`.

    Returns
    -------
    kind
        The same.

    Raises
    ------
    InputError
        If it is no such class, or a name of its is taken: its table, a control or something it records.
    """
    _check_class(kind)
    for other in _registered:
        twice = _names(kind) & _names(other)
        if twice:
            whose = "the packaged kind" if is_packaged(other) else f"the kind that {module_of(other)} registered,"
            raise InputError(
                f"device {kind.__name__}: {shown(min(twice))} is a name of {whose} {other.__name__}; "
                "give it another name, and register a kind once"
            )
    _registered.append(kind)
    return kind


def key_of_kind(kind: Kind, key: Array) -> Array:
    """Return the key of a kind's random draws, which a day's key and the kind's own table decide alone."""
    first = {Battery.table: 2, FlexibleLoad.table: 3}  # of a split into five: as ever, so that seeds keep their days
    if kind.table in first:
        return jax.random.split(key, 5)[first[kind.table]]
    return jax.random.fold_in(key, crc32(kind.table.encode()))


def _check_class(kind: Kind) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Device)):
        raise InputError(f"device {shown(kind)} must be a class that inherits from neomflex_jax.devices.Device")
    where = f"device {kind.__name__}"
    params = getattr(kind, "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise InputError(f"{where} must be a frozen dataclass: put @dataclass(frozen=True) above it")
    missing = {"bus", "name"} - {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if missing:
        raise InputError(f'{where} has no field {min(missing)!r}; add bus: int and, at the end, name: str = ""')
    for name in SAYS:
        if not hasattr(kind, name):
            raise InputError(f"{where} does not say its {name}; see the attributes of neomflex_jax.devices.Device")
    for name in _names(kind):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise InputError(f"{where}: {shown(name)} must be made of small letters, digits and _: it names columns")


def _names(kind: Kind) -> set[str]:
    recorded = {name for each in kind.recorded for name in (each.name, each.before) if name}
    return {kind.table, *(control.name for control in kind.controls), *recorded}
