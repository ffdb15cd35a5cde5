"""Rises of the branches' voltages for one case: many under `vmap` in one loop, derivatives at the solution.

Derivatives come from the implicit function theorem, in forward and reverse mode, at a memory cost that does not depend
on the iterations. On CPUs the loop is machine code (`sweeps/branch_kernel.py`), elsewhere that of `iteration.py`.
Cases that it does not settle go on by `accelerated.py`: the derivatives' equations too, which contract no more there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.powerflow.methods.ac import contraction
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.sweeps.door import can_iterate, can_sum, solve_by_branches
from neomflex_jax.powerflow.unbalanced.accelerated import accelerated
from neomflex_jax.powerflow.unbalanced.branch_table import branch_table
from neomflex_jax.powerflow.unbalanced.branches import Branches, Case, Consumption
from neomflex_jax.powerflow.unbalanced.iteration import currents, evaluate, largest, solve_batch
from neomflex_jax.powerflow.unbalanced.network import PortNetwork
from neomflex_jax.powerflow.unbalanced.ports import Own, sources


class Solved(NamedTuple):
    """What the iteration of one case came to, or of a batch with its axes first."""

    rise: Array  # (2 n_branch,)
    converged: Array
    evaluations: Array
    drawn: Array  # (2 n_branch,) currents at these rises; a value without derivatives
    added: Array | None  # (2 n_port,) sources at the ports there, likewise; None: no taps or capacitors of its own


Halves: TypeAlias = tuple[Array, Array]  # real and imaginary parts
Shared: TypeAlias = tuple[PortNetwork, Branches]


def solve_rises(network: PortNetwork, branches: Branches, case: Case, own: Own | None, config: AcConfig) -> Solved:
    """Solve one case, with its own taps and capacitors if any."""
    drawn, follows = branches.consumption(case), branches.follows
    p, n_branch = drawn.p, drawn.p.shape[0]
    tolerance = config.tolerance(p.dtype)

    def unbalance(rise: Halves) -> Halves:
        new = evaluate(network, follows, drawn, jnp.concatenate(rise), own)
        return rise[0] - new[:n_branch], rise[1] - new[n_branch:]

    def solve(_: Callable[[Halves], Halves], start: Halves) -> tuple[Halves, Solved]:
        found = _batched(config)(*lax.stop_gradient(((network, branches), case, own)))
        # floats, because custom_root differentiates what it returns
        floats = jax.tree.map(lambda part: part.astype(p.dtype), found)
        return (found.rise[:n_branch], found.rise[n_branch:]), floats

    start = (jnp.zeros_like(p), jnp.zeros_like(p))
    backwards = _linear_solve(tolerance, config.max_iterations)
    rise, found = lax.custom_root(unbalance, start, solve, backwards, has_aux=True)
    counted = found.evaluations.astype(jnp.int32)
    return Solved(jnp.concatenate(rise), found.converged > 0, counted, found.drawn, found.added)


def _batched(config: AcConfig) -> Callable[..., Solved]:
    """Make the function that solves one case; `vmap` over its loads becomes one loop over the whole batch."""
    one = jax.custom_batching.custom_vmap(partial(_solve_all, config))

    @one.def_vmap
    def rule(
        axis_size: int, in_batched: tuple[Any, Any, Any], shared: Shared, case: Case, own: Own | None
    ) -> tuple[Solved, Any]:
        # whether each of the results is mapped
        all_batched: Any = Solved(*(True,) * 4, None if own is None else True)  # type: ignore[arg-type]
        shared_batched, *case_batched = in_batched
        if any(jax.tree.leaves(shared_batched)):  # every case its own network
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
            return jax.vmap(partial(_by_arrays, config, by_sums=False), in_axes=axes)(shared, case, own), all_batched
        case, own = jax.tree.map(
            lambda batched, values: values if batched else jnp.broadcast_to(values, (axis_size, *values.shape)),
            tuple(case_batched),
            (case, own),
        )
        return one(shared, case, own), all_batched  # and not the function in it: a map around this one adds its axis

    return one


def _solve_cases(config: AcConfig, shared: Shared, case: Case, own: Own | None) -> Solved:
    """Solve cases (..., n), by what the platform has for it."""
    products, dtype = partial(_by_arrays, config, by_sums=False), case.load_p.dtype
    sums = shared[0].sums
    if sums.iterated is not None and can_iterate(dtype, with_settings=own is not None):
        on_cpu: Callable[..., Solved] = partial(_by_machine_code, config)
    elif sums.branch is not None and can_sum(dtype):
        on_cpu = partial(_by_arrays, config, by_sums=True)
    else:
        return products(shared, case, own)
    found: Solved = lax.platform_dependent(shared, case, own, cpu=on_cpu, default=products)
    return found


def _solve_all(config: AcConfig, shared: Shared, case: Case, own: Own | None) -> Solved:
    """Solve cases (..., n), those that the iteration does not settle in another way."""
    found = _solve_cases(config, shared, case, own)
    again = partial(_accelerated, config, shared, case, own)
    done: Solved = lax.cond(jnp.all(found.converged), lambda found: found, again, found)
    return done


def _accelerated(config: AcConfig, shared: Shared, case: Case, own: Own | None, found: Solved) -> Solved:
    """Solve the cases (..., n) that have not converged, from voltages without load; the others stay as they are."""
    (network, branches), axes = shared, case.load_p.shape[:-1]
    drawn, last = _cases_last(branches, case, own)
    rise, converged = found.rise.reshape(-1, found.rise.shape[-1]).T, found.converged.reshape(-1)

    def change(rise: Array) -> Array:
        return evaluate(network, branches.follows, drawn, rise, last) - rise

    none = jnp.zeros_like(rise)
    first = change(none)
    starts = (jnp.where(converged, rise, none), first, 0.5 * first)
    tolerance, most = config.tolerance(rise.dtype), config.max_iterations
    rise, settled, count = accelerated(change, lambda f: jnp.sqrt(largest(f)), starts, converged, tolerance, most)
    new = _at_rises(shared, drawn, last, axes, (rise, settled, found.evaluations.reshape(-1) + count))

    def kept(old: Array, new: Array) -> Array:
        return jnp.where(found.converged.reshape(*axes, *(1,) * (old.ndim - len(axes))), old, new)

    both: Solved = jax.tree.map(kept, found, new)
    return both


def _linear_solve(tolerance: float, max_iterations: int) -> Callable[..., Halves]:
    """Make the function that solves ``x - J x = right_side``, or with J's transpose, for derivatives."""
    iterate = contraction(tolerance, max_iterations)

    def solve(residual: Callable[[Halves], Halves], right_side: Halves) -> Halves:
        n_branch, size = len(right_side[0]), jnp.maximum(*(jnp.max(jnp.abs(part)) for part in right_side))

        def change(x: Array) -> Array:
            return jnp.concatenate(right_side) - jnp.concatenate(residual((x[:n_branch], x[n_branch:])))

        x, converged = iterate(residual, right_side)
        starts = (jnp.where(converged, jnp.concatenate(x), jnp.concatenate(right_side)),)
        both = accelerated(change, lambda f: jnp.max(jnp.abs(f)), starts, converged, tolerance * size)[0]
        return both[:n_branch], both[n_branch:]

    return lambda residual, right_side: lax.custom_linear_solve(residual, right_side, solve, transpose_solve=solve)


