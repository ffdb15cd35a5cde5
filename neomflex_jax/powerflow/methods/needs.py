"""What a feeder, or a call, asks of a power-flow method beyond constant power fed into a grid with one slack.

A method says once which of these it can do (`Method.can`); `register.check_can` is where both are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

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
