"""Exact AC power flow by fixed-point iteration on the network's impedances, in real arithmetic.

``u <- w + Z (conj(s / u) - y u)`` per unit, started without load, with ``s = p + jq`` positive into the grid, ``w`` the
voltages without load and ``y`` shunts and charging. Source: the implicit Z-bus Gauss method (T.-H. Chen et al., IEEE
Trans. Power Delivery 6, 1991); it contracts to the operating point for any load well below voltage collapse (C. Wang et
al., IEEE Trans. Smart Grid 9, 2018), for case33bw up to about 3.4 times its nominal load. `fixed_point.py` has the loop
and its stop test, `sweeps/ac_sweep.py` the same for radial feeders on a CPU; nearer to collapse take `newton`.

Nothing is neglected. A case that does not stop within `max_iterations` comes back with ``converged`` false; its numbers
mean nothing. Derivatives come from the implicit function theorem at the solution, in forward and reverse mode, at a
memory cost that does not depend on the iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.loose_types import Keywords
from neomflex_jax.powerflow.methods import needs
from neomflex_jax.powerflow.methods.fixed_point import solve_batch
from neomflex_jax.powerflow.methods.held import solve_held
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.powerflow.methods.newton_steps import FIRST_EVALUATIONS, Voltage, krylov_solve, newton_steps
from neomflex_jax.powerflow.methods.results import bus_current, exact_result
from neomflex_jax.powerflow.network.dense import DenseNetwork
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.network.setting import Own, apart, together
from neomflex_jax.powerflow.piece_sizes import PieceSizes, product_sizes, sweep_sizes
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.sweeps.door import Sweep, ac_by_sweeps, ac_fused, can_sweep, only_accelerators

FALLBACK_STEPS = 30  # of Newton's method, which needs five or so
Solved = tuple[Array, Array, Array, Array]  # rises' real and imaginary part, whether it converged, evaluations


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Ac(Method):
    """The AC equations by fixed-point iteration."""

    name: str = field(default="ac", kw_only=True, metadata=STATIC)
    exact = True
    can = needs.ALL
    sweep = Sweep.AC
    config: AcConfig = field(default=AcConfig(), metadata=STATIC)
    fallback: bool = field(default=False, metadata=STATIC)  # cases that are given up go on by Newton's method

    @classmethod
    def configured(cls, ac_config: AcConfig) -> Ac:
        """Make the method with a tolerance and an iteration limit."""
        return cls(ac_config)

    def with_fallback(self) -> Ac:
        """Return the same, cases that it gives up going on by Newton's method."""
        return replace(self, fallback=True)

    def piece_sizes(self, grid: PerUnitFeeder, fields: tuple[str, ...] | None) -> PieceSizes:
        """Sizes in which a CPU solves a batch; they do not depend on `fields`."""
        return sweep_sizes(grid) if grid.swept else product_sizes(grid, iterates=True)

    def solve(self, grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
        """Solve one case, shapes (n_bus,)."""
        if grid.held is not None:
            return solve_held(grid, p_injection_mw, q_injection_mvar, self.config)
        p, q = grid.without_slack(p_injection_mw), grid.without_slack(q_injection_mvar)

        def unbalance(rise: Voltage) -> Voltage:
            network = grid.network
            wr, wi = grid.no_load()
            inner_p, inner_q, dr, di = (network.enter(values) for values in (p, q, *rise))
            gr, gi = grid.drop(*bus_current(grid, inner_p, inner_q, wr + dr, wi + di))
            return rise[0] - network.leave(gr), rise[1] - network.leave(gi)

        tolerance = self.config.tolerance(p.dtype)

        def solve(function: Callable[[Voltage], Voltage], start: Voltage) -> tuple[Voltage, tuple[Array, ...]]:
            shared, own = apart(jax.lax.stop_gradient(grid))
            rise_r, rise_i, converged, evaluations = _batched(self.config)(shared, own, p, q)
            rise, first = (rise_r, rise_i), converged
            if self.fallback:  # loops without a step for those that converged
                rise, converged, evaluations = newton_steps(
                    function,
                    _unless(first, rise, partial(fallback_start, jax.lax.stop_gradient(grid), p.dtype, function)),
                    done=first,
                    count=evaluations,
                    tolerance=tolerance,
                    max_iterations=evaluations + FALLBACK_STEPS,
                    solve_linear=krylov_solve,
                )
            # floats, because custom_root differentiates what it returns
            return rise, tuple(part.astype(p.dtype) for part in (converged, evaluations, converged & ~first))

        start = (jnp.zeros_like(p), jnp.zeros_like(q))
        # where only Newton's method finds the way, the map is no contraction
        solve_linear = krylov_solve if self.fallback else contraction_solve(tolerance, self.config.max_iterations)
        rise, (converged, evaluations, later) = lax.custom_root(unbalance, start, solve, solve_linear, has_aux=True)
        flow = exact_result(grid, p, q, *rise, converged=converged > 0, iterations=evaluations.astype(jnp.int32))
        return replace(flow, by_fallback=later > 0) if self.fallback else flow


def _batched(config: AcConfig) -> Callable[..., Solved]:
    """Make the function that solves one case; `vmap` over its injections becomes one loop over the whole batch."""

    def solve(grid: PerUnitFeeder, own: Own | None, p: Array, q: Array) -> Solved:
        """Solve for (..., n_bus - 1) injections; what is a case's own of the grid has their axes, or none if shared."""
        forms: dict[str, Callable[..., Solved]] = {}
        stop: Keywords = {"tolerance": config.tolerance(p.dtype), "max_iterations": config.max_iterations}
        if can_sweep(grid, Ac.sweep if own is None else Sweep.AC_SETTING, p.dtype):
            forms["cpu"] = partial(ac_by_sweeps, **stop)
        elsewhere = partial(solve_by_products, in_one=True)
        if own is None and (forms or only_accelerators(grid)):
            forms["cuda"] = partial(ac_fused, elsewhere, **stop)
        forms.setdefault("cpu", solve_by_products)
        return lax.platform_dependent(grid, own, p, q, **forms, default=elsewhere)

    def solve_by_products(grid: PerUnitFeeder, own: Own | None, p: Array, q: Array, *, in_one: bool = False) -> Solved:
        """Solve by matrices; `in_one` is the network's, where there is one matrix."""
        if in_one and isinstance(grid.form, DenseNetwork):
            grid = replace(grid, form=grid.form.in_one())
        grid, tolerance = grid if own is None else together(grid, own), config.tolerance(p.dtype)
        enter, leave = grid.network.enter, grid.network.leave
        rise_r, rise_i, *stop = solve_batch(grid, enter(p), enter(q), tolerance, config.max_iterations)
        return leave(rise_r), leave(rise_i), stop[0], stop[1]

    one = jax.custom_batching.custom_vmap(solve)

    @one.def_vmap
    def rule(
        axis_size: int,
        in_batched: tuple[PerUnitFeeder, Own | None, bool, bool],
        grid: PerUnitFeeder,
        own: Own | None,
        p: Array,
        q: Array,
    ) -> tuple[tuple[Array, ...], tuple[bool, ...]]:
        grid_batched, own_batched, *case_batched = in_batched
        if any(jax.tree.leaves(grid_batched)):  # every case its own impedances
            axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched)
            return jax.vmap(solve_by_products, in_axes=tuple(axes))(grid, own, p, q), (True,) * 4
        cases = (axis_size, *(p.shape[1:-1] if case_batched[0] else p.shape[:-1]))

        def each(batched: bool, values: Array) -> Array:
            if batched:  # by this map, and perhaps by none of those inside it
                values = values.reshape(axis_size, *(1,) * (len(cases) + 1 - values.ndim), *values.shape[1:])
            return jnp.broadcast_to(values, (*cases, values.shape[-1]))

        def unless_shared(batched: bool, values: Array) -> Array:
            return each(batched, values) if batched or values.ndim > 1 else values

        own = jax.tree.map(unless_shared, own_batched, own)
        # and not `solve`: a map around this one adds its axis too
        return one(grid, own, *map(each, case_batched, (p, q))), (True,) * 4

    return one


