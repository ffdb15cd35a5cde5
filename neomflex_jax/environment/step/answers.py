"""The power flow of one step: from what loads consume and devices deliver to the grid's answer.

Of a balanced feeder a power flow takes net injections by node, of one with phases its loads' powers, load by load,
and what devices feed in at the nodes where they stand.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.feeder_controls import STORE, Followed, follow, joined, plan_for
from neomflex_jax.environment.step.dispatch import Delivered, Stores
from neomflex_jax.environment.step.injections import device_injections, feeding_nodes, grid_setting, node_injections
from neomflex_jax.environment.step.set_points import SetPoints
from neomflex_jax.environment.taken_over import neutral, setting_of
from neomflex_jax.environment.task import Task
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult, UnbalancedPowerFlow
from neomflex_jax.powerflow.unbalanced.settling import setting_at

Injections = tuple[Array, Array]  # p in MW and q in Mvar by node, as records have them


def answer(
    task: Task, power_flow: PowerFlow | UnbalancedPowerFlow, played: SetPoints, stores: Stores
) -> tuple[Injections, PowerFlowResult, Followed | None]:
    """Return the injections of a step, the answer to them, and what the feeder's own controls did before it.

    `stores` are those before the step; None: it follows no controls.
    """
    scenario, layout, delivered = task.scenario, task.layout, played.delivered
    if isinstance(power_flow, UnbalancedPowerFlow):
        p_mw, q_mvar = device_injections(scenario, layout, delivered)
        assert isinstance(task.feeder, UnbalancedFeeder)
        setting, plan, followed = setting_of(scenario, task.feeder, delivered), plan_for(scenario, task.feeder), None
        if plan is not None:
            case = (delivered.load_p_mw, delivered.load_q_mvar, p_mw, q_mvar)
            hour = played.moment.step * scenario.step_hours
            followed = follow(plan, power_flow, case, setting, stores[STORE], hour)
            setting = joined(setting, setting_at(plan, followed.after))
        flow = power_flow(delivered.load_p_mw, delivered.load_q_mvar, p_mw, q_mvar, setting)
        at, nothing = feeding_nodes(scenario, layout), jnp.zeros(layout.n_node, p_mw.dtype)
        return (nothing.at[at].set(p_mw), nothing.at[at].set(q_mvar)), flow, followed
    assert isinstance(task.feeder, Feeder)  # its power flow is of its kind
    factors = None if task.loads_vary else (played.moment.demand, played.load_q_factor)
    in_one = task.profiles.by_element is not None
    injections = node_injections(scenario, layout, task.feeder, delivered, factors, in_one=in_one)
    setting = grid_setting(scenario, layout, task.feeder, delivered, injections)
    return injections, power_flow(*injections, setting), None


def answer_to_loads(
    power_flow: PowerFlow | UnbalancedPowerFlow, load_p_mw: Array, load_q_mvar: Array
) -> PowerFlowResult:
    """Return the answer to loads alone, all devices at zero."""
    if isinstance(power_flow, UnbalancedPowerFlow):
        chosen = power_flow.chosen
        idle = power_flow.idle or neutral(len(chosen.taps), len(chosen.capacitors))
        return power_flow(load_p_mw, load_q_mvar, setting=idle)
    return power_flow(-load_p_mw, -load_q_mvar)


def injections_of_loads(task: Task, delivered: Delivered) -> Injections:
    """Return the injections that a record has of such a step."""
    if isinstance(task.feeder, Feeder):
        return -delivered.load_p_mw, -delivered.load_q_mvar
    nothing = jnp.zeros(task.layout.n_node)
    return nothing, nothing
