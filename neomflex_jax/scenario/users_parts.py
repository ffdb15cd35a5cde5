"""Users' own reward terms and observations: scenarios hold their names, modules register what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from neomflex_jax.errors import InputError, shown
from neomflex_jax.fields import FieldError
from neomflex_jax.users_modules import advice_to_import, module_of

UsersPart: TypeAlias = Any  # a term of the reward or a block of observations; `environment/` has their types
TERMS, OBSERVATIONS = "reward_terms", "observations"  # fields of a scenario
NOUNS = {TERMS: "reward term", OBSERVATIONS: "observation"}
PART_MODULES = "part_modules"  # of a stored scenario: by field and name, the modules that register them
_registered: dict[str, dict[str, tuple[UsersPart, str]]] = {TERMS: {}, OBSERVATIONS: {}}  # part and module by name


def register_part(field: str, name: str, part: UsersPart, function: object) -> None:
    """Make a part known under a name; `function` is what tells its module.

    Raises
    ------
    InputError
        If the name is taken.
    """
    if name in _registered[field]:
        where = _registered[field][name][1]
        raise InputError(f"{NOUNS[field]} {shown(name)} is registered already, by {where}; give yours another name")
    _registered[field][name] = part, module_of(function)


def registered_part(field: str, name: str) -> UsersPart | None:
    """What is registered under a name; None if nothing is."""
    return _registered[field].get(name, (None, ""))[0]


def modules_of(named: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """By field, the module of every named part that is registered; fields without any are left out."""
    modules = {
        field: {name: _registered[field][name][1] for name in names if name in _registered[field]}
        for field, names in named.items()
    }
    return {field: by_name for field, by_name in modules.items() if by_name}


def check_modules(stored: object) -> None:
    """Check that what a stored scenario says some module registers is registered.

    Raises
    ------
    FieldError
        If it is not, saying which module to import.
    """
    for field, noun in NOUNS.items():
        modules = stored.get(field) if isinstance(stored, Mapping) else None
        for name, module in modules.items() if isinstance(modules, Mapping) else ():
            if registered_part(field, name) is None and isinstance(module, str):
                raise FieldError(f"no {noun} {shown(name)} is registered here; {advice_to_import(module)}", field)
