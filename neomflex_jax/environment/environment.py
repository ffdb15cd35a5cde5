"""The task as pure functions: `reset`, `step`, `next_day`. Write for one copy; `jax.vmap` makes thousands.

The environment is a pytree: profiles, power flow and loads are its leaves, the scenario is static. So it can be
passed through jit, and other values of the same shapes cause no new trace (names of files are part of the scenario).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Num

from neomflex_jax.environment.binding import bound_power_flow, day_start_flow, todays_power_flow
from neomflex_jax.environment.day_start import flow_at, start_day
from neomflex_jax.environment.days import Draw, draw_day, first_day, following_day
from neomflex_jax.environment.feeder_controls import STORE
from neomflex_jax.environment.notebook import environment_cell
from neomflex_jax.environment.state import LastStep, State, TimeStep
from neomflex_jax.environment.step.actions import check_action, misuse_of
from neomflex_jax.environment.step.answers import answer
from neomflex_jax.environment.step.dispatch import Stores
from neomflex_jax.environment.step.measured_voltages import with_measured
from neomflex_jax.environment.step.measurements import Now
from neomflex_jax.environment.step.observations import measure, observe, remember
from neomflex_jax.environment.step.outcome import Outcome, outcome_of
from neomflex_jax.environment.step.record import record_step
from neomflex_jax.environment.step.rewards import local_reward, reward_terms, shared_reward
from neomflex_jax.environment.step.set_points import set_points
from neomflex_jax.environment.task import Task
from neomflex_jax.fields import with_overrides
from neomflex_jax.grid import load_feeder
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.one_line import cut
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult, UnbalancedPowerFlow
from neomflex_jax.scenario.parts import END_UNSOLVED

if TYPE_CHECKING:
    import pandas as pd


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Environment(Task):
    """One scenario, ready to run. Build it with `neomflex_jax.make`."""

    power_flow: PowerFlow | UnbalancedPowerFlow
    # (n_beginnings, ...) of rows with which play may begin, mostly days' first, undisturbed, all devices at zero
    day_start_flow: PowerFlowResult

    def __repr__(self) -> str:
        sizes = f"{self.n_agents} agents, {len(self.scenario.devices)} devices, {self.feeder.n_bus} buses"
        return f"Environment({cut(repr(self.scenario.name))}, {sizes}, power flow {self.power_flow.method})"

    def _repr_html_(self) -> str:
        return environment_cell(self, self.power_flow.method)

    def describe(self) -> pd.DataFrame:
        """Return a table with a row for every entry of observations and actions.

        Its columns are kind (observation or action), agent, index, name, unit, low and high.
        """
        from neomflex_jax.environment.describe import describe

        return describe(self)

    @nan_is_a_value()
    def with_power_flow(self, power_flow: str | PowerFlow | UnbalancedPowerFlow) -> Environment:
        """Return the same task on another power flow: a surrogate first, `ac` to finish.

        Parameters
        ----------
        power_flow
            A method's name, or a method bound to this feeder.

        Returns
        -------
        Environment
            With other power flows in steps and resets; states of the old one fit.

        Raises
        ------
        InputError
            If there is no such method, or a bound one belongs to another feeder.
        """
        name = power_flow if isinstance(power_flow, str) else power_flow.method
        scenario = with_overrides(self.scenario, {"power_flow": name})
        bound = bound_power_flow(power_flow, load_feeder(scenario.feeder), scenario, self.profiles)
        start_flow = day_start_flow(self.feeder, self.profiles, bound, scenario.begins_every)
        return replace(self, power_flow=bound, day_start_flow=start_flow, scenario=scenario)

    @nan_is_a_value()
    def reset(self, key: Array) -> tuple[State, TimeStep]:
        """Start a first day: random or the file's first, with random or initial energies, as the rules say.

        Parameters
        ----------
        key
            JAX PRNG key, of `jax.random.key` or `jax.random.PRNGKey`.

        Returns
        -------
        State, TimeStep
            The day's state and first observation. The reward is 0, and `info` is of the day's first row with all
            devices at zero.
        """
        draw = draw_day(self, key)
        row, stores = first_day(self, draw)
        return start_day(self, flow_at(self, self.day_start_flow, row), draw, row, stores)

    @nan_is_a_value()
    def next_day(self, state: State, draw: Draw | None = None) -> tuple[State, TimeStep]:
        """Start the day that follows: random, or the file's next with the energies carried over.

        Parameters
        ----------
        state
            After the last step of a day.
        draw
            What chance decides; None draws it with the state's key.

        Returns
        -------
        State, TimeStep
            The day's state and first observation, as from `reset`. Where the file's next day follows with the energies
            carried over, and the rules say `first_observation = "last_step"`, the observation is that after the last
            step, in the new day's disturbances; `info` stays that of the day's first row with all devices at zero.
        """
        draw = draw_day(self, state.key) if draw is None else draw
        row, stores, goes_on = following_day(self, state, draw)
        last_step = state.last_step if self.scenario.rules.grid_is_carried else None
        return start_day(self, flow_at(self, self.day_start_flow, row), draw, row, stores, last_step, goes_on)

    @nan_is_a_value()
    def step(self, state: State, action: Num[ArrayLike, "n_rows action_size"]) -> tuple[State, TimeStep]:
        """Play one step; no auto-reset.

        Parameters
        ----------
        state
            As the step or reset before returned it.
        action
            Shape (n_agents, action_size), in [-1, 1]; padded entries are not read.

        Returns
        -------
        State, TimeStep
            The state after the step, and its observation (n_agents, observation_size), reward (n_agents,), flags and
            `info`.

        Raises
        ------
        InputError
            On actions of another shape; outside jit also on NaN, which inside counts as 0.
        """
        action = jnp.asarray(action)
        check_action(action, self.action_layout, self.agents)
        scenario, today, row = self.scenario, state.today, state.day_row + state.step

        played = set_points(self, state, action)
        solver = todays_power_flow(self.power_flow, self.feeder, today)
        injections, flow, followed = answer(self, solver, played, state.stores)
        outcome = outcome_of(self, flow, played.delivered, played.moment, followed)

        terms = reward_terms(self, outcome)
        local = local_reward(scenario, terms, outcome.violated)
        ending = {"end_day": outcome.violated, END_UNSOLVED: ~flow.converged}
        terminated = ending.get(scenario.rules.on_violation, jnp.zeros((), bool))
        next_row = jnp.where(terminated, row, (row + 1) % self.profiles.n_rows)
        vm_pu = jnp.where(flow.converged, flow.vm_pu, jnp.nan)
        stores = with_measured(scenario, self.feeder.nodes, played.delivered.stores, vm_pu)
        stores = stores if followed is None else {**stores, STORE: followed.after}
        next_state, observation = self._after(state, next_row, stores, outcome)
        return next_state, TimeStep(
            observation=observation,
            reward=shared_reward(scenario, local),
            terminated=terminated,
            truncated=(next_state.step >= scenario.episode_steps) & ~terminated,
            final_observation=observation,
            info=record_step(
                self,
                flow,
                outcome,
                injections,
                row=row,
                load_q_factor=played.load_q_factor,
                terms=terms,
                local_reward=local,
                misuse=misuse_of(action, self.action_layout),
            ),
        )

    def _after(
        self, state: State, next_row: Array, stores: Stores, outcome: Outcome
    ) -> tuple[State, Float[Array, "n_rows observation_size"]]:
        """Return the state that a step leaves, and what agents observe of it as `next_row` of the profiles begins."""
        step, seen = state.step + 1, (outcome.vm_pu, stores, outcome.loading_percent)
        values = measure(self.observation_layout, Now(self.profiles, state.today, next_row, step, *seen))
        observation = observe(self.observation_layout, values, state.history, state.today.missing)
        history = remember(values, state.history)
        after = replace(state, step=step, stores=stores, violated=outcome.violated, history=history)
        if self.scenario.rules.grid_is_carried:
            after = replace(after, last_step=LastStep(outcome.vm_pu, outcome.loading_percent, state.history))
        return after, observation
