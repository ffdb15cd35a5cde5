"""Rises of voltages by the sums that elimination leaves (`elimination.py`), where these are fewer than a matrix's.

Which of the two a program takes follows the platform that it is compiled for: sums are machine code on CPUs
(`sweeps/sum_kernel.py`), products are for all others, and for derivatives. Both are compared when a feeder is bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from scipy.sparse import csc_matrix, diags_array

from neomflex_jax.powerflow.sweeps.door import SumArrays, can_sum, magnitudes_by_case, sums_by_case
from neomflex_jax.powerflow.unbalanced.elimination import Sums, sums_of

# an entry of a matrix in a large product costs so much of one in a list of sums; measured
WORTH = 0.5
MOST_ENTRIES = 40_000  # of a matrix that is taken row by row
# pu, at nominal load: sums that are farther from products are not used; single precision has errors of its own
LARGEST_ERROR = {np.dtype(complex): 1e-10, np.dtype(np.complex64): 2e-6}


class NetworkSums(NamedTuple):
    """Sums for the branches' own voltages and for all nodes'; None where products are as good."""

    branch: SumArrays | None
    node: SumArrays | None
    iterated: SumArrays | None  # as `branch`, for the kernel that iterates; on small feeders a matrix's rows


NO_SUMS = NetworkSums(None, None, None)


def network_sums(
    y: csc_matrix,
    base: np.ndarray,
    bus: tuple[object, ...],
    incidence: csc_matrix,
    reference: np.ndarray,
    nominal: np.ndarray,
    matrices: tuple[np.ndarray, np.ndarray],
) -> NetworkSums:
    """Eliminate a network, and compare with its matrices.

    Parameters
    ----------
    y, base, bus
        Admittances, voltages' units in kV and buses of the nodes.
    incidence, reference
        Branches' voltages of their nominal ones by the nodes' in kV, and their references of the former.
    nominal
        Powers of the branches in MVA, (n_branch,).
    matrices
        Impedances to the branches, (n_branch, n_branch), and to the nodes, (n_node, n_branch), complex.
    """
    if not len(nominal):
        return NO_SUMS
    unit = diags_array(base)
    entering = csc_matrix(-(unit @ incidence.T) @ diags_array(reference))
    leaving = csc_matrix(diags_array(1 / reference) @ incidence @ unit)
    found = sums_of(y, base, bus, entering, leaving)
    if found is None:
        return NetworkSums(None, None, _rows_of(matrices[0]))
    worth = [len(sums.source) < WORTH * matrix.size for sums, matrix in zip(found, matrices, strict=True)]
    drawn = np.conj(nominal) * np.array([1.0, 0.5])[:, None]
    drawn[1] *= 1 + np.sin(np.arange(len(nominal)))  # another pattern
    same = [_agree(sums, matrix, drawn.T) for sums, matrix in zip(found, matrices, strict=True)]
    chosen = [_arrays(s) if w and a else None for s, w, a in zip(found, worth, same, strict=True)]
    few = same[0] and len(found[0].source) <= matrices[0].size
    return NetworkSums(chosen[0], chosen[1], _arrays(found[0]) if few else _rows_of(matrices[0]))


def _rows_of(matrix: np.ndarray) -> SumArrays | None:
    """A matrix as sums, one a row; None of a large one, which an array program multiplies sooner."""
    n = len(matrix)
    if matrix.size > MOST_ENTRIES:
        return None
    first = np.arange(0, n * n + 1, n, dtype=np.int32)
    source, out = np.tile(np.arange(n, dtype=np.int32), n), np.arange(n, 2 * n, dtype=np.int32)
    return _arrays(Sums(n, first, source, matrix.ravel(), out))


def _agree(sums: Sums, matrix: np.ndarray, drawn: np.ndarray) -> bool:
    """True if sums have a matrix's answers, in single precision too."""
    expected = matrix @ drawn
    errors = {number: np.abs(sums(drawn.astype(number)) - expected).max(initial=0.0) for number in LARGEST_ERROR}
    return all(errors[number] <= largest for number, largest in LARGEST_ERROR.items())


