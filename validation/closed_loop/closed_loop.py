"""Closed loop: the policy acts again through the recorded days, on a feeder that pandapower's AC power flow answers.

On a feeder with phases OpenDSS answers.

Each step: observation -> policy -> what the project's device models deliver -> AC power flow -> next observation. What
no action can change (Demand, Solar, forecasts, prices, the clock) is observed as recorded; voltages, states of charge
and debts are the closed loop's own, and so is the idle feeder's voltage where play begins. Energies, and the grid that
is seen after midnight, are carried over as the scenario's rules say. A request for one of a range of positions that
lies within `apart_action` of the record's is taken for the record's: near the middle between two positions the last
digit of a voltage would decide. Steps in which that leads to another position than the request would have are counted.
What a feeder's own controls move stands as recorded: whether it is what OpenDSS's do is a criterion of its own
(`errors/own_controls.py`).
`gap.py` holds the outcome against the record.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from neomflex_jax.environment.step.rewards import shared_reward
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.agent_rows import laid_out
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.evaluation.trajectory_layout import BY_ENTRY
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.loose_types import Keywords
from neomflex_jax.scenario import Uncertainty
from validation.closed_loop.acting import ActingPolicy, Actor, rounded_entries
from validation.closed_loop.delivery import (
    Named,
    carried_names,
    compiled_dispatch,
    kinds_with_own_sun,
    kinds_with_sessions,
    known_names,
    measures_voltages,
)
from validation.closed_loop.gap import Apart, ClosedLoop, Played, compare_loops
from validation.closed_loop.observing import Observing
from validation.recompute.cost import COLLAPSED_VM_PU, local_cost
from validation.recompute.device_solar import recorded_solar
from validation.recompute.element_loads import loads_with_own_series
from validation.recompute.loading import COLLAPSED_PERCENT
from validation.recompute.observations import carries_grid, seen_share, steps_since_start
from validation.recompute.own_controls import recorded_names
from validation.recompute.phase_set_points import AnySetPoints, any_set_points_of, idle_with_phases
from validation.recompute.record import Record, checked_record, record_of
from validation.recompute.session_rows import session_names
from validation.recompute.set_points import idle
from validation.recompute.twins import series_names, stores_of, twins_of
from validation.recompute.unbalance import vuf_percent
from validation.referee.replay import OnStep
from validation.referee.runpp import OK, Solved
from validation.referee.solvers import program_for, step_solver_for

SPOT_STRIDE = 7  # a day's step that is solved once more: day x stride, modulo the day


@nan_is_a_value()
def closed_loop(
    trajectory: Trajectory,
    policy: ActingPolicy,
    *,
    on_step: OnStep | None = None,
    apart_action: float = 1e-3,
    apart_vm_pu: float = 1e-4,
) -> ClosedLoop:
    """Play a trajectory's days again with pandapower as the grid.

    Parameters
    ----------
    trajectory
        Whole days, as `record` keeps them from an `evaluation_environment`.
    policy
        Maps unpadded observations by agent to unpadded actions in [-1, 1]; the one that was recorded, for a gap that
        means something.
    on_step
        Called with the number of steps done and the number of all steps, once a day.
    apart_action, apart_vm_pu
        Differences of an action or a voltage above which the two runs have parted.

    Returns
    -------
    ClosedLoop
        Both runs day by day, where they part, and the closed loop as a trajectory of its own.

    Raises
    ------
    InputError
        If the trajectory cannot be replayed, was disturbed at random or ends days at a violation, or the policy
        leaves out an agent or returns another shape, no number or NaN, naming agent and step.
    """
    return act_again(checked_record(trajectory), policy, on_step, Apart(apart_action, apart_vm_pu))


def act_again(
    record: Record, policy: ActingPolicy, on_step: OnStep | None = None, apart: Apart | None = None
) -> ClosedLoop:
    """Play a checked record's days again, as `closed_loop` does."""
    _check_repeatable(record)
    apart = apart or Apart()
    played = _Loop(record, policy, apart).play(on_step)
    return compare_loops(record.trajectory, played, apart, record.limited)


