"""A trial for each kernel before it is used: a small tree whose flow follows from the equations alone, in NumPy.

The tree has forks and lines in both directions; its buses and cases fill a vector and leave some over, so that a fault
in any part of a kernel shows.
"""

from __future__ import annotations

import jax
import numpy as np
from jax.typing import ArrayLike

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import Shunts
from neomflex_jax.grid.topology import Topology
from neomflex_jax.powerflow.network.per_unit import per_unit
from neomflex_jax.powerflow.sweeps import ac_sweep, calibrated_sweep

N_BUS, N_CASES = 19, 19
PARENT = np.arange(1, N_BUS) * 2 // 3  # of bus 1 and those that follow; bus 0 is the slack
TOWARDS = np.where(np.arange(1, N_BUS) % 3 == 0, 1.0, -1.0)  # +1 where the branch above is listed towards the slack
SLACK_VM, BASE_MVA = 1.02, 2.0
R, X = np.linspace(0.01, 0.03, N_BUS - 1), np.linspace(0.03, 0.02, N_BUS - 1)  # per unit, of the branch above each bus
G, B = np.linspace(0.0, 0.02, N_BUS - 1), np.linspace(0.05, 0.0, N_BUS - 1)  # per unit, at each bus


class WrongAnswerError(ArithmeticError):
    """A kernel was compiled and called, and its numbers are others than they must be."""


def try_ac(dtype: np.dtype[np.floating]) -> None:
    """Solve injections that were worked out from chosen voltages; raises `WrongAnswerError` unless these come back."""
    above = _above()
    drop = 2e-3 * _spread(N_CASES, N_BUS - 1) + 1e-3j * _spread(N_BUS - 1, N_CASES).T  # over each branch
    rise = drop @ above
    u = SLACK_VM + rise
    current = (drop / (R + 1j * X)) @ np.linalg.inv(above).T  # into the grid at each bus
    power = u * np.conj(current + (G + 1j * B) * u)
    with jax.enable_x64(dtype == np.float64):
        grid, tolerance = per_unit(_feeder()), 1e-11 if dtype == np.float64 else 1e-6
        p, q = power.real.astype(dtype), power.imag.astype(dtype)
        found = jax.jit(lambda p, q: ac_sweep.solve_by_sweeps(grid, p, q, tolerance, 100))(p, q)
    rise_r, rise_i, converged, _ = (np.asarray(part) for part in found)
    _check(dtype, rise_r=(rise_r, rise.real), rise_i=(rise_i, rise.imag), converged=(converged, True))


def try_calibrated(dtype: np.dtype[np.floating]) -> None:
    """Solve injections with coefficients that are used nowhere else; raises `WrongAnswerError` for other voltages."""
    above, gain = _above(), np.stack([1.0 + R, 3.0 * X, -2.0 * R])
    power = 0.05 * (_spread(N_CASES, N_BUS) + 0.5j * _spread(N_BUS, N_CASES).T)
    power[:, 0] = 7.0  # at the slack, where it changes nothing
    vm_squared = np.linspace(0.95, 1.05, N_BUS - 1)
    flow = (power[:, 1:] - np.conj(G + 1j * B) * vm_squared) @ above.T  # towards the slack, without losses
    current = TOWARDS * np.conj(flow) / SLACK_VM  # as the branch is listed
    squared = np.abs(current) ** 2 * (gain[0] + gain[1] * current.real + gain[2] * current.imag)
    lost = (R + 1j * X) * squared
    left = flow - lost @ above.T
    change = 2.0 * (R * left.real + X * left.imag) + (R**2 + X**2) * squared
    vm = np.sqrt(SLACK_VM**2 + np.pad(change @ above, ((0, 0), (1, 0))))
    with jax.enable_x64(dtype == np.float64):
        grid = per_unit(_feeder())
        arrays = [part.astype(dtype) for part in (gain, vm_squared, BASE_MVA * power.real, BASE_MVA * power.imag)]
        found = jax.jit(lambda *arrays: calibrated_sweep.solve_by_sweeps(grid, *arrays))(*arrays)
    own_vm, loss, q_loss, solved = (np.asarray(part) for part in found)
    _check(
        dtype,
        vm=(own_vm, vm),
        loss=(loss, lost.real.sum(axis=1)),
        q_loss=(q_loss, lost.imag.sum(axis=1)),
        solved=(solved, True),
    )


def _feeder() -> Feeder:
    """Tree at one kV everywhere, so that ohms are per unit times the base's inverse."""
    ends = np.stack([PARENT, np.arange(1, N_BUS)])
    start, end = np.where(TOWARDS > 0, ends[::-1], ends).tolist()
    return Feeder(
        r_ohm=R / BASE_MVA,
        x_ohm=X / BASE_MVA,
        max_i_ka=np.ones(N_BUS - 1),
        load_p_mw=np.zeros(N_BUS),
        load_q_mvar=np.zeros(N_BUS),
        vn_kv=np.ones(N_BUS),
        slack_vm_pu=np.array(SLACK_VM),
        topology=Topology(N_BUS, 0, tuple(start), tuple(end), (True,) * (N_BUS - 1)),
        bus_labels=tuple(range(N_BUS)),
        name="trial",
        shunts=Shunts(p_mw=BASE_MVA * np.append(0.0, G), q_mvar=-BASE_MVA * np.append(0.0, B)),
        s_base_mva=BASE_MVA,
    )


def _above() -> np.ndarray:
    """Matrix with 1 where the row's branch lies on the way from the slack to the column's bus."""
    matrix = np.eye(N_BUS)
    for bus in range(N_BUS - 1, 0, -1):
        matrix[PARENT[bus - 1]] += matrix[bus]
    return matrix[1:, 1:]


def _spread(n_rows: int, n_columns: int) -> np.ndarray:
    """Numbers between -1 and 1 without any pattern, shape (n_rows, n_columns)."""
    return np.sin(1.0 + np.arange(n_rows * n_columns) ** 1.5).reshape(n_rows, n_columns)


def _check(dtype: np.dtype[np.floating], **results: tuple[np.ndarray, ArrayLike]) -> None:
    """Raise `WrongAnswerError` if a result, (found, expected), is off."""
    for name, (found, expected) in results.items():
        error = np.abs(found.astype(np.float64) - expected).max()
        if not error <= (1e-10 if dtype == np.float64 else 5e-6):
            raise WrongAnswerError(f"the kernel's {name} in {dtype.name} is off by {error:.1e}")