def _by_machine_code(config: AcConfig, shared: Shared, case: Case, own: Own | None) -> Solved:
    """Solve cases (..., n) by one kernel."""
    (network, branches), axes = shared, case.load_p.shape[:-1]
    sums = network.sums.iterated
    assert sums is not None  # asked before
    flat: Case = jax.tree.map(lambda values: values.reshape(math.prod(axes), values.shape[-1]), case)
    n_fed = 0 if flat.fed_p is None else flat.fed_p.shape[-1]
    table = branch_table(network, branches, flat.load_p.shape[-1], n_fed)
    tolerance = config.tolerance(flat.load_p.dtype)
    ports = None
    if own is not None and network.ports is not None:
        ports = network.ports.arrays, own.change.reshape(math.prod(axes), own.change.shape[-1])
    rise, converged, evaluations, drawn, *added = solve_by_branches(
        sums, table, flat, ports, tolerance, config.max_iterations
    )
    found = Solved(rise, converged, evaluations, drawn, added[0] if added else None)
    return jax.tree.map(lambda leaf: leaf.reshape(axes + leaf.shape[1:]), found)


def _by_arrays(config: AcConfig, shared: Shared, case: Case, own: Own | None, *, by_sums: bool) -> Solved:
    """Solve cases (..., n) by array operations, on arrays with the cases last."""
    (network, branches), axes = shared, case.load_p.shape[:-1]
    drawn, last = _cases_last(branches, case, own)
    network, tolerance = replace(network, by_sums=by_sums), config.tolerance(drawn.p.dtype)
    found = solve_batch(network, branches.follows, drawn, last, tolerance, config.max_iterations)
    return _at_rises(shared, drawn, last, axes, found)


def _at_rises(
    shared: Shared, drawn: Consumption, last: Own | None, axes: tuple[int, ...], found: tuple[Array, Array, Array]
) -> Solved:
    """Put what flows beside rises (2 n_branch, n_cases), and one value a case, with the axes of the cases first."""
    (network, branches), (rise, *stop) = shared, found
    at_rise = currents(network, branches.follows, drawn, rise, last)
    added, ports = None, network.ports
    if last is not None and ports is not None:
        added = sources(last.gain, ports.seen[:, None] + ports.seen_by_branch @ at_rise)
        added = added.T.reshape(*axes, added.shape[0])
    rise, at_rise = (values.T.reshape(*axes, values.shape[0]) for values in (rise, at_rise))
    return Solved(rise, stop[0].reshape(axes), stop[1].reshape(axes), at_rise, added)


def _cases_last(branches: Branches, case: Case, own: Own | None) -> tuple[Consumption, Own | None]:
    """What branches draw, and what cases set of their own, of cases (..., n), in arrays with the cases last."""
    axes = case.load_p.shape[:-1]
    flat: Case = jax.tree.map(lambda values: values.reshape(math.prod(axes), values.shape[-1]), case)
    n_axes = len(axes)
    last: Own | None = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, *x.shape[n_axes:]), 0, -1), own)
    return jax.vmap(branches.consumption, out_axes=-1)(flat), last
