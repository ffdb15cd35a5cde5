"""The trial of `branch_kernel.py`: loads of every model behind a few impedances, at voltages that are chosen first.

From rises follow currents, ``c = Z^-1 rise``, and from these what each load must consume: ``p = Re(c / y) / k_p``. The
models are written a second time, in NumPy and by their definition (`grid/unbalanced/load_model.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.network import branch_arrays as at
from neomflex_jax.powerflow.sweeps.sum_arrays import SumArrays
from neomflex_jax.powerflow.sweeps.trials import N_CASES, check, spread

LIMITS = {"v_min_squared": 0.81, "v_max_squared": 1.21, "high_power": 1 / 1.21, "high_current": 1 / 1.1}
LIMITS |= {"power_offset": 1.5, "power_slope": -0.4, "current_offset": 1.2, "current_slope": -0.3}
INSIDE = {"inside_p_z": 0.2, "inside_p_i": 0.3, "inside_p_c": 0.5, "inside_q_z": 0.6, "inside_q_c": 0.4}
OUTSIDE = {"outside_p_c": 1.0, "outside_q_i": 0.7, "outside_q_z": 0.3}
EXPONENTS = {"p_exponent": 0.4 / 2 - 1, "q_exponent": 2.5 / 2 - 1}
BELOW, ABOVE = 0.7, 1.3  # references over nominal voltages
MIXED = at.LIMITED | at.MIXED | at.CURRENT | at.OUTSIDE


class Kind(NamedTuple):
    """A branch of the trial."""

    flags: int
    numbers: dict[str, float]
    reference: float = 1.0  # over its nominal voltage
    k_p: Callable[[np.ndarray], np.ndarray] = lambda m: m**-2.0
    k_q: Callable[[np.ndarray], np.ndarray] = lambda m: m**-2.0


def _kinds() -> list[Kind]:
    """Every part of the models at least once."""
    on = {"v_low_squared": 0.6, **LIMITS, **INSIDE, **OUTSIDE}
    return [
        Kind(0, {}),
        Kind(at.LIMITED, LIMITS),
        Kind(at.LIMITED, LIMITS, ABOVE, lambda m: 1 / 1.21 + 0 * m, lambda m: 1 / 1.21 + 0 * m),
        Kind(at.LIMITED, LIMITS, BELOW, lambda m: 1.5 / m - 0.4, lambda m: 1.5 / m - 0.4),
        Kind(MIXED, {**LIMITS, **INSIDE, **OUTSIDE}, 1.0, lambda m: 0.2 + 0.3 / m + 0.5 / m**2,
             lambda m: 0.6 + 0.4 / m**2),
        Kind(MIXED, {**LIMITS, **INSIDE, **OUTSIDE}, BELOW, lambda m: 1.5 / m - 0.4,
             lambda m: 0.7 * (1.2 / m - 0.3) + 0.3),
        Kind(MIXED | at.LOW, on, BELOW, lambda m: 1 + 0 * m, lambda m: 1 + 0 * m),
        Kind(at.P_EXPONENT | at.Q_EXPONENT, EXPONENTS, 1.0, lambda m: m**-1.6, lambda m: m**0.5),
        Kind(at.CUT_OFF, {"cut_off": 1.001}, 1.0, lambda m: (1 + np.tanh(500 * (m - 1.001))) / 2 / m**2,
             lambda m: (1 + np.tanh(500 * (m - 1.001))) / 2 / m**2),
        Kind(at.WITHIN, {"within_p": 0.02, "within_q": 0.01}),
        Kind(at.FED, {}),
    ]  # fmt: skip


class _Ports(NamedTuple):
    """Complex arrays of `branch_arrays.PortArrays`, and the changes of every case."""

    seen: np.ndarray
    own: np.ndarray
    by_branch: np.ndarray
    to_branch: np.ndarray
    change: np.ndarray  # (N_CASES, n_port)

    @property
    def gain(self) -> np.ndarray:
        """K of every case."""
        d = self.change[:, :, None]
        return np.linalg.inv(np.eye(len(self.seen)) - d * self.own) * self.change[:, None]


class _Chosen(NamedTuple):
    """Branches with a known state."""

    branches: tuple[np.ndarray, ...]
    impedance: np.ndarray
    powers: tuple[np.ndarray, ...]
    rise: np.ndarray
    drawn: np.ndarray


def try_branches(dtype: np.dtype[np.floating], solve: Callable[..., tuple[Array, ...]]) -> None:
    """Solve loads that follow from chosen rises; raises `trials.WrongAnswerError` unless these come back.

    `solve` takes what `branch_sweep.solve_by_branches` does.
    """
    chosen = _chosen(None)
    _check(dtype, chosen, _solved(dtype, chosen, (), solve))


def try_ports(dtype: np.dtype[np.floating], solve: Callable[..., tuple[Array, ...]]) -> None:
    """Solve the like with taps of each case's own; `solve` takes what `branch_sweep.solve_with_ports` does."""
    n, n_port = len(_kinds()), 3
    parts = [spread(rows, columns) for rows, columns in ((n_port, n_port), (n_port, n), (n, n_port))]
    own, by_branch, to_branch = (0.3 * part + 0.2j * part[::-1] for part in parts)
    seen = 1.0 + 0.1j * spread(1, n_port)[0]
    ports = _Ports(seen, own, 0.05 * by_branch, 0.05 * to_branch, 0.1 * spread(N_CASES, n_port))
    chosen = _chosen(ports)
    with jax.enable_x64(dtype == np.float64):
        pair = jnp.asarray(own.real, dtype), jnp.asarray(own.imag, dtype)
        blocks = [
            np.block([[part.real, -part.imag], [part.imag, part.real]]) for part in (ports.by_branch, ports.to_branch)
        ]
        stacked = np.concatenate([seen.real, seen.imag])
        arrays = at.PortArrays(jnp.asarray(stacked, dtype), pair, *(jnp.asarray(block, dtype) for block in blocks))
        found = _solved(dtype, chosen, (arrays, jnp.asarray(ports.change, dtype)), solve)
    _check(dtype, chosen, found)
    added = (ports.gain @ (seen + chosen.drawn @ ports.by_branch.T)[..., None])[..., 0]
    check(dtype, added=(np.asarray(found[4]), np.concatenate([added.real, added.imag], axis=1)))


