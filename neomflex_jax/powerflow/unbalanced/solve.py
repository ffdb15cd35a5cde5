"""Rises of the branches' voltages for one case: many under `vmap` in one loop, derivatives at the solution.

Derivatives come from the implicit function theorem, in forward and reverse mode, at a memory cost that does not depend
on the iterations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.powerflow.methods.ac import contraction_solve
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.sweeps.door import can_sum
from neomflex_jax.powerflow.unbalanced.admittance import Follows
from neomflex_jax.powerflow.unbalanced.branches import Consumption
from neomflex_jax.powerflow.unbalanced.iteration import evaluate, solve_batch
from neomflex_jax.powerflow.unbalanced.network import PortNetwork
from neomflex_jax.powerflow.unbalanced.ports import Own

Solved: TypeAlias = tuple[Array, Array, Array]  # rises, whether they converged, evaluations
Halves: TypeAlias = tuple[Array, Array]  # real and imaginary parts


def solve_rises(
    network: PortNetwork, follows: Follows, drawn: Consumption, own: Own | None, config: AcConfig
) -> Solved:
    """Solve one case of consumption (n_branch,), with its own taps and capacitors if any; rises (2 n_branch,)."""
    p, n_branch = drawn.p, drawn.p.shape[0]
    tolerance = config.tolerance(p.dtype)

    def unbalance(rise: Halves) -> Halves:
        new = evaluate(network, follows, drawn, jnp.concatenate(rise), own)
        return rise[0] - new[:n_branch], rise[1] - new[n_branch:]

    def solve(_: Callable[[Halves], Halves], start: Halves) -> tuple[Halves, tuple[Array, Array]]:
        rise, converged, evaluations = _batched(config)(*lax.stop_gradient(((network, follows), drawn, own)))
        # floats, because custom_root differentiates what it returns
        return (rise[:n_branch], rise[n_branch:]), (converged.astype(p.dtype), evaluations.astype(p.dtype))

    start = (jnp.zeros_like(p), jnp.zeros_like(p))
    backwards = contraction_solve(tolerance, config.max_iterations)
    rise, (converged, evaluations) = lax.custom_root(unbalance, start, solve, backwards, has_aux=True)
    return jnp.concatenate(rise), converged > 0, evaluations.astype(jnp.int32)


def _batched(config: AcConfig) -> Callable[..., Solved]:
    """Make the function that solves one case; `vmap` over its loads becomes one loop over the whole batch."""

    def iterate(
        network: PortNetwork, follows: Follows, drawn: Consumption, own: Own | None, *, by_sums: bool
    ) -> Solved:
        tolerance = config.tolerance(drawn.p.dtype)
        return solve_batch(replace(network, by_sums=by_sums), follows, drawn, own, tolerance, config.max_iterations)

    def products(network: PortNetwork, follows: Follows, drawn: Consumption, own: Own | None) -> Solved:
        return iterate(network, follows, drawn, own, by_sums=False)

    def sums_or_products(network: PortNetwork, follows: Follows, drawn: Consumption, own: Own | None) -> Solved:
        if network.sums.branch is None or not can_sum(drawn.p.dtype):
            return products(network, follows, drawn, own)
        sums = partial(iterate, by_sums=True)
        found: Solved = lax.platform_dependent(network, follows, drawn, own, cpu=sums, default=products)
        return found

    def solve(shared: tuple[PortNetwork, Follows], drawn: Consumption, own: Own | None) -> Solved:
        """Solve for consumption (..., n_branch)."""
        return cases_last(sums_or_products, shared, drawn, own)

    def cases_last(
        form: Callable[..., Solved], shared: tuple[PortNetwork, Follows], drawn: Consumption, own: Own | None
    ) -> Solved:
        network, follows = shared
        cases, n_branch = drawn.p.shape[:-1], drawn.p.shape[-1]
        inner: Consumption = jax.tree.map(lambda values: values.reshape(math.prod(cases), n_branch).T, drawn)
        n_axes = len(cases)
        last: Own | None = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, *x.shape[n_axes:]), 0, -1), own)
        rise, *stop = form(network, follows, inner, last)
        return rise.T.reshape(*cases, 2 * n_branch), stop[0].reshape(cases), stop[1].reshape(cases)

    one = jax.custom_batching.custom_vmap(solve)

    @one.def_vmap
    def rule(
        axis_size: int,
        in_batched: tuple[Any, Any, Any],
        shared: tuple[PortNetwork, Follows],
        drawn: Consumption,
        own: Own | None,
    ) -> tuple[Solved, tuple[bool, bool, bool]]:
        shared_batched, *case_batched = in_batched
        if any(jax.tree.leaves(shared_batched)):  # every case its own network
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
            return jax.vmap(partial(cases_last, products), in_axes=axes)(shared, drawn, own), (True,) * 3
        drawn, own = jax.tree.map(
            lambda batched, values: values if batched else jnp.broadcast_to(values, (axis_size, *values.shape)),
            tuple(case_batched),
            (drawn, own),
        )
        return one(shared, drawn, own), (True,) * 3  # and not `solve`: a map around this one adds its axis too

    return one
