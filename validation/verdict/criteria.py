"""Criteria and their verdict.

PASS: every criterion holds. FAIL: at least one does not. INCOMPLETE: none fails, but at least one has no value, because
there was nothing to compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from validation.errors.loading import LoadingMetrics
from validation.errors.metrics import Metrics
from validation.verdict.tolerances import Tolerances

PASS, FAIL, INCOMPLETE = "PASS", "FAIL", "INCOMPLETE"
# criteria that never have a value: a kind of device, a reward term or an observation that nothing here can judge
TWIN_OF, TWIN_OF_TERM, TWIN_OF_OBSERVATION = "twin_of_", "twin_of_reward_term_", "twin_of_observation_"
POLICY_CRITERIA = (
    "hard_violations",
    "loading_violations",
)  # of what a policy does; all others: is its record pandapower's?


@dataclass(frozen=True)
class Criterion:
    """One figure with its limit, under the limit's name in `Tolerances`."""

    name: str
    value: float  # NaN: nothing to judge
    limit: float

    @property
    def passed(self) -> bool | None:
        """True if the value keeps the limit, None if there is no value."""
        return None if math.isnan(self.value) else self.value <= self.limit


def judge(
    metrics: Metrics,
    tolerances: Tolerances,
    closed_loop_gap: float | None = None,
    *,
    closed_loop_failed_flows: int | None = None,
    closed_loop_spot_max_pu: float | None = None,
    closed_loop_spot_opendss_max_pu: float | None = None,
    profile_max: float | None = None,
    is_policy: bool = False,
) -> tuple[Criterion, ...]:
    """Hold a run's figures against the tolerances, in the order of the tolerances' fields.

    Parameters
    ----------
    metrics, tolerances
        The run's figures, from `compare`, and their limits; a limit of None is not judged.
    closed_loop_gap
        Share of its cost by which the run differs when the policy acts on pandapower's answers; NaN if that should have
        been found out and was not, None to leave the criterion out.
    closed_loop_failed_flows, closed_loop_spot_max_pu
        Steps of the closed loop without an answer, and how far in pu it is from plain `runpp`; None where there was
        none.
    closed_loop_spot_opendss_max_pu
        How far in pu OpenDSS is from itself in a circuit opened anew, where it is the referee; else None.
    profile_max
        How far the record is from the profiles' file (`profile_gap`); None without a file.
    is_policy
        True holds hard violations in pandapower against the run, as they are not held against yardsticks.

    Returns
    -------
    tuple of Criterion
        One for each limit that is judged.
    """
    values: dict[str, float | None] = {
        **{name: getattr(metrics, name, None) for name in vars(tolerances)},  # those of equal names
        "vm_max_pu": metrics.vm_pu.max_abs,
        "loss_max_mw": metrics.loss_mw.max_abs,
        "slack_p_max_mw": metrics.slack_p_mw.max_abs,
        "slack_q_max_mvar": metrics.slack_q_mvar.max_abs,
        "vuf_max_percent": None if metrics.vuf_percent is None else metrics.vuf_percent.max_abs,
        "missed_hard_violations": metrics.hard.missed,
        "hard_violations": metrics.hard.true if is_policy else None,
        **_of_loading(metrics.loading, is_policy),
        "day_cost_gap_max": abs(metrics.day_cost_gap),
        "day_cost_flattery_max": max(-metrics.day_cost_gap, 0.0),
        "profile_max": profile_max,
        "closed_loop_gap_max": closed_loop_gap,
        "closed_loop_failed_flows": closed_loop_failed_flows,
        "closed_loop_spot_max_pu": closed_loop_spot_max_pu,
        "closed_loop_spot_opendss_max_pu": closed_loop_spot_opendss_max_pu,
    }
    return tuple(
        Criterion(name, value, limit)
        for name, limit in vars(tolerances).items()
        if (value := values.get(name)) is not None and limit is not None
    )


def _of_loading(loading: LoadingMetrics | None, is_policy: bool) -> dict[str, float | None]:
    """Values of the criteria on loadings, by name; None, which is not judged, where nothing is limited."""
    if loading is None:
        return dict.fromkeys(("loading_error_max_percent", "missed_loading_violations", "loading_violations"))
    return {
        "loading_error_max_percent": loading.error.max_abs,
        "missed_loading_violations": loading.hard.missed,
        "loading_violations": loading.hard.true if is_policy else None,
    }


def missing_twins(
    tables: Iterable[str], terms: Iterable[str] = (), observations: Iterable[str] = ()
) -> tuple[Criterion, ...]:
    """Return criteria without a value, one for each device kind (by its table), term and observation without a twin."""
    names = [TWIN_OF + table for table in tables]
    names += [TWIN_OF_TERM + term for term in terms] + [TWIN_OF_OBSERVATION + name for name in observations]
    return tuple(Criterion(name, math.nan, 0.0) for name in names)


def record_verdict_of(criteria: Iterable[Criterion]) -> str:
    """Return the verdict of the criteria that judge the record, leaving out those on the policy."""
    return verdict_of(criterion for criterion in criteria if criterion.name not in POLICY_CRITERIA)


def verdict_of(criteria: Iterable[Criterion]) -> str:
    """Return FAIL if a criterion does not hold, else INCOMPLETE if one has no value, else PASS."""
    return worst_verdict({True: PASS, False: FAIL, None: INCOMPLETE}[criterion.passed] for criterion in criteria)


def worst_verdict(verdicts: Iterable[str]) -> str:
    """Return the worst of some verdicts: FAIL, then INCOMPLETE, then PASS."""
    given = set(verdicts)
    return FAIL if FAIL in given else INCOMPLETE if INCOMPLETE in given else PASS
