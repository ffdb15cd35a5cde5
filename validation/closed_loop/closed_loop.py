"""Closed loop: the policy acts again through the recorded days, on a feeder that pandapower's AC power flow answers.

Each step: observation -> policy -> what the project's device models deliver -> AC power flow -> next observation.
What no action can change (Demand, Solar, forecasts, prices, the clock) is observed as recorded; voltages, states of
charge and debts are the closed loop's own, and so is the idle feeder's voltage before a day's first step. Energies are
carried over as the scenario's rules say. `gap.py` holds the outcome against the record.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neomflex_jax.environment.step.rewards import shared_reward
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.scenario import Uncertainty
from validation.closed_loop.acting import ActingPolicy, Actor
from validation.closed_loop.delivery import DEVICES, Carried, compiled_dispatch
from validation.closed_loop.gap import Apart, ClosedLoop, Played, compare_loops
from validation.recompute.cost import COLLAPSED_VM_PU, local_cost
from validation.recompute.observations import frame_of
from validation.recompute.record import Record, checked_record, record_of
from validation.recompute.set_points import SetPoints, set_points_of
from validation.referee.prepared import StepSolver, step_solver
from validation.referee.replay import OnStep
from validation.referee.runpp import OK, Solved

SPOT_STRIDE = 7  # a day's step that is solved by plain `runpp` as well: day x stride, modulo the day


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
    _check_repeatable(record.trajectory)
    return compare_loops(record.trajectory, _Loop(record, policy).play(on_step), apart or Apart())


def _check_repeatable(trajectory: Trajectory) -> None:
    scenario, where = trajectory.scenario, f"trajectory {trajectory.run!r}"
    seen = scenario.observation
    if scenario.uncertainty != Uncertainty() or seen.sensor_noise_pu > 0 or seen.missing_probability > 0:
        raise InputError(
            f"{where} was recorded under random disturbances, which cannot be played again; record it in "
            "`evaluation_environment(env)`, which leaves them out"
        )
    if scenario.rules.on_violation == "end_day":
        raise InputError(
            f"{where}: on_violation = 'end_day' ends days where the closed loop may go on; record it in "
            "`evaluation_environment(env)`"
        )


Memory = dict[str, list[np.ndarray]]  # what could be seen of the day so far, oldest first: vm, soc, owed


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the padded observations hold what the loop itself changes; one row an entry."""

    agent: np.ndarray
    slot: np.ndarray
    age: np.ndarray
    index: np.ndarray  # bus position, battery or flexible load


