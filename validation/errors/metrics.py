"""How far the recorded run is from pandapower's answer to the same set-points.

An error is recorded minus pandapower. A power flow without an answer stays in every count: all its buses count as
outside every limit, and it is left out of error statistics only, where there is nothing to subtract.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.loose_types import BusLabel, Keywords
from neomflex_jax.one_line import one_line
from validation.errors.loading import LoadingMetrics, Loadings, loading_of, loadings_of
from validation.errors.own_controls import controls_apart
from validation.errors.summary import Confusion, ErrorSummary, confusion, outside, summarise
from validation.recompute.cost import local_cost
from validation.recompute.device_limits import device_excess
from validation.recompute.energies import energy_gaps_mwh, energy_jumps_mwh
from validation.recompute.observations import check_observations
from validation.recompute.own_controls import recorded_names
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.recompute.record import Record, record_of
from validation.recompute.set_points import ruled_load_q_factor
from validation.recompute.twins import series_names, twins_of
from validation.recompute.users_twins import unknown_costs
from validation.referee.replay import Replay


@dataclass(frozen=True)
class WorstVoltage:
    """Where the largest voltage error is; bus by label. All None if nothing could be compared."""

    bus: BusLabel | None
    day: int | None
    step: int | None


@dataclass(frozen=True)
class SideBySide:
    """A figure of the run as recorded and as pandapower has it."""

    recorded: float
    pandapower: float


@dataclass(frozen=True)
class Metrics:
    """All figures of one run; energies in MWh over all its days, errors recorded minus pandapower."""

    n_days: int
    n_steps: int
    n_bus_steps: int
    failed_flows: int  # pandapower found no answer
    retried_flows: int  # found one in a later attempt
    recorded_failures: int  # the record says that its own power flow failed
    non_finite_values: int  # recorded as injections, rewards or answers of a power flow that converged
    vm_pu: ErrorSummary
    loss_mw: ErrorSummary
    slack_p_mw: ErrorSummary
    slack_q_mvar: ErrorSummary
    worst_voltage: WorstVoltage
    hard: Confusion
    band: Confusion
    mean_day_cost: SideBySide
    losses_mwh: SideBySide
    bus_steps_outside_band: SideBySide
    share_outside_band: SideBySide
    voltage_min_pu: SideBySide
    voltage_max_pu: SideBySide
    p_injection_max_mw: float  # recorded against implied by the set-points
    q_injection_max_mvar: float
    load_q_factor_max: float  # recorded against the scenario's rule
    energy_max_mwh: float  # of devices that store: stored against delivered, by step
    energy_jump_max_mwh: float  # of the same, between a step's end and the next one's begin
    device_limit_max: float  # by how much a device is outside its ratings, its window or what the sun offers
    power_balance_max_mw: float  # pandapower: import + injections - shunts - losses
    cost_max: float  # recorded cost of a step against the one worked out from the recorded voltages and losses
    observation_max: float  # recorded against what the record implies, where that can be judged
    loading: LoadingMetrics | None = None  # of limited branches; None: nothing is limited
    vuf_percent: ErrorSummary | None = None  # of the unbalance factors; None without phases
    # of a feeder's own controls: share of steps in which one stands elsewhere than OpenDSS's, and by how many steps
    feeder_controls_apart_share: float | None = None  # None: none is followed
    feeder_controls_apart_max: float | None = None

    __repr__ = one_line

    @property
    def day_cost_gap(self) -> float:
        """Mean day cost, recorded minus pandapower's, as a share of pandapower's; negative: the record flatters."""
        recorded, exact = self.mean_day_cost.recorded, self.mean_day_cost.pandapower
        if recorded == exact:
            return 0.0
        return (recorded - exact) / abs(exact) if exact else math.copysign(math.inf, recorded)


@dataclass(frozen=True, eq=False)
class Series:
    """What the metrics are made from, by step; one row of the step table each."""

    recorded_cost: Float[np.ndarray, " n_steps"]
    cost: Float[np.ndarray, " n_steps"]  # worked out from pandapower's voltages and losses
    vm_error_pu: Float[np.ndarray, "n_steps n_node"]
    recorded_outside_hard: Bool[np.ndarray, "n_steps n_node"]
    outside_hard: Bool[np.ndarray, "n_steps n_node"]
    recorded_outside_band: Bool[np.ndarray, "n_steps n_node"]
    outside_band: Bool[np.ndarray, "n_steps n_node"]
    loadings: Loadings | None = None  # None: nothing is limited

    __repr__ = one_line


def compare(trajectory: Trajectory, replayed: Replay, *, whole: Trajectory | None = None) -> tuple[Metrics, Series]:
    """Compare a run with its replay.

    Parameters
    ----------
    trajectory
        The run, or some days of it.
    replayed
        pandapower's answer to each of its steps.
    whole
        The run that a sample of days is from: observations, energies and devices depend on the days before, and are
        judged on all of it. None: `trajectory` is all there is.

    Returns
    -------
    Metrics, Series
        Figures of the run, and the figures by step that they are made from.
    """
    return compare_record(record_of(trajectory, whole=whole), replayed)


def compare_record(record: Record, replayed: Replay) -> tuple[Metrics, Series]:
    """Compare a record with its replay, as `compare` does."""
    trajectory, feeder, whole = record.trajectory, record.feeder, record.whole
    own_cost = _cost(record, trajectory)
    series = _series(record, replayed, own_cost)
    apart_share, apart_max = controls_apart(record) or (None, None)
    return Metrics(
        **_counts(trajectory, replayed),
        **_errors(trajectory, replayed),
        **_side_by_side(trajectory, replayed, series),
        worst_voltage=_worst_voltage(trajectory, series.vm_error_pu),
        hard=confusion(series.recorded_outside_hard, series.outside_hard),
        band=confusion(series.recorded_outside_band, series.outside_band),
        **_injections(record),
        load_q_factor_max=_max_abs(trajectory.load_q_factor - ruled_load_q_factor(trajectory)),
        energy_max_mwh=_max_abs(energy_gaps_mwh(trajectory, feeder)),
        energy_jump_max_mwh=_max_abs(energy_jumps_mwh(whole)),
        device_limit_max=float(np.max(device_excess(whole, feeder), initial=0.0)),
        power_balance_max_mw=summarise(replayed.surplus_mw, np.zeros_like(replayed.surplus_mw)).max_abs,
        cost_max=math.nan if unknown_costs(trajectory.scenario) else _max_abs(series.recorded_cost - own_cost),
        observation_max=check_observations(whole, feeder).max_abs,
        loading=None if series.loadings is None else series.loadings.metrics(),
        vuf_percent=None
        if replayed.vuf_percent is None
        else summarise(np.asarray(trajectory.vuf_percent, float), replayed.vuf_percent),
        feeder_controls_apart_share=apart_share,
        feeder_controls_apart_max=apart_max,
    ), series


def _series(record: Record, replayed: Replay, own_cost: Float[np.ndarray, " n_steps"]) -> Series:
    recorded_cost, cost = np.asarray(record.trajectory.cost, float), _cost(record, replayed)
    if unknown_costs(record.trajectory.scenario):  # they are believed as recorded
        cost += recorded_cost - own_cost
    recorded_vm_pu, limits = np.asarray(record.trajectory.vm_pu, float), record.trajectory.scenario.limits
    hard, band = (limits.hard_min_pu, limits.hard_max_pu), (limits.band_min_pu, limits.band_max_pu)
    return Series(
        recorded_cost=recorded_cost,
        cost=cost,
        vm_error_pu=recorded_vm_pu - replayed.vm_pu,
        recorded_outside_hard=outside(recorded_vm_pu, *hard),
        outside_hard=outside(replayed.vm_pu, *hard),
        recorded_outside_band=outside(recorded_vm_pu, *band),
        outside_band=outside(replayed.vm_pu, *band),
        loadings=loadings_of(record, replayed),
    )


def _cost(record: Record, grid: Trajectory | Replay) -> Float[np.ndarray, " n_steps"]:
    """All agents' cost of each step, from the grid quantities of one side and the recorded set-points."""
    trajectory = record.trajectory
    names = [
        *series_names(trajectory.scenario),
        *recorded_names(trajectory.scenario),
        *(name for twin, _ in twins_of(trajectory.scenario) for name in twin.recorded),
    ]
    known = {name: np.asarray(getattr(trajectory, name), float) for name in names}
    known |= {name: np.asarray(getattr(grid, name), float) for name in ("vm_pu", "loss_mw", "slack_p_mw")}
    step = np.asarray(trajectory.dataset_index) % trajectory.scenario.steps_per_day
    loading_percent, unbalance = loading_of(record, grid), None
    if isinstance(record.feeder, UnbalancedFeeder):
        unbalance = np.asarray(grid.vuf_percent, float)
    costs = local_cost(
        trajectory.scenario,
        record.feeder,
        step=step,
        branch_loading_percent=loading_percent,
        vuf_percent=unbalance,
        **known,
    )
    return costs.sum(axis=1)


