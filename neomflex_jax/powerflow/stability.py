"""Which solved states are on the branch of solutions that is connected to the feeder without load.

Along that branch the Jacobian of the power-flow equations stays regular up to its nose, where voltages collapse; there
its determinant changes its sign, and the low-voltage solutions behind it have the other one. Source: V. Venikov et al.,
"Estimation of electrical power system steady-state stability in load flow calculations", IEEE Trans. Power Apparatus
and Systems 94(3), 1975. Two changes of sign look like none: a state that fails is behind a nose, one that passes need
not be before all of them. Loads count as constant power here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.powerflow.network.held import admittances, jacobian

MOST_STEPS = 30  # of Newton's method, without load
SETTLED = 1e-9


def on_stable_branch(feeder: Feeder, vm_pu: ArrayLike, va_degree: ArrayLike) -> np.ndarray:
    """Return True where solved states have the Jacobian's sign of the feeder without load.

    Parameters
    ----------
    feeder
        The grid.
    vm_pu, va_degree
        A solution's voltages, of `power_flow` say, shapes (..., n_bus).

    Returns
    -------
    numpy.ndarray
        Shape (...), bool; False too where a voltage is not finite.

    Raises
    ------
    InputError
        If the voltages have another shape, or nothing is found without load.
    """
    vm, va = np.broadcast_arrays(np.asarray(vm_pu, float), np.deg2rad(np.asarray(va_degree, float)))
    if vm.ndim == 0 or vm.shape[-1] != feeder.n_bus:
        raise InputError(f"voltages have shape {vm.shape}; the last axis must be n_bus = {feeder.n_bus}")
    y, start, external, generator = admittances(feeder)
    without_load = _sign(y, _without_load(feeder, y, start, external, generator), external, generator)
    states = (vm * np.exp(1j * va)).reshape(-1, feeder.n_bus)
    same = [np.isfinite(u).all() and _sign(y, u, external, generator) == without_load for u in states]
    return np.array(same, bool).reshape(vm.shape[:-1])


def _sign(y: np.ndarray, u: np.ndarray, external: np.ndarray, generator: np.ndarray) -> float:
    return float(np.linalg.slogdet(jacobian(np, y, u, external, generator))[0])


def _without_load(
    feeder: Feeder, y: np.ndarray, start: np.ndarray, external: np.ndarray, generator: np.ndarray
) -> np.ndarray:
    """Voltages without any injection, complex, (n_bus,).

    Where generators hold nothing the equations are linear, ``Y u = 0``; their solution is where Newton's method starts.
    """
    u, free = start.copy(), ~external
    u[free] = -np.linalg.solve(y[np.ix_(free, free)], y[np.ix_(free, external)] @ start[external])
    for _ in range(MOST_STEPS):
        s = u * np.conj(y @ u)
        off_p = np.where(external, 0.0, s.real)
        off_q = np.where(external, 0.0, np.where(generator, 0.5 * (np.abs(u) ** 2 - np.abs(start) ** 2), s.imag))
        step = np.linalg.solve(jacobian(np, y, u, external, generator), np.concatenate([off_p, off_q]))
        u = u - (step[: len(u)] + 1j * step[len(u) :])
        if np.abs(step).max() < SETTLED:
            return u
    raise InputError(f"feeder {feeder.name!r} has no solution without load; look at its shunts, charging and ratios")