def _chosen(ports: _Ports | None) -> _Chosen:
    """Loads of every kind at chosen rises."""
    kinds = _kinds()
    n = len(kinds)
    start = 1.01 * np.exp(0.02j * spread(n, 1)[:, 0])
    z = 0.01 * (np.eye(n) * (2 + 1j) + 0.3 * spread(n, n) + 0.2j * spread(n, n).T)
    rise = 4e-3 * spread(N_CASES, n) + 3e-3j * spread(n, N_CASES).T
    whole, shift = z[None], np.zeros((N_CASES, n))
    if ports is not None:
        driven = ports.to_branch @ ports.gain
        whole, shift = z + driven @ ports.by_branch, driven @ ports.seen
    drawn, y = np.linalg.solve(whole, rise[..., None])[..., 0], start + shift + rise
    fed = 0.05 * spread(N_CASES, 2)
    load = _loads(kinds, drawn / y, np.abs(y), fed)
    columns = np.array([[kind.numbers.get(name, 0.0) for name in at.COLUMNS] for kind in kinds])
    stated = {"share": 0.5, "start_r": start.real, "start_i": start.imag, "own_slope": 0.2}
    stated["r_squared"] = np.array([kind.reference**2 for kind in kinds])
    for name, values in stated.items():
        columns[:, at.COLUMNS.index(name)] = values
    flags = np.array([kind.flags for kind in kinds], np.int32)
    owner, node = np.arange(n, dtype=np.int32), np.where(flags & at.FED, 0, 2).astype(np.int32)
    return _Chosen((flags, owner, node, columns), z, (load.real, load.imag, fed, 0.5 * fed), rise, drawn)


def _solved(
    dtype: np.dtype[np.floating], chosen: _Chosen, ports: tuple[Any, ...], solve: Callable[..., tuple[Array, ...]]
) -> tuple[Array, ...]:
    """Solve by the kernel; the impedances are sums of as many entries as branches."""
    z, (flags, owner, node, columns), n = chosen.impedance, chosen.branches, len(chosen.impedance)
    entries = np.arange(n * n + 1, dtype=np.int32)
    with jax.enable_x64(dtype == np.float64):
        sums = SumArrays(
            jnp.asarray(entries[::n]),
            jnp.asarray(entries[:-1] % n),
            jnp.asarray(z.real.ravel(), dtype),
            jnp.asarray(z.imag.ravel(), dtype),
            jnp.asarray(np.arange(n, 2 * n, dtype=np.int32)),
        )
        branches = at.BranchArrays(
            jnp.asarray(flags), jnp.asarray(owner), jnp.asarray(node), jnp.asarray(columns, dtype)
        )
        case = at.Case(*(jnp.asarray(part, dtype) for part in chosen.powers))
        tolerance = 1e-12 if dtype == np.float64 else 1e-6
        return jax.jit(lambda *given: solve(*given, tolerance, 100))(sums, branches, case, *ports)


def _check(dtype: np.dtype[np.floating], chosen: _Chosen, found: tuple[Array, ...]) -> None:
    rise, converged, _, drawn = (np.asarray(part) for part in found[:4])
    expected = [np.concatenate([part.real, part.imag], axis=1) for part in (chosen.rise, chosen.drawn)]
    check(dtype, rise=(rise, expected[0]), drawn=(0.1 * drawn, 0.1 * expected[1]), converged=(converged, True))


def _loads(kinds: list[Kind], admittance: np.ndarray, m: np.ndarray, fed: np.ndarray) -> np.ndarray:
    """Loads, (n_cases, n) complex and twice what their branches draw, by the admittances that these must have."""
    load = np.zeros(admittance.shape, complex)
    for branch, kind in enumerate(kinds):
        own, y = m[:, branch] * kind.reference, admittance[:, branch]
        taken = np.conj(y) + complex(kind.numbers.get("within_p", 0.0), kind.numbers.get("within_q", 0.0))
        if kind.flags & at.FED:
            taken = taken + (1 + 0.5j) * fed[:, 0] / own**2
        load[:, branch] = 2 * (taken.real / kind.k_p(own) + 1j * taken.imag / kind.k_q(own))
    return load