def _check_repeatable(record: Record) -> None:
    scenario, where = record.trajectory.scenario, f"trajectory {record.trajectory.run!r}"
    seen = scenario.observation
    if scenario.uncertainty != Uncertainty() or seen.sensor_noise_pu > 0 or seen.missing_probability > 0:
        raise InputError(
            f"{where} was recorded under random disturbances, which cannot be played again; record it in "
            "`evaluation_environment(env)`, which leaves them out"
        )
    if scenario.rules.on_violation != "continue":
        raise InputError(
            f"{where}: on_violation = {scenario.rules.on_violation!r} ends days where the closed loop may go on; "
            "record it in `evaluation_environment(env)`"
        )
    if record.without_twin:
        raise InputError(
            f"{where} has {', '.join(record.without_twin)}, and there is no twin of such devices to say what is seen "
            "of them; write one as in validation/recompute/devices, and give it to validation.register_twin"
        )
    for what, names, register in (
        ("reward term", record.terms_without_twin, "register_term_twin"),
        ("observation", record.observations_without_twin, "register_observation_twin"),
    ):
        if names:
            raise InputError(
                f"{where} has the {what} {names[0]!r}, and there is no twin of it; write it once more in NumPy, and "
                f"give that to validation.{register}"
            )


class _Loop:
    """Everything that stays the same from step to step."""

    def __init__(self, record: Record, policy: ActingPolicy, apart: Apart) -> None:
        self.record, self.trajectory, self.scenario = record, record.trajectory, record.trajectory.scenario
        self.solver = step_solver_for(self.scenario, record.feeder)
        self.observing = Observing(record)
        self.actor = Actor(policy, self.scenario, self.observing.sizes, f"trajectory {self.trajectory.run!r}")
        self.rounded, self.tie = rounded_entries(self.scenario), apart.action
        self.deliver = compiled_dispatch(self.scenario, record.feeder)
        self.stores = [store for _, store, _ in stores_of(self.scenario)]
        self.measures_voltages = measures_voltages(self.scenario)
        self.own_series = loads_with_own_series(self.scenario, record.feeder)
        common = np.stack([getattr(self.trajectory, name) for name in known_names(self.scenario)], axis=1)
        suns = [recorded_solar(self.trajectory, *own) for own in kinds_with_own_sun(self.scenario)]
        names = [name for twin, _ in kinds_with_sessions(self.scenario) for name in session_names(self.scenario, twin)]
        self.known = np.concatenate([common, *suns, *(getattr(self.trajectory, name) for name in names)], axis=1)

    def play(self, on_step: OnStep | None) -> Played:
        """Play all days."""
        n_days, steps = self.record.n_days, self.scenario.steps_per_day
        kept: list[Named] = []
        carried, measured_vm_pu, spots = self._at_rest(0), self._nothing_measured, []
        begins = steps_since_start(self.trajectory) == 0
        for day in range(n_days):
            first = day * steps
            if day and self.scenario.rules.energies != "carried":
                carried, measured_vm_pu = self._at_rest(first), self._nothing_measured
            if begins[first]:
                goes_on = carries_grid(self.scenario) and self.trajectory.dataset_index[first] > 0  # from no record
                answer = self._unknown(self._idle(first)) if goes_on else self._idle(first)
                self.observing.start(goes_on=goes_on)
            for row in range(first, first + steps):
                self.observing.see(row, self._seen_voltages(answer), self._seen_loadings(answer), carried)
                step, points, carried = self._step(row, carried, measured_vm_pu)
                kept.append(step)
                answer = step
                measured_vm_pu = step["vm_pu"] if step["status"] == OK else self._nothing_measured
                if row == first + day * SPOT_STRIDE % steps:
                    spots.append(_difference_pu(step, self.solver.once_more(points)))
            if on_step is not None:
                on_step(first + steps, n_days * steps)
        arrays = {name: np.stack([step[name] for step in kept]) for name in kept[0]}
        status, by_record = arrays.pop("status"), arrays.pop("by_record")
        decided = by_record if self.rounded.any() else None
        return Played(self._as_trajectory(arrays, status), status, max(spots), decided)

    @property
    def _nothing_measured(self) -> np.ndarray:
        return np.full(len(self.record.feeder.nodes), np.nan)

    def _step(self, row: int, carried: Named, measured_vm_pu: np.ndarray) -> tuple[Named, AnySetPoints, Named]:
        """Observe, act, deliver, solve; return what to record of it, the set-points and what devices carry on.

        `measured_vm_pu`, (n_node,), is what the step before left.
        """
        observation = self.observing.observe(row)
        asked, recorded_action = self.actor.act(row, observation), self.trajectory.actions[row].padded
        tied = self.rounded & (np.abs(asked - recorded_action) <= self.tie)
        action = np.where(tied, recorded_action, asked)
        known = self.known[row]
        if self.own_series.any():
            known = np.concatenate([known, *(recorded for recorded, _ in self._loads(row))])
        if self.measures_voltages:
            known = np.concatenate([known, measured_vm_pu])
        delivered, after = self.deliver(action, carried, known)
        by_record = False
        if not np.array_equal(action, asked):
            by_record = not all(map(_same, self.deliver(asked, carried, known), (delivered, after)))
        positions = {store.after: after[store.after] for store in self.stores}
        points = self._set_points(row, delivered | positions)
        solved = self.solver.solve(points)
        by_entry = {"observation": observation, "action": action}
        step = {name: laid_out(rows, getattr(self.trajectory, BY_ENTRY[name]).sizes) for name, rows in by_entry.items()}
        step |= {"by_record": np.array(by_record), **delivered}
        for store in self.stores:
            step |= {store.before: carried[store.after], store.after: after[store.after]}
        step |= {name: values[0] for name, values in solved.items() if name != "attempts"}
        return step, points, after

    def _at_rest(self, row: int) -> Named:
        """Return what devices carry into a recorded step, as the day's first: stores as recorded, all else 0."""
        carried = {store.after: np.asarray(getattr(self.trajectory, store.before)[row]) for store in self.stores}
        for name in carried_names(self.scenario):
            carried.setdefault(name, np.zeros_like(getattr(self.trajectory, name)[row]))
        return {name: values.astype(np.float32) for name, values in carried.items()}

    def _idle(self, row: int) -> Named:
        """Solve the row's loads with all devices at zero: what is seen where play begins."""
        demand = np.asarray(self.trajectory.demand[row : row + 1], np.float64)
        feeder = self.record.feeder
        points: AnySetPoints
        if isinstance(feeder, UnbalancedFeeder):
            points = idle_with_phases(self.scenario, feeder, demand, demand)
            own_p, own_q = (np.where(self.own_series, own, demand * nominal) for own, nominal in self._loads(row))
            points = dataclasses.replace(points, load_p_mw=own_p[None], load_q_mvar=own_q[None])
        else:
            points = idle(self.scenario, demand, demand)
            if self.own_series.any():
                extra = [np.where(self.own_series, own - demand * nominal, 0.0) for own, nominal in self._loads(row)]
                points = dataclasses.replace(points, load_p_extra_mw=extra[0][None], load_q_extra_mvar=extra[1][None])
        solved = self.solver.solve(points)
        return {name: values[0] for name, values in solved.items()}

    def _unknown(self, answer: Named) -> Named:
        """Return an answer with nothing in it that can be seen."""
        return answer | {name: np.full_like(answer[name], np.nan) for name in ("vm_pu", "branch_i_ka")}

    def _seen_voltages(self, step: Named) -> np.ndarray:
        """Voltages to observe, (n_node,): a failed power flow's are a collapsed grid's."""
        vm_pu = step["vm_pu"]
        return vm_pu if step["status"] == OK else np.full_like(vm_pu, COLLAPSED_VM_PU)

    def _seen_loadings(self, step: Named) -> np.ndarray:
        """Loadings to observe, (n_limited,), as shares of the ratings, likewise."""
        if self.record.limited is None:
            return np.zeros(0)
        percent = self.record.limited.percent_of(step["branch_i_ka"][None])[0]
        return seen_share(percent if step["status"] == OK else np.full_like(percent, COLLAPSED_PERCENT))

    def _loads(self, row: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the row's recorded and the nominal loads, (n_node,) each, p and q."""
        feeder, trajectory = self.record.feeder, self.trajectory
        recorded = (np.asarray(each[row], np.float64) for each in (trajectory.load_p_mw, trajectory.load_q_mvar))
        return list(zip(recorded, (feeder.load_p_mw, feeder.load_q_mvar), strict=True))

    def _set_points(self, row: int, delivered: Named) -> AnySetPoints:
        """Return one step's set-points, made in the same way as a recorded step's."""
        one: Keywords = {name: value[None] for name, value in delivered.items()}
        recorded = self.trajectory.rows(slice(row, row + 1))
        return any_set_points_of(dataclasses.replace(recorded, **one), self.record.feeder)

    def _as_trajectory(self, arrays: Named, status: np.ndarray) -> Trajectory:
        """Make a trajectory of what was played, costs and all."""
        trajectory, scenario, limits = self.trajectory, self.scenario, self.scenario.limits
        inside = (arrays["vm_pu"] >= limits.hard_min_pu) & (arrays["vm_pu"] <= limits.hard_max_pu)
        violated, limited, branch_i_ka = ~inside.all(axis=1), self.record.limited, arrays.pop("branch_i_ka")
        loading_percent = None if limited is None else limited.percent_of(branch_i_ka)
        if limited is not None and loading_percent is not None:
            violated |= limited.above(loading_percent, limited.hard_percent).any(axis=1)
        grid_state = {"converged": status == OK, "violated": np.asarray(violated)}
        changed: Keywords = {"power_flow": program_for(self.record.feeder), "branch_loading_percent": loading_percent}
        by_entry = {
            field: dataclasses.replace(getattr(trajectory, field), values=arrays.pop(name))
            for name, field in BY_ENTRY.items()
        }
        unbalance = self._unbalance(arrays)
        changed |= {**grid_state, **arrays, **by_entry}
        changed["devices"] = {name: values for name, values in trajectory.devices.items() if name != "by_fallback"}
        played = record_of(dataclasses.replace(trajectory, **changed), self.record.feeder)
        names = [name for twin, _ in twins_of(scenario) for name in twin.recorded] + ["vm_pu", "loss_mw", "slack_p_mw"]
        needed = {name: np.asarray(arrays[name], float) for name in names}
        as_recorded = (*series_names(scenario), *recorded_names(scenario))
        needed |= {name: np.asarray(getattr(trajectory, name), float) for name in as_recorded}
        cost = local_cost(
            scenario,
            played.feeder,
            step=trajectory.step,
            branch_loading_percent=loading_percent,
            vuf_percent=unbalance,
            **needed,
        )
        return dataclasses.replace(
            played.trajectory,
            p_injection_mw=played.p_injection_mw,
            q_injection_mvar=played.q_injection_mvar,
            residual_mva=np.where(status == OK, 0.0, np.nan),
            local_reward=-cost,
            reward=np.asarray(jax.vmap(partial(shared_reward, scenario))(jnp.asarray(-cost))),
        )

    def _unbalance(self, arrays: Named) -> np.ndarray | None:
        """Put the unbalance factors of what was played in the place of the angles; None without phases."""
        feeder = self.record.feeder
        if not isinstance(feeder, UnbalancedFeeder):
            return None
        arrays["vuf_percent"] = vuf_percent(feeder, arrays["vm_pu"], arrays.pop("va_degree"))
        return arrays["vuf_percent"]


def _same(one: Named, other: Named) -> bool:
    return all(np.array_equal(values, other[name], equal_nan=True) for name, values in one.items())


def _difference_pu(step: Named, plain: Solved) -> float:
    """Largest difference of a voltage; infinite if only one of the two has an answer."""
    if step["status"] != OK or plain["status"][0] != OK:
        return 0.0 if step["status"] == plain["status"][0] else float("inf")
    return float(np.abs(step["vm_pu"] - plain["vm_pu"][0]).max())