def fallback_start(grid: PerUnitFeeder, dtype: DTypeLike, unbalance: Callable[[Voltage], Voltage]) -> Voltage:
    """Return rises near the upper solution, (n_bus - 1,) each: a few evaluations from the voltages that shunts leave.

    Newton's steps from voltages without load, or without shunts, may cross the nose and end in the lower solution.
    """
    start = unloaded_rise(grid, dtype)

    def evaluated(_: int, rise: Voltage) -> Voltage:
        return jax.tree.map(jnp.subtract, rise, unbalance(rise))

    rise = lax.fori_loop(0, FIRST_EVALUATIONS, evaluated, start)
    return jax.tree.map(lambda known, unloaded: jnp.where(jnp.isfinite(known), known, unloaded), rise, start)


def unloaded_rise(grid: PerUnitFeeder, dtype: DTypeLike) -> Voltage:
    """Return what shunts and charging alone add to the voltages w, (n_bus - 1,) each."""
    if grid.bus_admittance is None:
        return (jnp.zeros(grid.topology.n_bus - 1, dtype),) * 2
    (g, b), (wr, wi) = grid.bus_admittance, (part.astype(dtype) for part in grid.no_load())

    def answer(ur: Array, ui: Array) -> Voltage:
        return grid.drop(b * ui - g * ur, -b * ur - g * ui)

    rise = krylov_solve(lambda rise: jax.tree.map(jnp.subtract, rise, answer(*rise)), answer(wr, wi))
    return grid.network.leave(rise[0]), grid.network.leave(rise[1])


