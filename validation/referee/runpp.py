"""pandapower's Newton power flow for the steps of a day: its options, its retries, and what counts as an answer.

A day's steps are solved side by side, as islands of one net, by a single cold `runpp`: Newton's method on islands is
Newton's method on each, the results are those of one `runpp` a step (a test holds them together to 1e-9 pu), and no
step can see another's values. If such a call fails, its steps are solved one by one: cold, then by `RETRY_LADDER`, then
they are recorded as failed with NaN results.
"""

from __future__ import annotations

import math
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from threading import Lock

import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.loose_types import Keywords
from neomflex_jax.scenario import Scenario
from validation.recompute.set_points import SetPoints
from validation.referee.feeder_net import TOLERANCE_MVA
from validation.referee.pandapower_net import GridResults, PandapowerNet, build_net, side_by_side, unsupplied

OK, NOT_CONVERGED, NON_FINITE, UNSUPPLIED = "ok", "not_converged", "non_finite", "unsupplied"
STATUSES = (OK, NOT_CONVERGED, NON_FINITE, UNSUPPLIED)
MOST_ROUNDS, SAME_PU = 20, 1e-11  # of power flows where loads follow the voltage; each gains two digits or so
MAX_BUSES = 20_000  # of one net: bounds memory on large feeders
RUNPP_OPTIONS: Keywords = {
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
RETRY_LADDER: tuple[dict[str, object], ...] = (  # cold each, and from where the grid needs it, as above
    {"algorithm": "nr", "init": "flat", "max_iteration": 30},
    {"algorithm": "iwamoto_nr", "init": "flat", "max_iteration": 30},
)
Solved = dict[str, np.ndarray]  # fields of `GridResults`, status and attempts; first axis: steps
ONE_AT_A_TIME = Lock()  # warnings and standard output, which `solve` silences, belong to the whole process


@dataclass(frozen=True, eq=False)
class DaySolver:
    """One scenario's nets: for a step, and for as many steps side by side as fit."""

    single: PandapowerNet
    together: PandapowerNet

    def solve(self, set_points: SetPoints) -> Solved:
        """Solve steps, each with the retries it needs."""
        parts, n_copies = [], self.together.n_copies
        for first in range(0, len(set_points), n_copies):
            part = set_points.rows(slice(first, first + n_copies))
            parts.append(_solve_together(self.together, part) or _solve_each(self.single, part))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def day_solver(scenario: Scenario, feeder: Feeder) -> DaySolver:
    """Build the nets of a scenario.

    Raises
    ------
    InputError
        If pandapower's own data of the feeder differ from ours.
    """
    single = build_net(scenario, feeder)
    steps = scenario.steps_per_day
    n_parts = math.ceil(steps / max(1, MAX_BUSES // feeder.n_bus))
    return DaySolver(single, side_by_side(single, math.ceil(steps / n_parts)))


def _solve_together(built: PandapowerNet, set_points: SetPoints) -> Solved | None:
    """Solve all steps by one call, one step an island; None if any of them fails."""
    spare = built.n_copies - len(set_points)
    results, status = solve(built, set_points.padded(spare), RUNPP_OPTIONS)
    if status != OK:
        return None
    n = len(set_points)
    answer = {name: values[:n] for name, values in results.arrays().items()}
    return answer | {"status": np.full(n, OK, "<U16"), "attempts": np.ones(n, int)}


def _solve_each(built: PandapowerNet, set_points: SetPoints) -> Solved:
    """Solve the steps one by one, each with the retries it needs."""
    answers = [solve_stubbornly(built, set_points.rows(slice(row, row + 1))) for row in range(len(set_points))]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def solve_stubbornly(built: PandapowerNet, step: SetPoints) -> Solved:
    """Solve one step cold, then by the ladder's rungs until one answers."""
    results, status = solve(built, step, RUNPP_OPTIONS)
    attempts = 1
    while status != OK and attempts <= len(RETRY_LADDER):
        results, status = solve(built, step, RUNPP_OPTIONS | RETRY_LADDER[attempts - 1])
        attempts += 1
    return results.arrays() | {"status": np.array([status], "<U16"), "attempts": np.array([attempts])}


def solve(built: PandapowerNet, set_points: SetPoints, options: dict[str, object]) -> tuple[GridResults, str]:
    """One cold power flow; all results are NaN unless its status is ok.

    Where loads follow the voltage, pandapower lets all at their bus follow, and devices do not: cold power flows until
    the voltages by which loads take up the difference (`SetPoints.at_voltages`) are the answer's.
    """
    results, status = _solve_written(built, set_points, options)
    if set_points.steady_p_mw is None or built.feeder is None:
        return results, status
    for _ in range(MOST_ROUNDS):
        if status != OK:
            return results, status
        before = results.vm_pu
        results, status = _solve_written(built, set_points.at_voltages(built.feeder, before), options)
        if status == OK and np.abs(results.vm_pu - before).max() <= SAME_PU:
            return results, status
    return _nothing(built), NOT_CONVERGED


def _solve_written(built: PandapowerNet, set_points: SetPoints, options: dict[str, object]) -> tuple[GridResults, str]:
    import pandapower

    built.write(set_points)
    options = options | built.needs
    try:
        with ONE_AT_A_TIME, warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # a diverging Newton overflows, which the status says; iwamoto_nr prints
            pandapower.runpp(built.net, **options)
    except pandapower.LoadflowNotConverged:
        return _nothing(built), NOT_CONVERGED
    results = built.read()
    if built.net.converged and all(np.isfinite(values).all() for values in results.arrays().values()):
        return results, OK
    return _nothing(built), UNSUPPLIED if unsupplied(built) else NON_FINITE if built.net.converged else NOT_CONVERGED


def _nothing(built: PandapowerNet) -> GridResults:
    rows = np.full(built.n_copies, np.nan)
    branches = np.full((built.n_copies, len(built.line_rows)), np.nan)
    held = np.full((built.n_copies, built.supply.n_held), np.nan) if built.supply.n_held else None
    return GridResults(np.full(built.bus_rows.shape, np.nan), rows, rows, rows, branches, held, held)
