"""How far a power-flow method's answers lie from the exact ones, in numbers: NumPy alone, no power flow.

Errors are ``estimate - exact``: a bias keeps the sign; max, p99 (the 99th percentile) and mean are of the magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Num

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow import PowerFlowResult
from neomflex_jax.scenario import Limits

Numbers: TypeAlias = dict[str, float | int]


@dataclass(frozen=True, eq=False)
class Answers:
    """A method's answers to the samples in float64, without what no method can get wrong."""

    vm_pu: Float[np.ndarray, "n_samples n_node_without_slack"]
    loss_mw: Float[np.ndarray, " n_samples"]
    branch_i_ka: Float[np.ndarray, "n_samples n_closed"]  # branches in service
    branch_loading_percent: Float[np.ndarray, "n_samples n_rated"]  # those of them with a rating
    converged: Bool[np.ndarray, " n_samples"]

    __repr__ = one_line

    @staticmethod
    def of(flow: PowerFlowResult, feeder: Feeder) -> Answers:
        """Return what is compared of a batch of results."""
        closed = np.array(feeder.topology.in_service, bool)
        rated = closed & np.isfinite(np.asarray(feeder.max_i_ka))
        return Answers(
            vm_pu=_float64(flow.vm_pu)[:, feeder.nodes.bus_position != feeder.topology.slack],
            loss_mw=_float64(flow.loss_mw),
            branch_i_ka=_float64(flow.branch_i_ka)[:, closed],
            branch_loading_percent=_float64(flow.branch_loading_percent)[:, rated],
            converged=np.array(flow.converged),
        )


@dataclass(frozen=True)
class Violations:
    """Voltages outside limits: in the exact answer, and what an estimate makes of them."""

    true: int
    missed: int  # outside, estimated to be inside
    invented: int  # inside, estimated to be outside

    def share(self, count: int) -> float:
        """Return a count as a share of the true violations; NaN where there are none."""
        return count / self.true if self.true else float("nan")


def compare(answers: Answers, exact: Answers, limits: Limits) -> Numbers:
    """Return all numbers of a method, over the samples that both it and the reference solve; units are in the names."""
    solved = exact.converged
    both = solved & answers.converged
    mean_loss_mw = float(exact.loss_mw[solved].mean())
    loss = spread(answers.loss_mw[both], exact.loss_mw[both])
    numbers: Numbers = {"n_compared": int(both.sum()), "n_failed": int((solved & ~answers.converged).sum())}
    numbers |= _named("vm", "pu", spread(answers.vm_pu[both], exact.vm_pu[both]))
    numbers |= _named("loss", "mw", loss)
    numbers |= _named("loss", "percent", {name: 100.0 * value / mean_loss_mw for name, value in loss.items()})
    numbers |= _named("branch_i", "ka", spread(answers.branch_i_ka[both], exact.branch_i_ka[both]))
    loading = spread(answers.branch_loading_percent[both], exact.branch_loading_percent[both])
    numbers |= _named("branch_loading", "percent", loading)
    for name, lower, upper in (
        ("hard", limits.hard_min_pu, limits.hard_max_pu),
        ("band", limits.band_min_pu, limits.band_max_pu),
    ):
        found = count_violations(answers.vm_pu[both], exact.vm_pu[both], lower, upper)
        numbers |= {f"{name}_true": found.true, f"{name}_missed": found.missed, f"{name}_invented": found.invented}
        numbers |= {f"{name}_missed_percent_of_true": 100.0 * found.share(found.missed)}
        numbers |= {f"{name}_invented_percent_of_true": 100.0 * found.share(found.invented)}
    return numbers


def spread(estimate: Num[np.ndarray, "*shape"], exact: Num[np.ndarray, "*shape"]) -> dict[str, float]:
    """Largest, 99th percentile and mean size of the errors, and their signed mean; NaN of nothing."""
    error = np.ravel(estimate - exact)
    if error.size == 0:
        return dict.fromkeys(("error_max", "error_p99", "error_mean", "bias"), float("nan"))
    size = np.abs(error)
    return {
        "error_max": float(size.max()),
        "error_p99": float(np.percentile(size, 99.0)),
        "error_mean": float(size.mean()),
        "bias": float(error.mean()),
    }


def count_violations(
    vm_pu: Float[np.ndarray, "*shape"], exact_vm_pu: Float[np.ndarray, "*shape"], min_pu: float, max_pu: float
) -> Violations:
    """Count the voltages below `min_pu` or above `max_pu`; a voltage on a limit is inside.

    A voltage that is too high and estimated too low counts as found: what matters is that somebody is warned.
    """
    estimated = (vm_pu < min_pu) | (vm_pu > max_pu)
    true = (exact_vm_pu < min_pu) | (exact_vm_pu > max_pu)
    return Violations(int(true.sum()), int((true & ~estimated).sum()), int((~true & estimated).sum()))


def _named(quantity: str, unit: str, numbers: dict[str, float]) -> Numbers:
    return {f"{quantity}_{name}_{unit}": value for name, value in numbers.items()}


def _float64(values: object) -> np.ndarray:
    return np.array(values, np.float64)