def _injections(record: Record) -> Keywords:
    """How far recorded injections, and with phases loads too, are from those that the set-points mean."""
    trajectory, points = record.trajectory, record.set_points
    pairs = [("p_injection_mw", "q_injection_mvar", record.p_injection_mw, record.q_injection_mvar)]
    if isinstance(points, PhaseSetPoints):
        pairs.append(("load_p_mw", "load_q_mvar", points.load_p_mw, points.load_q_mvar))
    off = [
        [_max_abs(np.asarray(getattr(trajectory, name), float) - implied) for name, implied in ((p, own_p), (q, own_q))]
        for p, q, own_p, own_q in pairs
    ]
    worst = np.max(off, axis=0).tolist()  # NaN stays NaN
    return dict(zip(("p_injection_max_mw", "q_injection_max_mvar"), worst, strict=True))


def _counts(trajectory: Trajectory, replayed: Replay) -> Keywords:
    names = (
        "vm_pu",
        "loss_mw",
        "slack_p_mw",
        "slack_q_mvar",
        *(["branch_loading_percent"] if trajectory.branches else []),
    )
    answers = np.column_stack([getattr(trajectory, name) for name in names])
    always = np.column_stack(
        [getattr(trajectory, name) for name in ("p_injection_mw", "q_injection_mvar", "local_reward")]
    )
    return {
        "n_days": trajectory.n_steps // trajectory.scenario.steps_per_day,
        "n_steps": trajectory.n_steps,
        "n_bus_steps": int(replayed.vm_pu.size),
        "failed_flows": int(replayed.failed.sum()),
        "retried_flows": int((~replayed.failed & (replayed.attempts > 1)).sum()),
        "recorded_failures": int((~trajectory.converged).sum()),
        "non_finite_values": int((~np.isfinite(answers[trajectory.converged])).sum() + (~np.isfinite(always)).sum()),
    }