def _unless(done: Array, found: Voltage, otherwise: Callable[[], Voltage]) -> Voltage:
    """Return what was found, or else another, which a batch works out only if it has such a case."""

    def body(carry: tuple[Voltage, Array]) -> tuple[Voltage, Array]:
        return otherwise(), jnp.ones((), bool)

    return lax.while_loop(lambda carry: ~carry[1], body, (found, done))[0]


def contraction_solve(
    tolerance: float, max_iterations: int
) -> Callable[[Callable[[Voltage], Voltage], Voltage], Voltage]:
    """Make the function that solves ``x - J x = right_side`` for a contraction J or its transpose, by iteration."""
    found = contraction(tolerance, max_iterations)

    def iterate(residual: Callable[[Voltage], Voltage], right_side: Voltage) -> Voltage:
        return found(residual, right_side)[0]

    return lambda residual, right_side: lax.custom_linear_solve(residual, right_side, iterate, transpose_solve=iterate)


def contraction(
    tolerance: float, max_iterations: int
) -> Callable[[Callable[[Voltage], Voltage], Voltage], tuple[Voltage, Array]]:
    """Make the iteration of `contraction_solve`, which also says whether it has settled."""

    def iterate(residual: Callable[[Voltage], Voltage], right_side: Voltage) -> tuple[Voltage, Array]:
        size = jnp.maximum(*(jnp.max(jnp.abs(part)) for part in right_side))  # cotangents have no natural scale

        def keep_going(carry: tuple[Voltage, Array, Array]) -> Array:
            _, count, step = carry
            return (count < max_iterations) & (step > tolerance * size)  # a NaN step stops

        def body(carry: tuple[Voltage, Array, Array]) -> tuple[Voltage, Array, Array]:
            x, count, _ = carry
            missing = jax.tree.map(jnp.subtract, right_side, residual(x))
            step = jnp.maximum(*(jnp.max(jnp.abs(part)) for part in missing))
            return jax.tree.map(jnp.add, x, missing), count + 1, step

        start = (right_side, jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, right_side[0].dtype))
        x, _, step = lax.while_loop(keep_going, body, start)
        return x, step <= tolerance * size

    return iterate