def _arrays(sums: Sums) -> SumArrays:
    return SumArrays(
        jnp.asarray(sums.first),
        jnp.asarray(sums.source),
        jnp.asarray(sums.coefficient.real),
        jnp.asarray(sums.coefficient.imag),
        jnp.asarray(sums.out),
    )


def rises_of_case(sums: SumArrays | None, impedance: Array, drawn: Array) -> Array:
    """Rises of voltages, nodes' or branches', by the branches' currents of one case, (2 n_branch,) -> (2 n,).

    Differentiable by the currents; not by the network.
    """
    if sums is None or not can_sum(drawn.dtype):
        return impedance @ drawn
    return _one_case(sums, impedance, drawn)


def magnitudes_of_case(sums: SumArrays | None, start: Array, impedance: Array, drawn: Array) -> Array:
    """Magnitudes of voltages (n,) that are `start` (2 n,) without these currents; derivatives as `rises_of_case`."""
    if sums is None or not can_sum(drawn.dtype):
        return magnitudes(start + impedance @ drawn)
    return _magnitudes_of_one(sums, start, impedance, drawn)


def magnitudes(v: Array) -> Array:
    """Magnitudes of voltages in real form, (2 n,) -> (n,)."""
    vr, vi = jnp.split(v, 2)
    return jnp.sqrt(vr * vr + vi * vi)


@jax.custom_jvp
def _magnitudes_of_one(sums: SumArrays, start: Array, impedance: Array, drawn: Array) -> Array:
    found: Array = _batched(
        lambda drawn, sums, start, _: magnitudes_by_case(sums, start, drawn),
        lambda drawn, sums, start, impedance: jax.vmap(magnitudes)(start + drawn @ impedance.T),
    )((sums, start, impedance), drawn)
    return found


@_magnitudes_of_one.defjvp
def _magnitudes_of_one_jvp(
    primals: tuple[SumArrays, Array, Array, Array], tangents: tuple[SumArrays, Array, Array, Array]
) -> tuple[Array, Array]:
    sums, start, impedance, drawn = primals
    v, change = start + rises_of_case(sums, impedance, drawn), tangents[1] + impedance @ tangents[3]
    return jax.jvp(magnitudes, (v,), (change,))


@jax.custom_jvp
def _one_case(sums: SumArrays, impedance: Array, drawn: Array) -> Array:
    rises: Array = _batched(
        lambda drawn, sums, _: sums_by_case(sums, drawn), lambda drawn, _, impedance: drawn @ impedance.T
    )((sums, impedance), drawn)
    return rises


@_one_case.defjvp
def _one_case_jvp(
    primals: tuple[SumArrays, Array, Array], tangents: tuple[SumArrays, Array, Array]
) -> tuple[Array, Array]:
    sums, impedance, drawn = primals
    return _one_case(sums, impedance, drawn), impedance @ tangents[2]


def _batched(
    by_sums: Callable[..., Array], by_products: Callable[..., Array]
) -> Callable[[tuple[Any, ...], Array], Array]:
    """Make a function of one case's currents; `vmap` over these becomes one call.

    `by_sums` and `by_products` take currents (n_cases, 2 n_branch) and what all cases share.
    """

    def of_cases(shared: tuple[Any, ...], drawn: Array) -> Array:
        """Work out currents (..., 2 n_branch)."""
        axes, flat = drawn.shape[:-1], drawn.reshape(-1, drawn.shape[-1])
        found: Array = lax.platform_dependent(flat, *shared, cpu=by_sums, default=by_products)
        return found.reshape(*axes, found.shape[-1])

    def alone(shared: tuple[Any, ...], drawn: Array) -> Array:
        return by_products(drawn[None], *shared)[0]

    one = jax.custom_batching.custom_vmap(of_cases)

    @one.def_vmap
    def rule(
        axis_size: int, in_batched: tuple[tuple[Any, ...], bool], shared: tuple[Any, ...], drawn: Array
    ) -> tuple[Array, bool]:
        if any(jax.tree.leaves(in_batched[0])):  # every case its own network
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
            return jax.vmap(alone, in_axes=axes, axis_size=axis_size)(shared, drawn), True
        return one(shared, drawn), True

    return one
