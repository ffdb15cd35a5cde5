"""What a step led to, before it is rewarded: finite numbers also where the power flow failed.

A power flow that failed has no voltages: a collapsed grid's stand in for them, so that failing is never better than a
deep under-voltage, and the step is a violation.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from neomflex_jax.environment.step.dispatch import Delivered, Moment
from neomflex_jax.powerflow import PowerFlowResult
from neomflex_jax.scenario import Limits

COLLAPSED_VM_PU = 0.5  # about where the power that a line can carry has its maximum


@dataclass(frozen=True, eq=False)
class Outcome:
    """Answers of the grid to what was delivered."""

    vm_pu: Float[Array, " n_node"]
    loss_mw: Float[Array, ""]
    slack_p_mw: Float[Array, ""]  # import
    violated: Bool[Array, ""]  # outside the hard limits, or failed
    delivered: Delivered
    moment: Moment


def outcome_of(flow: PowerFlowResult, limits: Limits, delivered: Delivered, moment: Moment) -> Outcome:
    """Put a power flow's answer beside what it answered to."""
    vm_pu, violated = checked_voltages(flow, limits)
    return Outcome(
        vm_pu=vm_pu,
        loss_mw=jnp.where(flow.converged, flow.loss_mw, 0.0),
        slack_p_mw=jnp.where(flow.converged, flow.slack_p_mw, 0.0),
        violated=violated,
        delivered=delivered,
        moment=moment,
    )


def checked_voltages(flow: PowerFlowResult, limits: Limits) -> tuple[Array, Array]:
    """Finite voltages (n_node,), and whether the hard limits are broken, ()."""
    vm_pu = jnp.where(flow.converged, flow.vm_pu, COLLAPSED_VM_PU)
    outside = (jnp.min(vm_pu) < limits.hard_min_pu) | (jnp.max(vm_pu) > limits.hard_max_pu)
    return vm_pu, outside | ~flow.converged
