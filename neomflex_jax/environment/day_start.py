"""The state and the answer with which a day begins; they rest on the flow of its first row without disturbances."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.days import Draw
from neomflex_jax.environment.state import State, TimeStep
from neomflex_jax.environment.step.actions import Misuse
from neomflex_jax.environment.step.dispatch import Delivered, Stores, nothing_delivered
from neomflex_jax.environment.step.loads import loads_of_row, moment_of_row
from neomflex_jax.environment.step.measurements import Now
from neomflex_jax.environment.step.observations import measure, observe
from neomflex_jax.environment.step.outcome import outcome_of
from neomflex_jax.environment.step.record import record_step
from neomflex_jax.environment.step.rewards import terms_of
from neomflex_jax.environment.task import Task
from neomflex_jax.powerflow import PowerFlowResult


def start_day(
    task: Task, day_start_flow: PowerFlowResult, draw: Draw, day_row: Array, stores: Stores
) -> tuple[State, TimeStep]:
    """Start a day at a row of the profiles with these stores; `day_start_flow` has every day's first row."""
    scenario, today, step = task.scenario, draw.today, jnp.zeros((), jnp.int32)
    flow = jax.tree.map(lambda leaf: leaf[day_row // scenario.steps_per_day], day_start_flow)
    moment = moment_of_row(task.profiles, day_row, step)
    delivered = _nothing_delivered(task, stores, day_row)
    outcome = outcome_of(task, flow, delivered, moment)

    now = Now(task.profiles, today, day_row, step, outcome.vm_pu, stores, outcome.loading_percent)
    values = measure(task.observation_layout, now)
    history = jnp.broadcast_to(values, (scenario.observation.history - 1, *values.shape))
    observation = observe(task.observation_layout, values, history, today.missing)
    no, nothing, none = jnp.zeros((), bool), jnp.zeros(task.n_agents), jnp.zeros(task.n_agents, jnp.int32)
    state = State(draw.key, day_row, step, stores, stores, violated=no, history=history, today=today)
    info = record_step(
        task,
        flow,
        outcome,
        (-delivered.load_p_mw, -delivered.load_q_mvar),
        row=day_row,
        load_q_factor=moment.demand,
        terms=dict.fromkeys(terms_of(task), nothing),
        local_reward=nothing,
        misuse=Misuse(none, none),
    )
    return state, TimeStep(observation, nothing, no, no, observation, info)


def _nothing_delivered(task: Task, stores: Stores, row: Array) -> Delivered:
    resting = {kind.table: nothing_delivered(task.scenario, kind, stores[kind.table]) for kind in task.kinds}
    return Delivered(resting, *loads_of_row(task.feeder, task.profiles, row))
