"""Rises of voltages by the sums that elimination leaves (`elimination.py`), where these are fewer than a matrix's.

Which of the two a program takes follows the platform that it is compiled for: sums are machine code on CPUs
(`sweeps/sum_kernel.py`), products are for all others, and for derivatives. Both are compared when a feeder is bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from scipy.sparse import csc_matrix, diags_array

from neomflex_jax.powerflow.sweeps.door import SumArrays, can_sum, sums_by_case
from neomflex_jax.powerflow.unbalanced.elimination import Sums, sums_of

# an entry of a matrix in a large product costs so much of one in a list of sums; measured
WORTH = 0.5
# pu, at nominal load: sums that are farther from products are not used; single precision has errors of its own
LARGEST_ERROR = {np.dtype(complex): 1e-10, np.dtype(np.complex64): 2e-6}


class NetworkSums(NamedTuple):
    """Sums for the branches' own voltages and for all nodes'; None where products are as good."""

    branch: SumArrays | None
    node: SumArrays | None


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
        return NetworkSums(None, None)
    unit = diags_array(base)
    entering = csc_matrix(-(unit @ incidence.T) @ diags_array(reference))
    leaving = csc_matrix(diags_array(1 / reference) @ incidence @ unit)
    found = sums_of(y, base, bus, entering, leaving)
    if found is None:
        return NetworkSums(None, None)
    worth = [len(sums.source) < WORTH * matrix.size for sums, matrix in zip(found, matrices, strict=True)]
    drawn = np.conj(nominal) * np.array([1.0, 0.5])[:, None]
    drawn[1] *= 1 + np.sin(np.arange(len(nominal)))  # another pattern
    same = [_agree(sums, matrix, drawn.T) for sums, matrix in zip(found, matrices, strict=True)]
    chosen = [_arrays(s) if w and a else None for s, w, a in zip(found, worth, same, strict=True)]
    return NetworkSums(chosen[0], chosen[1])


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


@jax.custom_jvp
def _one_case(sums: SumArrays, impedance: Array, drawn: Array) -> Array:
    rises: Array = _batched()(sums, impedance, drawn)
    return rises


@_one_case.defjvp
def _one_case_jvp(
    primals: tuple[SumArrays, Array, Array], tangents: tuple[SumArrays, Array, Array]
) -> tuple[Array, Array]:
    sums, impedance, drawn = primals
    return _one_case(sums, impedance, drawn), impedance @ tangents[2]


def _batched() -> Callable[[SumArrays, Array, Array], Array]:
    """Make the function of one case; `vmap` over its currents becomes one call."""

    def by_sums(sums: SumArrays, impedance: Array, drawn: Array) -> Array:
        cases = drawn.shape[:-1]
        return sums_by_case(sums, drawn.reshape(-1, drawn.shape[-1])).reshape(*cases, impedance.shape[0])

    def by_products(sums: SumArrays, impedance: Array, drawn: Array) -> Array:
        return drawn @ impedance.T

    def rises(sums: SumArrays, impedance: Array, drawn: Array) -> Array:
        """Work out rises (..., 2 n) of currents (..., 2 n_branch)."""
        found: Array = lax.platform_dependent(sums, impedance, drawn, cpu=by_sums, default=by_products)
        return found

    one = jax.custom_batching.custom_vmap(rises)

    @one.def_vmap
    def rule(
        axis_size: int, in_batched: tuple[SumArrays, bool, bool], sums: SumArrays, impedance: Array, drawn: Array
    ) -> tuple[Array, bool]:
        if any(in_batched[0]) or in_batched[1]:  # every case its own network
            axes = (jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched)))[1:]
            return jax.vmap(lambda z, c: c @ z.T, in_axes=axes, axis_size=axis_size)(impedance, drawn), True
        return one(sums, impedance, drawn), True

    return one
