"""The result of every power-flow method, exact or not."""

from dataclasses import dataclass

import jax
from jax import Array

from neomflex_jax.one_line import one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PowerFlowResult:
    """One power flow; under `vmap` every field gains leading axes.

    Under jit a field that nobody reads costs nothing. Branch flows are positive from the branch's `from` to its `to`
    end; slack powers are positive into the feeder (import).
    """

    vm_pu: Array  # (n_bus,)
    va_degree: Array  # (n_bus,)
    loss_mw: Array  # () active line losses
    slack_p_mw: Array  # () drawn from the slack
    slack_q_mvar: Array  # ()
    branch_i_ka: Array  # (n_branch,) larger end's, a transformer's from end by its rated ratio; 0 in open branches
    branch_loading_percent: Array  # (n_branch,) NaN without a rating: "not available", never 0
    converged: Array  # () bool: finite, and for an iterative method the stop test was met
    residual_mva: Array  # () largest bus mismatch of the AC equations at these voltages
    iterations: Array  # () int32, 0 for the methods that do not iterate

    __repr__ = one_line
