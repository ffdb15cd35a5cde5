"""The state and the answer with which a day begins.

They rest on the flow of its first row, undisturbed and with all devices at zero. Where play goes on into a day, what is
observed of the grid, and what a history holds, is what the last step left: the observation after that step once more,
with the new day's disturbances in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.days import Draw
from neomflex_jax.environment.feeder_controls import STORE, Followed
from neomflex_jax.environment.state import LastStep, State, TimeStep
from neomflex_jax.environment.step.actions import Misuse
from neomflex_jax.environment.step.answers import injections_of_loads
from neomflex_jax.environment.step.dispatch import Delivered, Stores, nothing_delivered
from neomflex_jax.environment.step.loads import loads_of_row, moment_of_row
from neomflex_jax.environment.step.measurements import Now
from neomflex_jax.environment.step.observations import measure, observe, remember
from neomflex_jax.environment.step.outcome import outcome_of
from neomflex_jax.environment.step.record import record_step
from neomflex_jax.environment.step.rewards import terms_of
from neomflex_jax.environment.task import Task
from neomflex_jax.powerflow import PowerFlowResult

T = TypeVar("T")


def start_day(
    task: Task,
    flow: PowerFlowResult,
    draw: Draw,
    day_row: Array,
    stores: Stores,
    last_step: LastStep | None = None,
    goes_on: Array | bool = False,
) -> tuple[State, TimeStep]:
    """Start a day at a row of the profiles with these stores; `flow` is the row's, all devices at zero.

    Where play `goes_on`, (), the `last_step` of the day before is seen; it is None where no day begins so.
    """
    scenario, today, step = task.scenario, draw.today, jnp.zeros((), jnp.int32)
    moment = moment_of_row(task.profiles, day_row, step)
    delivered = _nothing_delivered(task, stores, day_row)
    standing = stores.get(STORE)
    followed = None if standing is None else Followed(standing, standing, jnp.ones((), bool))
    outcome = outcome_of(task, flow, delivered, moment, followed)

    seen = outcome.vm_pu, outcome.loading_percent
    if last_step is not None:
        seen = _choose(goes_on, last_step[:2], seen)
    values = measure(task.observation_layout, Now(task.profiles, today, day_row, step, seen[0], stores, seen[1]))
    earlier = jnp.broadcast_to(values, (scenario.observation.history - 1, *values.shape))
    if last_step is not None:
        earlier = _choose(goes_on, last_step.history, earlier)
    observation = observe(task.observation_layout, values, earlier, today.missing)
    history = remember(values, earlier)
    no, nothing, none = jnp.zeros((), bool), jnp.zeros(task.n_agents), jnp.zeros(task.n_agents, jnp.int32)
    state = State(draw.key, day_row, step, stores, stores, violated=no, history=history, today=today)
    if scenario.rules.grid_is_carried:
        state = replace(state, last_step=LastStep(*seen, earlier))
    info = record_step(
        task,
        flow,
        outcome,
        injections_of_loads(task, delivered),
        row=day_row,
        load_q_factor=moment.demand,
        terms=dict.fromkeys(terms_of(task), nothing),
        local_reward=nothing,
        misuse=Misuse(none, none),
    )
    return state, TimeStep(observation, nothing, no, no, observation, info)


def flow_at(task: Task, day_start_flow: PowerFlowResult, day_row: Array) -> PowerFlowResult:
    """Return a row's power flow of those of all rows with which play may begin."""
    every = task.profiles.n_rows // day_start_flow.converged.shape[0]
    chosen: PowerFlowResult = jax.tree.map(lambda leaf: leaf[day_row // every], day_start_flow)
    return chosen


def _choose(where: Array | bool, one: T, other: T) -> T:
    chosen: T = jax.tree.map(lambda one, other: jnp.where(where, one, other), one, other)
    return chosen


def _nothing_delivered(task: Task, stores: Stores, row: Array) -> Delivered:
    resting = {kind.table: nothing_delivered(task.scenario, kind, stores[kind.table]) for kind in task.kinds}
    return Delivered(resting, *loads_of_row(task.feeder, task.profiles, row))
