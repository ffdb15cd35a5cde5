"""A trial for each kernel before it is used: a small tree whose flow follows from the equations alone, in NumPy.

The tree has forks and lines in both directions; its buses and cases fill a vector and leave some over, so that a fault
in any part of a kernel shows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import Shunts
from neomflex_jax.grid.topology import Topology
from neomflex_jax.powerflow.network.per_unit import per_unit
from neomflex_jax.powerflow.network.setting import Own
from neomflex_jax.powerflow.sweeps.sum_arrays import SumArrays

N_BUS, N_CASES = 19, 19
PARENT = np.arange(1, N_BUS) * 2 // 3  # of bus 1 and those that follow; bus 0 is the slack
TOWARDS = np.where(np.arange(1, N_BUS) % 3 == 0, 1.0, -1.0)  # +1 where the branch above is listed towards the slack
SLACK_VM, BASE_MVA = 1.02, 2.0
R, X = np.linspace(0.01, 0.03, N_BUS - 1), np.linspace(0.03, 0.02, N_BUS - 1)  # per unit, of the branch above each bus
TAPPED = (1, 4, 6)  # next to the slack, below that, and below both with its from end as the lower one
G, B = np.linspace(0.0, 0.02, N_BUS - 1), np.linspace(0.05, 0.0, N_BUS - 1)  # per unit, at each bus


Solved = tuple[Array, Array, Array, Array]  # as a kernel returns them


class WrongAnswerError(ArithmeticError):
    """A kernel was compiled and called, and its numbers are others than they must be."""


def try_ac(dtype: np.dtype[np.floating], solve: Callable[..., Solved]) -> None:
    """Solve injections that were worked out from chosen voltages; raises `WrongAnswerError` unless these come back.

    `solve` takes the grid, injections, tolerance and most evaluations, as `ac_sweep.solve_by_sweeps` does.
    """
    power, rise = _chosen(np.ones((1, N_BUS)), G + 1j * B)
    with jax.enable_x64(dtype == np.float64):
        grid, p, q = per_unit(trial_feeder()), power.real.astype(dtype), power.imag.astype(dtype)
        found = jax.jit(lambda p, q: solve(grid, p, q, _tolerance(dtype), 100))(p, q)
    _check_rises(dtype, found, rise)


def try_ac_with_settings(dtype: np.dtype[np.floating], solve: Callable[..., Solved]) -> None:
    """Solve the like with factors on branches in both directions and admittances that differ from case to case.

    `solve` takes what `setting_sweep.solve_by_sweeps` does.
    """
    factor, admittance = np.ones((N_CASES, N_BUS)), spread(N_CASES, N_BUS - 1)
    factor[:, TAPPED] += 0.1 * spread(N_CASES, len(TAPPED))
    g, b = G + 0.01 * admittance, B - 0.02 * admittance
    power, rise = _chosen(factor, g + 1j * b)
    with jax.enable_x64(dtype == np.float64):
        grid = per_unit(trial_feeder(), tap_branches=tuple(bus - 1 for bus in TAPPED))
        assert grid.taps is not None
        tapped = factor[:, [TAPPED[place] for place in grid.taps.order]]
        own_g, own_b, own_c, p, q = (jnp.asarray(part, dtype) for part in (g, b, tapped, power.real, power.imag))

        own = Own(own_c, (own_g, own_b), None)
        found = jax.jit(lambda own, p, q: solve(grid, own, p, q, _tolerance(dtype), 100))(own, p, q)
    _check_rises(dtype, found, rise)


def _chosen(factor: np.ndarray, admittance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Powers and rises u - w, (N_CASES, N_BUS - 1), of chosen drops; `factor` (..., N_BUS): c above each bus."""
    above = _above(factor)
    rest, seen = above[:, 1:, 1:], np.where(TOWARDS > 0, factor[:, 1:] ** 2, 1.0)
    drop = 2e-3 * spread(N_CASES, N_BUS - 1) + 1e-3j * spread(N_BUS - 1, N_CASES).T  # over each branch, seen below it
    rise = (drop[:, None] @ rest)[:, 0]
    u = SLACK_VM * above[:, 0, 1:] + rise
    branch_current = drop / ((R + 1j * X) * seen)
    current = (np.linalg.inv(rest) @ branch_current[..., None])[..., 0]  # into the grid at each bus
    return u * np.conj(current + admittance * u), rise


def _tolerance(dtype: np.dtype[np.floating]) -> float:
    return 1e-11 if dtype == np.float64 else 1e-6


def _check_rises(dtype: np.dtype[np.floating], found: Solved, rise: np.ndarray) -> None:
    rise_r, rise_i, converged, _ = (np.asarray(part) for part in found)
    check(dtype, rise_r=(rise_r, rise.real), rise_i=(rise_i, rise.imag), converged=(converged, True))


