"""The result of every power-flow method, exact or not."""

from dataclasses import dataclass

import jax
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from neomflex_jax.one_line import one_line
from neomflex_jax.pages import Table, notebook_cell

SHOWN = (  # in a notebook: words, field, digits
    ("mismatch, MVA", "residual_mva", ".2g"),
    ("voltages, pu", "vm_pu", ".4f"),
    ("voltage unbalance, %", "vuf_percent", ".2f"),
    ("losses, MW", "loss_mw", ".4g"),
    ("from the slack, MW", "slack_p_mw", ".4g"),
    ("from the slack, Mvar", "slack_q_mvar", ".4g"),
    ("loading, %", "branch_loading_percent", ".1f"),
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PowerFlowResult:
    """One power flow; under `vmap` every field gains leading axes.

    Under jit a field that nobody reads costs nothing. Branch flows are positive from the branch's `from` to its `to`
    end; slack powers are positive into the feeder (import).
    """

    vm_pu: Float[Array, "... n_node"]
    va_degree: Float[Array, "... n_node"]
    loss_mw: Float[Array, " ..."]  # active line losses
    slack_p_mw: Float[Array, " ..."]  # drawn from the slack
    slack_q_mvar: Float[Array, " ..."]
    branch_i_ka: Float[Array, "... n_branch"]  # larger end's, a transformer's from end by its rated ratio, a winding's
    # of three at the to end; open: 0; of unbalanced feeders by `feeder.branch_labels`
    branch_loading_percent: Float[Array, "... n_branch"]  # NaN without a rating: "not available", never 0
    converged: Bool[Array, " ..."]  # finite, and for an iterative method the stop test was met
    residual_mva: Float[Array, " ..."]  # largest bus mismatch of the AC equations at these voltages
    iterations: Int[Array, " ..."]  # 0 for the methods that do not iterate
    by_fallback: Bool[Array, " ..."] | None = None  # found after `ac` gave up, where a fallback was asked for
    # what holds a voltage beside the slack delivers, in the order of `feeder.held`; None where nothing does
    held_p_mw: Float[Array, "... n_held"] | None = None
    held_q_mvar: Float[Array, "... n_held"] | None = None
    held_at_limit: Int[Array, "... n_held"] | None = None  # -1 or 1 at a lower or upper limit of q that is kept, else 0
    vuf_percent: Float[Array, "... n_three_phase_bus"] | None = None  # voltages' negative over positive sequence

    __repr__ = one_line

    def _repr_html_(self) -> str:
        about, rows = "", []
        if self.converged is not None:  # as all fields, it may not have been asked for
            n_cases = np.size(self.converged)
            about = "one case" if np.ndim(self.converged) == 0 else f"{n_cases:,} cases, extremes of all"
            rows.append(("converged", f"{int(np.sum(self.converged))} of {n_cases}"))
        for what, name, digits in SHOWN:
            if (values := getattr(self, name)) is not None:
                rows.append((what, _extremes(values, digits)))
        return notebook_cell("PowerFlowResult", about, Table((), tuple(rows)))


def _extremes(values: Array, digits: str) -> str:
    """Return the least and the largest finite value, or the one that there is."""
    known = np.asarray(values)[np.isfinite(values)]
    if not known.size:
        return "none"
    low, high = (f"{value:{digits}}" for value in (known.min(), known.max()))
    return low if np.size(values) == 1 else f"{low} to {high}"
