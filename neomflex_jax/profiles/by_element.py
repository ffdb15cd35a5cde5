"""Loads of a step from series by element: ``load = sum over a node's elements of coefficient x value of its series``.

A PV device with a series of its own has ``solar = max(coefficient x value, 0)`` per unit of its rating. The accelerator
holds each series once, (n_rows, n_series), and for every node and PV device the positions of those that it follows.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import InputError
from neomflex_jax.grid.elements import Places
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.one_line import one_line
from neomflex_jax.profiles.assign import DEMAND, SOLAR, STEADY, Assigned, SolarDevice
from neomflex_jax.profiles.config import UNITS, SeriesConfig

COMMON = (DEMAND, SOLAR, STEADY)  # the first values of a step, before the series' own
MOST_RUNS = 64  # of neighbouring series that neighbouring nodes follow: copied as they are, which CPUs do far faster
Runs = tuple[tuple[int | None, int], ...]  # position of the first, None where nothing is followed, and number
Column = tuple[str, bool]  # name, and whether generators follow it: growth and noise of Solar are theirs


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of series at n places, of loads or devices: of K terms each, as many as the place with most has."""

    series: Array  # (K, n) int32 position among a step's values
    coefficient: Array  # (K, n) what a value of 1 adds, 0 where there is no such term
    runs: tuple[Runs, ...] = field(metadata=STATIC)  # `series` as K rows of runs; empty where they would be many

    __repr__ = one_line

    def __call__(self, values: Array) -> Array:
        """Sums (n,) of a step with these values, `COMMON` and the series' own."""
        if not self.runs:
            return jnp.sum(values[self.series] * self.coefficient, axis=0)
        rows = [_sum_of_runs(values, *row) for row in zip(self.runs, self.coefficient, strict=True)]
        return reduce(jnp.add, rows)


def _sum_of_runs(values: Array, runs: Runs, coefficient: Array) -> Array:
    """One term (n,) of each place. Multiplied run by run: XLA would copy values that are put together first."""
    terms, end = [], 0
    for first, n in runs:
        start, end = end, end + n
        own = jnp.zeros(n, values.dtype) if first is None else values[first : first + n] * coefficient[start:end]
        terms.append(own)
    return jnp.concatenate(terms)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ElementSeries:
    """All series that elements and devices follow beside `COMMON`, and who follows which."""

    values: Array  # (n_rows, n_series)
    p_mw: Sums  # at nodes, MW consumed
    q_mvar: Sums  # at nodes, Mvar consumed
    solar: Mapping[str, Sums]  # of the tables with devices of an own sun: of each device, per unit of its rating
    of_generators: tuple[bool, ...] = field(metadata=STATIC)  # (n_series,)

    __repr__ = one_line

    def loads(self, demand: Array, solar: Array, own: Array) -> tuple[Array, Array]:
        """Consumption p in MW and q in Mvar, (n_node,) each, at Demand, Solar and own values (n_series,)."""
        values = _all_values(demand, solar, own)
        return self.p_mw(values), self.q_mvar(values)

    def solar_of_devices(self, demand: Array, solar: Array, own: Array) -> dict[str, Array]:
        """Solar (n_device,) of each table in `solar`, at the same values."""
        values = _all_values(demand, solar, own)
        return {table: jnp.maximum(sums(values), 0.0) for table, sums in self.solar.items()}

    def scaled(self, factors: Array) -> Array:
        """Return factors (2,) on Demand and Solar as those of the series, (n_series,)."""
        return factors[np.asarray(self.of_generators, int)]


def _all_values(demand: Array, solar: Array, own: Array) -> Array:
    common = jnp.stack([jnp.asarray(demand, own.dtype), jnp.asarray(solar, own.dtype), jnp.ones((), own.dtype)])
    return jnp.concatenate([common, own])


def columns_followed(assigned: Sequence[Assigned], devices: Sequence[SolarDevice] = ()) -> tuple[Column, ...]:
    """Name all columns that elements and devices follow, each once for consumers and once for generators."""
    found = {
        (name, each.element.table == "sgen"): None
        for each in assigned
        if each.is_mapped
        for name in (each.p_column, each.q_column)
        if name is not None
    }
    found |= {(device.column, True): None for device in devices if device.column is not None}
    return tuple(column for column in found if column[0] not in (DEMAND, SOLAR))


