"""The task as pure functions: `reset`, `step`, `next_day`. Write for one copy; `jax.vmap` makes thousands.

The environment is a pytree: profiles, power flow and loads are its leaves, the scenario is static. So it can be
passed through jit, and other values of the same shapes cause no new trace (names of files are part of the scenario).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.days import Draw, draw_day, first_stores
from neomflex_jax.environment.state import State, TimeStep
from neomflex_jax.environment.step.actions import ActionLayout, check_action, lay_out_actions, misuse_of
from neomflex_jax.environment.step.constraint_costs import constraint_names
from neomflex_jax.environment.step.dispatch import Delivered, Stores
from neomflex_jax.environment.step.disturbances import Today
from neomflex_jax.environment.step.info import grid_info
from neomflex_jax.environment.step.injections import bus_injections
from neomflex_jax.environment.step.measurements import measure
from neomflex_jax.environment.step.observations import ObservationLayout, lay_out_observations, observe, remember
from neomflex_jax.environment.step.rewards import Outcome, local_reward, reward_terms, shared_reward, terms_of
from neomflex_jax.environment.step.set_points import load, set_points
from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.one_line import cut
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult
from neomflex_jax.profiles import Profiles
from neomflex_jax.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

COLLAPSED_VM_PU = 0.5  # about where the power that a line can carry has its maximum


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Environment:
    """One scenario, ready to run. Build it with `neomflex_jax.make`."""

    feeder: Feeder
    profiles: Profiles
    power_flow: PowerFlow
    day_start_flow: PowerFlowResult  # (n_days, ...) of every day's first row, undisturbed, all devices at zero
    scenario: Scenario = field(metadata=STATIC)
    layout: TerritoryLayout = field(metadata=STATIC)
    has_ratings: bool = field(metadata=STATIC)  # whether the feeder states what any branch may carry

    def __repr__(self) -> str:
        sizes = f"{self.n_agents} agents, {len(self.scenario.devices)} devices, {self.feeder.n_bus} buses"
        return f"Environment({cut(repr(self.scenario.name))}, {sizes}, power flow {self.power_flow.method})"

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
    def action_layout(self) -> ActionLayout:
        """What every action entry sets."""
        return lay_out_actions(self.scenario)

    @cached_property
    def observation_layout(self) -> ObservationLayout:
        """What every observation entry is."""
        return lay_out_observations(self.scenario, self.layout, self.feeder)

    @property
    def action_mask(self) -> np.ndarray:
        """True where an action entry is real, (n_agents, action_size)."""
        return self.action_layout.mask

    @property
    def observation_mask(self) -> np.ndarray:
        """True where an observation entry is real, (n_agents, observation_size)."""
        return self.observation_layout.mask

    @property
    def observation_low(self) -> np.ndarray:
        """Lowest value of every observation entry, (n_agents, observation_size)."""
        return self.observation_layout.bounds()[0]

    @property
    def observation_high(self) -> np.ndarray:
        """Highest value of every observation entry, (n_agents, observation_size)."""
        return self.observation_layout.bounds()[1]

    @property
    def action_size(self) -> int:
        """Length of an agent's padded action."""
        return int(self.action_mask.shape[1])

    @property
    def observation_size(self) -> int:
        """Length of an agent's padded observation."""
        return int(self.observation_mask.shape[1])

    @property
    def constraint_names(self) -> tuple[str, ...]:
        """Names of the last axis of ``info["constraint_cost"]``."""
        return constraint_names(has_ratings=self.has_ratings)

    @property
    def loads_vary(self) -> bool:
        """Whether loads are anything else than their nominal ones times one factor."""
        return bool(self.scenario.flexible_loads) or self.scenario.uncertainty.varies_loads

    def split(self, values: Array, kind: str | None = None) -> dict[str, Array]:
        """Split padded rows (..., n_agents, size), observations or actions, into unpadded arrays by agent.

        `kind`, ``"observation"`` or ``"action"``, is only needed where both have one size.
        """
        masks = {"observation": self.observation_mask, "action": self.action_mask}
        if kind is not None:
            check_choice("kind", kind, tuple(masks))
        fitting = [name for name, mask in masks.items() if kind in (None, name) and mask.shape[1] == values.shape[-1]]
        if not fitting:
            sizes = f"observations {self.observation_size}, actions {self.action_size}"
            raise InputError(f"last axis is {values.shape[-1]}; expected {sizes}")
        if len(fitting) > 1:
            raise InputError("observations and actions have one size here; say kind='observation' or kind='action'")
        mask = masks[fitting[0]]
        return {agent: values[..., index, mask[index]] for index, agent in enumerate(self.agents)}

    def describe(self) -> pd.DataFrame:
        """Give size and meaning of every entry: a table with kind, agent, index, name, unit, low and high."""
        from neomflex_jax.environment.describe import describe

        return describe(self)

    def with_power_flow(self, power_flow: str | PowerFlow) -> Environment:
        """Give the same task on another power flow, by a method's name or bound: surrogate first, `ac` to finish."""
        from neomflex_jax.environment.make import with_power_flow

        return with_power_flow(self, power_flow)

    # ---- the task ----

    @nan_is_a_value()
    def reset(self, key: Array) -> tuple[State, TimeStep]:
        """Start a first day: random or the file's first, with random or initial energies, as the rules say."""
        draw = draw_day(self, key)
        first = first_stores(self.scenario)
        return self._start_day(draw, *self._chosen(draw, 0, first))

    @nan_is_a_value()
    def next_day(self, state: State, draw: Draw | None = None) -> tuple[State, TimeStep]:
        """Start the day that follows: random, or the file's next with the energies carried over.

        Under `end_day` a violated day is played again with the energies it began with; after the file's last day
        comes its first, at the initial energies. Batteries' ramps go on over midnight where energies are carried.
        `draw` is what chance decides, from the state's key if not given.
        """
        draw = draw_day(self, state.key) if draw is None else draw
        replay = state.violated if self.scenario.rules.on_violation == "end_day" else jnp.zeros((), bool)
        following_row = (state.day_row + self.scenario.steps_per_day) % self.profiles.n_rows
        carried = Stores(state.battery_soc, state.battery_p_mw, state.load_owed_mwh)
        if self.scenario.rules.day_order == "file":
            again = following_row == 0
            carried = jax.tree.map(lambda new, old: jnp.where(again, new, old), first_stores(self.scenario), carried)
        row, stores = self._chosen(draw, following_row, carried)
        began = Stores(state.day_battery_soc, jnp.zeros_like(state.battery_p_mw), state.day_load_owed_mwh)
        stores = jax.tree.map(lambda old, new: jnp.where(replay, old, new), began, stores)
        return self._start_day(draw, jnp.where(replay, state.day_row, row), stores)

    @nan_is_a_value()
    def step(self, state: State, action: Array) -> tuple[State, TimeStep]:
        """Play one step with actions (n_agents, action_size) in [-1, 1]; no auto-reset.

        Raises
        ------
        InputError
            On actions of another shape; outside jit also on NaN, which inside counts as 0.
        """
        action = jnp.asarray(action)
        check_action(action, self.action_layout, self.agents)
        scenario, layout, today = self.scenario, self.layout, state.today
        row = state.day_row + state.step

        played = set_points(self, state, action)
        delivered, stores = played.delivered, played.stores
        p_mw, q_mvar = bus_injections(
            delivered,
            layout,
            self.feeder,
            battery_q=played.battery_q,
            load_factors=None if self.loads_vary else (played.demand, played.load_q_factor),
        )
        flow = self._solver(today)(p_mw, q_mvar)

        vm_pu, violated = self._checked_voltages(flow)
        outcome = self._outcome(state, row, flow, vm_pu, delivered, violated)
        terms = reward_terms(scenario, layout, outcome)
        local = local_reward(scenario, terms, violated)

        terminated = violated if scenario.rules.on_violation == "end_day" else jnp.zeros((), bool)
        next_row = jnp.where(terminated, row, (row + 1) % self.profiles.n_rows)
        values = measure(self, today, next_row, state.step + 1, vm_pu, stores.battery_soc, stores.load_owed_mwh)
        observation = observe(self.observation_layout, values, state.history, today.missing)
        next_state = replace(
            state,
            step=state.step + 1,
            battery_soc=stores.battery_soc,
            battery_p_mw=stores.battery_p_mw,
            load_owed_mwh=stores.load_owed_mwh,
            violated=violated,
            history=remember(values, state.history),
        )
        info = grid_info(self, flow, vm_pu, p_mw, q_mvar, delivered, stores, row)
        info |= {name: getattr(played, name) for name in ("demand", "solar", "load_q_factor")}
        info |= {"local_reward": local}
        info |= {f"reward_{name}": value for name, value in terms.items()}
        info |= misuse_of(action, self.action_layout)
        return next_state, TimeStep(
            observation=observation,
            reward=shared_reward(scenario, local),
            terminated=terminated,
            truncated=(next_state.step >= scenario.steps_per_day) & ~terminated,
            final_observation=observation,
            info=info | {"violated": violated},
        )

    # ---- parts ----

    def _solver(self, today: Today) -> PowerFlow:
        """Give the power flow of today's grid: its impedances may be others than the ones that are known."""
        if today.impedance_factor is None:
            return self.power_flow
        r_ohm, x_ohm = (jnp.asarray(part) for part in (self.feeder.r_ohm, self.feeder.x_ohm))
        r_factor, x_factor = today.impedance_factor
        return self.power_flow.on(replace(self.feeder, r_ohm=r_ohm * r_factor, x_ohm=x_ohm * x_factor))

    def _chosen(self, draw: Draw, in_file_order: Array | int, carried: Stores) -> tuple[Array, Stores]:
        """Choose a day's first row and energies by the rules: by chance, or as they come."""
        rules = self.scenario.rules
        row = jnp.asarray(in_file_order, jnp.int32) if rules.day_order == "file" else draw.day_row
        return row, carried if rules.energies == "carried" else draw.stores

    def _start_day(self, draw: Draw, day_row: Array, stores: Stores) -> tuple[State, TimeStep]:
        """Start a day; its first observation rests on the flow of its first row without disturbances."""
        scenario, today = self.scenario, draw.today
        flow = jax.tree.map(lambda leaf: leaf[day_row // scenario.steps_per_day], self.day_start_flow)
        vm_pu, violated = self._checked_voltages(flow)
        no_reward, no, first_step = jnp.zeros(self.n_agents), jnp.zeros((), bool), jnp.zeros((), jnp.int32)
        battery_soc, owed_mwh = stores.battery_soc, stores.load_owed_mwh
        values = measure(self, today, day_row, first_step, vm_pu, battery_soc, owed_mwh)
        history = jnp.broadcast_to(values, (scenario.observation.history - 1, *values.shape))
        observation = observe(self.observation_layout, values, history, today.missing)
        idle = jnp.zeros_like(battery_soc)
        state = State(
            key=draw.key,
            day_row=day_row,
            step=first_step,
            battery_soc=battery_soc,
            battery_p_mw=stores.battery_p_mw,
            load_owed_mwh=owed_mwh,
            day_battery_soc=battery_soc,
            day_load_owed_mwh=owed_mwh,
            violated=no,
            history=history,
            today=today,
        )
        demand, solar = self.profiles.demand[day_row], self.profiles.solar[day_row]
        delivered = self._nothing_delivered(demand, idle)
        p_mw, q_mvar = -delivered.load_p_mw, -delivered.load_q_mvar
        info = grid_info(self, flow, vm_pu, p_mw, q_mvar, delivered, stores, day_row)
        info |= {"demand": demand, "solar": solar, "load_q_factor": demand, "local_reward": no_reward}
        info |= {f"reward_{name}": no_reward for name in terms_of(scenario)}
        info |= {name: jnp.zeros(self.n_agents, jnp.int32) for name in ("clipped_actions", "nan_actions")}
        return state, TimeStep(observation, no_reward, no, no, observation, info | {"violated": violated})

    def _nothing_delivered(self, demand: Array, idle: Array) -> Delivered:
        off = jnp.zeros(len(self.scenario.pv_inverters))
        load_p_mw, load_q_mvar = (load(self, name, demand, Today()) for name in ("load_p_mw", "load_q_mvar"))
        nothing_shed = jnp.zeros(len(self.scenario.flexible_loads))
        clipped = jnp.zeros(len(self.scenario.devices))
        return Delivered(idle, idle, off, off, off, load_p_mw, load_q_mvar, nothing_shed, clipped)

    def _checked_voltages(self, flow: PowerFlowResult) -> tuple[Array, Array]:
        """Finite voltages for observation and reward, and whether the hard limits are broken.

        A power flow that failed has no voltages: a collapsed grid's stand in for them, so that failing is never better
        than a deep under-voltage, and the step is a violation.
        """
        limits = self.scenario.limits
        vm_pu = jnp.where(flow.converged, flow.vm_pu, COLLAPSED_VM_PU)
        outside = (jnp.min(vm_pu) < limits.hard_min_pu) | (jnp.max(vm_pu) > limits.hard_max_pu)
        return vm_pu, outside | ~flow.converged

    def _outcome(
        self, state: State, row: Array, flow: PowerFlowResult, vm_pu: Array, delivered: Delivered, violated: Array
    ) -> Outcome:
        return Outcome(
            vm_pu=vm_pu,
            loss_mw=jnp.where(flow.converged, flow.loss_mw, 0.0),
            slack_p_mw=jnp.where(flow.converged, flow.slack_p_mw, 0.0),
            delivered=delivered,
            violated=violated,
            step=state.step,
            price=None if self.profiles.price is None else self.profiles.price[row],
        )
