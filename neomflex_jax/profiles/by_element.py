"""Loads of a step from series by element: ``load = sum over a node's elements of coefficient x value of its series``.

On the device lie the series that somebody follows, (n_rows, n_series), and for every node which of them it follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import InputError
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.one_line import one_line
from neomflex_jax.profiles.assign import DEMAND, SOLAR, STEADY, Assigned
from neomflex_jax.profiles.config import UNITS, SeriesConfig

COMMON = (DEMAND, SOLAR, STEADY)  # the first values of a step, before the series' own
Column = tuple[str, bool]  # name, and whether generators follow it: growth and noise of Solar are theirs


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class NodeSums:
    """Sums of series at nodes: of K terms each, as many as the node with most has."""

    series: Array  # (K, n_node) int32 position among a step's values
    coefficient: Array  # (K, n_node) MW or Mvar consumed at a value of 1, 0 where there is no such term

    __repr__ = one_line

    def __call__(self, values: Array) -> Array:
        """Consumption (n_node,) of a step with these values, `COMMON` and the series' own."""
        return jnp.sum(values[self.series] * self.coefficient, axis=0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ElementSeries:
    """All series that elements follow beside `COMMON`, and who follows which."""

    values: Array  # (n_rows, n_series)
    p_mw: NodeSums
    q_mvar: NodeSums
    of_generators: tuple[bool, ...] = field(metadata=STATIC)  # (n_series,)

    __repr__ = one_line

    def loads(self, demand: Array, solar: Array, own: Array) -> tuple[Array, Array]:
        """Consumption p in MW and q in Mvar, (n_node,) each, at Demand, Solar and own values (n_series,)."""
        common = jnp.stack([jnp.asarray(demand, own.dtype), jnp.asarray(solar, own.dtype), jnp.ones((), own.dtype)])
        values = jnp.concatenate([common, own])
        return self.p_mw(values), self.q_mvar(values)

    def scaled(self, factors: Array) -> Array:
        """Return factors (2,) on Demand and Solar as those of the series, (n_series,)."""
        return factors[np.asarray(self.of_generators, int)]


def columns_followed(assigned: Sequence[Assigned]) -> tuple[Column, ...]:
    """Name all columns that elements follow, each once for consumers and once for generators."""
    found = {
        (name, each.element.table == "sgen"): None
        for each in assigned
        if each.is_mapped
        for name in (each.p_column, each.q_column)
        if name is not None and name not in (DEMAND, SOLAR)
    }
    return tuple(found)


def element_series(
    config: SeriesConfig,
    assigned: Sequence[Assigned],
    values: Mapping[str, np.ndarray],
    nodes: Nodes,
    n_rows: int,
) -> ElementSeries:
    """Lay out series by element.

    Parameters
    ----------
    values
        Columns (n_rows,) by name.
    nodes
        Of the feeder; an element consumes as much at each node of its bus as at the others.
    """
    columns = columns_followed(assigned)
    place = {column: len(COMMON) + number for number, column in enumerate(columns)}
    p_terms: dict[tuple[int, int], float] = defaultdict(float)  # by node and value
    q_terms: dict[tuple[int, int], float] = defaultdict(float)
    for each in assigned:
        at = nodes.at[each.element.bus].tolist()
        for terms, (name, coefficient) in zip((p_terms, q_terms), _terms(config, each), strict=True):
            is_common = not each.is_mapped or name in (DEMAND, SOLAR)
            value = COMMON.index(name) if is_common else place[name, each.element.table == "sgen"]
            for node in at:
                terms[node, value] += coefficient / len(at)
    stacked = np.zeros((n_rows, 0)) if not columns else np.stack([values[name] for name, _ in columns], axis=1)
    return ElementSeries(
        jnp.asarray(stacked, float),
        _node_sums(p_terms, len(nodes)),
        _node_sums(q_terms, len(nodes)),
        tuple(of_generators for _, of_generators in columns),
    )


def _terms(config: SeriesConfig, each: Assigned) -> list[tuple[str, float]]:
    """What an element adds to the loads p and q at its bus: column, and MW or Mvar consumed at a value of 1."""
    element, in_mw = each.element, UNITS[config.unit]
    per_unit = in_mw is None or not each.is_mapped or each.p_column in (DEMAND, SOLAR)
    sign = -1.0 if element.table == "sgen" else 1.0
    p_mw = element.p_mw if per_unit or in_mw is None else sign * in_mw
    if each.q_column is not None:
        q_per_unit = in_mw is None or each.q_column in (DEMAND, SOLAR)
        q_mvar = element.q_mvar if q_per_unit or in_mw is None else sign * in_mw
        return [(each.p_column, p_mw), (each.q_column, q_mvar)]
    q_mvar = element.q_mvar if per_unit else p_mw * _ratio(element.p_mw, element.q_mvar)
    if each.is_mapped and config.power_factor and element.table == "load":
        q_mvar = p_mw * float(np.tan(np.arccos(config.power_factor)))
    return [(each.p_column, p_mw), (each.p_column, q_mvar)]


def _ratio(p_mw: float, q_mvar: float) -> float:
    return q_mvar / p_mw if p_mw else 0.0


def _node_sums(terms: Mapping[tuple[int, int], float], n_node: int) -> NodeSums:
    at_node: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for (node, value), coefficient in terms.items():
        if coefficient:
            at_node[node].append((value, coefficient))
    most = max(map(len, at_node.values()), default=1)
    series, coefficients = np.zeros((most, n_node), np.int32), np.zeros((most, n_node))
    for node, own in at_node.items():
        for slot, (value, coefficient) in enumerate(own):
            series[slot, node], coefficients[slot, node] = value, coefficient
    return NodeSums(jnp.asarray(series), jnp.asarray(coefficients, float))


def check_sizes(
    config: SeriesConfig, assigned: Sequence[Assigned], values: Mapping[str, np.ndarray], most: float, where: str
) -> None:
    """Refuse a column of power in another unit than it is said to be in, by its size beside an element's own."""
    in_mw = UNITS[config.unit]
    for each in assigned:
        if not each.is_mapped or each.p_column in (DEMAND, SOLAR):
            continue
        peak = float(np.abs(values[each.p_column]).max())
        nominal_mw = abs(each.element.p_mw)
        times = peak if in_mw is None else peak * in_mw / nominal_mw if nominal_mw else 0.0
        if times > most:
            raise InputError(
                f"{where}: column {each.p_column!r} reaches {peak:g}, {times:.4g} times what {each.element.title} has "
                f"nominally ({nominal_mw:g} MW), if its unit is {config.unit}; is it another? [profiles] unit = "
                f"{' or '.join(repr(unit) for unit in UNITS if unit != config.unit)} says so"
            )
