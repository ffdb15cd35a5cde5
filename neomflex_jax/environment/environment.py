"""The task as pure functions: `reset`, `step`, `next_day`. Write for one copy; `jax.vmap` makes thousands.

The environment is a pytree: profiles, power flow and loads are its leaves, the scenario is static. So it can be
passed through jit, and other values of the same shapes cause no new trace (names of files are part of the scenario).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices import deliver_battery_power, deliver_pv_power
from neomflex_jax.environment.actions import action_slots, requested_fractions
from neomflex_jax.environment.injections import bus_injections
from neomflex_jax.environment.observations import observation_slots, observe
from neomflex_jax.environment.rewards import local_reward, reward_terms, shared_reward, term_names
from neomflex_jax.environment.state import State, TimeStep
from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import STATIC, Feeder
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult
from neomflex_jax.profiles import Profiles
from neomflex_jax.scenario import Scenario

COLLAPSED_VM_PU = 0.5  # about where the power that a line can carry has its maximum


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Environment:
    """One scenario, ready to run. Build it with `neomflex_jax.make`."""

    feeder: Feeder
    profiles: Profiles
    power_flow: PowerFlow
    day_start_flow: PowerFlowResult  # (n_days, ...) of every day's first row, all devices at zero
    scenario: Scenario = field(metadata=STATIC)
    layout: TerritoryLayout = field(metadata=STATIC)

    # ---- sizes and names, all static ----

    @property
    def agents(self) -> tuple[str, ...]:
        """Agent names in order."""
        return self.scenario.agents

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.agents)

    @cached_property
    def _actions(self) -> tuple[np.ndarray, np.ndarray]:
        return action_slots(self.layout)

    @cached_property
    def _observations(self) -> tuple[np.ndarray, np.ndarray]:
        return observation_slots(self.layout, self.feeder.n_bus)

    @property
    def action_mask(self) -> np.ndarray:
        """True where an action entry is real, (n_agents, action_size)."""
        return self._actions[1]

    @property
    def observation_mask(self) -> np.ndarray:
        """True where an observation entry is real, (n_agents, observation_size)."""
        return self._observations[1]

    @property
    def action_size(self) -> int:
        """Length of an agent's padded action."""
        return int(self.action_mask.shape[1])

    @property
    def observation_size(self) -> int:
        """Length of an agent's padded observation."""
        return int(self.observation_mask.shape[1])

    def split(self, values: Array) -> dict[str, Array]:
        """Split padded rows (..., n_agents, size), observations or actions, into unpadded arrays by agent."""
        masks = {self.observation_size: self.observation_mask, self.action_size: self.action_mask}
        if values.shape[-1] not in masks:
            raise ValueError(f"last axis is {values.shape[-1]}; expected one of {sorted(masks)}")
        mask = masks[values.shape[-1]]
        return {agent: values[..., index, mask[index]] for index, agent in enumerate(self.agents)}

    # ---- the task ----

    def reset(self, key: Array) -> tuple[State, TimeStep]:
        """Start a first day: random or the file's first, with random or initial energies, as the rules say."""
        next_key, day_key, soc_key = jax.random.split(key, 3)
        return self._start_day(
            next_key, self._draw_day(day_key, 0), self._draw_soc(soc_key, self._battery("soc_initial"))
        )

    def next_day(self, state: State) -> tuple[State, TimeStep]:
        """Start the day that follows: random, or the file's next with the energies carried over.

        Under `end_day` a violated day is played again with the energies it began with; after the file's last day
        comes its first, at the initial energies.
        """
        next_key, day_key, soc_key = jax.random.split(state.key, 3)
        replay = state.violated if self.scenario.rules.on_violation == "end_day" else jnp.zeros((), bool)
        following_row = (state.day_row + self.scenario.steps_per_day) % self.profiles.n_rows
        carried = jnp.where(following_row == 0, self._battery("soc_initial"), state.battery_soc)
        row = jnp.where(replay, state.day_row, self._draw_day(day_key, following_row))
        soc = jnp.where(replay, state.day_battery_soc, self._draw_soc(soc_key, carried))
        return self._start_day(next_key, row, soc)

    def step(self, state: State, action: Array) -> tuple[State, TimeStep]:
        """Play one step with actions (n_agents, action_size) in [-1, 1]; no auto-reset."""
        if jnp.shape(action) != self.action_mask.shape:
            raise InputError(
                f"action has shape {jnp.shape(action)}; expected (n_agents, action_size) {self.action_mask.shape}"
            )
        scenario, layout = self.scenario, self.layout
        row = state.day_row + state.step
        demand, solar = self.profiles.demand[row], self.profiles.solar[row]

        battery_p_mw, battery_soc, pv_p_mw, pv_q_mvar = self._deliver(action, state.battery_soc, solar)
        held = scenario.rules.load_q == "held_from_day_start"
        load_q_factor = self.profiles.demand[state.day_row] if held else demand
        p_mw, q_mvar = bus_injections(
            self.feeder,
            layout,
            demand=demand,
            load_q_factor=load_q_factor,
            battery_p_mw=battery_p_mw,
            pv_p_mw=pv_p_mw,
            pv_q_mvar=pv_q_mvar,
        )
        flow = self.power_flow(p_mw, q_mvar)

        vm_pu, violated = self._checked_voltages(flow)
        terms = reward_terms(
            scenario,
            layout,
            vm_pu=vm_pu,
            loss_mw=jnp.where(flow.converged, flow.loss_mw, 0.0),
            battery_p_mw=battery_p_mw,
            violated=violated,
            step=state.step,
        )
        local = local_reward(scenario, terms, violated)

        terminated = violated if scenario.rules.on_violation == "end_day" else jnp.zeros((), bool)
        next_state = State(state.key, state.day_row, state.step + 1, battery_soc, state.day_battery_soc, violated)
        next_row = jnp.where(terminated, row, (row + 1) % self.profiles.n_rows)
        observation = self._observe(next_row, vm_pu, battery_soc)
        info = self._info(flow, p_mw, q_mvar, battery_p_mw, battery_soc, pv_p_mw, pv_q_mvar, row)
        info |= {"load_q_factor": load_q_factor, "local_reward": local, "violated": violated}
        info |= {f"reward_{name}": value for name, value in terms.items()}
        return next_state, TimeStep(
            observation=observation,
            reward=shared_reward(scenario, local),
            terminated=terminated,
            truncated=(next_state.step >= scenario.steps_per_day) & ~terminated,
            final_observation=observation,
            info=info,
        )

    # ---- parts ----

    def _deliver(self, action: Array, soc: Array, solar: Array) -> tuple[Array, Array, Array, Array]:
        """Give what the devices make of the actions: battery p_mw and next soc, PV p_mw and q_mvar."""
        scenario = self.scenario
        battery_fraction, pv_fraction = requested_fractions(
            action, self._actions[0], len(scenario.batteries), len(scenario.pv_inverters)
        )
        battery_p_mw, next_soc = deliver_battery_power(
            battery_fraction * self._battery("power_mw"),
            soc,
            capacity_mwh=self._battery("capacity_mwh"),
            power_mw=self._battery("power_mw"),
            soc_min=self._battery("soc_min"),
            soc_max=self._battery("soc_max"),
            step_hours=scenario.step_hours,
        )
        pv_p_mw, pv_q_mvar = deliver_pv_power(
            pv_fraction, solar, p_max_mw=self._pv("p_max_mw"), s_mva=self._pv("s_mva")
        )
        return battery_p_mw, next_soc, pv_p_mw, pv_q_mvar

    def _battery(self, name: str) -> np.ndarray:
        return np.array([getattr(battery, name) for battery in self.scenario.batteries], float)

    def _pv(self, name: str) -> np.ndarray:
        return np.array([getattr(inverter, name) for inverter in self.scenario.pv_inverters], float)

    def _draw_day(self, key: Array, in_file_order: Array | int) -> Array:
        if self.scenario.rules.day_order == "file":
            return jnp.asarray(in_file_order, jnp.int32)
        return self.scenario.steps_per_day * jax.random.randint(key, (), 0, self.profiles.n_days)

    def _draw_soc(self, key: Array, carried: Array | np.ndarray) -> Array:
        if self.scenario.rules.energies == "carried":
            return jnp.asarray(carried, float)
        low, high = self._battery("soc_min"), self._battery("soc_max")
        return low + (high - low) * jax.random.uniform(key, (len(low),))

    def _start_day(self, key: Array, day_row: Array, battery_soc: Array) -> tuple[State, TimeStep]:
        flow = jax.tree.map(lambda leaf: leaf[day_row // self.scenario.steps_per_day], self.day_start_flow)
        vm_pu, violated = self._checked_voltages(flow)
        observation = self._observe(day_row, vm_pu, battery_soc)
        no_reward, no = jnp.zeros(self.n_agents), jnp.zeros((), bool)
        state = State(key, day_row, jnp.zeros((), jnp.int32), battery_soc, battery_soc, no)
        idle = jnp.zeros(len(self.scenario.pv_inverters))
        demand = self.profiles.demand[day_row]
        p_mw, q_mvar = (-jnp.asarray(load) * demand for load in (self.feeder.load_p_mw, self.feeder.load_q_mvar))
        info = self._info(flow, p_mw, q_mvar, jnp.zeros_like(battery_soc), battery_soc, idle, idle, day_row)
        info |= {"load_q_factor": demand, "local_reward": no_reward, "violated": violated}
        info |= {f"reward_{name}": no_reward for name in term_names(self.scenario)}
        return state, TimeStep(observation, no_reward, no, no, observation, info)

    def _observe(self, row: Array, vm_pu: Array, battery_soc: Array) -> Array:
        steps = self.scenario.steps_per_day
        return observe(
            self._observations[0],
            vm_pu=vm_pu,
            demand=self.profiles.demand[row],
            solar=self.profiles.solar[row],
            battery_soc=battery_soc,
            time_of_day=(row % steps) / (steps - 1),
        )

    def _checked_voltages(self, flow: PowerFlowResult) -> tuple[Array, Array]:
        """Finite voltages for observation and reward, and whether the hard limits are broken.

        A power flow that failed has no voltages: a collapsed grid's stand in for them, so that failing is never better
        than a deep under-voltage, and the step is a violation.
        """
        limits = self.scenario.limits
        vm_pu = jnp.where(flow.converged, flow.vm_pu, COLLAPSED_VM_PU)
        outside = jnp.any((vm_pu < limits.hard_min_pu) | (vm_pu > limits.hard_max_pu))
        return vm_pu, outside | ~flow.converged

    def _info(
        self,
        flow: PowerFlowResult,
        p_mw: Array,
        q_mvar: Array,
        battery_p_mw: Array,
        battery_soc: Array,
        pv_p_mw: Array,
        pv_q_mvar: Array,
        row: Array,
    ) -> dict[str, Array]:
        """Answers of the step; grid quantities are NaN where the power flow failed."""
        valid = flow.converged
        return {
            "vm_pu": jnp.where(valid, flow.vm_pu, jnp.nan),
            "loss_mw": jnp.where(valid, flow.loss_mw, jnp.nan),
            "slack_p_mw": jnp.where(valid, flow.slack_p_mw, jnp.nan),
            "slack_q_mvar": jnp.where(valid, flow.slack_q_mvar, jnp.nan),
            "converged": flow.converged,
            "residual_mva": flow.residual_mva,
            "p_injection_mw": p_mw,
            "q_injection_mvar": q_mvar,
            "battery_p_mw": battery_p_mw,
            "battery_soc": battery_soc,
            "pv_p_mw": pv_p_mw,
            "pv_q_mvar": pv_q_mvar,
            "demand": self.profiles.demand[row],
            "solar": self.profiles.solar[row],
            "dataset_index": row,
        }
