"""Newton's method on prepared matrices where more voltages than the slack's are held.

``p + jq = u conj(Y u)``, in polar form: angles are unknown at all buses but those of external grids, magnitudes at
those whose voltage nothing holds. Source: pandapower 3.5, pypower/newtonpf.py and dSbus_dV.py, whose equations these
are; the environment's own solver iterates in rectangular coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.grid.parts import HeldVoltages
from neomflex_jax.one_line import one_line

MOST_STEPS = 15


@dataclass(frozen=True, eq=False)
class HeldBuses:
    """What is held beside the slack, in the feeder's order."""

    bus: np.ndarray  # (n_held,) positions
    vm_pu: np.ndarray  # (n_held,)
    va: np.ndarray  # (n_held,) rad, of external grids
    p_mw: np.ndarray  # (n_held,) of generators
    is_slack: np.ndarray  # (n_held,) bool: an external grid

    __repr__ = one_line

    @classmethod
    def of(cls, held: HeldVoltages) -> HeldBuses:
        """Take a feeder's."""
        va = np.deg2rad(np.asarray(held.va_degree, float))
        vm_pu, p_mw = np.asarray(held.vm_pu, float), np.asarray(held.p_mw, float)
        return cls(np.array(held.bus, int), vm_pu, va, p_mw, np.array(held.is_slack, bool))


def held_voltages(
    held: HeldBuses, y: np.ndarray, wanted: np.ndarray, slack: int, slack_u: complex, tolerance: float
) -> np.ndarray | None:
    """Solve one step.

    Parameters
    ----------
    held
        What is held beside the slack.
    y
        Bus admittances, complex, per unit, (n_bus, n_bus).
    wanted
        Injections, what generators produce among them, complex, per unit, (n_bus,).
    slack, slack_u
        Position of the slack and its voltage, complex.
    tolerance
        Of p and of q, per unit.

    Returns
    -------
    numpy.ndarray or None
        Bus voltages, complex, (n_bus,); None where the steps do not settle.
    """
    n = len(wanted)
    external = np.array([slack, *held.bus[held.is_slack]])
    free, unheld = np.delete(np.arange(n), external), np.delete(np.arange(n), [slack, *held.bus])
    vm, va = np.full(n, abs(slack_u)), np.full(n, np.angle(slack_u))
    vm[held.bus] = held.vm_pu
    va[held.bus[held.is_slack]] = held.va[held.is_slack]
    va[free] = _lossless_angles(y, wanted, va, free, external)
    before = np.inf
    for _ in range(MOST_STEPS):
        u = vm * np.exp(1j * va)
        current = y @ u
        off = u * np.conj(current) - wanted
        rows = np.concatenate([off.real[free], off.imag[unheld]])
        largest = np.abs(rows).max()
        if largest <= tolerance and largest > 0.5 * before:  # as close as rounding lets it
            return u
        before = largest
        by_angle = 1j * u[:, None] * np.conj(np.diag(current) - y * u)
        by_magnitude = u[:, None] * np.conj(y * (u / vm)) + np.diag(np.conj(current) * u / vm)
        jacobian = np.block(
            [
                [by_angle.real[np.ix_(free, free)], by_magnitude.real[np.ix_(free, unheld)]],
                [by_angle.imag[np.ix_(unheld, free)], by_magnitude.imag[np.ix_(unheld, unheld)]],
            ]
        )
        try:
            step = np.linalg.solve(jacobian, rows)
        except np.linalg.LinAlgError:
            return None
        va[free] -= step[: len(free)]
        vm[unheld] -= step[len(free) :]
    return u if largest <= tolerance else None


def _lossless_angles(
    y: np.ndarray, s: np.ndarray, va: np.ndarray, free: np.ndarray, external: np.ndarray
) -> np.ndarray:
    """Angles of the buses that are no external grid's from active powers and susceptances alone, without shunts."""
    b = -y.imag
    np.fill_diagonal(b, 0.0)
    np.fill_diagonal(b, -b.sum(axis=1))
    return np.linalg.solve(b[np.ix_(free, free)], s.real[free] - b[np.ix_(free, external)] @ va[external])
