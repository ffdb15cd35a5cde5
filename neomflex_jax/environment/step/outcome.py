"""What a step led to, before it is rewarded: finite numbers also where the power flow failed.

A power flow that failed has no voltages and currents: a collapsed grid's stand in for them, so that failing is never
better than a deep under-voltage, and the step is a violation.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from neomflex_jax.environment.feeder_controls import Followed
from neomflex_jax.environment.step.dispatch import Delivered, Moment
from neomflex_jax.environment.task import Task
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.powerflow import PowerFlowResult
from neomflex_jax.scenario import Limits

COLLAPSED_VM_PU = 0.5  # about where the power that a line can carry has its maximum
COLLAPSED_LOADING_PERCENT = 200.0  # constant power at half the voltage takes twice the current


@dataclass(frozen=True, eq=False)
class Outcome:
    """Answers of the grid to what was delivered."""

    vm_pu: Float[Array, " n_node"]
    loss_mw: Float[Array, ""]
    slack_p_mw: Float[Array, ""]  # import
    voltage_violated: Bool[Array, ""]  # outside the hard limits, or failed
    delivered: Delivered
    moment: Moment
    loading_percent: Float[Array, " n_limited"] | None = None  # of the task's limited branches; None: it has none
    overloaded: Bool[Array, ""] | None = None  # one of them above its hard limit
    unsolved: Bool[Array, ""] | bool = False  # failed
    vuf_percent: Float[Array, " n_three_phase_bus"] | None = None  # 0 where it failed; None on balanced feeders
    followed: Followed | None = None  # what the feeder's own controls did; None where it follows none

    @property
    def violated(self) -> Bool[Array, ""]:
        """Any hard limit broken, or failed."""
        return self.voltage_violated if self.overloaded is None else self.voltage_violated | self.overloaded


def outcome_of(
    task: Task, flow: PowerFlowResult, delivered: Delivered, moment: Moment, followed: Followed | None = None
) -> Outcome:
    """Put a power flow's answer beside what it answered to."""
    vm_pu, violated = checked_voltages(flow, task.scenario.limits)
    loading_percent = overloaded = None
    if task.limited is not None:
        loading_percent = jnp.where(flow.converged, limited_loading(task, flow), COLLAPSED_LOADING_PERCENT)
        overloaded = jnp.any(loading_percent > jnp.asarray(task.limited.hard_percent, loading_percent.dtype))
    return Outcome(
        vm_pu=vm_pu,
        loss_mw=jnp.where(flow.converged, flow.loss_mw, 0.0),
        slack_p_mw=jnp.where(flow.converged, flow.slack_p_mw, 0.0),
        voltage_violated=violated,
        delivered=delivered,
        moment=moment,
        loading_percent=loading_percent,
        overloaded=overloaded,
        unsolved=~flow.converged,
        vuf_percent=None if flow.vuf_percent is None else jnp.where(flow.converged, flow.vuf_percent, 0.0),
        followed=followed,
    )


def checked_voltages(flow: PowerFlowResult, limits: Limits) -> tuple[Array, Array]:
    """Finite voltages (n_node,), and whether the hard limits are broken, ()."""
    vm_pu = jnp.where(flow.converged, flow.vm_pu, COLLAPSED_VM_PU)
    outside = (jnp.min(vm_pu) < limits.hard_min_pu) | (jnp.max(vm_pu) > limits.hard_max_pu)
    return vm_pu, outside | ~flow.converged


def limited_loading(task: Task, flow: PowerFlowResult) -> Array:
    """Loading of the task's limited branches, (n_limited,), per cent of their ratings."""
    assert task.limited is not None  # callers ask only then
    position = np.array(task.limited.position)
    rating_ka = task.feeder.max_i_ka if isinstance(task.feeder, Feeder) else task.feeder.branch_max_i_ka
    # not the flow's own loading: that is NaN for other branches, and so would gradients be
    return 100.0 * flow.branch_i_ka[position] / jnp.asarray(rating_ka)[position]
