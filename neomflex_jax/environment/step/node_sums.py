"""From devices to the nodes of their buses and back; nodes (n_device, most nodes of a bus) are padded with `n_node`.

A device feeds an equal share into each of its nodes. Values are added up at nodes as one small product: XLA turns a
scatter into a serial loop on CPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int


def sum_at_nodes(
    values: Sequence[Float[Array, " _n_device"]],
    nodes: Sequence[Int[np.ndarray, "_n_device _most"]],
    n_node: int,
    scaled: tuple[Float[Array, ""], Float[Array, " n_node"]] | None = None,
    *,
    in_one: bool = False,
) -> Float[Array, " n_node"]:
    """Sums by node of the values of kinds.

    Parameters
    ----------
    nodes
        Of each kind's devices.
    scaled
        A factor and a row whose product is added, which costs no pass over all nodes of its own.
    in_one
        True keeps one product, where XLA would make one for each kind again, all rows being constant.
    """
    rows: list[Array | np.ndarray]
    parts, rows = list(values), [_shares(each, n_node) for each in nodes]
    if scaled is not None:
        parts, rows = [*parts, scaled[0][None]], [*rows, scaled[1][None]]
    if not parts:
        return jnp.zeros(n_node)
    joined = jnp.concatenate(parts)
    if in_one:
        joined = lax.optimization_barrier(joined)  # type: ignore[no-untyped-call]
    with jax.default_matmul_precision("highest"):
        return joined @ jnp.concatenate([jnp.asarray(row, joined.dtype) for row in rows])


def sum_at_devices(
    values: Float[Array, " n_node"], nodes: Int[np.ndarray, "n_device most"]
) -> Float[Array, " n_device"]:
    """Values of nodes added up over each device's."""
    return jnp.sum(values.at[nodes].get(mode="fill", fill_value=0.0), axis=1)


def mean_at_devices(
    values: Float[Array, " n_node"], nodes: Int[np.ndarray, "n_device most"]
) -> Float[Array, " n_device"]:
    """Means of nodes' values over each device's nodes."""
    return sum_at_devices(values, nodes) / np.count_nonzero(nodes < len(values), axis=1)


def _shares(nodes: np.ndarray, n_node: int) -> np.ndarray:
    """Share of each device's value that each node gets, (n_device, n_node)."""
    at = np.zeros((len(nodes), n_node + 1))
    at[np.arange(len(nodes))[:, None], nodes] = 1.0
    return at[:, :-1] / at[:, :-1].sum(axis=1, keepdims=True)
