"""Open-loop replay: every recorded step's set-points through pandapower's Newton power flow.

A day's steps are solved side by side, as islands of one net, by a single cold `runpp`: Newton's method on islands is
Newton's method on each, the results are those of one `runpp` a step (a test holds them together to 1e-9 pu), and no
step can see another's values. If such a call fails, its steps are solved one by one: cold, then by `RETRY_LADDER`, then
they are recorded as failed with NaN results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import load_feeder
from validation.checks import check_trajectory, set_points_of
from validation.feeder_net import TOLERANCE_MVA
from validation.pandapower_net import GridResults, PandapowerNet, SetPoints, build_net, side_by_side, unsupplied

OK, NOT_CONVERGED, NON_FINITE, UNSUPPLIED = "ok", "not_converged", "non_finite", "unsupplied"
MAX_BUSES = 20_000  # of one net: bounds memory on large feeders
RUNPP_OPTIONS: dict[str, Any] = {
    "algorithm": "nr",
    "init": "flat",
    "max_iteration": 10,
    "tolerance_mva": TOLERANCE_MVA,  # this and `init`: unless the grid needs others, see `runpp_needs`
    "calculate_voltage_angles": True,
    "trafo_model": "pi",  # as `grid.feeder` and `feeder_net` state transformers
    "trafo_loading": "current",
    "trafo3w_losses": "hv",
    "switch_rx_ratio": 2,
    "neglect_open_switch_branches": False,
    "check_connectivity": True,
    "enforce_p_lims": False,
    "enforce_q_lims": False,
    "delta_q": 0,
    "voltage_depend_loads": False,
    "consider_line_temperature": False,
    "tdpf": False,
    "distributed_slack": False,
    "run_control": False,
    "recycle": None,
    "only_v_results": False,
    "numba": find_spec("numba") is not None,
    "lightsim2grid": False,
}
RETRY_LADDER: tuple[dict[str, Any], ...] = (
    {"algorithm": "nr", "init": "flat", "max_iteration": 30},
    {"algorithm": "iwamoto_nr", "init": "flat", "max_iteration": 30},
)


@dataclass(frozen=True, eq=False)
class Replay:
    """pandapower's answer to each step of a trajectory; NaN where the power flow failed."""

    bus_labels: tuple[int, ...]
    vm_pu: np.ndarray  # (n, n_bus) in the trajectory's bus order
    loss_mw: np.ndarray  # (n,)
    slack_p_mw: np.ndarray  # (n,) import
    slack_q_mvar: np.ndarray  # (n,)
    status: np.ndarray  # (n,) ok, not_converged, non_finite or unsupplied
    attempts: np.ndarray  # (n,) power flows tried, 1 unless the first failed

    @property
    def failed(self) -> np.ndarray:
        """Steps without an answer, (n,)."""
        return self.status != OK


def replay(trajectory: Trajectory, *, on_step: Callable[[int, int], None] | None = None) -> Replay:
    """Run every recorded step through pandapower.

    Parameters
    ----------
    trajectory
        Whole days; see `check_trajectory`.
    on_step
        Called with the number of steps done and the number of all steps, as the replay goes on.

    Raises
    ------
    InputError
        If the trajectory is empty, truncated or of wrong shapes, holds a set-point that is not finite, or if
        pandapower's own data of the feeder differ from ours.
    """
    feeder = load_feeder(trajectory.scenario.feeder)
    check_trajectory(trajectory, feeder)
    set_points = set_points_of(trajectory, feeder)
    n_copies = min(trajectory.scenario.steps_per_day, max(1, MAX_BUSES // feeder.n_bus))
    single = build_net(trajectory.scenario, feeder)
    together = side_by_side(single, n_copies)
    parts = []
    for first in range(0, len(set_points), n_copies):
        part = set_points.rows(slice(first, first + n_copies))
        parts.append(_solve_together(together, part) or _solve_each(single, part))
        if on_step is not None:
            on_step(first + len(part), len(set_points))
    return Replay(trajectory.bus_labels, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _solve_together(built: PandapowerNet, set_points: SetPoints) -> dict[str, np.ndarray] | None:
    """Solve all steps by one call, one step an island; None if any of them fails."""
    spare = built.n_copies - len(set_points)
    results, status = solve(built, set_points.padded(spare), RUNPP_OPTIONS)
    if status != OK:
        return None
    n = len(set_points)
    answer = {name: values[:n] for name, values in vars(results).items()}
    return answer | {"status": np.full(n, OK, "<U16"), "attempts": np.ones(n, int)}


def _solve_each(built: PandapowerNet, set_points: SetPoints) -> dict[str, np.ndarray]:
    """Solve the steps one by one, each with the retries it needs."""
    answers = [_solve_stubbornly(built, set_points.rows(slice(row, row + 1))) for row in range(len(set_points))]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _solve_stubbornly(built: PandapowerNet, step: SetPoints) -> dict[str, np.ndarray]:
    """Solve one step cold, then by the ladder's rungs until one answers."""
    results, status = solve(built, step, RUNPP_OPTIONS)
    attempts = 1
    while status != OK and attempts <= len(RETRY_LADDER):
        results, status = solve(built, step, RUNPP_OPTIONS | RETRY_LADDER[attempts - 1])
        attempts += 1
    return vars(results) | {"status": np.array([status], "<U16"), "attempts": np.array([attempts])}


def solve(built: PandapowerNet, set_points: SetPoints, options: dict[str, Any]) -> tuple[GridResults, str]:
    """One cold power flow; all results are NaN unless its status is ok."""
    import pandapower

    built.write(set_points)
    options = options | built.needs
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(StringIO()):  # iwamoto_nr prints
            warnings.simplefilter("ignore")  # a diverging Newton overflows, which the status says
            pandapower.runpp(built.net, **options)
    except pandapower.LoadflowNotConverged:
        return _nothing(built), NOT_CONVERGED
    results = built.read()
    if built.net.converged and all(np.isfinite(values).all() for values in vars(results).values()):
        return results, OK
    return _nothing(built), UNSUPPLIED if unsupplied(built) else NON_FINITE if built.net.converged else NOT_CONVERGED


def _nothing(built: PandapowerNet) -> GridResults:
    rows = np.full(built.n_copies, np.nan)
    return GridResults(np.full(built.bus_rows.shape, np.nan), rows, rows, rows)
