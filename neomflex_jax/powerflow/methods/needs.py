"""What a feeder, or a call, asks of a power-flow method beyond constant power fed into a grid with one slack.

A method says once which of these it can do (`Method.can`); `register.check_can` is where both are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder


@dataclass(frozen=True)
class Need:
    """One thing that not every method can do."""

    what: str  # after "feeder ... has"
    known: str  # what a method without it knows instead, after "and ... knows"


GENERATORS = Need("generators that hold a voltage", "one voltage, the slack's")
EXTERNAL_GRIDS = Need("several external grids", "one")
VOLTAGE_DEPENDENCE = Need("loads that follow the voltage", "constant power alone")
TWO_IMPEDANCES = Need("branches of another impedance from their to end (`back_r_ohm`)", "one impedance a branch")
SETTINGS = Need("ratios or shunts of each case's own", "one ratio a transformer and one set of shunts")
Q_LIMITS = Need("limits of generators' reactive power to keep", "no such limit")
ALL = frozenset({GENERATORS, EXTERNAL_GRIDS, VOLTAGE_DEPENDENCE, TWO_IMPEDANCES, SETTINGS, Q_LIMITS})


def needs_of(feeder: Feeder, *, enforce_q_lims: bool = False, settings: bool = False) -> tuple[Need, ...]:
    """Return what a feeder asks of a method, and a call that keeps limits of q or has settings of single cases."""
    held = feeder.held
    present = {
        GENERATORS: held is not None and not all(held.is_slack),
        EXTERNAL_GRIDS: held is not None and any(held.is_slack),
        VOLTAGE_DEPENDENCE: feeder.voltage_dependence is not None,
        TWO_IMPEDANCES: feeder.has_two_impedances,
        SETTINGS: settings,
        Q_LIMITS: enforce_q_lims and held is not None and held.q_min_mvar is not None,
    }
    return tuple(need for need, there in present.items() if there)


def check_steady_generators(feeder: Feeder) -> None:
    """Raise `InputError` where loads follow the voltage at the bus of a generator that may give it up.

    pandapower has the generator's own power follow too, once it is at a limit.
    """
    held, shares = feeder.held, feeder.voltage_dependence
    if held is None or shares is None or held.q_min_mvar is None:
        return
    for position, is_slack in zip(held.bus, held.is_slack, strict=True):
        if not is_slack and any(share[position] for share in vars(shares).values()):
            raise InputError(
                f"feeder {feeder.name!r}: loads at bus {feeder.bus_labels[position]} follow the voltage, and so would "
                "the generator there at a limit of its reactive power; make them constant power, or leave out "
                "enforce_q_lims"
            )
