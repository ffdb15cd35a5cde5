"""The power flow of one step: from what loads consume and devices deliver to the grid's answer.

Of a balanced feeder a power flow takes net injections by node, of one with phases its loads' powers, load by load,
and what devices feed in at the nodes where they stand.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.step.dispatch import Delivered
from neomflex_jax.environment.step.injections import device_injections, feeding_nodes, grid_setting, node_injections
from neomflex_jax.environment.step.set_points import SetPoints
from neomflex_jax.environment.taken_over import neutral, setting_of
from neomflex_jax.environment.task import Task
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult, UnbalancedPowerFlow

Injections = tuple[Array, Array]  # p in MW and q in Mvar by node, as records have them


def answer(
    task: Task, power_flow: PowerFlow | UnbalancedPowerFlow, played: SetPoints
) -> tuple[Injections, PowerFlowResult]:
    """Return the injections of a step and the answer to them."""
    scenario, layout, delivered = task.scenario, task.layout, played.delivered
    if isinstance(power_flow, UnbalancedPowerFlow):
        p_mw, q_mvar = device_injections(scenario, layout, delivered)
        assert isinstance(task.feeder, UnbalancedFeeder)
        setting = setting_of(scenario, task.feeder, delivered)
        flow = power_flow(delivered.load_p_mw, delivered.load_q_mvar, p_mw, q_mvar, setting)
        at, nothing = feeding_nodes(scenario, layout), jnp.zeros(layout.n_node, p_mw.dtype)
        return (nothing.at[at].set(p_mw), nothing.at[at].set(q_mvar)), flow
    assert isinstance(task.feeder, Feeder)  # its power flow is of its kind
    factors = None if task.loads_vary else (played.moment.demand, played.load_q_factor)
    in_one = task.profiles.by_element is not None
    injections = node_injections(scenario, layout, task.feeder, delivered, factors, in_one=in_one)
    return injections, power_flow(*injections, grid_setting(scenario, layout, task.feeder, delivered, injections))


def answer_to_loads(
    power_flow: PowerFlow | UnbalancedPowerFlow, load_p_mw: Array, load_q_mvar: Array
) -> PowerFlowResult:
    """Return the answer to loads alone, all devices at zero."""
    if isinstance(power_flow, UnbalancedPowerFlow):
        chosen = power_flow.chosen
        return power_flow(load_p_mw, load_q_mvar, setting=neutral(len(chosen.taps), len(chosen.capacitors)))
    return power_flow(-load_p_mw, -load_q_mvar)


def injections_of_loads(task: Task, delivered: Delivered) -> Injections:
    """Return the injections that a record has of such a step."""
    if isinstance(task.feeder, Feeder):
        return -delivered.load_p_mw, -delivered.load_q_mvar
    nothing = jnp.zeros(task.layout.n_node)
    return nothing, nothing