def element_series(
    config: SeriesConfig,
    assigned: Sequence[Assigned],
    names: Sequence[str],
    values: np.ndarray,
    places: Places,
    devices: Sequence[SolarDevice] = (),
) -> ElementSeries:
    """Lay out series by element.

    Parameters
    ----------
    names, values
        Of the columns that somebody follows; (n_rows, n_names) in JAX's floats, to be left unchanged.
    places
        Of the feeder; an element consumes as much at each of its own as at the others.
    devices
        All that follow the sun, in the scenario's order.
    """
    columns = columns_followed(assigned, devices)
    place_of = {column: len(COMMON) + number for number, column in enumerate(columns)}
    p_terms: dict[tuple[int, int], float] = defaultdict(float)  # by node and value
    q_terms: dict[tuple[int, int], float] = defaultdict(float)
    for each in assigned:
        at = places.of_element(each.element.bus, each.element.index)
        for terms, (name, coefficient) in zip((p_terms, q_terms), _terms(config, each), strict=True):
            is_common = not each.is_mapped or name in (DEMAND, SOLAR)
            value = COMMON.index(name) if is_common else place_of[name, each.element.table == "sgen"]
            for one in at:
                terms[one, value] += coefficient / len(at)
    own = [names.index(name) for name, _ in columns]
    as_it_is = own == list(range(len(names)))  # no column is followed by consumers and by generators
    return ElementSeries(
        jnp.asarray(values if as_it_is else values[:, own], float),
        _sums(p_terms, len(places)),
        _sums(q_terms, len(places)),
        _solar_sums(config, devices, place_of),
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


def _solar_sums(config: SeriesConfig, devices: Sequence[SolarDevice], place: Mapping[Column, int]) -> dict[str, Sums]:
    own: dict[str, list[SolarDevice]] = defaultdict(list)
    for device in devices:
        own[device.table].append(device)
    found = {}
    for table, each in own.items():
        if any(device.column is not None for device in each):
            terms = {}
            for number, device in enumerate(each):
                name = device.column or SOLAR
                is_common = name in (DEMAND, SOLAR)
                value = COMMON.index(name) if is_common else place[name, True]
                terms[number, value] = 1.0 if is_common else device.per_rating(config)
            found[table] = _sums(terms, len(each))
    return found


def _sums(terms: Mapping[tuple[int, int], float], n: int) -> Sums:
    """Lay out terms, by place and position among a step's values."""
    at: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for (number, value), coefficient in terms.items():
        if coefficient:
            at[number].append((value, coefficient))
    most = max(map(len, at.values()), default=1)
    series, coefficients = np.zeros((most, n), np.int32), np.zeros((most, n))
    for number, own in at.items():
        for slot, (value, coefficient) in enumerate(own):
            series[slot, number], coefficients[slot, number] = value, coefficient
    runs = tuple(_runs_of(row, used) for row, used in zip(series, coefficients != 0.0, strict=True))
    few = sum(map(len, runs)) <= MOST_RUNS
    return Sums(jnp.asarray(series), jnp.asarray(coefficients, float), runs if few else ())


def _runs_of(series: np.ndarray, used: np.ndarray) -> Runs:
    """Return positions (n,) as runs of neighbours, and of places that are not used."""
    runs: list[tuple[int | None, int]] = []
    for place, is_used in zip(series.tolist(), used.tolist(), strict=True):
        position = place if is_used else None
        first, n = runs[-1] if runs else (None, 0)
        if runs and position == (None if first is None else first + n):
            runs[-1] = (first, n + 1)
        else:
            runs.append((position, 1))
    return tuple(runs)


def check_sizes(
    config: SeriesConfig,
    assigned: Sequence[Assigned],
    names: Sequence[str],
    values: np.ndarray,
    most: float,
    where: str,
) -> None:
    """Refuse a column of power in another unit than it is said to be in, by its size beside an element's own."""
    in_mw = UNITS[config.unit]
    peaks = dict(zip(names, np.maximum(values.max(axis=0), -values.min(axis=0)).tolist(), strict=True))
    for each in assigned:
        if not each.is_mapped or each.p_column in (DEMAND, SOLAR):
            continue
        peak = peaks[each.p_column]
        nominal_mw = abs(each.element.p_mw)
        times = peak if in_mw is None else peak * in_mw / nominal_mw if nominal_mw else 0.0
        if times > most:
            raise InputError(
                f"{where}: column {each.p_column!r} reaches {peak:g}, {times:.4g} times what {each.element.title} has "
                f"nominally ({nominal_mw:g} MW), if its unit is {config.unit}; is it another? [profiles] unit = "
                f"{' or '.join(repr(unit) for unit in UNITS if unit != config.unit)} says so"
            )


def check_suns(
    config: SeriesConfig,
    devices: Sequence[SolarDevice],
    names: Sequence[str],
    values: np.ndarray,
    most: float,
    where: str,
) -> None:
    """Refuse a device's own sun beyond what its rating allows; warn of one below 0, which is taken as 0."""
    for device in devices:
        if device.column in (None, DEMAND, SOLAR):
            continue
        column = values[:, names.index(str(device.column))]
        if (peak := float(column.max()) * device.per_rating(config)) > most:
            raise InputError(
                f"{where}: column {device.column!r} reaches {peak:.4g} times what {device.title} is rated for "
                f"({device.rating_mw:g} MW), if its unit is {config.unit}; [profiles] unit = "
                f"{' or '.join(repr(unit) for unit in UNITS if unit != config.unit)} says another one"
            )
        if n_negative := int((column < 0).sum()):
            told = f"{n_negative} negative values (lowest {column.min():g}) are no sun for {device.title}"
            warnings.warn(f"{where}: column {device.column!r}: {told}, and taken as 0", stacklevel=4)
