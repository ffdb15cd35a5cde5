"""Tables of devices whose kind has no field in the scenario: packaged ones that came later, and users' own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from neomflex_jax.devices.device import Kind, Own
from neomflex_jax.devices.registry import STANDING, registered_kinds
from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.fields import FieldError, FrozenDict
from neomflex_jax.loose_types import FieldValue
from neomflex_jax.scenario.users_parts import PART_MODULES, check_modules
from neomflex_jax.users_modules import advice_to_import, module_of

DEVICE_MODULES = "device_modules"  # of a stored scenario: tables and the modules that register their kinds


class HasFurther(Protocol):
    """What is asked of a scenario that is changed."""

    @property
    def further(self) -> Mapping[str, FieldValue]:
        """Its devices by table."""


def gather_tables(
    values: Mapping[str, FieldValue],
    rows_of: Callable[[Kind, str], tuple[Own, ...]],
    own: set[str],
    instance: HasFurther | None,
) -> dict[str, FieldValue]:
    """Values of a scenario with such tables under `further`.

    Parameters
    ----------
    rows_of
        Checked devices of a kind from the value of this name.
    own
        Fields of the scenario.
    instance
        A scenario that is changed; None for a new one.

    Raises
    ------
    FieldError
        On a table of an unknown kind, or parts whose modules are not imported.
    """
    check_modules(values.get(PART_MODULES))
    for kind in registered_kinds():
        if kind.table in own and kind not in STANDING:
            raise InputError(
                f"device {kind.__name__} ({module_of(kind)}): its table {kind.table!r} is a field of every scenario; "
                "give it another name"
            )
    kinds = {kind.table: kind for kind in registered_kinds() if kind.table not in own}
    further = {} if instance is None else dict(instance.further)
    gathered: dict[str, FieldValue] = {}
    for name, value in values.items():
        if name in kinds:
            further[name] = rows_of(kinds[name], name)
        elif name == "further" and not isinstance(value, FrozenDict):
            raise FieldError(str(unknown_name("field", name, own - {"further"})), name)
        elif name not in own and _is_table(value):
            raise FieldError(_unknown(name, values.get(DEVICE_MODULES), own, kinds), name)
        elif name not in (DEVICE_MODULES, PART_MODULES) or not isinstance(value, Mapping):
            gathered[name] = value
    return gathered | ({"further": FrozenDict(further)} if further else {})


def _is_table(value: FieldValue) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(row, Mapping) for row in value)


def _unknown(name: str, modules: FieldValue, own: set[str], kinds: Mapping[str, Kind]) -> str:
    if isinstance(modules, Mapping) and isinstance(modules.get(name), str):
        return f"no kind of device has the table {shown(name)} here; {advice_to_import(modules[name])}"
    known = unknown_name("field", name, (own | set(kinds)) - {"further"})
    return (
        f"{known} If it is a table of devices, import the module that registers their kind (on the command line: "
        "--import and its name or file)"
    )
