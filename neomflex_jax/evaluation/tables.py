"""The three CSV files of an evaluation: every step, every day, every run.

Days and runs are summed from the step table alone, so the files agree with each other; what kinds of devices add is
said in their modules. Powers are in MW and Mvar, those of devices positive into the grid, energies in MWh, voltages in
per unit. Where a power flow failed, grid quantities are empty, every node counts as outside all limits, and sums and
means are those of the other steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from neomflex_jax.devices import Kind, StepColumns, registered_kinds
from neomflex_jax.errors import InputError, shown
from neomflex_jax.evaluation.control_columns import control_columns, control_totals
from neomflex_jax.evaluation.loading_columns import (
    ABOVE_SOFT,
    NO_CONTROL_LOADING,
    loading_columns,
    loading_totals,
    loading_violations,
)
from neomflex_jax.evaluation.operation import controllable_rate, q_loss_mvar
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.evaluation.trajectory_layout import OUTDOOR, columns_of_kind
from neomflex_jax.evaluation.unbalance_columns import unbalance_columns, unbalance_totals
from neomflex_jax.files.spreadsheets import guarded, unguarded
from neomflex_jax.files.tables import integers, numbers, read_table, without_negative_zeros
from neomflex_jax.files.whole_files import write_whole

NO_CONTROL_COST, NO_CONTROL_VIOLATIONS = "no_control_cost", "no_control_voltage_violations"  # step by step
NO_CONTROL_DAY_COST, NO_CONTROL_MEAN_COST = "no_control_day_cost", "no_control_mean_day_cost"
OPTIMUM, GAP = "perfect_foresight", "gap_to_perfect_foresight_percent"
CONTROLLABLE_RATE, Q_LOSS = "controllable_rate", "q_loss_mvar"  # MAPDN's
STEP_FILE, DAY_FILE, RUN_FILE = "step_metrics.csv", "daily_summary.csv", "run_summary.csv"
COUNTS = ("day", "step", "dataset_index", "voltage_violations", "buses_outside_band")
FLAGS = ("terminated_early", "converged")
BY_FALLBACK, SOLVED_BY_FALLBACK = "by_fallback", "solved_by_fallback"  # where the scenario has a fallback
GRID_QUANTITIES = ("losses_mw", "voltage_min_pu", "voltage_max_pu", "voltage_mean_pu")
NUMBERS = ("load_factor", "solar_factor", "step_hours")
REQUIRED = ("run", *COUNTS, *NUMBERS, *GRID_QUANTITIES, *FLAGS)
PRICE = "price_per_mwh"  # where the scenario has a tariff
FAMILIES = (
    (PRICE, ""),
    ("reward_", ""),
    ("voltage_bus_", "_pu"),
    ("no_control_", ""),
    ("loading_", ""),
    ("vuf_", "_percent"),
    (ABOVE_SOFT, ""),
)  # and those of the kinds of devices


def step_metrics(trajectory: Trajectory, no_control: Trajectory | None = None) -> pd.DataFrame:
    """One row a step; nodes go by their labels (a balanced bus is one), and docs/tables.md says what every column is.

    With a run without control on the same days, ``no_control_cost`` and ``no_control_voltage_violations`` say what the
    step cost and broke there.
    """
    scenario, limits = trajectory.scenario, trajectory.scenario.limits
    vm_pu = trajectory.vm_pu  # compared with the limits in its own precision, as the environment did
    of_kinds = [_columns_of_kind(trajectory, kind) for kind in scenario.kinds]
    columns: dict[str, np.ndarray | str | float] = {
        "run": trajectory.run,
        "day": trajectory.day,
        "step": trajectory.step,
        "dataset_index": trajectory.dataset_index,
        "load_factor": trajectory.demand,
        "solar_factor": trajectory.solar,
        "losses_mw": trajectory.loss_mw,
        "voltage_min_pu": vm_pu.min(axis=1),
        "voltage_max_pu": vm_pu.max(axis=1),
        "voltage_mean_pu": vm_pu.mean(axis=1, dtype=np.float64),
        "voltage_violations": _nodes_outside(vm_pu, limits.hard_min_pu, limits.hard_max_pu),
    }
    columns |= _by_column("reward_{}", scenario.agents, trajectory.local_reward)
    for of_kind in of_kinds:
        columns |= of_kind.main
    columns |= _by_column("voltage_bus_{}_pu", trajectory.nodes.labels, vm_pu)
    columns |= {
        "terminated_early": trajectory.violated & (trajectory.scenario.rules.on_violation == "end_day"),
        "buses_outside_band": _nodes_outside(vm_pu, limits.band_min_pu, limits.band_max_pu),
        "converged": trajectory.converged,
        "step_hours": scenario.step_hours,
    }
    columns |= loading_columns(trajectory) | unbalance_columns(trajectory) | control_columns(trajectory)
    for of_kind in of_kinds:
        columns |= of_kind.further
    if BY_FALLBACK in trajectory.devices:
        columns[BY_FALLBACK] = trajectory.by_fallback
    if scenario.tariff_column:
        columns[PRICE] = trajectory.price
    if OUTDOOR in trajectory.devices:
        columns[OUTDOOR] = trajectory.outdoor_temperature_c
    columns |= _no_control_columns(no_control)
    table = pd.DataFrame(columns, index=pd.RangeIndex(trajectory.n_steps))
    doubles = {name: np.float64 for name, dtype in table.dtypes.items() if dtype == np.float32}
    return without_negative_zeros(table.astype(doubles))


def _columns_of_kind(trajectory: Trajectory, kind: Kind) -> StepColumns:
    """Columns of the devices of a kind."""
    devices = trajectory.scenario.of(kind)
    recorded = {name: trajectory.devices[name] for name in columns_of_kind(kind)}
    loads = [trajectory.load_at(device.bus) for device in devices]
    load_p_mw = np.stack(loads, axis=1) if loads else np.zeros((trajectory.n_steps, 0))
    return kind.step_columns(devices, recorded, load_p_mw)


def _no_control_columns(no_control: Trajectory | None) -> dict[str, Shaped[np.ndarray, " n_steps"]]:
    if no_control is None:
        return {}
    limits = no_control.scenario.limits
    violations = _nodes_outside(no_control.vm_pu, limits.hard_min_pu, limits.hard_max_pu)
    columns = {NO_CONTROL_COST: no_control.cost, NO_CONTROL_VIOLATIONS: violations}
    if no_control.branch_loading_percent is not None:
        columns[NO_CONTROL_LOADING] = loading_violations(no_control)
    return columns


def daily_summary(steps: pd.DataFrame) -> pd.DataFrame:
    """One row per run and day. ``day_cost`` is minus the team reward, the sum of the agents' local rewards.

    ``total_losses_mw`` adds the steps' powers; the energy is ``total_losses_mwh``. ``buses_outside_band`` counts a node
    once for every step, ``share_outside_band`` divides that by nodes x steps. If a run is `perfect_foresight`,
    ``gap_to_perfect_foresight_percent`` is the cost above that run's on the same day, as a share of it; on single days
    it may be negative, because the optimum saves over all days together. ``no_control_day_cost`` is what the day costs
    without control, where the step table knows it.
    """
    table = _totals(steps, ["run", "day"])
    groups = steps.groupby(["run", "day"], sort=False)
    table["day_cost"] = -_team_reward(table)
    columns: dict[str, pd.Series[float]] = {}
    for kind in registered_kinds():
        columns |= kind.day_columns(steps)
    if columns:  # all at once: one by one takes pandas long, and it warns of each beyond the hundredth
        table = table.join(pd.DataFrame(columns))
    table["terminated_early"] = groups["terminated_early"].any()
    if NO_CONTROL_COST in steps:
        table[NO_CONTROL_DAY_COST] = groups[NO_CONTROL_COST].sum()
        for name in _no_control_counts(steps):
            table[name] = groups[name].sum()
    table = table.reset_index()
    if OPTIMUM in set(table["run"]):
        best = table[table["run"] == OPTIMUM].set_index("day")["day_cost"]
        table[GAP] = _gap_percent(table["day_cost"], table["day"].map(best))
    return table


def run_summary(steps: pd.DataFrame) -> pd.DataFrame:
    """One row per run; columns as in `daily_summary`, with the days counted and the cost a mean over them.

    At the end stand MAPDN's figures by `evaluation/operation.py`, in the scenario's band: ``controllable_rate``, and
    ``q_loss_mvar`` where there is generation with reactive power.
    """
    table = _totals(steps, ["run"])
    days = daily_summary(steps).groupby("run", sort=False)
    table["n_days"] = days.size()
    table["mean_day_cost"] = days["day_cost"].mean()
    table["days_terminated_early"] = days["terminated_early"].sum()
    if NO_CONTROL_COST in steps:
        table[NO_CONTROL_MEAN_COST] = days[NO_CONTROL_DAY_COST].mean()
        for name in _no_control_counts(steps):
            table[name] = days[name].sum()
    if OPTIMUM in table.index:
        best = float(table["mean_day_cost"].loc[OPTIMUM])
        table[GAP] = _gap_percent(table["mean_day_cost"], pd.Series(best, index=table.index))
    n_node, generated = len(columns_of(steps, "voltage_bus_", "_pu")), _generated_q_columns(steps)
    runs = [rows for _, rows in steps.groupby("run", sort=False)]  # in the table's order
    table[CONTROLLABLE_RATE] = [controllable_rate((rows["buses_outside_band"] / n_node).to_numpy()) for rows in runs]
    if generated:
        table[Q_LOSS] = [q_loss_mvar(rows[generated].to_numpy(float)) for rows in runs]
    return table.reset_index()


def _generated_q_columns(steps: pd.DataFrame) -> list[str]:
    """Columns of the reactive powers of generation: those that its kinds have drawn."""
    kinds = [kind for kind in registered_kinds() if kind.reactive is not None and kind.reactive.generates]
    drawn = [kind.drawn["reactive-power"] for kind in kinds if "reactive-power" in kind.drawn]
    return [name for lines in drawn for name in columns_of(steps, lines.begins, lines.ends)]


def _no_control_counts(steps: pd.DataFrame) -> list[str]:
    return [name for name in (NO_CONTROL_VIOLATIONS, NO_CONTROL_LOADING) if name in steps]


def write_tables(
    trajectories: Sequence[Trajectory], folder: Path, no_control: Trajectory | None = None
) -> tuple[Path, Path, Path]:
    """Write the step, daily and run tables of some runs into a folder, made if needed, and return their paths.

    With `no_control`, a run without control on the same days, the tables say beside every run what that cost.

    Raises
    ------
    InputError
        If there is no run, two have one name, their agents, devices or buses differ, or `no_control` is of other days.
    """
    if not trajectories:
        raise InputError("no run to write; record at least one trajectory")
    for trajectory in trajectories:
        if no_control is not None and not np.array_equal(trajectory.dataset_index, no_control.dataset_index):
            raise InputError(
                f"run {trajectory.run!r} has other days than no control beside it; record both on the same"
            )
    tables = [step_metrics(trajectory, no_control) for trajectory in trajectories]
    names = [trajectory.run for trajectory in trajectories]
    for name, table in zip(names, tables, strict=True):
        if names.count(name) > 1:
            raise InputError(f"two runs are called {name!r}; give each its own name")
        odd = set(table.columns) ^ set(tables[0].columns)
        if odd:
            raise InputError(
                f"runs {names[0]!r} and {name!r} have different agents, devices or buses ({min(odd)}); "
                "write them into folders of their own"
            )
    steps = pd.concat(tables, ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    for file, table in ((STEP_FILE, steps), (DAY_FILE, daily_summary(steps)), (RUN_FILE, run_summary(steps))):
        cells = without_negative_zeros(table).assign(run=table["run"].map(guarded))
        write_whole(folder / file, cells.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    return folder / STEP_FILE, folder / DAY_FILE, folder / RUN_FILE


def read_step_metrics(path: Path) -> pd.DataFrame:
    """Read a step table; columns that are none of its own stay text.

    Raises
    ------
    InputError
        If the file is missing, holds no row, lacks a column, or a cell is not what its column says.
    """
    text = read_table(path, REQUIRED, hint="`neomflex evaluate` writes such a table, step_metrics.csv")
    if text.empty:
        raise InputError(f"{path}: no row under the header")
    steps = text.assign(run=text["run"].map(unguarded))
    for column in (*FLAGS, *([BY_FALLBACK] if BY_FALLBACK in text else [])):
        bad = np.flatnonzero(~text[column].isin(["True", "False"]))
        if bad.size:
            raise InputError(
                f"{path}: line {text.index[bad[0]]}, column {column!r}: "
                f"{text[column].iloc[bad[0]]!r} is not True or False"
            )
        steps[column] = text[column] == "True"
    for column in COUNTS:
        steps[column] = integers(path, text, column)
    families = [*FAMILIES, *(family for kind in registered_kinds() for family in kind.table_families)]
    own = [name for prefix, suffix in families for name in columns_of(text, prefix, suffix)]
    for column in (*NUMBERS, *GRID_QUANTITIES, *own):
        empty = (text[column] == "") & ~steps["converged"]
        filled = text[[column]].mask(empty, "0")  # only a power flow that failed may leave a cell empty
        steps[column] = np.where(empty, np.nan, numbers(path, filled, column))
    _check_pairs(path, list(text.columns))
    twice = np.flatnonzero(steps.duplicated(["run", "day", "step"]))
    if twice.size:
        raise InputError(
            f"{path}: line {text.index[twice[0]]}: this run, day and step stand on an earlier line already"
        )
    return steps.reset_index(drop=True)


def _check_pairs(path: Path, columns: list[str]) -> None:
    """Raise `InputError` where a column lacks that another one needs."""
    for kind in registered_kinds():
        pair = kind.missing_column(columns)
        if pair is not None:
            lacking, having = pair
            raise InputError(
                f"{path}: column {shown(lacking)} is missing, which belongs to {shown(having)}; evaluate again"
            )


def columns_of(table: pd.DataFrame, prefix: str, suffix: str = "") -> list[str]:
    """Columns of one family, in the table's order."""
    return [name for name in table.columns if name.startswith(prefix) and name.endswith(suffix)]