class _Loop:
    """Everything that stays the same from step to step."""

    def __init__(self, record: Record, policy: ActingPolicy) -> None:
        trajectory, feeder, scenario = record.trajectory, record.feeder, record.trajectory.scenario
        self.trajectory, self.feeder, self.scenario = trajectory, feeder, scenario
        self.solver: StepSolver = step_solver(scenario, feeder)
        frames = [frame_of(scenario, feeder, agent) for agent in range(len(scenario.agents))]
        self.places = {kind: _places(frames, kind, scenario.observation.history) for kind in ("vm", "soc", "owed")}
        sizes = [len(frame) * scenario.observation.history for frame in frames]
        self.actor = Actor(policy, scenario, sizes, f"trajectory {trajectory.run!r}")
        self.deliver = compiled_dispatch(scenario, feeder)
        known = (trajectory.demand, trajectory.solar, trajectory.load_q_factor)
        self.known = np.stack(known, axis=1)  # (n, 3) what no action changes
        self.buffer_mwh = np.array([load.buffer_mwh or 1.0 for load in scenario.flexible_loads])

    def play(self, on_step: OnStep | None) -> Played:
        """Play all days."""
        n_steps, steps = self.trajectory.n_steps, self.scenario.steps_per_day
        kept: list[dict[str, np.ndarray]] = []
        stores, spots = self._first_stores(0), []
        for day in range(n_steps // steps):
            first = day * steps
            if day and self.scenario.rules.energies != "carried":
                stores = self._first_stores(first)
            vm_pu = self._idle_voltages(first)
            memory: Memory = {"vm": [], "soc": [], "owed": []}
            for row in range(first, first + steps):
                self._remember(memory, vm_pu, stores)
                step, points, stores = self._step(row, memory, stores)
                kept.append(step)
                vm_pu = _seen_voltages(step)
                if row == first + day * SPOT_STRIDE % steps:
                    spots.append(_difference_pu(step, self.solver.by_runpp(points)))
            if on_step is not None:
                on_step(first + steps, n_steps)
        arrays = {name: np.stack([step[name] for step in kept]) for name in kept[0]}
        status = arrays.pop("status")
        return Played(self._as_trajectory(arrays, status), status, max(spots))

    def _step(self, row: int, memory: Memory, stores: Carried) -> tuple[dict[str, np.ndarray], SetPoints, Carried]:
        """Observe, act, deliver, solve; gives what to keep of it, the set-points and what devices carry on."""
        observation = self._observe(row, memory)
        action = self.actor.act(row, observation)
        delivered, after = self.deliver(action, stores, self.known[row])
        points = self._set_points(row, delivered)
        answers = self.solver.solve(points)
        step = {"observation": observation, "action": action, **delivered}
        step |= {"battery_soc_before": stores.battery_soc, "load_owed_before_mwh": stores.load_owed_mwh}
        step |= {"battery_soc": after.battery_soc, "load_owed_mwh": after.load_owed_mwh}
        step |= {name: values[0] for name, values in answers.items() if name != "attempts"}
        return step, points, after

    def _first_stores(self, row: int) -> Carried:
        """Energies before a recorded step, batteries at rest."""
        soc, owed_mwh = (
            np.asarray(part[row], np.float32)
            for part in (self.trajectory.battery_soc_before, self.trajectory.load_owed_before_mwh)
        )
        return Carried(soc, np.zeros_like(soc), owed_mwh)

    def _idle_voltages(self, row: int) -> np.ndarray:
        """Voltages with the row's loads and all devices at zero: what a day begins with."""
        demand = np.asarray(self.trajectory.demand[row : row + 1], np.float64)
        idle = {name: np.zeros((1, len(self.scenario.pv_inverters))) for name in ("pv_p_mw", "pv_q_mvar")}
        answers = self.solver.solve(SetPoints(demand, demand, np.zeros((1, len(self.scenario.batteries))), **idle))
        return _seen_voltages({name: values[0] for name, values in answers.items()})

    def _remember(self, memory: Memory, vm_pu: np.ndarray, stores: Carried) -> None:
        memory["vm"].append(vm_pu - 1.0)
        memory["soc"].append(np.clip(stores.battery_soc, 0.0, 1.0))
        memory["owed"].append(stores.load_owed_mwh / self.buffer_mwh)

    def _observe(self, row: int, memory: Memory) -> np.ndarray:
        """Give the recorded observations with the loop's own voltages and energies, (n_agents, observation_size)."""
        observation = np.array(self.trajectory.observation[row], np.float32)
        for kind, places in self.places.items():
            if len(places.slot):
                newest_first = np.array(memory[kind][: -self.scenario.observation.history - 1 : -1])
                age = np.minimum(places.age, len(newest_first) - 1)  # before a day's first step there is none
                observation[places.agent, places.slot] = newest_first[age, places.index]
        return observation

    def _set_points(self, row: int, delivered: dict[str, np.ndarray]) -> SetPoints:
        """Give one step's set-points, the same way as a recorded step's."""
        one: dict[str, Any] = {name: value[None] for name, value in delivered.items()}
        one |= {name: getattr(self.trajectory, name)[row : row + 1] for name in ("demand", "load_q_factor")}
        return set_points_of(dataclasses.replace(self.trajectory, **one), self.feeder)

    def _as_trajectory(self, arrays: dict[str, np.ndarray], status: np.ndarray) -> Trajectory:
        """Make a record of what was played, costs and all."""
        trajectory, scenario, limits = self.trajectory, self.scenario, self.scenario.limits
        inside = (arrays["vm_pu"] >= limits.hard_min_pu) & (arrays["vm_pu"] <= limits.hard_max_pu)
        grid_state = {"converged": status == OK, "violated": np.asarray(~inside.all(axis=1))}
        changed: dict[str, Any] = {"power_flow": "pandapower", **grid_state, **arrays}
        played = dataclasses.replace(trajectory, **changed)
        needed = {name: np.asarray(arrays[name], float) for name in (*DEVICES, "vm_pu", "loss_mw", "slack_p_mw")}
        needed["price"] = np.asarray(trajectory.price, float)
        cost = local_cost(scenario, self.feeder, step=trajectory.step, **needed)
        record = record_of(played, self.feeder)
        return dataclasses.replace(
            played,
            p_injection_mw=record.p_injection_mw,
            q_injection_mvar=record.q_injection_mvar,
            residual_mva=np.where(status == OK, 0.0, np.nan),
            local_reward=-cost,
            reward=np.asarray(jax.vmap(partial(shared_reward, scenario))(jnp.asarray(-cost))),
        )


def _places(frames: list[tuple[Any, ...]], kind: str, history: int) -> _Places:
    rows = [
        (agent, age * len(frame) + slot, age, entry.number)
        for agent, frame in enumerate(frames)
        for age in range(history)
        for slot, entry in enumerate(frame)
        if entry.kind == kind
    ]
    return _Places(*np.array(rows, int).reshape(-1, 4).T)


def _seen_voltages(step: dict[str, np.ndarray]) -> np.ndarray:
    """Voltages to observe, (n_bus,): a failed power flow's are a collapsed grid's."""
    vm_pu = step["vm_pu"]
    return vm_pu if step["status"] == OK else np.full_like(vm_pu, COLLAPSED_VM_PU)


def _difference_pu(step: dict[str, np.ndarray], plain: Solved) -> float:
    """Largest difference of a voltage; infinite if only one of the two has an answer."""
    if step["status"] != OK or plain["status"][0] != OK:
        return 0.0 if step["status"] == plain["status"][0] else float("inf")
    return float(np.abs(step["vm_pu"] - plain["vm_pu"][0]).max())
