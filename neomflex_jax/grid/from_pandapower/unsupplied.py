"""What stands at buses in service that nothing connects to an external grid: `pandapower.runpp` leaves it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from neomflex_jax.grid.from_pandapower.elements import Consumers
from neomflex_jax.grid.from_pandapower.held import Source
from neomflex_jax.grid.parts import summarise_labels

MOST_NAMED = 6


class Unsupplied(NamedTuple):
    """An element that would consume or produce."""

    title: str
    bus: int  # the net's own bus number
    p_mw: float  # consumption


def unsupplied_at(buses: set[int], consumers: Iterable[Consumers], sources: Iterable[Source]) -> Iterator[Unsupplied]:
    """Walk through the elements at those buses that have a power."""
    for source in sources:
        if source.bus in buses and source.p_mw:
            yield Unsupplied(source.title, source.bus, -source.p_mw)
    for rows, power_mva in consumers:
        for row, bus in enumerate(rows.labels("bus")):
            if bus in buses and power_mva[row]:
                yield Unsupplied(rows.title(row), bus, float(power_mva[row].real))


def unsupplied_texts(found: Sequence[Unsupplied]) -> list[str]:
    """Return one text on all of them: the buses, the elements and their powers; none if there are none."""
    if not found:
        return []
    buses = summarise_labels(sorted({one.bus for one in found}))
    named = ", ".join(f"{one.title} {one.p_mw:+g} MW" for one in found[:MOST_NAMED])
    more = f", ... ({len(found)} in all)" if len(found) > MOST_NAMED else ""
    consumed, produced = (sum(max(sign * one.p_mw, 0.0) for one in found) for sign in (1, -1))
    sums = f"{consumed:.4g} MW of consumption and {produced:.4g} MW of production"
    return [f"nothing connects bus {buses} to an external grid, which leaves out {sums}: {named}{more}"]
