"""The one place where a method's name is looked up, and where what it can do is compared with what is needed."""

from __future__ import annotations

from collections.abc import Sequence

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.powerflow.methods.ac import Ac
from neomflex_jax.powerflow.methods.calibrated import Calibrated
from neomflex_jax.powerflow.methods.dc import Dc
from neomflex_jax.powerflow.methods.lindistflow import LinDistFlow
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.powerflow.methods.needs import Need
from neomflex_jax.powerflow.methods.newton import Newton

CHEAPEST_FIRST: tuple[type[Method], ...] = (Dc, LinDistFlow, Calibrated, Ac, Newton)
METHODS = tuple(sorted(kind.name for kind in CHEAPEST_FIRST))
UNBALANCED_METHODS = (LinDistFlow.name, Calibrated.name, Ac.name)  # of feeders with phases, the cheapest first


def method_named(name: str) -> type[Method]:
    """Class of the method with this name.

    Raises
    ------
    InputError
        If there is none; lists the known names.
    """
    for kind in CHEAPEST_FIRST:
        if kind.name == name:
            return kind
    raise unknown_name("power-flow method", name, METHODS)


def check_fallback(name: str) -> str:
    """Return the name of a fallback, empty for none; raise `InputError` if there is no such fallback."""
    if name not in ("", Newton.name):
        raise unknown_name("fallback of `ac`", name, (Newton.name,))
    return name


def check_method(name: str) -> str:
    """Return the name of a method; raise `InputError` if there is no such method."""
    return method_named(name).name


def check_can(kind: type[Method], needed: Sequence[Need], who: str) -> None:
    """Raise `InputError` if a method cannot do all that `who`, a feeder say, needs of it; names those that can."""
    missing = [need for need in needed if need not in kind.can]
    if not missing:
        return
    able = [other for other in CHEAPEST_FIRST if other.can.issuperset(needed)]
    exact, surrogates = (
        " or ".join(repr(other.name) for other in able if other.exact == wanted) for wanted in (True, False)
    )
    raise InputError(
        f"{who} has {' and '.join(need.what for need in missing)}, and {kind.name!r} knows {missing[0].known}; take "
        f"{exact}{f', or the surrogate {surrogates}' if surrogates else ''}; in a scenario take power_flow = 'ac'"
    )


def check_unbalanced(name: str, feeder: str) -> None:
    """Raise `InputError` if the method of this name does not solve feeders with phases, of which `feeder` is one."""
    if method_named(name).name not in UNBALANCED_METHODS:
        raise InputError(
            f"feeder {feeder!r} has phases, and power flow {name!r} is of balanced feeders alone; take "
            f"{UNBALANCED_METHODS[-1]!r}, or a surrogate: {', '.join(map(repr, UNBALANCED_METHODS[:-1]))}"
        )
