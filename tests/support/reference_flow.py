"""A second opinion on a `Feeder`: the textbook's Newton-Raphson on the bus admittance matrix, in plain dense NumPy.

It shares no code with the package's solvers and reads nothing but the feeder's fields. Per unit on 1 MVA: with
``S = V conj(Y V)`` the derivatives are ``dS/d(angle) = j diag(V) conj(diag(I) - Y diag(V))`` and
``dS/d(magnitude) = diag(V) conj(Y diag(V/|V|)) + conj(diag(I)) diag(V/|V|)`` (MATPOWER Technical Note 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.grid import Feeder

TOLERANCE_MVA = 1e-11
MAX_ITERATIONS = 60


@dataclass(frozen=True)
class ReferenceFlow:
    vm_pu: np.ndarray
    va_degree: np.ndarray  # relative to the slack
    loss_mw: float  # of the branches
    shunt_p_mw: float  # consumption of the shunts
    slack_p_mw: float
    slack_q_mvar: float
    loading_percent: np.ndarray  # of branches; 0 where open, NaN without a rating
    residual_mva: float


def solve_reference(feeder: Feeder, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray) -> ReferenceFlow:
    """Power flow for one set of injections, shape (n_bus,), positive into the grid."""
    y_branch = branch_admittances(feeder)
    y_bus = bus_admittance(feeder, y_branch)
    wanted = (p_injection_mw + 1j * q_injection_mvar).astype(complex)
    others = feeder.topology.non_slack
    v = flat_start(feeder, y_bus)
    for _ in range(MAX_ITERATIONS):
        mismatch = (v * np.conj(y_bus @ v) - wanted)[others]
        if np.abs(mismatch).max() < TOLERANCE_MVA:
            break
        by_angle, by_magnitude = jacobian(y_bus, v)
        block = np.ix_(others, others)
        matrix = np.block(
            [[by_angle[block].real, by_magnitude[block].real], [by_angle[block].imag, by_magnitude[block].imag]]
        )
        step = np.linalg.solve(matrix, -np.concatenate([mismatch.real, mismatch.imag]))
        angle, magnitude = np.angle(v), np.abs(v)
        angle[others] += step[: len(others)]
        magnitude[others] += step[len(others) :]
        v = magnitude * np.exp(1j * angle)
    return results(feeder, y_branch, y_bus, v, wanted)


def branch_admittances(feeder: Feeder) -> np.ndarray:
    """The 2x2 admittance matrix of every branch, per unit, shape (n_branch, 2, 2); zero for an open one."""
    topology = feeder.topology
    found = np.zeros((topology.n_branch, 2, 2), complex)
    for branch, (closed, to_bus) in enumerate(zip(topology.in_service, topology.to_bus, strict=True)):
        if closed:
            base_ohm = feeder.vn_kv[to_bus] ** 2
            series = base_ohm / complex(feeder.r_ohm[branch], feeder.x_ohm[branch])
            half = 0j
            if feeder.charging is not None:
                half = complex(feeder.charging.g_us[branch], feeder.charging.b_us[branch]) * 1e-6 * base_ohm / 2
            n = 1 + 0j
            if feeder.transformers is not None:
                shift = np.deg2rad(feeder.transformers.shift_degree[branch])
                n = feeder.transformers.ratio[branch] * np.exp(1j * shift)
            found[branch] = [
                [(series + half) / abs(n) ** 2, -series / np.conj(n)],
                [-series / n, series + half],
            ]
    return found


def bus_admittance(feeder: Feeder, y_branch: np.ndarray) -> np.ndarray:
    """Sum of the branches' and the shunts' admittances, shape (n_bus, n_bus)."""
    y_bus = np.zeros((feeder.n_bus, feeder.n_bus), complex)
    for ends, y in zip(zip(feeder.topology.from_bus, feeder.topology.to_bus, strict=True), y_branch, strict=True):
        y_bus[np.ix_(ends, ends)] += y
    if feeder.shunts is not None:
        y_bus += np.diag(feeder.shunts.p_mw - 1j * feeder.shunts.q_mvar)
    return y_bus


def flat_start(feeder: Feeder, y_bus: np.ndarray) -> np.ndarray:
    """Voltages without any injection: near the answer even behind transformers that turn the angle."""
    others, slack = feeder.topology.non_slack, feeder.topology.slack
    v = np.full(feeder.n_bus, complex(feeder.slack_vm_pu))
    v[others] = np.linalg.solve(y_bus[np.ix_(others, others)], -y_bus[others, slack] * v[slack])
    return v


def jacobian(y_bus: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    current, direction = np.diag(y_bus @ v), v / np.abs(v)
    by_angle = 1j * v[:, None] * np.conj(current - y_bus * v)
    by_magnitude = v[:, None] * np.conj(y_bus * direction) + np.conj(current) * direction
    return by_angle, by_magnitude


def results(
    feeder: Feeder, y_branch: np.ndarray, y_bus: np.ndarray, v: np.ndarray, wanted: np.ndarray
) -> ReferenceFlow:
    topology = feeder.topology
    at_ends = v[np.stack([topology.from_bus, topology.to_bus], axis=-1)]
    currents = np.einsum("bij,bj->bi", y_branch, at_ends)
    into_branches = (at_ends * np.conj(currents)).sum()
    total = v * np.conj(y_bus @ v)
    mismatch = (total - wanted)[topology.non_slack]
    shunt_p_mw = 0.0 if feeder.shunts is None else float(feeder.shunts.p_mw @ np.abs(v) ** 2)
    slack = total[topology.slack] - wanted[topology.slack]
    return ReferenceFlow(
        vm_pu=np.abs(v),
        va_degree=np.rad2deg(np.angle(v)),
        loss_mw=float(into_branches.real),
        shunt_p_mw=shunt_p_mw,
        slack_p_mw=float(slack.real),
        slack_q_mvar=float(slack.imag),
        loading_percent=loading(feeder, np.abs(currents)),
        residual_mva=float(np.abs(mismatch).max()),
    )


def loading(feeder: Feeder, currents_pu: np.ndarray) -> np.ndarray:
    """Current of the more loaded end over its rating, at the from end that of the to end over `rated_ratio`."""
    ends = np.stack([feeder.topology.from_bus, feeder.topology.to_bus], axis=-1)
    current_ka = currents_pu / (np.sqrt(3) * feeder.vn_kv[ends])
    rated_ratio = np.ones(len(ends)) if feeder.transformers is None else feeder.transformers.rated_ratio
    return 100 * np.maximum(current_ka[:, 0] * rated_ratio, current_ka[:, 1]) / feeder.max_i_ka