def try_calibrated(dtype: np.dtype[np.floating], solve: Callable[..., Solved]) -> None:
    """Solve injections with coefficients that are used nowhere else; raises `WrongAnswerError` for other voltages.

    `solve` takes what `calibrated_sweep.solve_by_sweeps` does.
    """
    above, gain = _above(np.ones(N_BUS))[1:, 1:], np.stack([1.0 + R, 3.0 * X, -2.0 * R])
    power = 0.05 * (spread(N_CASES, N_BUS) + 0.5j * spread(N_BUS, N_CASES).T)
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
        grid = per_unit(trial_feeder())
        arrays = [part.astype(dtype) for part in (gain, vm_squared, BASE_MVA * power.real, BASE_MVA * power.imag)]
        found = jax.jit(lambda *arrays: solve(grid, *arrays))(*arrays)
    own_vm, loss, q_loss, solved = (np.asarray(part) for part in found)
    check(
        dtype,
        vm=(own_vm, vm),
        loss=(loss, lost.real.sum(axis=1)),
        q_loss=(q_loss, lost.imag.sum(axis=1)),
        solved=(solved, True),
    )


def try_sums(
    dtype: np.dtype[np.floating],
    by_quantity: Callable[[SumArrays, Array], Array],
    by_case: Callable[[SumArrays, Array], Array],
    magnitudes: Callable[[SumArrays, Array, Array], Array],
) -> None:
    """Work out sums of all quantities before each, of none and of one; raises `WrongAnswerError` for other numbers."""
    n_in, lengths = 5, [3, 0, 1, *range(1, N_BUS)]
    first = np.cumsum([0, *lengths]).astype(np.int32)
    source = np.concatenate([np.arange(length) % (n_in + row) for row, length in enumerate(lengths)]).astype(np.int32)
    real, imaginary = 0.5 * spread(2, len(source))
    given = spread(2 * n_in, N_CASES)
    found = list(given[:n_in] + 1j * given[n_in:])
    for start, stop in pairwise(first):
        entries = slice(start, stop)
        taken = np.array([found[quantity] for quantity in source[entries]]).reshape(-1, N_CASES)
        found.append((real[entries] + 1j * imaginary[entries]) @ taken)
    out = np.arange(len(found), dtype=np.int32)[::-2]
    asked = np.array([found[quantity] for quantity in out])
    expected, start = np.concatenate([asked.real, asked.imag]), spread(1, 2 * len(out))[0]
    with jax.enable_x64(dtype == np.float64):
        coefficients = jnp.asarray(real, dtype), jnp.asarray(imaginary, dtype)
        sums = SumArrays(jnp.asarray(first), jnp.asarray(source), *coefficients, jnp.asarray(out))
        own, own_start = jnp.asarray(given, dtype), jnp.asarray(start, dtype)
        quantities, cases, sizes = jax.jit(
            lambda sums, own: (by_quantity(sums, own), by_case(sums, own.T), magnitudes(sums, own_start, own.T))
        )(sums, own)
    check(dtype, quantities=(np.asarray(quantities), expected), cases=(np.asarray(cases).T, expected))
    check(dtype, sizes=(np.asarray(sizes).T, np.abs(asked + (start[: len(out)] + 1j * start[len(out) :])[:, None])))


def trial_feeder() -> Feeder:
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


def _above(factor: np.ndarray) -> np.ndarray:
    """Matrices (..., N_BUS, N_BUS) with the product of the factors of the branches on the way from the row's bus.

    That way leads away from the slack to the column's bus; 0 where there is none. `factor` (..., N_BUS): above a bus.
    """
    matrix = np.zeros((*factor.shape, N_BUS)) + np.eye(N_BUS)
    for bus in range(N_BUS - 1, 0, -1):
        matrix[..., PARENT[bus - 1], :] += factor[..., bus, None] * matrix[..., bus, :]
    return matrix


def spread(n_rows: int, n_columns: int) -> np.ndarray:
    """Numbers between -1 and 1 without any pattern, shape (n_rows, n_columns)."""
    return np.sin(1.0 + np.arange(n_rows * n_columns) ** 1.5).reshape(n_rows, n_columns)


def check(dtype: np.dtype[np.floating], **results: tuple[np.ndarray, ArrayLike]) -> None:
    """Raise `WrongAnswerError` if a result, (found, expected), is off."""
    for name, (found, expected) in results.items():
        error = np.abs(found.astype(np.float64) - expected).max()
        if not error <= (1e-10 if dtype == np.float64 else 5e-6):
            raise WrongAnswerError(f"the kernel's {name} in {dtype.name} is off by {error:.1e}")
