"""AC power flow by Newton's method on the same equations as `ac`: for stressed cases, near to voltage collapse.

``F(u) = u - w - Z (conj(s / u) - y u) = 0`` in real and imaginary parts; a step solves ``dF/du du = -F``, where

    dF/du = I + Z (dI/du),   I = y u - conj(s / u),

and is halved until it lowers |F|. Source: W. F. Tinney, C. E. Hart, "Power flow solution by Newton's method", IEEE
Trans. Power Apparatus and Systems 86, 1967, here on the impedance form, whose Jacobian is close to the identity far
from collapse; the step rule, J. E. Dennis, R. B. Schnabel, "Numerical Methods for Unconstrained Optimization", 1983,
section 6.3.

It starts from a few evaluations of `ac`'s fixed point, which is all that an ordinary case needs. Steps are solved by
BiCGSTAB (H. A. van der Vorst, SIAM J. Sci. Stat. Comput. 13(2), 1992) without writing the Jacobian down, so that it
runs on any network's form. It finds solutions that the fixed point misses; at and beyond collapse there is none, and
`converged` is false. `iterations` counts the evaluations and the steps. Derivatives as in `ac`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.powerflow.methods import needs
from neomflex_jax.powerflow.methods.fixed_point import evaluate, solve_batch
from neomflex_jax.powerflow.methods.held import solve_held
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.powerflow.methods.newton_steps import (
    FIRST_EVALUATIONS,
    Voltage,
    dense_solve,
    krylov_solve,
    newton_steps,
)
from neomflex_jax.powerflow.methods.results import exact_result
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.piece_sizes import PieceSizes, product_sizes
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Newton(Method):
    """The AC equations by Newton's method."""

    name: str = field(default="newton", kw_only=True, metadata=STATIC)
    exact = True
    can = needs.ALL
    config: AcConfig = field(default=AcConfig(), metadata=STATIC)

    @classmethod
    def configured(cls, ac_config: AcConfig) -> Newton:
        """Make the method with a tolerance and an iteration limit."""
        return cls(ac_config)

    def piece_sizes(self, grid: PerUnitFeeder, fields: tuple[str, ...] | None) -> PieceSizes:
        """Sizes in which a CPU solves a batch; they do not depend on `fields`."""
        return product_sizes(grid, iterates=True)

    def solve(self, grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
        """Solve one case, shapes (n_bus,)."""
        if grid.held is not None:
            return solve_held(grid, p_injection_mw, q_injection_mvar, self.config, (krylov_solve, dense_solve))
        enter = grid.network.enter
        p, q = enter(grid.without_slack(p_injection_mw)), enter(grid.without_slack(q_injection_mvar))
        wr, wi = (part.astype(p.dtype) for part in grid.no_load())
        tolerance, first = self.config.tolerance(p.dtype), min(FIRST_EVALUATIONS, self.config.max_iterations)

        def unbalance(u: Voltage) -> Voltage:
            gr, gi = evaluate(grid, p, q, *u)
            return u[0] - gr, u[1] - gi

        def solve(function: Callable[[Voltage], Voltage], start: Voltage) -> tuple[Voltage, tuple[Array, Array]]:
            *rise, converged, count = solve_batch(grid, p, q, tolerance, first)
            start = jax.tree.map(lambda w, d: jnp.where(jnp.isfinite(d), w + d, w), start, tuple(rise))

            u, converged, count = newton_steps(
                function,
                start,
                done=converged,
                count=count.astype(p.dtype),
                tolerance=tolerance,
                max_iterations=self.config.max_iterations,
                solve_linear=krylov_solve,
            )
            return u, (converged.astype(p.dtype), count)

        (ur, ui), (converged, count) = lax.custom_root(unbalance, (wr, wi), solve, krylov_solve, has_aux=True)
        leave = grid.network.leave
        return exact_result(
            grid,
            leave(p),
            leave(q),
            leave(ur - wr),
            leave(ui - wi),
            converged=converged > 0,
            iterations=count.astype(jnp.int32),
        )
