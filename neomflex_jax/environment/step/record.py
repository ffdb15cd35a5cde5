"""Everything about a step into its record."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.feeder_controls import plan_for, recorded
from neomflex_jax.environment.step.actions import Misuse
from neomflex_jax.environment.step.constraint_costs import constraint_costs
from neomflex_jax.environment.step.info import VUF, StepInfo
from neomflex_jax.environment.step.outcome import Outcome
from neomflex_jax.environment.task import Task
from neomflex_jax.powerflow import PowerFlowResult


def record_step(
    task: Task,
    flow: PowerFlowResult,
    outcome: Outcome,
    injections: tuple[Array, Array],
    *,
    row: Array,
    load_q_factor: Array,
    terms: Mapping[str, Array],
    local_reward: Array,
    misuse: Misuse,
) -> StepInfo:
    """Make the record; fields that are not here come from the flow and the outcome."""
    delivered, moment = outcome.delivered, outcome.moment

    def known(values: Array) -> Array:
        return jnp.where(flow.converged, values, jnp.nan)

    kept: dict[str, Array] = {}
    for kind in task.kinds:
        kept |= kind.kept(delivered.by_table[kind.table].store)
    if moment.outdoor_temperature_c is not None:
        kept["outdoor_temperature_c"] = moment.outdoor_temperature_c
    if moment.sessions is not None:
        kept |= {f"session_{name}": values for name, values in moment.sessions._asdict().items()}
    if flow.vuf_percent is not None:
        kept[VUF] = known(flow.vuf_percent)
    plan = plan_for(task.scenario, task.feeder)
    if plan is not None and outcome.followed is not None:
        kept |= recorded(plan, outcome.followed)
    if flow.by_fallback is not None:
        kept["by_fallback"] = flow.by_fallback
    if flow.held_p_mw is not None and flow.held_q_mvar is not None:
        kept |= {"held_p_mw": known(flow.held_p_mw), "held_q_mvar": known(flow.held_q_mvar)}
    if flow.held_at_limit is not None:
        kept["held_at_limit"] = flow.held_at_limit
    return StepInfo(
        vm_pu=known(flow.vm_pu),
        loss_mw=known(flow.loss_mw),
        slack_p_mw=known(flow.slack_p_mw),
        slack_q_mvar=known(flow.slack_q_mvar),
        converged=flow.converged,
        residual_mva=flow.residual_mva,
        p_injection_mw=injections[0],
        q_injection_mvar=injections[1],
        load_p_mw=delivered.load_p_mw,
        load_q_mvar=delivered.load_q_mvar,
        demand=moment.demand,
        solar=moment.solar,
        load_q_factor=load_q_factor,
        price=jnp.zeros(()) if moment.price is None else moment.price,
        dataset_index=row,
        violated=outcome.violated,
        local_reward=local_reward,
        constraint_cost=constraint_costs(task, flow, outcome),
        clipped_actions=misuse.clipped,
        nan_actions=misuse.nan,
        devices=delivered.recorded | kept,
        terms=dict(terms),
        branch_loading_percent=None if outcome.loading_percent is None else known(outcome.loading_percent),
    )