def _by_column(
    name: str, labels: Sequence[object], values: Float[np.ndarray, "n_steps n"]
) -> dict[str, Float[np.ndarray, " n_steps"]]:
    return {name.format(label): values[:, index] for index, label in enumerate(labels)}


def _nodes_outside(
    vm_pu: Float[np.ndarray, "n_steps n_node"], low_pu: float, high_pu: float
) -> Int[np.ndarray, " n_steps"]:
    # NaN, a failed power flow, is inside no limits
    return np.count_nonzero(~((vm_pu >= low_pu) & (vm_pu <= high_pu)), axis=1)


def _team_reward(table: pd.DataFrame) -> pd.Series[float]:
    return table[columns_of(table, "total_reward_")].sum(axis=1)


def _gap_percent(cost: pd.Series[float], best: pd.Series[float]) -> pd.Series[float]:
    """Cost above the best as a percentage of it; NaN where the best is no cost to compare with."""
    return (100.0 * (cost - best) / best).where(best > 0)


def _totals(steps: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Columns that days and runs share, indexed by `by`."""
    n_node = len(columns_of(steps, "voltage_bus_", "_pu"))
    work = steps.assign(losses_mwh=steps["losses_mw"] * steps["step_hours"], failed=~steps["converged"])
    groups = work.groupby(by, sort=False)
    totals = {
        "min_voltage_pu": groups["voltage_min_pu"].min(),
        "max_voltage_pu": groups["voltage_max_pu"].max(),
        "mean_voltage_pu": groups["voltage_mean_pu"].mean(),
        "total_losses_mw": groups["losses_mw"].sum(min_count=1),
        "voltage_violations": groups["voltage_violations"].sum(),
    }
    totals |= {f"total_{reward}": groups[reward].sum() for reward in columns_of(steps, "reward_")}
    outside = groups["buses_outside_band"].sum()
    totals |= {
        "total_losses_mwh": groups["losses_mwh"].sum(min_count=1),
        "buses_outside_band": outside,
        "share_outside_band": outside / (groups.size() * n_node),
        "failed_power_flows": groups["failed"].sum(),
    }
    if BY_FALLBACK in steps:
        totals[SOLVED_BY_FALLBACK] = groups[BY_FALLBACK].sum()
    totals |= loading_totals(steps, by) | unbalance_totals(steps, by) | control_totals(steps, by)
    return pd.DataFrame(totals)