def _errors(trajectory: Trajectory, replayed: Replay) -> Keywords:
    errors = {name: summarise(getattr(trajectory, name), getattr(replayed, name)) for name in ("vm_pu", "loss_mw")}
    for name, held in (("slack_p_mw", "held_p_mw"), ("slack_q_mvar", "held_q_mvar")):
        recorded, pandapower = getattr(trajectory, name), getattr(replayed, name)
        if getattr(replayed, held) is not None:  # each that holds a voltage has to deliver what it does in pandapower
            recorded = np.column_stack([recorded, getattr(trajectory, held)])
            pandapower = np.column_stack([pandapower, getattr(replayed, held)])
        errors[name] = summarise(recorded, pandapower)
    return errors


def _side_by_side(trajectory: Trajectory, replayed: Replay, series: Series) -> Keywords:
    hours, n_days = trajectory.scenario.step_hours, trajectory.n_steps / trajectory.scenario.steps_per_day
    vm_pu = (np.asarray(trajectory.vm_pu, float), replayed.vm_pu)
    outside_band = (series.recorded_outside_band, series.outside_band)

    def both(recorded: float, pandapower: float) -> SideBySide:
        return SideBySide(float(recorded), float(pandapower))

    return {
        "mean_day_cost": both(series.recorded_cost.sum() / n_days, series.cost.sum() / n_days),
        "losses_mwh": both(np.nansum(trajectory.loss_mw, dtype=float) * hours, np.nansum(replayed.loss_mw) * hours),
        "bus_steps_outside_band": both(*(where.sum() for where in outside_band)),
        "share_outside_band": both(*(where.mean() for where in outside_band)),
        "voltage_min_pu": both(*(np.min(vm, where=np.isfinite(vm), initial=np.inf) for vm in vm_pu)),
        "voltage_max_pu": both(*(np.max(vm, where=np.isfinite(vm), initial=-np.inf) for vm in vm_pu)),
    }


def _worst_voltage(trajectory: Trajectory, vm_error_pu: Float[np.ndarray, "n_steps n_node"]) -> WorstVoltage:
    size = np.where(np.isfinite(vm_error_pu), np.abs(vm_error_pu), -1.0)
    row, node = np.unravel_index(int(size.argmax()), size.shape)
    if size[row, node] < 0:
        return WorstVoltage(None, None, None)
    where = trajectory.nodes.labels[node] if trajectory.load_buses else trajectory.nodes.bus[node]  # phase and all
    return WorstVoltage(where, int(trajectory.day[row]), int(trajectory.step[row]))


def _max_abs(error: np.ndarray) -> float:
    """Largest absolute value; NaN if any is, so that an undefined record cannot pass."""
    return float(np.max(np.abs(error), initial=0.0))
