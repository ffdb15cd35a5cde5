"""Our power flow of a feeder with phases against the program that judges its runs: the nominal state, then random ones.

In a random state every load of the feeder, and what feeds in there, has its nominal power times a random number of its
own. Taps and steps stand as the feeder has them. Voltages are compared as complex numbers in per unit, so that a turned
phase shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow import bind
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.referee.runpp import OK
from validation.referee.solvers import feeder_solver
from validation.referee.unsolved import Unsolved

FACTORS = (0.3, 1.3)
MOST_SAMPLES = 100_000


@dataclass(frozen=True, eq=False)
class PhaseCheck:
    """Answers side by side, (n_case, ...), nominal load first; NaN where there is none."""

    feeder: UnbalancedFeeder
    own: np.ndarray  # (n, n_node) complex, pu
    theirs: np.ndarray
    own_slack_mva: np.ndarray  # (n,) complex
    their_slack_mva: np.ndarray

    __repr__ = one_line

    @property
    def unsolved(self) -> Unsolved:
        """How many cases neither solves, and one alone."""
        return Unsolved.count(*(np.isfinite(volts).all(axis=1) for volts in (self.own, self.theirs)))

    @property
    def n_compared(self) -> int:
        """Cases that both solve."""
        return int(np.isfinite(self.own - self.theirs).all(axis=1).sum())

    def off_pu(self, cases: slice = slice(None)) -> float:
        """Largest difference of a voltage over some cases; NaN if nothing could be compared."""
        return _largest(np.abs(self.own - self.theirs)[cases])

    def off_mva(self, cases: slice = slice(None)) -> float:
        """Largest difference of the import."""
        return _largest(np.abs(self.own_slack_mva - self.their_slack_mva)[cases])

    @property
    def worst_node(self) -> str | None:
        """Label of the node at which voltages differ most."""
        off = np.nan_to_num(np.abs(self.own - self.theirs), nan=-1.0).max(axis=0)
        return str(self.feeder.node_labels[int(off.argmax())]) if off.max() >= 0 else None

    def agrees(self, within_pu: float) -> bool:
        """Return True if both solve the nominal loads, neither alone any case, and nothing differs by more."""
        scale = max(1.0, _largest(np.abs(self.their_slack_mva)))
        close = self.off_pu() <= within_pu and self.off_mva() <= within_pu * scale
        return bool(np.isfinite(self.own[0] - self.theirs[0]).all()) and not self.unsolved.disputed and close


def _largest(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else float("nan")


def check_with_phases(feeder: UnbalancedFeeder, *, n_samples: int = 50, seed: int = 0) -> PhaseCheck:
    """Solve nominal load and `n_samples` random cases here in float64, and in the feeder's referee.

    Parameters
    ----------
    feeder
        One that was read from an OpenDSS file or a ``net.json``, which the referee reads again.
    n_samples, seed
        How many random cases, and from which seed.

    Raises
    ------
    InputError
        If there are too many or too few samples, or the referee cannot have the feeder.
    """
    if not 0 <= n_samples <= MOST_SAMPLES:
        raise InputError(f"samples = {n_samples} must lie in 0 to {MOST_SAMPLES}")
    if seed < 0:
        raise InputError(f"seed = {seed} must be at least 0")
    factors = np.random.default_rng(seed).uniform(*FACTORS, (n_samples + 1, feeder.n_load))
    factors[0] = 1.0
    nothing = np.zeros((n_samples + 1, 0))
    points = PhaseSetPoints(factors * feeder.load_p_mw, factors * feeder.load_q_mvar, nothing, nothing)
    solved = feeder_solver(feeder).solve(points)
    with jax.enable_x64(True):
        fields = ("vm_pu", "va_degree", "slack_p_mw", "slack_q_mvar", "converged")
        flow = jax.tree.map(np.asarray, bind(feeder).solve(points.load_p_mw, points.load_q_mvar, fields))
    theirs = _complex(solved["vm_pu"], solved["va_degree"], solved["status"] == OK)
    return PhaseCheck(
        feeder,
        _complex(flow.vm_pu, flow.va_degree, flow.converged),
        theirs,
        np.where(flow.converged, flow.slack_p_mw + 1j * flow.slack_q_mvar, np.nan),
        solved["slack_p_mw"] + 1j * solved["slack_q_mvar"],
    )


def _complex(vm_pu: np.ndarray, va_degree: np.ndarray, solved: np.ndarray) -> np.ndarray:
    return np.where(solved[:, None], vm_pu * np.exp(1j * np.deg2rad(va_degree)), np.nan)
